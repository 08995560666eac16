"""LoRA adapters by name: loaded while the model runs, and chosen by each request.

llama.cpp applies adapters to a whole context, so the scheduler groups steps by the set that `choose` returns, and
`use` switches between groups. A set names adapters by the hash of their bytes, not by their names: it is part of the
key of every kept prefix, and a file that was replaced under its name must not find cells that the old one computed.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localmind.engine.llama import Context, Model
from localmind.engine.llama.lora import Lora, apply
from localmind.errors import InvalidRequest, ModelFileBroken, NotFound
from localmind.models.gguf import Header, read_header

AdapterSet = tuple[tuple[str, float], ...]
"""(hash of an adapter's file, scale) in a fixed order; empty is the model alone."""

DIGEST = 32
"""Hexadecimal digits that are kept of a hash. It names states on disk as well."""

MOST_SCALE = 100.0


@dataclass(slots=True, frozen=True)
class Adapter:
    """A loaded adapter, as `adapters` lists it."""

    name: str
    path: str
    digest: str
    rank: int
    alpha: float
    size_bytes: int


class Adapters:
    """Of one model and the context it decodes in. `load`, `add` and `use` belong to the loop's thread."""

    def __init__(self, model: Model, context: Context) -> None:
        self._model = model
        self._context = context
        self._architecture = model.metadata("general.architecture") or ""
        self._by_name: dict[str, Adapter] = {}
        self._loras: dict[str, Lora] = {}
        self._used: AdapterSet = ()

    def move(self, context: Context) -> None:
        """Go on in another context of the same model."""
        self._context, self._used = context, ()

    @property
    def loaded(self) -> list[Adapter]:
        return list(self._by_name.values())

    def load(self, name: str, path: Path) -> Adapter:
        """Make a file usable as `name`, which may replace another. Raises ModelFileBroken or InvalidRequest."""
        return self.add(self.read(name, path))

    def read(self, name: str, path: Path) -> Adapter:
        """The part of `load` that takes long and any thread may do: the file is checked and hashed."""
        if not name:
            raise InvalidRequest("an adapter needs a name")
        header = read_header(path)
        self._check(header, path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST]
        shapes = [tensor.shape for tensor in header.tensors if tensor.name.endswith(".lora_a") and tensor.shape]
        rank = min((min(shape) for shape in shapes), default=0)
        alpha = header.keys.get("adapter.lora.alpha", 0.0)
        return Adapter(name, str(path), digest, rank, alpha, header.file_size)

    def add(self, adapter: Adapter) -> Adapter:
        """The rest of `load`."""
        if adapter.digest not in self._loras:
            self._loras[adapter.digest] = Lora(self._model, Path(adapter.path))
        self._by_name[adapter.name] = adapter
        return adapter

    def unload(self, name: str) -> None:
        """Forget a name. Requests under way keep it, and llama.cpp keeps its memory until the model goes.

        Raises NotFound. For any thread.
        """
        if self._by_name.pop(name, None) is None:
            raise self._unknown(name)

    def choose(self, wanted: Sequence[tuple[str, float]]) -> AdapterSet:
        """The set for a request that names adapters with scales, or gives their places in `loaded` as llama-server's
        clients do. Raises NotFound or InvalidRequest. For any thread."""
        scales: dict[str, float] = {}
        seen: set[str] = set()
        for name, scale in wanted:
            adapter = self._find(name)
            if adapter.name in seen:
                raise InvalidRequest(f"the adapter {adapter.name!r} is given twice")
            seen.add(adapter.name)
            if not math.isfinite(scale) or abs(scale) > MOST_SCALE:
                raise InvalidRequest(f"the scale {scale} of the adapter {name!r} is not within ±{MOST_SCALE:g}")
            scales[adapter.digest] = scales.get(adapter.digest, 0.0) + scale
        return tuple(sorted((digest, scale) for digest, scale in scales.items() if scale))

    def use(self, chosen: AdapterSet) -> None:
        """From the next step on. Nothing happens when it is the last one's set."""
        if chosen != self._used:
            apply(self._context, [(self._loras[digest], scale) for digest, scale in chosen])
            self._used = chosen

    def _find(self, name: str) -> Adapter:
        adapter = self._by_name.get(name)
        if adapter is not None:
            return adapter
        loaded = self.loaded
        if name.isascii() and name.isdecimal() and len(name) < 10 and int(name) < len(loaded):
            return loaded[int(name)]
        raise self._unknown(name)

    def _unknown(self, name: str) -> NotFound:
        known = ", ".join(sorted(self._by_name)) or "none"
        return NotFound(f"no adapter {name!r} is loaded; loaded are: {known}")

    def _check(self, header: Header, path: Path) -> None:
        keys = header.keys
        kind = keys.get("general.type")
        if kind != "adapter" or keys.get("adapter.type") != "lora":
            what = f"a GGUF of type {kind}" if isinstance(kind, str) else "a GGUF without a type"
            raise ModelFileBroken(f"{path.name} is not a LoRA adapter but {what}")
        architecture = keys.get("general.architecture")
        if architecture != self._architecture:
            raise InvalidRequest(f"the adapter {path.name} is for {architecture} and the model is {self._architecture}")
        if not isinstance(keys.get("adapter.lora.alpha", 0.0), float):
            raise ModelFileBroken(f"{path.name} has an alpha that is no number")  # llama.cpp would abort the process
        if "adapter.alora.invocation_tokens" in keys:
            raise InvalidRequest(f"{path.name} is an activated LoRA, which starts at a token of its own; not supported")
