"""Text to samples by an installed engine, in the speaker worker: Piper as package or program, Kokoro as a package.

Each is loaded by its own name only when its voice is asked for; localmind brings none of them (Piper is GPL, Kokoro's
dependencies are large). Samples come sentence by sentence, 16-bit and mono, so that speaking begins early.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from localmind.errors import Cancelled, ModelFileBroken

BLOCK = 16_384
"""Bytes of a program's answer that are passed on at once: a third of a second."""


class Place(msgspec.Struct, frozen=True):
    """A voice as the worker is told of it. `program` is empty where the engine is a package."""

    engine: str
    model: str
    beside: str
    rate: int
    name: str = ""
    program: str = ""


class Synthesizer(Protocol):
    def speak(self, text: str, speed: float, gone: Callable[[], bool]) -> Iterator[bytes]:
        """Samples of a text; `speed` 2 is twice as quick. Raises Cancelled."""


def opened(place: Place) -> Synthesizer:
    """Raises ModelFileBroken."""
    try:
        if place.engine == "kokoro":
            return Kokoro(place)
        return PiperProgram(place) if place.program else PiperPackage(place)
    except Exception as problem:  # onnxruntime raises its own kinds for a file that is none
        raise ModelFileBroken(
            f"the voice {Path(place.model).name} cannot be loaded: {problem}", hint="localmind models verify"
        ) from problem


class PiperPackage:
    """piper-tts, imported."""

    def __init__(self, place: Place) -> None:
        from piper import PiperVoice

        self._voice: Any = PiperVoice.load(place.model, config_path=place.beside)

    def speak(self, text: str, speed: float, gone: Callable[[], bool]) -> Iterator[bytes]:
        from piper import SynthesisConfig

        own = float(self._voice.config.length_scale or 1.0)
        for chunk in self._voice.synthesize(text, SynthesisConfig(length_scale=own / speed)):
            if gone():
                raise Cancelled("nobody listens any more")
            yield chunk.audio_int16_bytes


class PiperProgram:
    """The program `piper`, once for each text; it loads its voice anew, about half a second."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def speak(self, text: str, speed: float, gone: Callable[[], bool]) -> Iterator[bytes]:
        place = self._place
        command = [place.program, "--model", place.model, "--config", place.beside, "--output_raw"]
        command += ["--length_scale", f"{1 / speed:.3f}"]
        # Its words go to a file: a pipe that nobody reads while it speaks would stop it.
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said) as process,
        ):
            try:
                yield from self._answer(process, text, gone)
            except BaseException:
                process.kill()
                raise
            if process.wait():
                said.seek(0)
                words = said.read().decode("utf-8", "replace").strip().splitlines()
                raise ModelFileBroken(
                    f"piper ended with status {process.returncode}: {(words or ['it says nothing'])[-1][:200]}",
                    hint=f"{place.program} --help",
                )

    @staticmethod
    def _answer(process: "subprocess.Popen[bytes]", text: str, gone: Callable[[], bool]) -> Iterator[bytes]:
        assert process.stdin is not None
        assert process.stdout is not None
        # A line is a text of its own to it. Where it has ended already, its status says why.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(" ".join(text.split()).encode() + b"\n")
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        odd = b""
        while data := os.read(process.stdout.fileno(), BLOCK):
            if gone():
                raise Cancelled("nobody listens any more")
            data = odd + data
            whole = len(data) // 2 * 2
            odd = data[whole:]
            if whole:
                yield data[:whole]


KOKORO_LANGUAGES = {
    "a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "j": "ja", "p": "pt-br", "z": "cmn",
}  # fmt: skip
"""By the first letter of a voice's name."""


class Kokoro:
    """kokoro-onnx, imported."""

    def __init__(self, place: Place) -> None:
        from kokoro_onnx import Kokoro as Package

        self._package: Any = Package(place.model, place.beside)
        self._voice = place.name

    def speak(self, text: str, speed: float, gone: Callable[[], bool]) -> Iterator[bytes]:
        language = KOKORO_LANGUAGES.get(self._voice[:1], "en-us")
        for sentence in sentences(text):
            if gone():
                raise Cancelled("nobody listens any more")
            pace = min(2.0, max(0.5, speed))
            samples, _ = self._package.create(sentence, voice=self._voice, speed=pace, lang=language)
            yield (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def sentences(text: str) -> list[str]:
    """A text cut behind the ends of its sentences, so that the first is heard while the second is made."""
    found: list[str] = []
    held = ""
    for word in text.split():
        held = f"{held} {word}" if held else word
        if (word[-1] in ".!?…:;" and len(held) > 20) or len(held) > 300:
            found.append(held)
            held = ""
    return [*found, held] if held else found
