"""The kinds of worker, by name. Given as strings, because the code of a kind lies in a layer above this one."""

import importlib
from typing import cast

from localmind.workers.runtime import WorkerMain

KINDS = {
    "engine": "localmind.engine.worker:create",
    "embed": "localmind.knowledge.embed_worker:create",
    "vectors": "localmind.knowledge.chroma_worker:create",
    "extract": "localmind.knowledge.extract_worker:create",
    "voice": "localmind.voice.worker:create",
    "speaker": "localmind.voice.speaker_worker:create",
}


def create(kind: str) -> WorkerMain:
    """Import the kind's module and make its WorkerMain. KeyError for an unknown kind."""
    module, _, factory = KINDS[kind].partition(":")
    return cast(WorkerMain, getattr(importlib.import_module(module), factory)())
