"""`localmind say`: text read aloud by a voice of this machine, to the loudspeaker, a file or stdout."""

import struct
import sys
from pathlib import Path
from typing import Any

import click

from localmind.clean import clean_line
from localmind.cli._output import connect, note, print_json, table
from localmind.cli._question import piped_in
from localmind.errors import InvalidRequest
from localmind.microphone.loudspeaker import RATE, Loudspeaker, whole
from localmind.paths import write_atomic

FORMATS = {".mp3": "mp3", ".opus": "opus", ".ogg": "opus", ".aac": "aac", ".flac": "flac", ".wav": "wav", ".pcm": "pcm"}


@click.command()
@click.argument("text", nargs=-1)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write a file: mp3, opus, ogg, aac, flac, wav, pcm."
)
@click.option("--voice", metavar="NAME", help="Read with this voice instead of the one from the settings.")
@click.option("--speed", type=click.FloatRange(0.25, 4), default=1.0, show_default=True, help="2 is twice as quick.")
@click.option("--voices", "show_voices", is_flag=True, help="List the voices that are here and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print that list as JSON.")
def say(
    text: tuple[str, ...], output: Path | None, voice: str | None, speed: float, show_voices: bool, as_json: bool
) -> None:
    """Read text aloud.

    TEXT, or what comes by a pipe. Needs a Piper or Kokoro voice: `localmind models pull piper:joe` brings one that
    speaks English, others lie as NAME.onnx and NAME.onnx.json in the folder `voices` beside settings.toml.

    \b
    localmind say "The boiler was serviced in March."
    localmind ask "What is new in my notes?" | localmind say
    localmind say -o letter.mp3 < letter.txt
    """
    if show_voices:
        with connect() as client:
            _list(client.get("/voices")["voices"], as_json)
        return
    words = " ".join(text) if text else "" if sys.stdin.isatty() else piped_in()
    if not words.strip():
        raise InvalidRequest("there is nothing to read", hint='localmind say "Good morning."')
    form = "pcm" if output is None else FORMATS.get(output.suffix.lower())
    if form is None:
        raise click.UsageError(f"{output}: the name must end in one of {', '.join(FORMATS)}.")
    # A stream of WAV cannot know its length; a file can.
    body: dict[str, Any] = {"input": words, "voice": voice or "default", "speed": speed}
    body["response_format"] = "pcm" if form == "wav" else form
    with connect() as client:
        sound = client.sound("/speak", body)
        if output is None:
            Loudspeaker().play(whole(sound))
            return
        data = b"".join(sound)
        write_atomic(output, *((_wav_head(len(data)),) if form == "wav" else ()), data, mode=0o644)
        note(f"wrote {clean_line(str(output))}")


def _list(voices: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"voices": voices})
        return
    if not voices:
        note("no voice is here yet: localmind models pull piper:joe")
    table(("VOICE", "LANGUAGE", "BY"), [(each["name"], each["language"], each["engine"]) for each in voices])


def _wav_head(size: int) -> bytes:
    shape = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    return struct.pack("<4sI8sI16s4sI", b"RIFF", 36 + size, b"WAVEfmt ", 16, shape, b"data", size)
