"""Every error that a user, a client or another process of localmind can meet, and nothing else.

    LocalmindError
    ├── InvalidRequest          the request itself is wrong
    │   ├── ContextTooLong      the prompt does not fit the model's context
    │   ├── CannotSee           images were sent to a model that takes none
    │   ├── ConfigInvalid       a settings or catalog file does not parse
    │   └── Refused             who asks, or how, is not allowed
    │       ├── Unauthorized  ├── TooManyGuesses  ├── ForbiddenOrigin  └── WrongHost
    ├── NotFound
    │   ├── ModelNotFound       no such name in the catalog
    │   ├── ModelNotInstalled   known, but its bytes are not here
    │   └── FolderNotFound
    ├── FolderUnreadable · PermissionRefused
    ├── DaemonUnreachable · DaemonAlreadyRunning · PortTaken
    ├── QueueFull · TimedOut · Cancelled · ShuttingDown
    ├── WorkerFailure           native code, in its own process, let us down
    │   ├── WorkerDied  ├── WorkerHung  ├── ModelQuarantined  └── InternalError
    ├── EngineMissing · BuildFailed
    ├── DownloadFailed
    │   ├── HashMismatch  └── IndexUnreachable
    ├── ModelFileBroken · ExtractFailed
    ├── AudioUnreadable         no sound file, or one without sound
    ├── TooLarge                an upload beyond the limit
    ├── VoiceMissing            nothing is installed that can speak
    ├── MicrophoneMissing · MicrophoneBusy · LoudspeakerMissing
    ├── DiskFull · NoRoom
    ├── RemoteFailed · RemoteUnreachable
    └── StoreBroken · StoreTooNew

The message says what happened; the hint is the command that helps. `TABLE` is the one place that
maps an error to an HTTP status, to the dialects' error type and to the exit code of the command
line; a test proves that no class is missing from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class LocalmindError(Exception):
    """Base of all errors that are shown to people. `message` is one sentence without a full stop."""

    def __init__(self, message: str, *, hint: str | None = None, numbers: Mapping[str, int] | None = None) -> None:
        """`numbers` are the message's own, for clients that compute with them."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.numbers = dict(numbers or {})

    @property
    def code(self) -> str:
        """Stable snake_case name for programs, made from the class name."""
        name = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))

    def __str__(self) -> str:
        return self.message


class InvalidRequest(LocalmindError):
    """The request cannot be understood or holds a value out of range."""


class ContextTooLong(InvalidRequest):
    """The prompt needs more tokens than the loaded context has; both numbers are in the message.

    `numbers` has them as llama-server names them: n_prompt_tokens and n_ctx.
    """


class CannotSee(InvalidRequest):
    """Images go with a question to a model that takes none, or is not known to."""


class ConfigInvalid(InvalidRequest):
    """A settings file, the catalog overlay or an environment variable has a value we cannot use."""


class Refused(InvalidRequest):
    """The asker or the way of asking is not allowed."""


class Unauthorized(Refused):
    """Neither a valid token nor a peer that runs as this user."""


class TooManyGuesses(Refused):
    """Wrong tokens came too often from one place: none is looked at for a while."""

    retry_after_s: int = 60
    """Not sent between processes."""


class ForbiddenOrigin(Refused):
    """A web page's Origin that is not on the list."""


class WrongHost(Refused):
    """The Host header names something other than this machine's loopback."""


class NotFound(LocalmindError):
    """The named thing does not exist."""


class ModelNotFound(NotFound):
    """No model of that name in the catalog."""


class ModelNotInstalled(NotFound):
    """The catalog knows the model, but its files are not on this machine."""


class FolderNotFound(NotFound):
    """The path is not a folder, or is not one of the watched ones."""


class FolderUnreadable(LocalmindError):
    """The folder exists but this user may not read it."""


class PermissionRefused(LocalmindError):
    """The operating system does not let us write where we must."""


class DaemonUnreachable(LocalmindError):
    """No daemon answers, or it did not come up."""


class DaemonAlreadyRunning(LocalmindError):
    """Another daemon holds the lock of this home."""


class PortTaken(LocalmindError):
    """Another program listens on our TCP port."""


class QueueFull(LocalmindError):
    """More requests wait than the engine accepts."""

    retry_after_s: int = 2
    """When a place is likely to be free; set where the engine's pace is known, and not sent between processes."""


class TimedOut(LocalmindError):
    """Something did not answer in the time given to it."""


class Cancelled(LocalmindError):
    """The asker went away or asked to stop."""


class ShuttingDown(LocalmindError):
    """The daemon is stopping and takes nothing new."""


class WorkerFailure(LocalmindError):
    """A worker process let us down; the daemon itself is well."""


class WorkerDied(WorkerFailure):
    """The worker process ended: by a signal, an exit, or the kernel's memory killer."""


class WorkerHung(WorkerFailure):
    """The worker stopped answering and was killed."""


class ModelQuarantined(WorkerFailure):
    """Three deaths in ten minutes: not started again until told to."""


class InternalError(WorkerFailure):
    """An exception of ours that nobody foresaw; its trace is in the log."""


class EngineMissing(LocalmindError):
    """llama-cpp-python is not installed or cannot be loaded."""


class BuildFailed(LocalmindError):
    """Compiling the binding did not work; the old one is still in place."""


class DownloadFailed(LocalmindError):
    """Bytes could not be fetched."""


class HashMismatch(DownloadFailed):
    """The bytes that came are not the bytes that were promised."""


class IndexUnreachable(DownloadFailed):
    """The package index or hub does not answer."""


class ModelFileBroken(LocalmindError):
    """A model file is cut short, damaged or not what its name says."""


class ExtractFailed(LocalmindError):
    """A document cannot be read; the others are not affected."""


class AudioUnreadable(LocalmindError):
    """The bytes are no sound that can be decoded, or hold none."""


class TooLarge(LocalmindError):
    """An upload is larger than we take."""


class VoiceMissing(LocalmindError):
    """No voice is installed that could read text aloud."""


class MicrophoneMissing(LocalmindError):
    """There is no microphone, or none of that name."""


class LoudspeakerMissing(LocalmindError):
    """Nothing here can play sound."""


class MicrophoneBusy(LocalmindError):
    """The microphone is there but cannot be opened."""


class DiskFull(LocalmindError):
    """Not enough room on the disk."""


class NoRoom(LocalmindError):
    """A model does not fit in the memory that models may have; both numbers are in the message."""


class RemoteFailed(LocalmindError):
    """A server elsewhere, named in the settings, refused or broke off."""


class RemoteUnreachable(LocalmindError):
    """A server elsewhere, named in the settings, does not answer."""


class StoreBroken(LocalmindError):
    """The database fails its own check."""


class StoreTooNew(LocalmindError):
    """The database was written by a newer localmind."""


@dataclass(slots=True, frozen=True)
class Row:
    status: int
    """HTTP status of every dialect."""
    type: str
    """Error type of the OpenAI dialect; llama-server's where it has one of its own."""
    exit: int
    """Exit code of the command line: 1 failed, 2 usage, 3 unreachable, 4 model missing, 5 timeout, 130 interrupted."""
    retry: bool = False
    """Whether the same request may succeed if sent again (`x-should-retry`)."""


TABLE: dict[type[LocalmindError], Row] = {
    LocalmindError: Row(500, "server_error", 1),
    InvalidRequest: Row(400, "invalid_request_error", 2),
    ContextTooLong: Row(400, "exceed_context_size_error", 2),
    CannotSee: Row(400, "invalid_request_error", 2),
    ConfigInvalid: Row(500, "server_error", 2),
    Refused: Row(403, "permission_error", 1),
    Unauthorized: Row(401, "authentication_error", 1),
    TooManyGuesses: Row(429, "rate_limit_error", 1, retry=True),
    ForbiddenOrigin: Row(403, "permission_error", 1),
    WrongHost: Row(421, "permission_error", 1),
    NotFound: Row(404, "not_found_error", 1),
    ModelNotFound: Row(404, "not_found_error", 4),
    ModelNotInstalled: Row(404, "not_found_error", 4),
    FolderNotFound: Row(404, "not_found_error", 1),
    FolderUnreadable: Row(403, "permission_error", 1),
    PermissionRefused: Row(500, "server_error", 1),
    DaemonUnreachable: Row(503, "server_error", 3, retry=True),
    DaemonAlreadyRunning: Row(409, "server_error", 1),
    PortTaken: Row(409, "server_error", 1),
    QueueFull: Row(429, "rate_limit_error", 1, retry=True),
    TimedOut: Row(504, "server_error", 5, retry=True),
    Cancelled: Row(499, "server_error", 130),
    ShuttingDown: Row(503, "server_error", 3, retry=True),
    WorkerFailure: Row(502, "server_error", 1),
    WorkerDied: Row(502, "server_error", 1, retry=True),
    WorkerHung: Row(502, "server_error", 1, retry=True),
    ModelQuarantined: Row(503, "server_error", 1),
    InternalError: Row(500, "server_error", 1),
    EngineMissing: Row(503, "server_error", 1),
    BuildFailed: Row(500, "server_error", 1),
    DownloadFailed: Row(502, "server_error", 1, retry=True),
    HashMismatch: Row(502, "server_error", 1),
    IndexUnreachable: Row(502, "server_error", 1, retry=True),
    ModelFileBroken: Row(500, "server_error", 1),
    ExtractFailed: Row(422, "invalid_request_error", 1),
    AudioUnreadable: Row(400, "invalid_request_error", 1),
    TooLarge: Row(413, "invalid_request_error", 1),
    VoiceMissing: Row(501, "not_implemented_error", 1),
    MicrophoneMissing: Row(503, "server_error", 1),
    MicrophoneBusy: Row(503, "server_error", 1),
    LoudspeakerMissing: Row(503, "server_error", 1),
    DiskFull: Row(507, "server_error", 1),
    NoRoom: Row(503, "server_error", 1),
    RemoteFailed: Row(502, "server_error", 1),
    RemoteUnreachable: Row(502, "server_error", 1, retry=True),
    StoreBroken: Row(500, "server_error", 1),
    StoreTooNew: Row(500, "server_error", 1),
}

_BY_NAME: dict[str, type[LocalmindError]] = {kind.__name__: kind for kind in TABLE}


def row(error: LocalmindError) -> Row:
    """The table's row of an error, by its exact class."""
    return TABLE[type(error)]


def to_wire(error: LocalmindError) -> dict[str, Any]:
    """Builtins that survive msgpack and JSON: `{"error", "message", "hint"}`, and `numbers` where there are any."""
    wired = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
    return wired | {"numbers": error.numbers} if error.numbers else wired


def from_wire(data: dict[str, Any]) -> LocalmindError:
    """The inverse of `to_wire`; a name that this version does not know becomes the base class."""
    kind = _BY_NAME.get(str(data.get("error")), LocalmindError)
    return kind(str(data.get("message", "unknown error")), hint=data.get("hint"), numbers=data.get("numbers"))
