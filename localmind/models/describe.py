"""What a model file says of itself, for models that no catalog describes: pulled by address, or imported.

Before its bytes are here such a model has a spec of which only name and sources are true; afterwards its header fills
in the rest. Parts of a split model are read together, since each holds only its own tensors.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from localmind.catalog.spec import FileSpec, Format, ModelSpec, Role, Source
from localmind.clean import clean_line
from localmind.models.choose import quantisation_of
from localmind.models.gguf import PART, read_facts, read_header

UNKNOWN = "unknown"
ENCODERS = re.compile(r"bert|t5encoder|gemma-embedding|xlm", re.IGNORECASE)
NO_POOLING, RANK = 0, 4
"""llama.cpp's numbers of ways to pool: a decoder has none, a reranker the last."""


def undescribed(
    name: str,
    sources: Sequence[Source],
    *,
    role: Role = "chat",
    format: Format = "gguf",
    licence: str = UNKNOWN,
    quantisation: str = UNKNOWN,
    files: tuple[FileSpec, ...] = (),
) -> ModelSpec:
    """A spec of a model of which nothing else is known yet."""
    return ModelSpec(
        name=name,
        role=role,
        format=format,
        family=UNKNOWN,
        licence=licence,
        parameters=1,
        context=1,
        quantisation=quantisation,
        files=files,
        sources=tuple(sources),
    )


def described(spec: ModelSpec, blobs: Sequence[Path]) -> ModelSpec:
    """The spec with what the headers of its files say, if nobody described it. Raises ModelFileBroken."""
    if spec.family != UNKNOWN:
        return spec
    if spec.format != "gguf":
        return msgspec.structs.replace(spec, family=spec.name.rpartition("/")[2].partition(":")[0])
    headers = [read_header(blob, file.name) for blob, file in zip(blobs, spec.files, strict=True)]
    keys, facts = headers[0].keys, read_facts(blobs[0])
    parts = [n for n, file in enumerate(spec.files) if n == 0 or PART.search(Path(file.name).stem)]
    pooling = keys.get(f"{facts.architecture}.pooling_type")
    role: Role = spec.role
    if pooling == RANK:
        role = "rerank"
    elif ENCODERS.search(facts.architecture) or (isinstance(pooling, int) and pooling != NO_POOLING):
        role = "embed"
    said = keys.get("general.license")
    family = keys.get("general.basename") or facts.name or facts.architecture
    stem = PART.sub("", Path(spec.files[0].name).stem)
    quantisation = spec.quantisation if spec.quantisation != UNKNOWN else quantisation_of(stem) or facts.quantisation
    return msgspec.structs.replace(
        spec,
        role=role,
        family=_text(family) or facts.architecture,
        licence=_text(said) if spec.licence == UNKNOWN and isinstance(said, str) and said else spec.licence,
        parameters=max(1, sum(tensor.values for n in parts for tensor in headers[n].tensors)),
        context=max(1, facts.ctx_train),
        dimensions=facts.n_embd if role == "embed" and facts.n_embd else None,
        quantisation=quantisation,
    )


def _text(value: object) -> str:
    return clean_line(value)[:80].strip() if isinstance(value, str) else ""
