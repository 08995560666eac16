"""A model from files of this machine: share their bytes, or copy them, and take them in only by their hash.

Linked bytes are read once for their hash; copied ones are hashed as they are written. A file that somebody writes to
meanwhile is refused. It never changes or deletes what it is given.
"""

import contextlib
import hashlib
import os
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import msgspec

from localmind.catalog import FileSpec, ModelSpec, PathSource
from localmind.clean import clean_line
from localmind.errors import DownloadFailed, HashMismatch, ModelFileBroken
from localmind.events import Progress
from localmind.models.links import link
from localmind.models.steps import in_thread
from localmind.models.tools import Tools

CHUNK = 1 << 20


class PathPull:
    """One attempt with one set of files. `spec` has its files, each with its hash, once `steps` has ended."""

    def __init__(self, spec: ModelSpec, source: PathSource, tools: Tools) -> None:
        self.spec = spec
        self.source = source
        self.tools = tools
        self.paths = [Path(path) for path in source.paths]
        self.names = source.names or tuple(path.name for path in self.paths)

    @property
    def key(self) -> str:
        return self.source.paths[0]

    @property
    def origin(self) -> str:
        return self.source.paths[0]

    async def steps(self) -> AsyncGenerator[Progress, None]:
        """Raises DownloadFailed for a file that is gone, HashMismatch, ModelFileBroken, DiskFull."""
        try:
            total = sum(path.stat().st_size for path in self.paths)
        except OSError as problem:
            raise _gone(problem) from problem
        found: list[FileSpec] = []
        for path, name in zip(self.paths, self.names, strict=True):
            before = sum(file.size for file in found)
            async with contextlib.aclosing(self._take(path, name, before, total, found)) as steps:
                async for step in steps:
                    yield step
        self.spec = msgspec.structs.replace(self.spec, files=tuple(found))

    async def _take(
        self, path: Path, name: str, before: int, total: int, found: list[FileSpec]
    ) -> AsyncGenerator[Progress, None]:
        store = self.tools.store
        temporary = store.partial / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.tmp"
        temporary.unlink(missing_ok=True)
        digest = hashlib.sha256()
        try:
            # A file within the store itself, or one on another disk that may be unplugged, is not shared.
            near = path.stat().st_dev == store.partial.stat().st_dev
            if self.source.way == "link" or (self.source.way == "near" and near):
                await in_thread(link, path, temporary)
                work = _hashed(path, None, digest)
            else:
                self.tools.check_disk(path.stat().st_size, self.spec.name)
                work = _hashed(path, temporary, digest)
            steps = self.tools.stepwise("check", work, total, before, name, self.spec.name)
            async with contextlib.aclosing(steps):
                async for step in steps:
                    yield step
            file = FileSpec(name, path.stat().st_size, digest.hexdigest())
            self._promised(file, path)
            if not store.has(file):
                await in_thread(store.adopt, temporary, file)
            found.append(file)
        except OSError as problem:
            raise _gone(problem) from problem
        finally:
            temporary.unlink(missing_ok=True)

    def _promised(self, file: FileSpec, path: Path) -> None:
        wanted = next((spec for spec in self.spec.files if spec.name == file.name), None)
        if self.spec.files and (wanted is None or wanted.sha256 != file.sha256):
            raise HashMismatch(
                f"{clean_line(str(path))} is not the {file.name} of {self.spec.name}: its sha256 is {file.sha256}",
                hint=f"localmind models import {clean_line(str(path))} takes it in under a name of its own",
            )


def _hashed(path: Path, copy: Path | None, digest: "hashlib._Hash") -> Generator[int, None, None]:
    """Hash a file, and copy it if told to; yields the bytes done. Raises ModelFileBroken if it changes meanwhile."""
    before = path.stat()
    done = 0
    with path.open("rb") as source, contextlib.ExitStack() as stack:
        out = stack.enter_context(copy.open("xb")) if copy is not None else None
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            if out is not None:
                out.write(chunk)
            done += len(chunk)
            yield done
        if out is not None:
            out.flush()
            os.fsync(out.fileno())
    after = path.stat()
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns) or done != after.st_size:
        raise ModelFileBroken(
            f"{clean_line(str(path))} is being written to by another program", hint="try again when that is done"
        )


def _gone(problem: OSError) -> DownloadFailed:
    path = clean_line(str(problem.filename or "a file"))
    reason = (problem.strerror or "refused").lower()
    return DownloadFailed(f"{path} cannot be read: {reason}", hint="is it still there, and may you read it?")
