"""Models of random weights in a home's store, for tests in which no matter what is said, only that something is.

The starter model takes seconds of computing to load and to read a prompt; these take next to none. A test whose
assertion depends on a model's words needs the starter model.
"""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import random_gguf
from conftest_e2e import Home

from localmind import catalog
from localmind.models.store import Store

ROLES = {"embedder": "embed", "reranker": "embed"}

MODEL = """
[[model]]
name = "{name}"
role = "{role}"
format = "gguf"
family = "random"
licence = "CC0-1.0"
parameters = 1
context = {context}
quantisation = "F16"
files = [{{ name = "{file}", size = {size}, sha256 = "{sha256}" }}]
sources = [{{ kind = "wheel", package = "none", version = "1", wheel = "none.whl", size = 1, sha256 = "{sha256}" }}]
"""


def install(home: Home, place: Path, kinds: Mapping[str, str], settings: str, *, context: int | None = None) -> None:
    """Write models of random_gguf's kinds, by the names they get; each has weights of its own. And the settings."""
    store = Store(home.paths.models)
    store.prepare()
    text = "schema = 1\n"
    for seed, (name, kind) in enumerate(kinds.items()):
        path = random_gguf.write(place / f"{name.removeprefix('tiny:')}.gguf", kind, seed=seed, context=context)
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        shutil.copy(path, store.blob(sha256))
        text += MODEL.format(
            name=name,
            role=ROLES.get(kind, "chat"),
            context=context or 512,
            file=path.name,
            size=len(data),
            sha256=sha256,
        )
    home.paths.config.mkdir(parents=True)
    home.paths.catalog_overlay.write_text(text)
    home.paths.settings_file.write_text(settings)
    known = catalog.load(home.paths)
    for name in kinds:
        store.install(known.find(name), "a test")
