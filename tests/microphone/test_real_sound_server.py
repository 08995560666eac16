"""A real PulseAudio with a null sink: what a program plays there is what the microphone hears.

Collected where `pulseaudio` is installed (conftest.py). In a process of its own, since miniaudio and libpulse read
their environment once.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SPEECH = Path(__file__).parents[1] / "data" / "speech" / "report.mp3"

HEAR = """
import sys, threading
from pathlib import Path
from localmind.microphone import FileCapture, devices, loudness_db, open_capture
from localmind.microphone.loudspeaker import RATE, Loudspeaker

print("devices", [(each.name, each.monitor) for each in devices()])
with FileCapture(Path(sys.argv[1]), speed=0) as file:
    sound = b"".join(piece for _, piece in zip(range(40), file.pieces()))
# 16 kHz played at 24: quicker and higher, which loudness does not mind.
player = Loudspeaker()
playing = threading.Thread(target=player.play, args=(iter([sound]),))
with open_capture("null") as capture:
    levels = []
    for number, piece in enumerate(capture.pieces()):
        if number == 5:
            playing.start()
        levels.append(loudness_db(piece))
        if number > 5 and max(levels) > -30:
            break
        assert number < 100, "ten seconds, and nothing was heard"
player.stop()
playing.join(60)
print("before", max(levels[:5]), "loudest", max(levels))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a sound server of its own; its socket is in a directory of its own."""
    base = tmp_path_factory.mktemp("pulse")
    run = base / "run"
    run.mkdir(mode=0o700)
    environ = {
        **os.environ,
        "XDG_RUNTIME_DIR": str(run),
        "XDG_CONFIG_HOME": str(base / "config"),
        "HOME": str(base),
        "PULSE_RUNTIME_PATH": str(run / "pulse"),
    }
    environ.pop("PULSE_SERVER", None)
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disallow-exit", "--use-pid-file=no"]
    modules = ["module-native-protocol-unix", "module-null-sink sink_name=quiet"]
    with subprocess.Popen(
        [*command, *(part for module in modules for part in ("-L", module))],
        env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            deadline = time.monotonic() + 120
            while subprocess.run(["pactl", "info"], env=environ, capture_output=True, check=False).returncode:
                assert time.monotonic() < deadline, "it does not answer"
            assert process.poll() is None
            yield environ
        finally:
            process.terminate()
            process.wait(120)


def hear(environ: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", HEAR, str(SPEECH)], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_played_on_a_null_sink_is_heard_by_the_microphone(server: dict[str, str]) -> None:
    said = hear(server)
    assert "Monitor of" in said
    before, loudest = (float(word) for word in said.split("before ")[1].split(" loudest "))
    assert before == -60.0, "digital silence until something is played"
    assert loudest > -30


def test_the_system_s_list_names_the_monitor_which_is_never_chosen_by_itself(server: dict[str, str]) -> None:
    listed = subprocess.run(
        [shutil.which("pactl") or "pactl", "list", "short", "sources"],
        env=server, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "quiet.monitor" in listed.stdout
