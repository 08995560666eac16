"""Keys of the user's own: what nobody can press, and what two things would share, is told; nothing ends the app."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._keyboard_protocol import FUNCTIONAL_KEYS, MODIFIER_FUNCTIONAL_KEYS
from textual.binding import BindingsMap
from tui_driver import Start

from localmind.clean import clean_line
from localmind_tui.keymap import KEYS, PLACES, bindings
from localmind_tui.own_keys import own_keys
from localmind_tui.preferences import Preferences
from localmind_tui.pressable import pressable

IDS = [key.id for key in KEYS]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("ctrl+x", "ctrl+x"),
        ("Ctrl+X", "ctrl+x"),
        ("shift+ctrl+up", "ctrl+shift+up"),
        ("Esc", "escape"),
        ("PgUp", "pageup"),
        ("F7", "f7"),
        ("shift+a", "A"),
        ("G", "G"),
        ("?", "question_mark"),
        ("question_mark", "question_mark"),
        ("ctrl+/", "ctrl+slash"),
        ("+", "plus"),
        ("ctrl++", "ctrl+plus"),
        ("ctrl+-", "ctrl+minus"),
        ("ñ", "ñ"),
        ("あ", "あ"),
        ("«", "left_pointing_double_angle_quotation_mark"),
        ("alt+№", "alt+numero_sign"),
        *((wrong, None) for wrong in ("ctrl+banana", "banana", "bell", "cmd+x", "ctrl", "ctrl+", "+x", "shift+1")),
        *(
            (wrong, None)
            for wrong in ("f36", "ctrl+ctrl+x", "latin_small_letter_a", "ctrl x", "<any>", "\x1b", "", "🌀")
        ),
    ],
)
def test_what_people_write_for_a_key_is_that_key_and_what_nobody_can_press_is_none(
    written: str, name: str | None
) -> None:
    assert pressable(written) == name


def test_every_key_that_a_terminal_sends_can_be_written_as_textual_names_it() -> None:
    sent = set(FUNCTIONAL_KEYS.values()) - MODIFIER_FUNCTIONAL_KEYS
    sent |= {key.value for keys in ANSI_SEQUENCES_KEYS.values() if isinstance(keys, tuple) for key in keys}
    assert {key for key in sent if pressable(key) != key} == {"<scroll-up>", "<scroll-down>"}
    ours = {each for key in KEYS for each in key.keys.split(",")}
    assert {key for key in ours if pressable(key) != key} == set()


@pytest.mark.parametrize("held", ["", "ctrl+", "shift+", "alt+shift+"])
def test_a_key_of_any_character_is_itself_by_its_name_too(held: str) -> None:
    found = {pressable(held + chr(code)) for code in (*range(0x3000), *range(0x1F000, 0x20000))} - {None}
    assert len(found) > 100
    assert [key for key in found if key is not None and pressable(key) != key] == []


@pytest.mark.parametrize(
    ("table", "kept", "told"),
    [
        ({"answer.stop": "ctrl+banana"}, {}, ['tui.keys."answer.stop"', "`ctrl+banana`", '"f7,ctrl+k"']),
        ({"answer.stop": "ctrl+x,f77"}, {}, ["`f77`"]),
        ({"answer.stop": 7}, {}, ['tui.keys."answer.stop" is a text', '"ctrl+k"']),
        ({"answer.stop": "Ctrl+X, ctrl+x"}, {"answer.stop": "ctrl+x"}, []),
        # one place
        ({"speak": "ctrl+y", "jump": "ctrl+y"}, {"speak": "ctrl+y"}, ["`ctrl+y` is `speak` already; it stays F9"]),
        ({"model.pull": "Z", "list.close": "Z"}, {"model.pull": "Z"}, ["`Z` is `model.pull` already"]),
        ({"turn.next": "y"}, {"turn.next": "y"}, ["`y` is `turn.next` now and no longer `message.copy`"]),
        ({"turn.next": "y", "message.copy": "j"}, {"turn.next": "y", "message.copy": "j"}, []),
        # what is over it
        ({"answer.stop": "f1"}, {}, ["`f1` is `help` there; it stays Esc"]),
        ({"answer.stop": "f1", "help": "f12"}, {"answer.stop": "f1", "help": "f12"}, []),
        ({"turn.leave": "ctrl+r"}, {}, ["`ctrl+r` is `speak` there"]),
        ({"answer.stop": "f1", "help": "f2"}, {"answer.stop": "f1", "help": "f2"}, ["no longer `threads.open`"]),
        (
            {"answer.stop": "f2", "help": "f12", "threads.open": "f12"},
            {"help": "f12"},
            ["`f12` is `help` already; it stays F2", "`f2` is `threads.open` there; it stays Esc"],
        ),
        # elsewhere a key may mean something else
        ({"model.remove": "e", "thread.rename": "f9"}, {"model.remove": "e", "thread.rename": "f9"}, []),
    ],
)
def test_what_cannot_be_is_told_with_its_id_and_what_is_right(
    table: dict[str, Any], kept: dict[str, str], told: list[str]
) -> None:
    chosen, problems = own_keys(table)
    assert chosen == kept
    words = "\n".join(problems)
    assert bool(words) == bool(told)
    assert all(each in words for each in told), words


def test_our_own_keys_share_nothing() -> None:
    for key in KEYS:
        assert own_keys({key.id: key.keys}) == ({key.id: key.keys}, []), key.id


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.datetimes()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=6
)
pieces = st.sampled_from(
    ["ctrl", "shift", "alt", "+", ",", "x", "F1", "esc", "Esc", "banana", " ", "\x1b", "İ", "ß", "up", "@", "🍌"]
)
written = st.lists(pieces, max_size=6).map("".join)


@given(st.dictionaries(st.sampled_from(IDS) | st.text(), values | written, max_size=6))
def test_no_keys_lock_anybody_out(table: dict[str, Any]) -> None:
    found = Preferences.of({"keys": table})
    for where in PLACES:
        BindingsMap(bindings(where)).apply_keymap(dict(found.keys))
    assert all(key.shown(found.keys) for key in KEYS)
    assert all(problem.startswith("settings: ") and clean_line(problem) == problem for problem in found.problems)
    assert Preferences.of({"keys": dict(found.keys)}).keys == found.keys  # what counts would count again


async def test_a_wrong_key_is_told_in_the_app_and_the_old_one_still_works(start: Start, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(
        '[tui]\n"\\u001b[2J" = 1\n[tui.keys]\n"help" = "ctrl+banana"\n"models.open" = "Ctrl+Y"\n"x\\u001b[31m" = "f9"\n'
    )
    async with start(settings=settings) as driver:
        await driver.until(lambda: "`ctrl+banana`" in driver.notices)
        assert "\x1b" not in driver.notices
        await driver.press("ctrl+y")
        await driver.until(lambda: getattr(driver.app.screen, "place", "") == "models")
        await driver.press("f1")
        await driver.until(lambda: type(driver.app.screen).__name__ == "HelpScreen")
