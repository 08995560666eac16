"""One entry of a server's list of models, read as a model of ours: what it is for, and how large, if that is said.

Servers agree on the name of a model and on nothing else. What none says stays unknown (0, None): nothing is claimed
for it. Only the use is guessed, by name, since a list that offers an embedder for chat is of no use; a guess never
keeps anybody from asking for the model as something else.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
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
TAKES = ("input_modalities", "supported_input_modalities", "modalities")
"""Where a server lists what goes into a model, besides `architecture`."""
SEES = ("vision", "image", "image_input", "multimodal")
"""Words for it. llama-server's "multimodal" may mean hearing alone: it then refuses an image itself."""
KINDS_THAT_SEE = ("vlm", "image-text-to-text", "visual-question-answering")
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
        sees=True if any(fnmatchcase(name, pattern) for pattern in remote.sees) else _sees(told, meta),
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


def _sees(told: Mapping[str, Any], meta: Mapping[str, Any]) -> bool | None:
    """Whether it takes images; None where nobody says. OpenRouter, GitHub and LiteLLM list what goes in, Mistral,
    llama-server and localmind what it can do, LM Studio and Hugging Face its kind."""
    built = told.get("architecture")
    built = built if isinstance(built, Mapping) else MappingProxyType({})
    for taken in (built.get("input_modalities"), *(told.get(key) for key in TAKES)):
        taken = taken.get("input") if isinstance(taken, Mapping) and "input" in taken else taken
        if isinstance(taken, list) and taken:
            return any(each in SEES for each in taken if isinstance(each, str))
    if isinstance(built.get("modality"), str):
        return "image" in built["modality"].partition("->")[0]
    if any(told.get(key) in KINDS_THAT_SEE for key in ("type", "task", "pipeline_tag")):
        return True
    if isinstance(told.get("supports_vision"), bool):
        return bool(told["supports_vision"])
    for abilities in (told.get("capabilities"), meta.get("capabilities"), told.get("modalities")):
        if isinstance(abilities, list) and abilities:
            return any(each in SEES for each in abilities if isinstance(each, str))
        if isinstance(abilities, Mapping) and (known := [abilities[key] for key in SEES if key in abilities]):
            return any(each.get("supported") is True if isinstance(each, Mapping) else each is True for each in known)
    return None


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 < value < 1 << 50 else None
