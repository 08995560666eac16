"""Names of files, and files of the user's own: whatever stands in them, the app opens and nobody is locked out."""

import contextlib
import json
import shlex
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.theme import BUILTIN_THEMES

from localmind.errors import InvalidRequest
from localmind_tui.completion import files_like, folder_completion, pasted_paths, reference_to, references
from localmind_tui.own_themes import COLOURS, read_theme
from localmind_tui.preferences import Preferences
from localmind_tui.remembered import Remembered
from localmind_tui.state import Memory
from localmind_tui.themes import OURS

NAMES = (
    st.text(st.sampled_from("ab .,;:!?)('\"\\@~[]*$é名-"), min_size=1, max_size=12)
    .filter(lambda name: name not in (".", ".."))
    .filter(lambda name: not name.endswith("\\"))  # in quotes it would take away the last of them
)
KNOWN = BUILTIN_THEMES | {theme.name: theme for theme in OURS}
BROKEN = {
    "lists in lists": b"a = " + b"[" * 5000,
    "tables in tables": b"a = " + b"{a = " * 5000,
    "a long number": b"[tui]\npause_s = " + b"9" * 5000,
    "no text": b"\xff\xfe",
    "no TOML": b"[tui",
}


@contextlib.contextmanager
def files(*names: str) -> Iterator[list[Path]]:
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory) / name for name in names]
        for path in paths:
            path.touch()
        yield paths


@given(NAMES)
def test_a_file_is_found_by_its_reference_and_by_what_completion_puts(name: str) -> None:
    with files(name) as [path]:
        assert references(f"what does {reference_to(path)} say", (), Path("/")) == [path]
        found = files_like(f"see @{name[:1]}", (), path.parent)
        for candidate in found.candidates if found else ():
            assert references(candidate.text, (), path.parent) == [path]


@given(st.lists(NAMES, min_size=1, max_size=3, unique=True))
def test_dropped_files_are_found_however_a_terminal_writes_their_paths(names: list[str]) -> None:
    with files(*names) as paths:
        assert pasted_paths(" ".join(shlex.quote(str(path)) for path in paths)) == paths
        assert pasted_paths("\n".join(f"file://{urllib.parse.quote(str(path))}" for path in paths)) == paths


def test_a_link_to_itself_hides_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "notes").mkdir()
    found = files_like("@no", (), tmp_path)
    assert found is not None
    assert [candidate.text for candidate in found.candidates] == ["@notes/"]
    assert folder_completion(f"{tmp_path}/no", tmp_path) == f"{tmp_path}/notes"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*Remembered.__struct_fields__, "other"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(), st.integers(0, 60))
def test_whatever_the_memory_file_holds_the_next_draft_is_kept(data: bytes, cut: int) -> None:
    with files("tui.json") as [path]:
        path.write_bytes(data[:cut] if cut < 50 else data)
        memory = Memory(path)
        memory.draft("3f2a", "what I typed")
        memory.save()
        assert Memory(path).now.drafts["3f2a"] == "what I typed"


@pytest.mark.parametrize("field", ["drafts", "other"])
def test_a_memory_file_of_brackets_begins_anew_and_is_kept_beside(field: str, tmp_path: Path) -> None:
    path = tmp_path / "tui.json"
    data = f'{{"{field}": '.encode() + b'{"a": ' * 100_000
    path.write_bytes(data)
    assert Memory(path).now == Remembered()
    assert path.with_suffix(".broken").read_bytes() == data


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_settings_that_cannot_be_read_are_told_and_leave_ours(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(data)
    read = Preferences.read(path)
    assert read.problems
    assert (read.theme, read.vim, dict(read.keys)) == ("", False, {})


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_theme_that_cannot_be_read_is_told(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(data)
    with pytest.raises(InvalidRequest, match=r"mine\.toml"):
        read_theme(path, KNOWN)


COLOUR = st.sampled_from(
    [
        *("red", "auto", "auto 50%", "ansi_red", "ansi_default", "#fff", "#12345", "transparent", "initial"),
        *("rgb(1,2,3)", "rgb(999,999,999)", "rgba(1,2,3,9)", "hsl(1,2%,3%)", "hsla(999,1%,1%,.5)"),
    ]
)


@given(st.dictionaries(st.sampled_from([*COLOURS, "base", "dark"]), COLOUR | st.text() | st.booleans(), max_size=5))
def test_any_theme_is_told_or_can_be_drawn_with(table: dict[str, Any]) -> None:
    with files("mine.toml") as [path]:
        path.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in table.items()), "utf-8")
        with contextlib.suppress(InvalidRequest):
            assert read_theme(path, KNOWN).to_color_system().generate()
