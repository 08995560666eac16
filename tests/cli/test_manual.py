"""The manual page and the completion scripts are made from the commands themselves."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from localmind.cli import COMMANDS, main
from localmind.cli.man import page


def manual() -> str:
    return page(click.Context(main, info_name="localmind"))


def test_every_command_and_option_is_in_the_manual():
    text = manual().replace(r"\-", "-")
    for name in COMMANDS:
        assert f"\n.B localmind {name}" in text
    assert ".SS models pull" in text
    assert "\n.B -x, --code\n" in text
    assert text.count(".SH ") == 7


def test_no_line_of_text_is_taken_for_a_request_of_roff():
    known = {".TH", ".SH", ".SS", ".B", ".PP", ".TP", ".nf", ".fi"}
    assert {line.split()[0] for line in manual().splitlines() if line.startswith((".", "'"))} <= known


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell: str):
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert "_LOCALMIND_COMPLETE" in result.stdout


def completed(tmp_path: Path, line: str) -> list[str]:
    env = {"LOCALMIND_HOME": str(tmp_path), "_LOCALMIND_COMPLETE": "bash_complete", "COMP_TYPED": line, "PATH": ""}
    command = [sys.executable, "-c", "from localmind.cli import main; main(prog_name='localmind')"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [each.split(",", 1)[1] for each in done.stdout.splitlines() if each]


def test_commands_and_templates_are_completed_and_no_daemon_is_started_for_names_it_would_know(tmp_path: Path):
    assert "threads" in completed(tmp_path, "localmind th")
    (tmp_path / "config" / "templates").mkdir(parents=True)
    (tmp_path / "config" / "templates" / "brief.md").write_text("{{input}}")
    assert completed(tmp_path, "localmind ask -t b") == ["brief"]
    assert completed(tmp_path, "localmind ask -m s") == []
    assert not (tmp_path / "run").exists()


COMPLETES = """
source "$1"
localmind() { printf '%s\\n' 'plain,smollm2:135m' 'plain,smollm2:360m' 'plain,/a b/$c' "plain,$COMP_TYPED"; }
env() { local each; while [[ $1 == *=* ]]; do each="$1"; export "$each"; shift; done; "$@"; }
COMP_LINE="$2 and more" COMP_POINT=${#2}
_localmind_completion localmind
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("line", "replies"),
    [
        ("localmind ask -m smollm2:1", ["135m", "360m"]),
        ("localmind ask --model=smollm2:1", ["135m", "360m"]),
        ("localmind ask -m s", ["smollm2:135m", "smollm2:360m"]),
    ],
)
def test_bash_gets_what_comes_after_a_colon_for_it_takes_words_apart_there(
    tmp_path: Path, line: str, replies: list[str]
) -> None:
    script = tmp_path / "script"
    script.write_text(CliRunner().invoke(main, ["completion", "bash"]).stdout)
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETES, "bash", str(script), line], capture_output=True, text=True, timeout=120
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [*replies, r"/a\ b/\$c", line.replace(" ", r"\ ")]
