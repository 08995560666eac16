"""How `ask` shows an answer: rendered a block at a time, raw, or only its code."""

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from localmind.cli._output import draws
from localmind.cli._shown import Rendered, Thoughts, code_of

LINES = st.sampled_from(
    [
        *(
            "para",
            "more *text* and `code`",
            "# Title",
            "",
            "",
            "- item",
            "  same item",
            "  - inner",
            "1. one",
            "10. ten",
        ),
        *("> said", "```py", "```", "x = 1", "| a | b |", "|---|---|", "| 1 | 2 |", "---", "   three", "    four"),
        *("   ```sh", "   ```", "<b>tag</b>", "名前", "\x1b[31mred", "a" * 90),
    ]
)
ANSWER = """\
Do this:

1. First, run

   ```bash
   echo "hello"

   ls
   ```

2. Then

   look at it.

    - deeper

Use <b> for bold.
"""
SHOWN = """\
Do this:

 1 First, run

    echo "hello"

    ls

 2 Then
   look at it.
    • deeper

Use <b> for bold.
"""


def rendered(*pieces: str, width: int = 60) -> str:
    out = io.StringIO()
    shown = Rendered(Console(file=out, width=width), every_s=0)
    for piece in pieces:
        shown.feed(piece)
    shown.end()
    return "\n".join(line.rstrip() for line in out.getvalue().split("\n"))


def test_what_stands_in_a_list_stays_in_it_however_the_answer_comes() -> None:
    assert rendered(ANSWER) == SHOWN
    assert rendered(*ANSWER) == SHOWN
    assert rendered(*ANSWER.splitlines(keepends=True)) == SHOWN


@given(st.lists(LINES, max_size=20).map("\n".join), st.lists(st.integers(0, 300)), st.integers(12, 80))
def test_pieces_are_rendered_like_the_whole_wherever_they_are_cut(text: str, cuts: list[int], width: int) -> None:
    places = [0, *sorted(cut for cut in cuts if cut <= len(text)), len(text)]
    pieces = [text[first:last] for first, last in itertools.pairwise(places)]
    assert rendered(*pieces, width=width) == rendered(text, width=width)


def test_rows_end_with_their_words() -> None:
    out = io.StringIO()
    shown = Rendered(Console(file=out, width=40))
    shown.feed("# Title\n\n- one\n- two\n\n> said")
    shown.end()
    assert [line for line in out.getvalue().split("\n") if line != line.rstrip()] == []


def test_a_terminal_that_calls_itself_dumb_is_not_drawn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setenv("TERM", "xterm")
    assert draws(terminal)
    assert not draws(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not draws(terminal)


def test_the_end_of_what_is_still_open_is_in_view_and_the_cursor_stays() -> None:
    out = io.StringIO()
    terminal = Console(file=out, width=20, height=6, force_terminal=True, _environ={"TERM": "xterm"})
    shown = Rendered(terminal, every_s=0)
    for number in range(60):
        shown.feed(f"word{number}{' ' if number % 3 else chr(10)}")
    last = out.getvalue().rpartition("\x1b[2K")[2]
    assert "word59" in last
    assert "word30" not in last
    assert out.getvalue().rpartition("\x1b[?25")[2].startswith("h"), "whoever kills the command has a cursor"
    shown.end()


def test_thoughts_go_to_stderr_cleaned_and_end_before_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    thoughts = Thoughts()
    thoughts.feed("Let me \x1b]0;see")
    thoughts.feed("\x07 now")
    thoughts.end()
    thoughts.end()
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "Let me  now\n\n")


def test_the_first_block_of_code_is_taken_without_its_fence_and_its_list() -> None:
    assert code_of(ANSWER) == 'echo "hello"\n\nls'
    assert code_of("no code") is None
    assert code_of("```sh\nls -l") == "ls -l", "the answer was cut at the limit"
    assert code_of("````\n```\nx\n```\n````") == "```\nx\n```"
    assert code_of("```\n```") == ""
