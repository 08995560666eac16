"""Which voices are here to read text aloud, and which one is meant by a name. Pure but for looking into folders.

A Piper voice is `NAME.onnx` beside `NAME.onnx.json`; Kokoro is one `kokoro*.onnx` beside `voices*.bin`,
which holds many. They lie in the folder of voices, or were pulled as models of the role "voice". Nothing native is
imported: a worker opens them.
"""

import importlib.util
import json
import shutil
import sys
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from localmind.errors import InvalidRequest, VoiceMissing

Engine = Literal["piper", "kokoro"]

ANY_VOICES = frozenset(
    {"alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "onyx", "nova", "sage", "shimmer", "verse"}
    | {"default"}
)
"""Names by which OpenAI's clients mean "the one you have"."""
ANY_MODELS = frozenset({"", "default", "tts-1", "tts-1-hd", "gpt-4o-mini-tts", "piper", "kokoro"})

KOKORO_RATE = 24_000
KOKORO_LANGUAGES = {
    "a": "en", "b": "en", "e": "es", "f": "fr", "h": "hi", "i": "it", "j": "ja", "p": "pt", "z": "zh",
}  # fmt: skip
LARGEST_CONFIG = 1 << 20
MIB = 1 << 20


@dataclass(slots=True, frozen=True)
class Speaker:
    """A voice that is here."""

    name: str
    engine: Engine
    model: Path
    beside: Path
    """Piper's configuration, or Kokoro's voices."""
    language: str
    """ISO 639-1."""
    rate: int
    """Samples a second of what it says."""

    @property
    def memory(self) -> int:
        """Bytes that a worker with it takes: the weights, what onnxruntime makes of them, and itself."""
        return int(self.model.stat().st_size * 1.5) + 150 * MIB


def found(folders: Iterable[Path]) -> list[Speaker]:
    """All voices in these folders and their direct subfolders, by name; what is damaged is left out."""
    speakers: dict[str, Speaker] = {}
    for folder in folders:
        for model in sorted((*folder.glob("*.onnx"), *folder.glob("*/*.onnx"))):
            for speaker in (*_piper(model), *_kokoro(model)):
                speakers.setdefault(speaker.name.lower(), speaker)
    return sorted(speakers.values(), key=lambda speaker: speaker.name)


def _piper(model: Path) -> list[Speaker]:
    config = model.with_name(model.name + ".json")
    try:
        if config.stat().st_size > LARGEST_CONFIG:
            return []
        said = json.loads(config.read_bytes())
        rate = int(said["audio"]["sample_rate"])
        code = str((said.get("language") or {}).get("code") or said["espeak"]["voice"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    if not 8_000 <= rate <= 48_000:
        return []
    return [Speaker(model.name.removesuffix(".onnx"), "piper", model, config, code[:2].lower(), rate)]


def _kokoro(model: Path) -> list[Speaker]:
    voices = next(iter(sorted(model.parent.glob("voices*.bin"))), None)
    if not model.name.startswith("kokoro") or voices is None:
        return []
    try:
        with zipfile.ZipFile(voices) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return []
    return [Speaker(name, "kokoro", model, voices, KOKORO_LANGUAGES.get(name[:1], "en"), KOKORO_RATE) for name in names]


def choose(speakers: Sequence[Speaker], name: str | None, model: str | None, preferred: str | None) -> Speaker:
    """The voice that is meant. Raises VoiceMissing when there is none at all, InvalidRequest for an unknown name."""
    if not speakers:
        raise VoiceMissing(
            "no voice is installed that could read text aloud",
            hint="localmind models pull piper:joe, or put a Piper voice (NAME.onnx and NAME.onnx.json) into "
            "the folder `voices` beside settings.toml",
        )
    known = {speaker.name.lower(): speaker for speaker in speakers}
    for wanted, any_names in ((name, ANY_VOICES), (model, ANY_MODELS)):
        asked = (wanted or "default").lower().removeprefix("piper:")
        if asked in any_names:
            continue
        if asked in known:
            return known[asked]
        close = [speaker for key, speaker in known.items() if asked in key]
        if close:
            return close[0]
        if any_names is ANY_VOICES:
            raise InvalidRequest(
                f"voice: there is no {wanted!r} here; there are {', '.join(one.name for one in speakers[:12])}",
                hint="localmind say --voices",
            )
    if preferred and preferred.lower() in known:
        return known[preferred.lower()]
    return next((speaker for speaker in speakers if speaker.language == "en"), speakers[0])


def program(speaker: Speaker) -> str:
    """What makes the voice speak: "" for a package in this environment, else a program's path. Raises VoiceMissing."""
    if speaker.engine == "kokoro":
        if importlib.util.find_spec("kokoro_onnx") is not None:
            return ""
        raise VoiceMissing(
            f"the voice {speaker.name} is here, but not Kokoro itself",
            hint=f"{sys.executable} -m pip install kokoro-onnx",
        )
    try:
        metadata.version("piper-tts")
        return ""
    except metadata.PackageNotFoundError:
        path = shutil.which("piper")
    if path is None:
        raise VoiceMissing(
            f"the voice {speaker.name} is here, but not Piper itself",
            hint=f"{sys.executable} -m pip install piper-tts, or put the program `piper` on the PATH",
        )
    return path
