"""Real microphones, through miniaudio: PipeWire, PulseAudio, JACK and ALSA, Core Audio, WASAPI.

miniaudio carries its own code and opens the system's libraries when it runs, so nothing needs to be installed beside
it, and it converts from a device's own rate. Its callback runs on a thread of its own and only puts bytes into a queue.
"""

import contextlib
import os
import queue
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from localmind.errors import MicrophoneBusy, MicrophoneMissing
from localmind.microphone.capture import PIECE_S

SAMPLE_RATE = 16_000
STALLED_S = 5.0
"""A device that sends nothing for so long was unplugged, or taken away by the system."""

HINTS = {
    "linux": "plug one in, or check `pactl list short sources`; over ssh or in a container there is none",
    "darwin": "System Settings → Privacy & Security → Microphone: allow your terminal",
    "win32": "Settings → Privacy → Microphone: allow desktop apps",
}


@dataclass(slots=True, frozen=True)
class Device:
    """A microphone that is there."""

    name: str
    backend: str
    monitor: bool = False
    """What the speakers play, as PulseAudio offers it: never chosen by itself."""


def devices() -> list[Device]:
    """All there are. Raises MicrophoneMissing when the system's sound cannot be reached at all."""
    backend, found = _captures()
    return [Device(each["name"], backend, _is_monitor(each["name"])) for each in found]


def open_capture(name: str | None = None) -> "DeviceCapture":
    """The microphone of that name, or of a part of it; the system's default one without.

    Raises MicrophoneMissing or MicrophoneBusy, each with what to do about it.
    """
    _, found = _captures()
    if name is None:
        if not found:
            raise MicrophoneMissing("there is no microphone here", hint=_hint())
        return DeviceCapture("the default microphone", None)
    wanted = name.strip().lower()
    matching = [each for each in found if wanted == each["name"].lower()]
    matching = matching or [each for each in found if wanted in each["name"].lower()]
    if not matching:
        names = ", ".join(repr(each["name"]) for each in found) or "none at all"
        raise MicrophoneMissing(
            f"no microphone is called {name!r}; there are: {names}", hint="localmind listen --devices"
        )
    return DeviceCapture(matching[0]["name"], matching[0]["id"])


class DeviceCapture:
    """A Capture of a real device, open from the beginning."""

    def __init__(self, name: str, device_id: Any) -> None:
        import miniaudio

        self.name = name
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._closed = False
        try:
            with quiet_stderr():
                self._device = miniaudio.CaptureDevice(
                    input_format=miniaudio.SampleFormat.SIGNED16,
                    nchannels=1,
                    sample_rate=SAMPLE_RATE,
                    buffersize_msec=int(PIECE_S * 1000),
                    device_id=device_id,
                    backends=real_backends(),
                    app_name="localmind",
                )
                callback = self._receive()
                next(callback)
                self._device.start(callback)
        except miniaudio.MiniaudioError as problem:
            raise MicrophoneBusy(
                f"{name} cannot be opened ({problem.args[0]})",
                hint="another program may hold it; `localmind listen --devices` shows the others",
            ) from problem

    def __enter__(self) -> "DeviceCapture":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pieces(self) -> Iterator[bytes]:
        while True:
            try:
                piece = self._queue.get(timeout=STALLED_S)
            except queue.Empty:
                if self._closed:
                    return
                raise MicrophoneBusy(
                    f"{self.name} sends no sound any more", hint="is it still plugged in? `localmind listen --devices`"
                ) from None
            if piece is None:
                return
            yield piece

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with quiet_stderr():
                self._device.close()
            self._queue.put(None)

    def _receive(self) -> Generator[None, bytes, None]:
        """Runs on the device's thread: nothing but a copy into the queue."""
        while True:
            data = yield
            self._queue.put(bytes(data))


def _captures() -> tuple[str, list[dict[str, Any]]]:
    import miniaudio

    try:
        with quiet_stderr():
            found = miniaudio.Devices(real_backends())
            return found.backend, found.get_captures()
    except miniaudio.MiniaudioError as problem:
        raise MicrophoneMissing(f"the system's sound cannot be reached ({problem.args[0]})", hint=_hint()) from problem


def real_backends() -> list[Any]:
    """Real ones only: miniaudio's last resort is a device that hears nothing."""
    import miniaudio

    return [each for each in miniaudio.Backend if each.name not in ("NULL", "CUSTOM")]


def _is_monitor(name: str) -> bool:
    return name.lower().startswith("monitor of ")


def _hint() -> str:
    return HINTS.get(sys.platform, HINTS["linux"])


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """ALSA and JACK write to file descriptor 2 when they look for devices, which would tear a terminal app's screen."""
    if os.name != "posix":
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
