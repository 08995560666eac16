"""Model files on disk, named by their sha256, and which model is made of which of them.

    models/blobs/<sha256>        the bytes; nothing is here that was not verified
    models/manifests/<id>.json   an installed model; written last, so it is there or it is not
    models/views/<id>/           the model's files under their own names, as links to the blobs
    models/partial/              downloads under way, resumable

It does not download. Of what is inside a file it reads the header of a GGUF: that check (models/gguf.py) stands
between every way in which such a file comes here and every process that loads it. Two models that share a file share
its blob, and removing one keeps what the other needs.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from localmind.catalog import FileSpec, ModelSpec
from localmind.errors import ModelFileBroken, ModelNotInstalled
from localmind.models.gguf import read_header
from localmind.models.links import room_of, shared_since
from localmind.paths import private_dir, sync_directory, write_atomic

CHUNK = 1 << 20

log = logging.getLogger("localmind.models")


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """A model whose files are all here. This is the manifest, word for word."""

    name: str
    role: str
    format: str
    licence: str
    files: tuple[FileSpec, ...]
    origin: str
    """Where the bytes came from, e.g. a wheel's file name."""
    installed_at: float
    """Seconds since 1970."""
    spec: ModelSpec | None = None
    """The catalog's words with the files that really came; manifests of the first version have none."""
    links: dict[str, int] = {}
    """Blobs that share their bytes with another program's files: by sha256, when those were last changed (ns)."""
    schema: int = 1

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with one file of an installed model."""

    model: str
    file: str
    text: str


class Removed(msgspec.Struct, frozen=True):
    name: str
    freed: int
    """Bytes that are free again."""
    kept: tuple[str, ...]
    """Files that stay since another model needs them."""


def model_id(name: str) -> str:
    """A file name for a catalog name; names hold no "@" and no "~", so no two meet."""
    return name.replace(":", "@").replace("/", "~")


class Store:
    """The models of one home. Cheap to make: it reads the disk anew with every call."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs"
        self.manifests = root / "manifests"
        self.views = root / "views"
        self.partial = root / "partial"
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._known: tuple[int, tuple[ModelSpec, ...]] = (-1, ())

    def lock(self, name: str) -> asyncio.Lock:
        """One lock a name, for those who use this object; it is gone when nobody holds it."""
        return self._locks.setdefault(name, asyncio.Lock())

    def prepare(self) -> None:
        """Make the directories. Raises PermissionRefused or DiskFull."""
        for directory in (self.root, self.blobs, self.manifests, self.views, self.partial):
            private_dir(directory)

    def blob(self, sha256: str) -> Path:
        return self.blobs / sha256

    def has(self, file: FileSpec) -> bool:
        """Whether the blob is here in full; its content was verified when it came."""
        try:
            return self.blob(file.sha256).stat().st_size == file.size
        except OSError:
            return False

    def missing(self, spec: ModelSpec) -> tuple[FileSpec, ...]:
        """Files that are not here, each content once."""
        absent = {file.sha256: file for file in spec.files if not self.has(file)}
        return tuple(absent.values())

    def adopt(self, temporary: Path, file: FileSpec) -> None:
        """Make a file of the right hash, already synced, the blob of that hash.

        Raises ModelFileBroken for a GGUF that no loader should see; it is deleted then.
        """
        try:
            _check_content(temporary, file)
        except ModelFileBroken:
            temporary.unlink(missing_ok=True)
            raise
        os.replace(temporary, self.blob(file.sha256))
        sync_directory(self.blobs)

    def install(self, spec: ModelSpec, origin: str) -> Installed:
        """Note the model as installed. All its blobs must be here, and GGUFs whole; else ModelFileBroken."""
        self.prepare()
        for file in spec.files:
            if not self.has(file):
                raise self._broken(spec.name, file)
            _check_content(self.blob(file.sha256), file)
        installed = Installed(
            name=spec.name,
            role=spec.role,
            format=spec.format,
            licence=spec.licence,
            files=spec.files,
            origin=origin,
            installed_at=time.time(),
            spec=spec,
            links=self._links(spec.files),
        )
        self._make_view(installed)
        self._note(installed)
        return installed

    def list(self) -> tuple[Installed, ...]:
        """All installed models by name. A manifest that does not parse is left out and logged."""
        return tuple(found for _, found in self._all() if found is not None)

    def specs(self) -> tuple[ModelSpec, ...]:
        """What is installed, as a catalog knows it. The disk is read again only when a manifest came or went."""
        try:
            changed = self.manifests.stat().st_mtime_ns
        except OSError:
            return ()
        if self._known[0] != changed:
            self._known = (changed, tuple(found.spec for found in self.list() if found.spec is not None))
        return self._known[1]

    def get(self, name: str) -> Installed | None:
        """The manifest of a catalog name (not an alias)."""
        return self._read(self._manifest(name))

    def show(self, name: str) -> Installed:
        """As `get`, but raises ModelNotInstalled."""
        found = self.get(name)
        if found is None:
            raise ModelNotInstalled(f"the model {name!r} is not installed", hint=f"localmind models pull {name}")
        return found

    def locate(self, name: str) -> Path:
        """What a worker loads: the first file of a gguf model, else the model's directory.

        Raises ModelNotInstalled, or ModelFileBroken when a file is gone, cut short or has a bad header. That is read
        anew with every load, which takes 0.1 s of a large vocabulary: call it in a thread.
        """
        installed = self.show(name)
        for file in installed.files:
            if not self.has(file):
                raise self._broken(name, file)
            changed = self.blob(file.sha256).stat().st_mtime_ns
            if installed.links.get(file.sha256, changed) != changed:
                raise ModelFileBroken(
                    f"the file {file.name} of {name} is another program's too, and was changed there",
                    hint=f"localmind models verify {name}",
                )
            _check_content(self.blob(file.sha256), file)
        view = self.views / model_id(name)
        if not all((view / file.name).exists() for file in installed.files):
            self._make_view(installed)
        return view / installed.files[0].name if installed.format == "gguf" else view

    def remove(self, name: str) -> Removed:
        """Forget a model and delete the blobs that no other model needs. Raises ModelNotInstalled."""
        installed = self.show(name)
        others = [found for path, found in self._all() if path != self._manifest(name)]
        self._manifest(name).unlink()
        self._known = (-1, ())
        shutil.rmtree(self.views / model_id(name), ignore_errors=True)
        # A manifest that cannot be read may need any blob, so then all stay.
        needed = {file.sha256 for other in others if other is not None for file in other.files}
        freed = 0
        kept: list[str] = []
        for file in installed.files:
            if file.sha256 in needed or None in others:
                kept.append(file.name)
                continue
            with contextlib.suppress(FileNotFoundError):
                size = room_of(self.blob(file.sha256))
                self.blob(file.sha256).unlink()
                freed += size
        return Removed(name, freed, tuple(kept))

    def release(self, files: Iterable[FileSpec]) -> int:
        """Delete those blobs that no model needs any more. Returns the bytes freed."""
        known = [found for _, found in self._all()]
        if None in known:
            return 0  # a manifest that cannot be read may need any blob
        needed = {file.sha256 for found in known if found is not None for file in found.files}
        freed = 0
        for sha256 in {file.sha256 for file in files} - needed:
            with contextlib.suppress(OSError):  # some systems delete no file that is open
                freed += room_of(self.blob(sha256))
                self.blob(sha256).unlink()
        return freed

    def check(self, name: str) -> tuple[Problem, ...]:
        """What sizes alone tell: files that are gone, cut short or too long. Raises ModelNotInstalled."""
        return tuple(
            Problem(name, file.name, self._state(file)) for file in self.show(name).files if not self.has(file)
        )

    def verify(self, name: str, progress: Callable[[int], None] = lambda _: None) -> tuple[Problem, ...]:
        """Read every byte and compare hashes. A bad blob is deleted, so that the next pull fetches it again.

        Takes seconds a gigabyte: call it in a thread. `progress` gets the bytes read so far.
        """
        problems: list[Problem] = []
        done = 0
        installed = self.show(name)
        for file in installed.files:
            if not self.has(file):
                problems.append(Problem(name, file.name, self._state(file)))
                continue
            digest = hashlib.sha256()
            with self.blob(file.sha256).open("rb") as source:
                while chunk := source.read(CHUNK):
                    digest.update(chunk)
                    done += len(chunk)
                    progress(done)
            if digest.hexdigest() != file.sha256:
                problems.append(Problem(name, file.name, f"damaged: its sha256 is {digest.hexdigest()}"))
                self.blob(file.sha256).unlink()
                continue
            try:
                _check_content(self.blob(file.sha256), file)
            except ModelFileBroken as problem:
                # These are the promised bytes, so another pull would bring the same.
                problems.append(Problem(name, file.name, problem.message))
        if not problems and (links := self._links(installed.files)) != installed.links:
            self._note(msgspec.structs.replace(installed, links=links))
        return tuple(problems)

    def prune(self) -> int:
        """Delete what stopped downloads left and blobs that no model needs. Returns the bytes freed.

        Only while nothing is pulled. A manifest that cannot be read may need any blob, so then all stay.
        """
        freed = 0
        needed: set[str] = set()
        known = [found for _, found in self._all()]
        for found in known:
            needed |= {file.sha256 for file in found.files} if found is not None else set()
        blobs = [] if None in known else [path for path in self.blobs.glob("*") if path.name not in needed]
        for path in (*self.partial.glob("*"), *blobs):
            freed += room_of(path)
            path.unlink(missing_ok=True)
        return freed

    def sweep(self) -> int:
        """Delete half-unpacked files that a crash left; resumable downloads stay. Returns the bytes freed.

        Only while nothing is pulled: it cannot tell a file that a crash left from one that is being written.
        """
        freed = 0
        for path in self.partial.glob("*.tmp"):
            freed += path.stat().st_size
            path.unlink(missing_ok=True)
        return freed

    def _manifest(self, name: str) -> Path:
        return self.manifests / f"{model_id(name)}.json"

    def _note(self, installed: Installed) -> None:
        data = msgspec.json.format(msgspec.json.encode(installed), indent=1)
        write_atomic(self._manifest(installed.name), data)
        self._known = (-1, ())  # a directory's time is too coarse to tell two changes in a row apart

    def _links(self, files: tuple[FileSpec, ...]) -> dict[str, int]:
        found = {file.sha256: shared_since(self.blob(file.sha256)) for file in files}
        return {sha256: at for sha256, at in found.items() if at is not None}

    def _all(self) -> Iterator[tuple[Path, Installed | None]]:
        for path in sorted(self.manifests.glob("*.json")):
            yield path, self._read(path)

    def _read(self, path: Path) -> Installed | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=Installed)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as problem:
            log.warning("%s does not parse and is not used: %s", path, problem)
            return None

    def _make_view(self, installed: Installed) -> None:
        view = self.views / model_id(installed.name)
        fresh = self.views / f".{view.name}.new"
        for old in (fresh, view):
            shutil.rmtree(old, ignore_errors=True)
        for file in installed.files:
            place = fresh / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(self.blob(file.sha256), place)
        fresh.rename(view)

    def _state(self, file: FileSpec) -> str:
        try:
            have = self.blob(file.sha256).stat().st_size
        except OSError:
            return "missing"
        return f"cut short: needs {file.size} bytes, has {have}" if have < file.size else "longer than it should be"

    def _broken(self, name: str, file: FileSpec) -> ModelFileBroken:
        return ModelFileBroken(
            f"the file {file.name} of {name} is {self._state(file)}", hint=f"localmind models pull {name}"
        )


def _check_content(path: Path, file: FileSpec) -> None:
    """Raises ModelFileBroken for a GGUF whose header says what cannot be."""
    if file.name.endswith(".gguf"):
        read_header(path, file.name)


def _link(blob: Path, place: Path) -> None:
    """A relative link, so that the home may move; a hard link or a copy where the system refuses."""
    try:
        os.symlink(os.path.relpath(blob, place.parent), place)
    except OSError:
        try:
            os.link(blob, place)
        except OSError:
            shutil.copyfile(blob, place)
