"""`localmind listen`: speak, and it is written. The microphone is opened here, in the terminal's own process."""

import contextlib
import select
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from localmind.clean import clean_line
from localmind.cli import _options as options
from localmind.cli._output import connect, draws, note, print_json, table
from localmind.errors import InvalidRequest
from localmind.events import Event, Progress
from localmind.microphone import Capture, FileCapture, devices, meter, open_capture
from localmind.speech import Heard, Listening, Transcript

BARS = " ▁▂▃▄▅▆▇█"
PATIENCE_S = 20.0
"""Of silence at the beginning: whoever started this by mistake is not listened to for ever."""


@click.command()
@click.option("--device", metavar="NAME", help="Microphone, or a part of its name; the system's default one without.")
@click.option("--devices", "show_devices", is_flag=True, help="List the microphones and stop.")
@click.option(
    "--from", "file", type=click.Path(path_type=Path), help="Hear this sound file, at its own speed, as if spoken."
)
@click.option("--silence", type=click.FloatRange(0.3, 60), default=1.2, show_default=True, help="Seconds that end it.")
@click.option("--hold", is_flag=True, help="Silence does not end it: press Enter.")
@click.option("-c", "--continuous", is_flag=True, help="Go on with the next utterance, a line each, until Ctrl-C.")
@options.language
@options.likely
@options.hearing
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each utterance.")
def listen(
    device: str | None,
    show_devices: bool,
    file: Path | None,
    silence: float,
    hold: bool,
    continuous: bool,
    language: str | None,
    prompt: str | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Write down what you say.

    Speak; a pause or Enter ends it, Ctrl-C throws it away. The text goes to stdout, and while you speak what is
    understood so far is shown on the terminal. Sound goes to the daemon on this machine and is kept nowhere.

    \b
    localmind listen
    localmind listen | wl-copy
    localmind listen --continuous >> notes.txt
    """
    if show_devices:
        found = [each for each in devices() if not each.monitor]
        if as_json:
            print_json({"devices": [{"name": each.name, "backend": each.backend} for each in found]})
        else:
            if not found:
                note("no microphone was found")
            table(("MICROPHONE", "THROUGH"), [(each.name, each.backend) for each in found])
        return
    how = {
        "language": language,
        "prompt": prompt,
        "model": model,
        "silence_s": None if hold else silence,
        "patience_s": None if hold or continuous else PATIENCE_S,
        "continuous": continuous,
    }
    with connect() as client:
        capture = opened(client, device, file)
        for transcript in hear(client, capture, how):
            if as_json:
                print_json({"text": transcript.text, "language": transcript.language, "duration": transcript.duration})
            elif transcript.text:
                sys.stdout.write(clean_line(transcript.text) + "\n")
            sys.stdout.flush()


def opened(client: Any, device: str | None, file: Path | None = None) -> Capture:
    """The microphone that was asked for, or the one from the settings, or the system's default one."""
    if file is not None:
        return FileCapture(file)
    return open_capture(device or client.get("/voice")["microphone"])


def hear(client: Any, capture: Capture, how: dict[str, Any]) -> Iterator[Transcript]:
    """Listen, showing on a terminal what is understood so far; yields each utterance with its text or why it has none.

    Enter ends the utterance. The microphone is let go whatever happens.
    """
    from localmind.client.listening import listen as stream

    screen = Screen(draws(sys.stderr), capture.name)
    with contextlib.ExitStack() as open_things:
        open_things.callback(screen.clear)
        open_things.enter_context(capture)
        open_things.enter_context(_enter_ends(capture))
        events: Iterator[Event] = stream(client, _metered(capture, screen), how)
        for event in events:
            match event:
                case Progress():
                    screen.status = event.text
                case Listening():
                    screen.status = "speak now"
                    if not screen.live:
                        note(f"listening to {clean_line(capture.name)}; a pause or Ctrl-C ends it")
                case Heard(settled, tentative):
                    screen.heard(settled, tentative)
                case Transcript():
                    screen.clear()
                    if event.silent:
                        note(f"no speech: {event.silent}")
                    yield event
                    screen.heard("", "")


class Screen:
    """One line of the terminal: a meter, and the end of the text so far. Silent where no terminal is."""

    def __init__(self, live: bool, name: str) -> None:
        self.live = live
        self.status = f"opening {clean_line(name)}"
        self._lock = threading.Lock()
        self._text = ""
        self._bar = " "
        self._drawn = False

    def level(self, value: float) -> None:
        self._bar = BARS[min(len(BARS) - 1, int(value * len(BARS)))]
        self._draw()

    def heard(self, settled: str, tentative: str) -> None:
        self._text = clean_line(f"{settled} {tentative}".strip())
        self._draw()

    def clear(self) -> None:
        with self._lock:
            if self.live and self._drawn:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()
                self._drawn = False

    def _draw(self) -> None:
        if not self.live:
            return
        import shutil

        room = max(10, shutil.get_terminal_size().columns - 6)
        text = self._text or self.status
        with self._lock:
            sys.stderr.write(f"\r\x1b[K● {self._bar} {text if len(text) <= room else '…' + text[-room + 1 :]}")
            sys.stderr.flush()
            self._drawn = True


def _metered(capture: Capture, screen: Screen) -> Iterator[bytes]:
    for piece in capture.pieces():
        screen.level(meter(piece))
        yield piece


@contextlib.contextmanager
def _enter_ends(capture: Capture) -> Iterator[None]:
    """While inside, Enter on the terminal closes the microphone, which ends the utterance."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            ready, _, _ = select.select([sys.stdin], [], [], 0.1)
            if ready:
                sys.stdin.readline()
                capture.close()
                return

    watching = sys.stdin.isatty() and sys.platform != "win32"
    thread = threading.Thread(target=watch, name="enter", daemon=True)
    if watching:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if watching:
            thread.join(1)


def spoken_question(client: Any, device: str | None, file: Path | None = None) -> str:
    """What somebody asks, for `localmind ask --voice`. Raises InvalidRequest when nobody says anything."""
    texts = [each.text for each in hear(client, opened(client, device, file), {"patience_s": PATIENCE_S}) if each.text]
    if not texts:
        raise InvalidRequest("nothing was said", hint="localmind listen --devices shows which microphones there are")
    return " ".join(texts)
