"""What llama.cpp tells of a context's memory beyond cells: its first position, its window, its kind."""

from llama_cpp import llama_cpp as native

from localmind.engine.llama.context import Context
from localmind.engine.llama.model import Model


def first_position(context: Context, slot: int) -> int:
    """The smallest position from which on a slot is complete in all layers, -1 when it is empty.

    0 for a memory that holds everything; a recurrent state is only ever at its last position.
    """
    return int(native.llama_memory_seq_pos_min(native.llama_get_memory(context.handle), slot))


def window(model: Model) -> int:
    """Tokens that the layers with a sliding window look back on; 0 if the model has no such layers."""
    return int(native.llama_model_n_swa(model.handle))


def keeps_a_state(model: Model) -> str:
    """ "recurrent", "hybrid" or nothing."""
    if native.llama_model_is_hybrid(model.handle):
        return "hybrid"
    return "recurrent" if native.llama_model_is_recurrent(model.handle) else ""
