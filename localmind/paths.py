"""Where localmind keeps its files: the only module that knows platformdirs.

`LOCALMIND_HOME=DIR` moves everything, sockets included, under DIR; tests rely on it. This module
also owns the two file habits that everyone shares: private directories and atomic writes. It does
not know what is inside any of the files.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localmind.clean import clean_line
from localmind.errors import ConfigInvalid, DiskFull, InvalidRequest, PermissionRefused

SOCKET_PATH_LIMIT = 100
"""Bytes of a unix socket's path that every system takes (Linux 107, macOS 103)."""


@dataclass(slots=True, frozen=True)
class Paths:
    """Directories of one home. None needs to exist yet."""

    config: Path
    data: Path
    cache: Path
    models: Path
    run: Path
    logs: Path

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ) -> "Paths":
        home = environ.get("LOCALMIND_HOME")
        if home is not None:
            if not home.strip():
                raise ConfigInvalid("LOCALMIND_HOME is empty", hint="export LOCALMIND_HOME=/some/folder, or unset it")
            base = Path(home).expanduser().absolute()
            return cls(
                config=base / "config",
                data=base / "data",
                cache=base / "cache",
                models=base / "models",
                run=base / "run",
                logs=base / "logs",
            )
        import platformdirs  # 10 ms that a LOCALMIND_HOME does not need

        dirs = platformdirs.PlatformDirs("localmind", appauthor=False)
        data = Path(dirs.user_data_dir)
        return cls(
            config=Path(dirs.user_config_dir),
            data=data,
            cache=Path(dirs.user_cache_dir),
            models=data / "models",
            run=Path(environ["XDG_RUNTIME_DIR"]) / "localmind" if environ.get("XDG_RUNTIME_DIR") else data / "run",
            logs=Path(dirs.user_log_dir),
        )

    @property
    def socket(self) -> Path:
        """The daemon's unix socket. A path too long for the kernel moves to a private directory in /tmp."""
        path = self.run / "daemon.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
            return path
        from hashlib import sha256  # with OpenSSL's, which nothing else of a start needs

        digest = sha256(os.fsencode(self.run)).hexdigest()[:16]
        user = os.getuid() if hasattr(os, "getuid") else "user"
        return Path(tempfile.gettempdir()) / f"localmind-{user}-{digest}" / "daemon.sock"

    @property
    def lock_file(self) -> Path:
        return self.data / "daemon.lock"

    @property
    def spawn_lock_file(self) -> Path:
        return self.data / "spawn.lock"

    @property
    def token_file(self) -> Path:
        return self.config / "token"

    @property
    def port_file(self) -> Path:
        """The TCP port of the running daemon, for clients that cannot use its socket."""
        return self.run / "port"

    @property
    def settings_file(self) -> Path:
        return self.config / "settings.toml"

    @property
    def templates_dir(self) -> Path:
        """Templates of questions, one file each."""
        return self.config / "templates"

    @property
    def voices_dir(self) -> Path:
        """Voices that read aloud, as the user put them there."""
        return self.config / "voices"

    @property
    def catalog_overlay(self) -> Path:
        return self.config / "models.toml"

    @property
    def chats(self) -> Path:
        """Copies of threads for the index, where the user wants them: beside the data, which is never indexed."""
        return self.data.with_name(f"{self.data.name}-chats")

    @property
    def threads_db(self) -> Path:
        return self.data / "threads.db"

    @property
    def made_models_file(self) -> Path:
        """Names that clients made for models."""
        return self.data / "made_models.json"

    @property
    def responses_db(self) -> Path:
        """Answers that clients of OpenAI's Responses refer back to."""
        return self.data / "responses.db"

    @property
    def knowledge_db(self) -> Path:
        return self.data / "knowledge.db"

    @property
    def chroma_dir(self) -> Path:
        return self.cache / "chroma"

    @property
    def converted_dir(self) -> Path:
        """Models converted to the form that a backend reads; made again when missing."""
        return self.cache / "converted"

    @property
    def plans_file(self) -> Path:
        return self.data / "plans.json"

    @property
    def memory_file(self) -> Path:
        """Which models are pinned, how long each is kept, and which was used last."""
        return self.data / "memory.json"

    @property
    def wheels_dir(self) -> Path:
        return self.cache / "wheels"

    @property
    def log_file(self) -> Path:
        return self.logs / "daemon.log"


def typed_path(typed: str | Path, here: Path | None = None) -> Path:
    """The absolute place that somebody typed, whether or not it is there: from home, from `here`, or from the directory
    we are in. Raises InvalidRequest."""
    try:
        path = Path(typed).expanduser()
    except RuntimeError as problem:
        user = clean_line(Path(typed).parts[0])
        raise InvalidRequest(f"there is no user {user} here", hint="type the whole path") from problem
    try:
        return (here or Path.cwd()) / path
    except OSError as problem:
        raise InvalidRequest("the directory that this shell is in is gone", hint="cd") from problem


def private_dir(path: Path) -> Path:
    """Make `path` (and its parents) with mode 0700 for the last one, and return it."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            path.chmod(0o700)
    except OSError as problem:
        raise _explain(problem, path) from problem
    return path


def write_atomic(path: Path, *parts: bytes | memoryview, mode: int = 0o600) -> None:
    """Replace `path` by `parts`, one after the other: after a crash it is the old or the new content, never half."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as out:
                for part in parts:
                    out.write(part)
                out.flush()
                os.fsync(out.fileno())
            os.chmod(temporary, mode)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        sync_directory(path.parent)
    except OSError as problem:
        raise _explain(problem, path) from problem


def write_new(path: Path, text: str) -> None:
    """A file that is not there yet; none stays of one that cannot be written whole. Raises OSError. Blocking."""
    file = path.open("xb")
    try:
        with file:
            file.write(text.encode("utf-8", "replace"))
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def sync_directory(path: Path) -> None:
    """Make a rename in `path` survive a power cut (Windows has no such call and needs none)."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(problem: OSError, path: Path) -> PermissionRefused | DiskFull:
    import errno

    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no room left on the disk for {path}", hint=f"df -h {path.parent}")
    reason = (problem.strerror or "refused").lower()
    return PermissionRefused(
        f"cannot write {path}: {reason}", hint=f"ls -ld {path.parent}, or set LOCALMIND_HOME to a folder of yours"
    )
