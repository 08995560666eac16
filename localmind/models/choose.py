"""Which files of a repository make the model that was asked for.

A GGUF repository holds one model in many quantisations, some of them in parts, with things beside it that are no
language models: projectors for images (mmproj), importance matrices. The choice is a pure function of the list of
files, and says what there is when it cannot choose.
"""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from localmind.errors import ModelNotFound
from localmind.models.gguf import PART
from localmind.models.hub import HubFile

USUAL = (
    "Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "Q4_0", "IQ4_XS", "MXFP4", "MXFP4_MOE", "Q4_1", "Q5_K_M", "Q5_K_S", "Q6_K",
    "Q8_0", "Q3_K_M", "F16", "FP16", "BF16", "F32",
)  # fmt: skip
"""Taken in this order when no quantisation is asked for: 4 bits keep nearly all of a model in a third of its size."""
QUANTISATION = re.compile(
    r"(?:^|[-_./])((?:UD-)?I?Q\d(?:_[A-Z0-9]+)*|TQ\d_\d|MXFP4(?:_MOE)?|NVFP4|BF16|FP?16|FP?32)(?=$|[-_.])",
    re.IGNORECASE,
)
WHISPER = ("config.json", "model.bin", "tokenizer.json", "vocabulary.*", "preprocessor_config.json")
SENTENCES = (
    "config.json", "model.safetensors", "modules.json", "sentence_bert_config.json", "special_tokens_map.json",
    "tokenizer.json", "tokenizer_config.json", "vocab.txt", "1_Pooling/config.json",
)  # fmt: skip


@dataclass(slots=True, frozen=True)
class Choice:
    """One model of a repository: the files in the order of their parts, and what tells it from the others."""

    label: str
    """Its quantisation, or the name of its file where that has none."""
    files: tuple[HubFile, ...]

    @property
    def tag(self) -> str:
        """The label as it stands in a model's name."""
        return re.sub(r"[^a-z0-9._-]", "-", self.label.lower())[:64].lstrip("._-") or "gguf"


def choices(files: Sequence[HubFile]) -> tuple[Choice, ...]:
    """The GGUF models among these files. One whose parts are not all there is none."""
    groups: dict[tuple[str, int], list[tuple[int, HubFile]]] = {}
    for file in files:
        path = PurePosixPath(file.path)
        if path.suffix.lower() != ".gguf" or file.sha256 is None or _beside(path.stem):
            continue
        stem = str(path.with_suffix(""))
        part = PART.search(stem)
        number, count = (int(part[1]), int(part[2])) if part else (1, 1)
        groups.setdefault((PART.sub("", stem), count), []).append((number, file))
    found: dict[str, Choice] = {}
    for (stem, count), parts in sorted(groups.items(), key=lambda group: group[0][1]):
        parts.sort(key=lambda part: part[0])
        if [number for number, _ in parts] == list(range(1, count + 1)):
            # Some repositories have a model both whole and in parts.
            label = quantisation_of(stem) or PurePosixPath(stem).name
            found.setdefault(stem, Choice(label, tuple(file for _, file in parts)))
    return tuple(found.values())


def choose(files: Sequence[HubFile], wanted: str | None, where: str) -> Choice:
    """The model of this quantisation or file name; without a wish the usual one. Raises ModelNotFound."""
    found = choices(files)
    if not found:
        raise ModelNotFound(f"{where} holds no GGUF model", hint="look for a repository of the same name with -GGUF")
    if wanted is not None:
        fits = [choice for choice in found if _is(choice, wanted)]
    else:
        usual = {name: rank for rank, name in enumerate(USUAL)}
        best = min(usual.get(choice.label.upper(), len(USUAL)) for choice in found)
        fits = [choice for choice in found if usual.get(choice.label.upper(), len(USUAL)) == best]
    if len(fits) == 1:
        return fits[0]
    names = sorted({choice.label if len(fits) < 2 else _stem(choice) for choice in (fits or found)})
    listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    what = "holds more than one model" if wanted is None or fits else f"has no {wanted!r}"
    raise ModelNotFound(f"{where} {what}: it has {listed}", hint=f"localmind models pull {where}:{names[0]}")


def projector(files: Sequence[HubFile]) -> HubFile | None:
    """The smallest of the half-precision projectors for images, or of all if there is none."""
    found = [file for file in files if file.path.endswith(".gguf") and "mmproj" in file.path.lower() and file.sha256]
    found.sort(key=lambda file: (not re.search(r"[bf]16", file.path, re.IGNORECASE), file.size, file.path))
    return found[0] if found else None


def included(files: Sequence[HubFile], patterns: Sequence[str], where: str) -> tuple[HubFile, ...]:
    """The files that patterns name, in the order of the patterns. Raises ModelNotFound for a pattern without a file."""
    found: dict[str, HubFile] = {}
    for pattern in patterns:
        fits = sorted((file for file in files if fnmatch.fnmatchcase(file.path, pattern)), key=lambda file: file.path)
        if not fits:
            raise ModelNotFound(f"{where} has no file {pattern}", hint="localmind models list")
        found |= {file.path: file for file in fits}
    return tuple(found.values())


def known_layout(files: Sequence[HubFile]) -> tuple[str, str, tuple[str, ...]] | None:
    """Role, format and file names of a repository without GGUF that we can use: Whisper or a sentence embedder."""
    names = {file.path for file in files}
    if {"model.bin", "config.json", "tokenizer.json"} <= names and any(n.startswith("vocabulary.") for n in names):
        return "speech", "ctranslate2", tuple(p for p in WHISPER if any(fnmatch.fnmatchcase(n, p) for n in names))
    if {"model.safetensors", "modules.json", "config.json", "1_Pooling/config.json"} <= names:
        return "embed", "safetensors", tuple(name for name in SENTENCES if name in names)
    return None


def quantisation_of(name: str) -> str | None:
    """`Q4_K_M` of `Qwen3-4B-Q4_K_M`: the last that reads like one, in capitals."""
    found = QUANTISATION.findall(PurePosixPath(name).name) or QUANTISATION.findall(name)
    return found[-1].upper() if found else None


def _is(choice: Choice, wanted: str) -> bool:
    word = wanted.lower().removesuffix(".gguf")
    return word in (choice.label.lower(), choice.tag, _stem(choice).lower(), choice.files[0].path.lower()[:-5])


def _stem(choice: Choice) -> str:
    return PART.sub("", PurePosixPath(choice.files[0].path).stem)


def _beside(stem: str) -> bool:
    return bool(re.search(r"mmproj|imatrix", stem, re.IGNORECASE))
