"""Completion, references, vim keys, preferences: what happens between the keys and a question, without an app."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.theme import BUILTIN_THEMES

from localmind.errors import InvalidRequest
from localmind_tui.attaching import attach
from localmind_tui.clipboard import tools_for
from localmind_tui.completion import (
    Completion,
    commands_like,
    files_like,
    folder_completion,
    names_a_file,
    narrowed,
    pasted_path,
    reference_to,
    references,
    templates_like,
)
from localmind_tui.keymap import KEYS
from localmind_tui.preferences import Preferences
from localmind_tui.themes import DARK, LIGHT, OURS, SIXTEEN, SIXTEEN_LIGHT, first_theme, shown_theme
from localmind_tui.widgets.stream import FASTEST_S, SHARE, SLOWEST_S, TAIL_LINES, pause, shortened

COMMANDS = (("model", "Another model"), ("models", "All models"), ("new", "New thread"))


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "boiler.md").write_text("x")
    (tmp_path / "a b.txt").write_text("x")
    (tmp_path / ".hidden").write_text("x")
    return tmp_path


def offered(found: Completion | None) -> list[str]:
    return [candidate.text for candidate in found.candidates] if found else []


def test_commands_complete_by_their_beginnings_and_then_by_their_parts() -> None:
    assert offered(commands_like("/mod", COMMANDS)) == ["/model ", "/models "]
    assert offered(commands_like("/", COMMANDS)) == ["/model ", "/models ", "/new "]
    assert offered(commands_like("/els", COMMANDS)) == ["/models "]
    assert commands_like("/x", COMMANDS) is None


def test_files_and_folders_complete_a_directory_at_a_time(here: Path) -> None:
    def at(text: str) -> list[str]:
        return offered(files_like(text, ("/home/ines/samples",), here))

    assert at("see @") == ["@notes/", "@samples/", '@"a b.txt" ']
    assert at("see @notes/b") == ["@notes/boiler.md "]
    assert at('see @"a ') == ['@"a b.txt" ']
    assert at("see @.h") == ["@.hidden "]
    assert at("mail@notes") == []
    assert at("@nowhere/") == []


def test_of_an_older_listing_stays_what_fits_what_is_typed_now(here: Path) -> None:
    all_of_it = files_like("see @", ("/home/ines/samples",), here)
    assert all_of_it is not None

    def left(text: str) -> list[str]:
        return offered(narrowed(all_of_it, text))

    assert left("see @n") == ["@notes/"]
    assert left('see @"A') == ['@"a b.txt" ']
    assert left("see @notes/") == []  # another folder
    assert left("see @/n") == []
    assert left("see @.") == []
    assert left("see it @n") == []  # another word
    assert left("see ") == []
    hidden = files_like("@.h", (), here)
    assert hidden is not None
    assert narrowed(hidden, "@.hi") == hidden
    assert narrowed(hidden, "@") is None
    commands = commands_like("/n", COMMANDS)
    assert commands is not None
    assert narrowed(commands, "@/n") is None


def test_of_an_older_listing_of_templates_stays_what_begins_as_typed(tmp_path: Path) -> None:
    for name in ("brief", "bread", "note"):
        (tmp_path / f"{name}.md").touch()
    all_of_it = templates_like("/template ", tmp_path)
    assert all_of_it is not None
    assert offered(all_of_it) == ["bread ", "brief ", "note "]
    assert offered(narrowed(all_of_it, "/template br")) == ["bread ", "brief "]
    assert narrowed(all_of_it, "/template x") is None
    assert narrowed(all_of_it, "/template note and") is None
    assert narrowed(all_of_it, "see @n") is None
    files = files_like("@n", (), tmp_path)
    assert files is not None
    assert narrowed(files, "/template n") is None


def test_references_are_what_exists_each_once_with_what_a_sentence_puts_behind(here: Path) -> None:
    text = 'Compare @notes/boiler.md, @"a b.txt" and @notes/boiler.md. Mail x@notes; see @missing.'
    assert references(text, (), here) == [here / "notes/boiler.md", here / "a b.txt"]
    assert references("@notes", (str(here / "notes"),), Path("/")) == [here / "notes"]


def test_a_reference_made_from_a_path_is_read_back_as_that_path(here: Path) -> None:
    for name in ("notes/boiler.md", "a b.txt"):
        assert references(reference_to(here / name), (), Path("/")) == [here / name]


def test_dropped_files_come_in_the_forms_that_terminals_paste(here: Path) -> None:
    path = here / "a b.txt"
    for form in (
        f"'{path}'",
        f'"{path}"',
        str(path).replace(" ", "\\ "),
        f"file://{str(path).replace(' ', '%20')}",
        f"{path} ",
    ):
        assert pasted_path(form) == path
    for other in ("", "hello", "two\nlines", "/nowhere/at/all", "a" * 5000, "'"):
        assert pasted_path(other) is None


@given(st.text())
def test_no_text_breaks_completion_or_references(text: str) -> None:
    commands_like(text, COMMANDS)
    assert files_like(text, ("/x",), Path("/")) is None or names_a_file(text)
    references(text, ("/x",), Path("/"))
    pasted_path(text)
    folder_completion(text, Path("/nowhere"))


def test_folders_complete_for_the_folder_field(here: Path) -> None:
    assert folder_completion(f"{here}/no", Path("/nowhere")) == f"{here}/notes"
    assert folder_completion(f"{here}/", here) is None
    assert folder_completion("no", here) == "notes"
    assert folder_completion("relative", here) is None
    assert folder_completion("~nobody-of-that-name/x", here) is None


def test_preferences_say_what_is_wrong_and_keep_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(
        '[tui]\ntheme = "nord"\nvim = "yes"\ncolour = 1\n[tui.keys]\n'
        '"answer.stop" = "ctrl+x"\n"nonsense" = "f9"\n"help" = ""\n'
    )
    found = Preferences.read(path)
    assert (found.theme, found.vim, dict(found.keys)) == ("nord", False, {"answer.stop": "ctrl+x"})
    assert len(found.problems) == 4
    path.write_text("not toml")
    assert Preferences.read(path).problems
    assert Preferences.read(tmp_path / "none.toml") == Preferences()


@given(
    st.recursive(st.none() | st.booleans() | st.text(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=8)
)
def test_no_table_locks_anybody_out(table: object) -> None:
    found = Preferences.of(table)
    assert set(found.keys) <= {key.id for key in KEYS}


def test_the_first_theme_is_what_the_terminal_can_show() -> None:
    assert first_theme({"COLORTERM": "truecolor"}) == DARK.name
    assert first_theme({"TERM": "xterm-256color", "COLORFGBG": "0;15"}) == LIGHT.name
    assert first_theme({"TERM": "linux"}) == SIXTEEN
    assert first_theme({"TERM": "xterm", "COLORFGBG": "0;15"}) == SIXTEEN_LIGHT
    assert first_theme({"TERM": "rxvt", "COLORFGBG": "15;0"}) == SIXTEEN


def test_with_16_colours_the_marked_line_is_seen_while_the_search_has_the_keys() -> None:
    for theme in (each for each in OURS if each.ansi):
        for state in ("", "-blurred"):
            assert theme.variables[f"block-cursor{state}-background"] not in ("ansi_default", "ansi_black")


def test_a_terminal_of_16_colours_is_shown_no_theme_that_needs_more() -> None:
    sixteen, many = {"TERM": "linux"}, {"TERM": "xterm-256color"}
    ansi = next(theme for name, theme in BUILTIN_THEMES.items() if name == SIXTEEN)
    assert [shown_theme(each, sixteen) for each in (DARK, LIGHT, ansi)] == [SIXTEEN, SIXTEEN_LIGHT, SIXTEEN]
    assert [shown_theme(each, many) for each in (DARK, LIGHT, ansi)] == [DARK.name, LIGHT.name, SIXTEEN]


def test_over_ssh_the_far_clipboard_is_left_alone_but_tmux_hands_on_what_it_is_given() -> None:
    def which(name: str) -> str | None:
        return f"/usr/bin/{name}"

    xclip = ("xclip", "-selection", "clipboard")
    tmux = ("tmux", "load-buffer", "-w", "-")
    assert tools_for({"DISPLAY": ":0"}, which) == [xclip]
    assert tools_for({"DISPLAY": ":0", "SSH_TTY": "/dev/pts/1"}, which) == []
    assert tools_for({"DISPLAY": ":0", "TMUX": "/tmp/tmux-1000/default,1,0"}, which) == [tmux, xclip]
    assert tools_for({"SSH_TTY": "/dev/pts/1", "TMUX": "/tmp/tmux-1000/default,1,0"}, which) == [tmux]
    assert tools_for({"DISPLAY": ":0", "TMUX": "gone"}, lambda name: None) == []


def test_of_a_long_open_block_the_end_is_drawn() -> None:
    block = "\n".join(map(str, range(TAIL_LINES + 5)))
    assert shortened(block).splitlines()[:2] == ["… 5 lines above", "5"]
    assert shortened("a\nb") == "a\nb"


def test_an_answer_is_drawn_as_often_as_its_share_of_a_core_allows() -> None:
    assert pause(0.0) == FASTEST_S
    assert pause(0.02) * SHARE == pytest.approx(0.02)
    assert pause(9.0) == SLOWEST_S


def test_a_pipe_is_no_file_of_a_question_for_nobody_may_open_its_other_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidRequest, match="pipe is no file"):
        attach([tmp_path / "pipe"], [])
