"""One entry of a server's list of models, read as a model of ours: what it is for, and how large, if that is said.

Servers agree on the name of a model and on nothing else. What none says stays unknown (0, None): nothing is claimed
for it. Only the use is guessed, by name, since a list that offers an embedder for chat is of no use; a guess never
keeps anybody from asking for the model as something else.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from localmind.catalog import Role
from localmind.settings import Remote
from localmind.workers.elsewhere import RemoteModel

UNKNOWN_CONTEXT = 8192
SAYS_USE = ("type", "task", "mode", "pipeline_tag", "model_type", "capabilities")
"""Where LM Studio, Together, LiteLLM, Infinity, Text Embeddings Inference and localmind say it."""
USES: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("rerank", re.compile(r"re-?rank|cross-?encoder|text-classification", re.I)),
    ("embed", re.compile(r"embed|feature-extraction|sentence-similarity", re.I)),
    ("speech", re.compile(r"whisper|transcri|speech|automatic-speech|\btts\b|audio\.", re.I)),
)
WRITES = re.compile(r"chat|complet|generat|\b[lv]lm\b", re.I)
FAMILIES = re.compile(r"(?:^|[-_/:.])(?:bge|gte|e5|minilm|mpnet|colbert|jina-?clip)(?:[-_/:.]|$)", re.I)
"""Embedders whose names do not say so."""


def model_of(server: str, host: str, remote: Remote, name: str, told: Mapping[str, Any] | None = None) -> RemoteModel:
    """`told` is its entry in the server's list; None for a model that was asked for by name."""
    told = told or MappingProxyType({})
    meta = told.get("meta")
    meta = meta if isinstance(meta, Mapping) else MappingProxyType({})
    lengths = (told.get("max_model_len"), meta.get("n_ctx"), meta.get("n_ctx_train"), told.get("context_length"))
    return RemoteModel(
        name=f"{server}/{name}",
        role=_role(name, _said(told, meta)),
        format="gguf",
        family="remote",
        licence="LicenseRef-remote",
        parameters=_count(meta.get("n_params")) or 0,
        context=next((found for each in lengths if (found := _count(each))), UNKNOWN_CONTEXT),
        quantisation="remote",
        sources=(),
        remote=server,
        model=name,
        host=host,
        reads_files=remote.files,
        owner=str(told.get("owned_by") or ""),
        tools=_tools(told, meta),
    )


def _said(told: Mapping[str, Any], meta: Mapping[str, Any]) -> list[str]:
    """Words by which a server says what a model is for."""
    words: list[str] = []
    for value in (*(told.get(key) for key in SAYS_USE), meta.get("capabilities")):
        if isinstance(value, str):
            words.append(value)
        elif isinstance(value, list):
            words += [each for each in value if isinstance(each, str)]
        elif isinstance(value, Mapping):
            words += [str(key) for key, has in value.items() if has]
    return words


def _role(name: str, said: list[str]) -> Role:
    if any(WRITES.search(word) for word in said):
        return "chat"  # it may give vectors, or hear, as well
    for words in (said, [name]):
        for role, pattern in USES:
            if any(pattern.search(word) for word in words):
                return role
    return "embed" if FAMILIES.search(name) else "chat"


def _tools(told: Mapping[str, Any], meta: Mapping[str, Any]) -> bool | None:
    """Whether it takes tools; None where nobody says."""
    takes = told.get("supported_parameters")
    if isinstance(takes, list):
        return "tools" in takes
    for abilities in (told.get("capabilities"), meta.get("capabilities")):
        if isinstance(abilities, Mapping) and "function_calling" in abilities:
            return bool(abilities["function_calling"])
        if isinstance(abilities, list) and any(each in abilities for each in ("tools", "tool_use", "function_calling")):
            return True
    return None


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 < value < 1 << 50 else None
