"""What `ask` asks, without a daemon."""

import io
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from images_made import gif, png

from localmind.cli._question import attachments, pictures, schema_of, text_of
from localmind.cli.ask import ask, has_nothing_to_read
from localmind.errors import InvalidRequest, LocalmindError
from localmind.templates import Template


class FakeStdin(io.TextIOWrapper):
    def __init__(self, data: str | bytes | None) -> None:
        super().__init__(io.BytesIO(data.encode() if isinstance(data, str) else data or b""))
        self._terminal = data is None

    def isatty(self) -> bool:
        return self._terminal


def question(monkeypatch: pytest.MonkeyPatch, piped: str | None, *words: str, **more: Any) -> str:
    monkeypatch.setattr("sys.stdin", FakeStdin(piped))
    return text_of(words, **({"template": None, "params": {}} | more))


def test_what_is_piped_comes_before_the_words(monkeypatch: pytest.MonkeyPatch):
    assert question(monkeypatch, "a diff\n", "Explain", "this") == "a diff\n\nExplain this"
    assert question(monkeypatch, None, "Only", "words") == "Only words"
    assert question(monkeypatch, "only stdin") == "only stdin"
    assert question(monkeypatch, None, "Sum", spoken="it up") == "Sum it up"


def test_a_dash_among_the_files_is_stdin_and_then_the_words_stand_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "a.txt").write_text("of a file")
    monkeypatch.setattr("sys.stdin", FakeStdin("piped in"))
    found = attachments(["-", str(tmp_path / "a.txt")])
    assert [(file["path"], file["text"]) for file in found] == [
        ("stdin", "piped in"),
        (str(tmp_path / "a.txt"), "of a file"),
    ]
    monkeypatch.setattr("sys.stdin", FakeStdin("piped in"))
    assert text_of(["What is it?"], template=None, params={}, piped=False) == "What is it?"
    monkeypatch.setattr("sys.stdin", FakeStdin("x" * 1_000_001))
    with pytest.raises(InvalidRequest, match="stdin is larger than 1000 kB"):
        attachments(["-"])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x89PNG\0", "stdin is not text"),
        (b"a\0b", "stdin is not text"),
        (b" \n", "nothing came through stdin"),
        (b"", "nothing came through stdin"),
    ],
)
def test_what_is_piped_in_and_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch, data: bytes, said: str):
    monkeypatch.setattr("sys.stdin", FakeStdin(data))
    with pytest.raises(InvalidRequest, match=said) as problem:
        attachments(["-"])
    assert problem.value.hint


def test_a_mark_of_windows_at_the_beginning_and_its_ends_of_lines_are_no_part_of_a_text(
    monkeypatch: pytest.MonkeyPatch,
):
    assert question(monkeypatch, b"\xef\xbb\xbfone\r\ntwo") == "one\ntwo"
    assert question(monkeypatch, "one\r\ntwo".encode("utf-16")) == "one\ntwo"


def test_without_any_question_the_usage_shows_one(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(click.UsageError, match="localmind ask"):
        question(monkeypatch, None)


def test_a_template_takes_the_text_where_it_says_input_or_behind_itself(monkeypatch: pytest.MonkeyPatch):
    inside = Template("t", "Translate to {{to|German}}: {{input}}")
    assert question(monkeypatch, "Hello", template=inside) == "Translate to German: Hello"
    assert question(monkeypatch, None, "Hi", template=inside, params={"to": "Greek"}) == "Translate to Greek: Hi"
    assert question(monkeypatch, None, "Now", template=Template("t", "Be brief.")) == "Be brief.\n\nNow"
    assert question(monkeypatch, None, template=Template("t", "Sum up.")) == "Sum up."


@pytest.mark.parametrize(
    ("text", "params", "words"),
    [
        ("{{input}}", {}, "needs a text"),
        ("{{who}} {{input}}", {}, "needs -p who"),
        ("{{who}}", {"what": "x"}, "no variable 'what'; it has: who"),
    ],
)
def test_a_template_says_what_it_misses(monkeypatch: pytest.MonkeyPatch, text: str, params: Any, words: str):
    with pytest.raises(click.UsageError, match=words):
        question(monkeypatch, None, template=Template("t", text), params=params)


def test_a_schema_comes_from_a_file_or_from_the_command_line(tmp_path: Path):
    path = tmp_path / "schema.json"
    path.write_text('{"type": "object"}')
    assert schema_of(str(path)) == schema_of(' {"type": "object"}') == {"type": "object"}
    assert schema_of(None) is None
    path.write_text("[]")
    for wrong in ("{", str(path)):
        with pytest.raises(click.UsageError):
            schema_of(wrong)
    with pytest.raises(LocalmindError, match="cannot be read"):
        schema_of(str(tmp_path / "missing.json"))


class FakeClient:
    """A daemon without folders, whose thread ends with a question that is so."""

    def __init__(self, **last: Any) -> None:
        self._last = {"attachments": [], "images": [], "mode": "files"} | last

    def get(self, path: str, **query: Any) -> Any:
        return {"/folders": {"folders": []}, "/threads/t": {"messages": [self._last]}}[path]


def test_without_a_folder_the_model_answers_alone_unless_the_thread_is_about_what_was_attached():
    going_on = {"question": "And then?", "thread": "t"}
    assert has_nothing_to_read(FakeClient(), {"question": "When?"})
    assert has_nothing_to_read(FakeClient(), going_on)
    assert not has_nothing_to_read(FakeClient(attachments=["/a.md"]), going_on)
    assert not has_nothing_to_read(FakeClient(mode="attached"), going_on)
    assert not has_nothing_to_read(FakeClient(), going_on | {"glob": "*.md"})


@pytest.mark.parametrize(
    "flags",
    [
        ["--json", "--jsonl"],
        ["-c", "--thread", "ab"],
        ["--no-log", "-c"],
        ["-x", "--json"],
        ["-x", "--schema", "{}"],
        ["--chat", "--folder", "."],
        ["--chat", "--type", "pdf"],
        ["-f", "x", "--after", "2026"],
        ["-a", "x", "--folder", "."],
        ["-a", "-", "-f", "-"],
        ["-p", "a", "b"],
    ],
)
def test_flags_that_contradict_each_other_are_a_usage_error_before_anything_is_asked(flags: list[str]):
    result = CliRunner().invoke(ask, [*flags, "Hi"])
    assert result.exit_code == 2
    assert result.stderr.count("Error:") == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"MZ", "photo.png is no PNG, JPEG, WebP or GIF image"),
        (png()[:30], "photo.png is cut short"),
        (b"", "photo.png is empty"),
    ],
)
def test_what_is_no_image_is_refused_before_anything_is_asked(tmp_path: Path, data: bytes, words: str):
    (tmp_path / "photo.png").write_bytes(data)
    result = CliRunner().invoke(ask, ["-a", str(tmp_path / "*.png"), "What is this?"])
    assert isinstance(result.exception, InvalidRequest)
    assert words in result.exception.message


def test_images_are_files_patterns_or_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("b.png", "a.png"):
        (tmp_path / name).write_bytes(png(noise=name.encode()))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(gif())))
    found = pictures([str(tmp_path / "*.png"), "-"])
    assert [each["name"] for each in found] == ["stdin", "a.png", "b.png"]
    assert b64decode(found[0]["data"]) == gif()


def test_a_question_can_be_kept_as_a_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCALMIND_HOME", str(tmp_path))
    result = CliRunner().invoke(ask, ["--save", "brief", "Be brief: {{input}}"])
    assert result.exit_code == 0
    assert (tmp_path / "config" / "templates" / "brief.md").read_text() == "Be brief: {{input}}\n"
    assert json.dumps("brief")[1:-1] in result.stderr
    quiet = CliRunner().invoke(ask, ["--quiet", "--save", "short", "Be short: {{input}}"])
    assert (quiet.exit_code, quiet.output) == (0, "")
    assert CliRunner().invoke(ask, ["--quiet", "--json", "--jsonl", "Hi"]).stderr.count("Error:") == 1
