"""Which command opens a source, for the editors that people have."""

from pathlib import Path

import pytest

from localmind.errors import LocalmindError, NotFound
from localmind.events import Passage
from localmind_tui.editor import Launch, launch_for


def passage(path: Path, page: int | None = None) -> Passage:
    return Passage(1, str(path), 12, 15, page, None, "text", 0.5)


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "a note.md"
    path.write_text("hello")
    return path


def found(name: str) -> str:
    return f"/usr/bin/{name}"


def missing(name: str) -> None:
    return None


@pytest.mark.parametrize(
    ("editor", "before", "place", "in_terminal"),
    [
        ("vim", ("vim",), ("+12", "{path}"), True),
        ("/opt/bin/nvim -p", ("/opt/bin/nvim", "-p"), ("+12", "{path}"), True),
        ("emacs -nw", ("emacs", "-nw"), ("+12", "{path}"), True),
        ("hx", ("hx",), ("{path}:12",), True),
        ("subl", ("subl",), ("{path}:12",), False),
        ("code --wait", ("code", "--wait"), ("--goto", "{path}:12"), False),
    ],
)
def test_each_editor_is_told_the_line_in_its_own_way(
    note: Path, editor: str, before: tuple[str, ...], place: tuple[str, ...], in_terminal: bool
) -> None:
    expected = (*before, *(part.format(path=note) for part in place))
    assert launch_for(passage(note), {"EDITOR": editor}, found) == Launch(expected, in_terminal)


def test_visual_goes_before_editor_and_an_empty_one_does_not_count(note: Path) -> None:
    assert launch_for(passage(note), {"VISUAL": "vim", "EDITOR": "nano"}, found).argv[0] == "vim"
    assert launch_for(passage(note), {"VISUAL": " ", "EDITOR": "nano"}, found).argv[0] == "nano"


def test_without_a_wish_the_first_editor_that_is_there_is_taken(note: Path) -> None:
    assert launch_for(passage(note), {}, lambda name: name if name == "vi" else None).argv[0] == "vi"


def test_a_page_is_opened_by_the_desktop_not_by_an_editor(tmp_path: Path) -> None:
    pdf = tmp_path / "rent.pdf"
    pdf.write_bytes(b"%PDF-1.4")
    launch = launch_for(passage(pdf, page=2), {"EDITOR": "vim"}, found)
    assert launch.argv[1:] == (str(pdf),)
    costs = tmp_path / "costs.ods"  # of a sheet with no page
    costs.touch()
    assert launch_for(passage(costs), {"EDITOR": "vim"}, found).argv[1:] == (str(costs),)
    assert not launch.in_terminal
    with pytest.raises(LocalmindError, match=r"rent\.pdf"):
        launch_for(passage(pdf, page=2), {"EDITOR": "vim"}, missing)


@pytest.mark.parametrize("environ", [{}, {"EDITOR": "vim"}, {"EDITOR": "vim 'unclosed"}])
def test_what_cannot_be_run_is_said_with_a_hint(note: Path, environ: dict[str, str]) -> None:
    with pytest.raises(LocalmindError) as caught:
        launch_for(passage(note), environ, missing)
    assert caught.value.hint == "export EDITOR=nano"


def test_a_file_that_is_gone_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no longer there"):
        launch_for(passage(tmp_path / "gone.md"), {"EDITOR": "vim"}, found)
