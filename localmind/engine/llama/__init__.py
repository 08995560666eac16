"""The only folder that touches llama.cpp: Model, Context, Batch and samplers over its C functions.

Everything here is thin: one Python call is one or two native ones, arrays are filled through numpy
views, and nothing decides anything. It is written on the low-level module of llama-cpp-python, never
on its `Llama` class, which hides the batch. A Context, its Batch and its chains belong to one
thread; a Model's tokeniser may be used from any, because the vocabulary is never written.
"""

from localmind.engine.llama.context import Batch, Context
from localmind.engine.llama.library import build, start, system_info
from localmind.engine.llama.model import Model

__all__ = ["Batch", "Context", "Model", "build", "start", "system_info"]
