"""The command line as a script uses it: exit codes, streams, hints, and the watched folder."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest_e2e import PATIENCE_S, SAMPLES, Home, gone, wait_until


@pytest.mark.parametrize(
    ("question", "fact", "source"),
    [
        ("When was the boiler last serviced?", "October", "home/boiler.md"),
        ("What is the name of the guest house at Bohinj?", "Pri Lipi", "slovenia-2026/lake-house-booking.html"),
        ("How much is the deposit for the flat?", "2,670", "home/rental-agreement.pdf"),
    ],
)
def test_a_question_is_answered_with_the_fact_and_the_right_file(
    served: Home, question: str, fact: str, source: str
) -> None:
    answer = served.cli("ask", question)
    assert answer.returncode == 0, answer.stderr
    text, _, sources = answer.stdout.partition("Sources:")
    assert fact in text
    assert source in sources
    assert re.search(r"\[\d\] \S+(:\d+-\d+| p\.\d+)", sources)


@pytest.mark.parametrize("question", ["Who won the football world cup in 1974?", "What is the capital of Mongolia?"])
def test_a_question_that_the_folder_cannot_answer_is_not_guessed(served: Home, question: str) -> None:
    answer = served.cli("ask", question)
    assert answer.returncode == 0
    assert "not in your files" in answer.stdout
    assert "Sources" not in answer.stdout


def test_ask_reads_stdin_and_prints_json(served: Home) -> None:
    answer = served.cli("ask", "--json", input="When was the boiler last serviced?\n")
    told = json.loads(answer.stdout)
    assert "October" in told["answer"]
    assert told["sources"][0]["path"].endswith("home/boiler.md")
    assert told["usage"]["completion_tokens"] > 3


def test_an_answer_is_kept_in_a_thread_that_can_be_gone_on_with_and_found_again(served: Home) -> None:
    first = json.loads(served.cli("ask", "--json", "When was the boiler last serviced?").stdout)
    more = json.loads(served.cli("ask", "--json", "-c", "Who serviced the boiler?").stdout)
    assert more["thread"] == first["thread"]
    shown = json.loads(served.cli("threads", "show", first["thread"], "--json").stdout)
    assert [message["role"] for message in shown["messages"]] == ["user", "assistant"] * 2
    assert first["thread"] in served.cli("threads", "search", "last", "serviced").stdout
    assert "last serviced" in served.cli("logs", "-q", "serviced", "-n", "1").stdout
    assert served.cli("threads", "export", first["thread"]).stdout.startswith("# ")
    assert served.cli("threads", "rename", first["thread"], "Heating").returncode == 0
    assert "Heating" in served.cli("threads", "list").stdout


def test_a_question_without_log_is_kept_nowhere_and_brings_its_file(served: Home, tmp_path: Path) -> None:
    before = served.cli("threads", "list", "--json").stdout
    (tmp_path / "note.txt").write_text("The password of the garden gate is quokka.")
    asked = ("ask", "--no-log", "--stats", "--temperature", "0", "--max-tokens", "24", "-f", str(tmp_path / "*.txt"))
    answer = served.cli(*asked, "What is the password of the garden gate?")
    assert "quokka" in answer.stdout, answer.stderr
    assert re.search(r"\d+ prompt tokens .* tokens in .* first after", answer.stderr)
    assert served.cli("threads", "list", "--json").stdout == before


def test_an_answer_keeps_to_a_schema_and_comes_as_events_when_asked(served: Home) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    asked = ("ask", "--chat", "--no-log", "--schema", json.dumps(schema), "--jsonl", "--max-tokens", "60")
    answer = served.cli(*asked, "--temperature", "0", input="Which city is the capital of France?")
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    assert events[-1]["type"] == "Done", answer.stderr
    text = "".join(event["text"] for event in events if event["type"] == "TextDelta")
    assert isinstance(json.loads(text)["city"], str)


LONG = ("--max-tokens", "3000", "--schema", '{"type": "string", "minLength": 1200}')
"""Hundreds of tokens, whatever the model would say: it may have ended a free answer before it is interrupted."""


def test_an_interrupted_answer_stops_and_keeps_what_came(served: Home) -> None:
    words = [sys.executable, "-m", "localmind", "ask", "--chat", "--raw", *LONG, "Tell a story about the sea."]
    process = subprocess.Popen(words, env=served.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    found = re.search(r"localmind threads show (\S+)", said)
    assert found, said
    shown = json.loads(served.cli("threads", "show", found[1], "--json").stdout)["messages"][-1]
    assert (shown["state"], bool(shown["content"])) == ("stopped", True)


def test_a_saved_file_is_found_at_once_and_a_deleted_one_is_gone(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "old.md").write_text("# Old\n\nNothing of interest here.\n")
    home.start()
    assert home.cli("folders", "add", str(folder)).returncode == 0
    note = folder / "zephyr.md"
    note.write_text("# Zephyr\n\nThe zephyrantes bulbs were planted beside the shed on 3 May.\n")

    def found() -> bool:
        return "zephyr.md" in home.cli("search", "zephyrantes bulbs").stdout

    wait_until(found, "the saved file")
    note.unlink()
    wait_until(lambda: not found(), "the deleted file to be gone")


def test_folders_can_be_listed_explained_and_removed(served: Home) -> None:
    listed = json.loads(served.cli("folders", "list", "--json").stdout)["folders"]
    assert listed[0]["path"] == str(SAMPLES)
    assert listed[0]["files"] >= 18
    assert "indexed" in served.cli("folders", "why", str(SAMPLES / "home" / "boiler.md")).stdout


def test_the_first_command_starts_the_daemon_and_stop_ends_it(home: Home) -> None:
    listed = home.cli("models", "list")
    assert listed.returncode == 0, listed.stderr
    assert "starting the localmind daemon" in listed.stderr
    assert "smollm2:135m" in listed.stdout
    pid = json.loads((home.paths.data / "runtime.json").read_bytes())["pid"]
    assert home.cli("stop").stderr == "stopped\n"
    wait_until(lambda: gone(pid), "the process to be gone")
    assert home.cli("stop").returncode == 0, "twice is no error"


def test_stop_never_signals_a_stranger_who_got_the_pid_of_a_dead_daemon(home: Home) -> None:
    home.start()
    home.stop(signal.SIGKILL)
    stranger = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        note = home.paths.data / "runtime.json"
        note.write_text(json.dumps(json.loads(note.read_text()) | {"pid": stranger.pid}))
        assert home.cli("stop").stderr == "no daemon is running\n"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_two_commands_at_once_start_one_daemon(home: Home) -> None:
    command = [sys.executable, "-P", "-m", "localmind", "models", "list"]
    started = [
        subprocess.Popen(command, env=home.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    outcomes = [process.communicate(timeout=PATIENCE_S) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], outcomes
    assert sum(b"starting" in err for _, err in outcomes) == 1


def test_a_second_daemon_is_refused_with_the_pid_of_the_first(home: Home) -> None:
    home.start()
    assert home.daemon is not None
    second = home.cli("serve")
    assert second.returncode == 1
    assert f"pid {home.daemon.pid}" in second.stderr
    assert "hint: localmind status" in second.stderr


def test_a_taken_port_is_an_error_for_serve_and_a_note_for_other_commands(home: Home) -> None:
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", home.port))
        squatter.listen()
        refused = home.cli("serve")
        assert refused.returncode == 1
        assert f"port {home.port} on 127.0.0.1 is taken by" in refused.stderr
        assert f"pid {os.getpid()}" in refused.stderr
        assert "hint:" in refused.stderr
        assert home.cli("models", "list").returncode == 0, "the unix socket is enough for the command line"
        assert "no TCP" in home.cli("status").stdout


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("status",), 3, "no daemon answers"),
        (("ask", "-m", "gpt-17", "hello?"), 4, "localmind models list"),
        (("ask", "hello?"), 4, "hint: localmind models pull"),
        (("models", "pull", "gpt-17"), 4, "no model named 'gpt-17'"),
        (("folders", "add", "/no/such/folder"), 1, "no folder /no/such/folder"),
        (("folders", "rm", "/no/such/folder"), 1, "hint:"),
        (("search",), 2, "Missing argument"),
        (("ask",), 2, "What do you want to know?"),
        (("seach", "x"), 2, "Did you mean 'search'?"),
        (("chat",), 2, "needs a terminal"),
    ],
)
def test_bad_input_has_a_clear_error_and_the_exit_code_of_design(
    bare_home: Home, arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    ended = bare_home.cli(*arguments)
    assert ended.returncode == exit_code, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_a_question_without_any_folder_is_for_the_model_alone_and_says_so(home: Home) -> None:
    ended = home.cli("ask", "--max-tokens", "8", "When was the boiler last serviced?")
    assert ended.returncode == 0
    assert ended.stdout.strip()
    assert "no folder is watched yet, so the model answers by itself" in ended.stderr
    assert "hint: localmind folders add DIR" in ended.stderr


def test_a_folder_that_may_not_be_read_is_named(bare_home: Home, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    if os.access(closed, os.R_OK):  # root reads everything: a key folder is refused by rule for everybody
        closed = tmp_path / ".ssh"
        closed.mkdir()
    ended = bare_home.cli("folders", "add", str(closed))
    assert ended.returncode == 1
    assert "hint:" in ended.stderr


def test_no_package_index_is_a_clear_error_and_leaves_nothing_half_done(
    bare_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALMIND_INDEX_URL", "http://127.0.0.1:9/simple")
    ended = bare_home.cli("models", "pull", "all-minilm:l6-v2")
    assert ended.returncode == 1
    assert "hint:" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert json.loads(bare_home.cli("models", "list", "--json").stdout)["models"][1]["installed"] is False


def test_ctrl_c_in_the_middle_of_an_answer_exits_with_130_and_stops_the_generation(served: Home) -> None:
    question = "What do we have to do with the well pump before it freezes?"
    command = [sys.executable, "-P", "-m", "localmind", "ask", *LONG, question]
    asking = subprocess.Popen(command, env=served.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert asking.stdout is not None
    asking.stdout.read(1)
    asking.send_signal(signal.SIGINT)
    _, said = asking.communicate(timeout=PATIENCE_S)
    assert asking.returncode == 130
    assert b"Traceback" not in said
    wait_until(lambda: all(model["running"] == 0 for model in served.status()["models"]), "the engine to be idle")


def test_what_was_asked_is_kept_can_be_read_again_and_deleted(served: Home) -> None:
    served.cli("ask", "How much is the deposit for the flat?")
    listed = json.loads(served.cli("threads", "list", "--json").stdout)["threads"]
    thread = next(each for each in listed if "deposit" in each["title"])
    shown = served.cli("threads", "show", thread["id"][:8]).stdout
    assert shown.startswith("> How much is the deposit for the flat?")
    assert "rental-agreement.pdf" in shown
    assert served.cli("threads", "rm", thread["id"]).returncode == 0
    gone = served.cli("threads", "show", thread["id"])
    assert gone.returncode == 1
    assert "hint: localmind threads list" in gone.stderr
