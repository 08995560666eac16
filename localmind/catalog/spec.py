"""What a catalog says of one model: frozen values that refuse what cannot be.

It owns names, sources and the promise of each file (size and sha256). A model whose only sources name no hashes has no
files until its source was asked at a pull; what came then is pinned by the store. It reads no file and asks nobody.
"""

from pathlib import PurePosixPath
from typing import Annotated, Literal

import msgspec

Role = Literal["chat", "embed", "rerank", "speech", "voice"]
Use = Literal["chat", "code", "fim", "tools", "reasoning", "embed", "rerank", "speech", "voice"]
Format = Literal["gguf", "safetensors", "ctranslate2", "onnx"]

_PLAIN = r"[a-z0-9][a-z0-9._-]{0,63}"
_REPO = r"[a-z0-9][a-z0-9._-]{0,95}"
_HUB_REPO = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*\Z"
Name = Annotated[str, msgspec.Meta(pattern=rf"^({_PLAIN}|hf\.co/{_REPO}/{_REPO})(:{_PLAIN})?\Z", max_length=180)]
"""`qwen3:4b`, or `hf.co/org/repo:quant` for what is known by its place on the Hub; always in lower case."""
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 44)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 44)]

BITS = {
    "Q2_K": 3.2, "Q3_K_S": 3.6, "Q3_K_M": 4.0, "IQ4_XS": 4.4, "Q4_0": 4.6, "Q4_1": 5.1, "Q4_K_S": 4.7, "Q4_K_M": 4.95,
    "Q5_K_S": 5.6, "Q5_K_M": 5.75, "Q6_K": 6.6, "Q8_0": 8.55, "F16": 16.1, "BF16": 16.1, "F32": 32.1, "MXFP4": 4.65,
}  # fmt: skip
"""Bits a parameter of whole files as people publish them, embeddings included; for sizes that nobody has told yet."""


class FileSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a model. The name is relative to the model's directory, with forward slashes."""

    name: Text
    size: Size
    """Bytes."""
    sha256: Sha256

    def __post_init__(self) -> None:
        check_relative(self.name)


class WheelSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="wheel"):
    """A wheel on the package index that carries the files under `prefix`."""

    package: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z", max_length=100)]
    version: Text
    wheel: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+!-]*\.whl\Z", max_length=200)]
    """File name on the index."""
    size: Size
    sha256: Sha256
    """Of the wheel itself."""
    prefix: str = ""
    """What stands before each file's name inside the wheel."""

    def __post_init__(self) -> None:
        if self.prefix:
            check_relative(self.prefix)


class HubSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="hub"):
    """A repository on the Hugging Face Hub or a mirror of it. Files are named as they are there."""

    repo: Annotated[
        str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*\Z", max_length=96)
    ]
    revision: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}\Z")] = "main"
    """A branch, or the commit once it is pinned."""
    include: tuple[Text, ...] = ()
    """Files to take, `*` and `?` allowed; empty: the GGUF of the model's quantisation."""

    def __post_init__(self) -> None:
        if ".." in self.revision or ".." in self.repo:
            raise ValueError("a repository or revision with two dots in a row")


class UrlSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="url"):
    """One file at one address, for a model of one file."""

    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s]+\Z", max_length=2000)]


class PathSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="path"):
    """Files of this machine: another program's, a folder's, a stick's. One path a file of the model, absolute."""

    paths: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1, max_length=200)]
    names: tuple[Text, ...] = ()
    """What each is called in the model; empty: as its path ends."""
    way: Literal["link", "near", "copy"] = "near"
    """near: shared on the same disk, copied from another one. link: never copied."""

    def __post_init__(self) -> None:
        if self.names and len(self.names) != len(self.paths):
            raise ValueError("as many names as paths, or none")
        for name in self.names:
            check_relative(name)


Source = WheelSource | HubSource | UrlSource | PathSource


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a plan needs to know before the file is here, as the model's own config.json has it."""

    layers: Count
    width: Count
    """Numbers in one token's hidden state."""
    feed_forward: Count
    """Width of the feed-forward part; of all experts that a token uses together."""
    heads: Count
    kv_heads: Count
    head: Count
    """Numbers of one head."""
    vocabulary: Count
    tied: bool = False
    """The output is the embeddings, so their bytes are there once."""
    window: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Tokens that layers with a sliding window look back on; 0 without such layers."""
    active: Count | None = None
    """Parameters that one token passes through, in a mixture of experts."""


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model of the catalog."""

    name: Name
    aliases: tuple[Name, ...] = ()
    role: Role
    format: Format
    family: Text
    licence: Text
    """An SPDX identifier, or LicenseRef-… for terms that have none."""
    parameters: Annotated[int, msgspec.Meta(ge=1)]
    context: Annotated[int, msgspec.Meta(ge=1)]
    """Tokens it was trained for."""
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Numbers in one vector, for an embedder."""
    quantisation: Text
    """The one that is fetched unless another is asked for."""
    quantisations: tuple[Text, ...] = ()
    """Others that the source has; `NAME-QUANTISATION` asks for one."""
    template: str = ""
    """Family of the chat template, which decides how tools and reasoning are written."""
    uses: tuple[Use, ...] = ()
    description: str = ""
    good_for: tuple[str, ...] = ()
    rank: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    """How good it is among those of its role, for recommendations: higher is better, 0 is never recommended."""
    starter: bool = False
    """Part of the small set that `localmind models pull --starter` fetches."""
    shape: Shape | None = None
    files: tuple[FileSpec, ...] = ()
    """Empty while nobody has asked the source."""
    sources: Annotated[tuple[Source, ...], msgspec.Meta(min_length=1)]

    def __post_init__(self) -> None:
        if len({file.name for file in self.files}) != len(self.files):
            raise ValueError("two files have the same name")
        if self.format == "gguf" and self.files and not self.files[0].name.endswith(".gguf"):
            raise ValueError("the first file of a gguf model must end in .gguf")
        if not self.files and all(isinstance(source, WheelSource) for source in self.sources):
            raise ValueError("a model from a wheel must name its files")

    @property
    def size(self) -> int:
        """Bytes on disk once installed; an estimate while `files` is empty."""
        if self.files:
            return sum(file.size for file in self.files)
        return int(self.parameters * BITS.get(self.quantisation.upper(), 16.1) / 8)

    @property
    def reach(self) -> frozenset[str]:
        """What it can be used for; the role alone where nothing else is said."""
        return frozenset(self.uses or (self.role,))

    def variant(self, quantisation: str) -> "ModelSpec":
        """The same model in another quantisation, under a name of its own. Its hashes are not known yet."""
        hub = tuple(source for source in self.sources if isinstance(source, HubSource))
        return msgspec.structs.replace(
            self,
            name=f"{self.name}-{quantisation.lower()}",
            aliases=(),
            quantisation=quantisation,
            quantisations=(),
            starter=False,
            files=(),
            sources=hub,
        )


def check_relative(name: str) -> None:
    """Refuse names that could leave the model's directory, on any system."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name or not path.parts:
        raise ValueError(f"{name!r} is not a plain relative path")
