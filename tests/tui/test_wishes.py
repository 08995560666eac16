"""Settings and themes of the user's own, read at the start and again whenever they are saved."""

import os
from pathlib import Path

import pytest
from textual.theme import Theme
from tui_driver import Driver, Start

from localmind.errors import InvalidRequest
from localmind_tui.own_themes import read_theme
from localmind_tui.screens.themes import ThemesScreen
from localmind_tui.themes import DARK, LIGHT
from localmind_tui.wishes import Wishes

KNOWN = {theme.name: theme for theme in (DARK, LIGHT)}


def theme_of(text: str, tmp_path: Path) -> Theme:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return read_theme(path, KNOWN)


def test_a_theme_of_ones_own_changes_what_it_names_and_the_shades_made_of_it(tmp_path: Path) -> None:
    mine = theme_of('base = "localmind-light"\nprimary = "#aa0000"\nbackground = "white"\n', tmp_path)
    assert (mine.name, mine.primary, mine.dark, mine.accent) == ("mine", "#aa0000", False, LIGHT.accent)
    assert mine.variables["border"] == "#aa0000"
    assert mine.variables["scrollbar-background"] == "white"
    assert LIGHT.primary != "#aa0000"  # ours is as it was


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('primary = "no colour"', "primary is no colour: 'no colour'"),
        ("primary = 7", "primary is no colour: '7'"),
        ('colour = "#aa0000"', "a theme has no 'colour'"),
        ('base = "nowhere"', "no theme 'nowhere'"),
        ("dark = 1", "dark is true or false"),
        ("primary", "mine.toml: "),
        ('base = ["a"]', "no theme"),
    ],
)
def test_what_is_wrong_with_a_theme_is_named(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=says):
        theme_of(text, tmp_path)


def save(path: Path, text: str) -> None:
    """As an editor does; two saves within one tick of the clock differ in their time as well."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(before + 10**9, before + 10**9))


def test_a_file_that_was_read_while_it_was_being_saved_is_read_again_within_the_same_tick(tmp_path: Path) -> None:
    settings, mine = tmp_path / "settings.toml", tmp_path / "themes" / "mine.toml"
    mine.parent.mkdir()
    for path in (settings, mine):
        path.touch()
        os.utime(path, ns=(10**9, 10**9))
    wishes = Wishes(settings)
    settings.write_text("[tui]\nvim = true\n", encoding="utf-8")
    mine.write_text('background = "#101010"', encoding="utf-8")
    for path in (settings, mine):
        os.utime(path, ns=(10**9, 10**9))
    assert wishes.changed() == (True, True)
    assert wishes.preferences.vim
    assert [theme.background for theme in wishes.themes(KNOWN)] == ["#101010"]
    assert wishes.changed() == (False, False)


async def ground(driver: Driver, colour: str) -> None:
    await driver.until(lambda: driver.chat.background_colors[1].hex == colour)


async def test_saved_settings_and_themes_count_while_the_app_is_open(start: Start, tmp_path: Path) -> None:
    settings, mine = tmp_path / "settings.toml", tmp_path / "themes" / "mine.toml"
    save(mine, 'background = "#101010"')
    save(settings, '[tui]\ntheme = "mine"')
    async with start(settings=settings) as driver:
        await ground(driver, "#101010")
        save(mine, 'background = "#202020"')
        await ground(driver, "#202020")
        save(mine, 'background = "nonsense"')
        await driver.until(lambda: "background is no colour" in driver.notices)
        await ground(driver, "#202020")
        save(settings, '[tui]\ntheme = "localmind-light"\nvim = true\n[tui.keys]\n"folders.open" = "f11"')
        await ground(driver, str(LIGHT.background).upper())
        await driver.until(lambda: driver.composer.vim is not None)
        await driver.press("escape")
        await driver.until(lambda: "normal mode" in str(driver.composer.border_title))
        await driver.press("f11")
        await driver.until(lambda: getattr(driver.app.screen, "place", "") == "folders")
        await driver.press("escape")
        save(settings, "[tui]\nvim = 1")
        await driver.until(lambda: "tui.vim is true or false" in driver.notices)
        assert driver.composer.vim is None


async def test_a_theme_that_is_marked_is_shown_and_only_enter_keeps_it(start: Start) -> None:
    async with start() as driver:
        before = driver.app.theme
        driver.type("/theme")
        await driver.press("enter")
        await driver.until(lambda: isinstance(driver.app.screen, ThemesScreen) and driver.app.screen.marked)
        listed = driver.app.screen
        assert isinstance(listed, ThemesScreen)
        assert listed.marked is not None
        assert listed.marked.name == before  # the one in use is marked, wherever it stands
        await driver.press("down")
        wanted = listed.marked.name
        assert wanted != before
        await driver.until(lambda: driver.app.theme == wanted)
        await driver.press("escape")
        await driver.until(lambda: driver.app.screen is driver.chat)
        assert (driver.app.theme, driver.app.desk.memory.now.theme) == (before, "")
        await driver.app.run_action("themes")
        await driver.shows(ThemesScreen)
        await driver.press(*"gruv")
        await driver.until(lambda: driver.app.theme == "gruvbox")
        await driver.press("enter")
        await driver.until(lambda: driver.app.screen is driver.chat)
        assert (driver.app.theme, driver.app.desk.memory.now.theme) == ("gruvbox", "gruvbox")


async def test_a_terminal_of_16_colours_is_offered_no_theme_that_needs_more(start: Start) -> None:
    async with start(environ={"TERM": "linux", "SSH_TTY": "none"}) as driver:
        await driver.app.run_action("themes")
        await driver.shows(ThemesScreen)
        assert isinstance(driver.app.screen, ThemesScreen)
        assert [theme.name for theme in driver.app.screen.items] == ["ansi-dark", "ansi-light"]
        await driver.press(*"nord")
        await driver.until(lambda: not driver.app.screen.items)
        await driver.press("enter", "escape")
        await driver.until(lambda: driver.app.screen is driver.chat)
        assert driver.app.theme == "ansi-dark"


async def test_a_terminal_of_16_colours_is_given_its_own_and_no_others(start: Start) -> None:
    environ = {"TERM": "xterm", "COLORFGBG": "0;15", "SSH_TTY": "/dev/pts/1"}
    async with start(environ=environ) as driver:
        await driver.until(lambda: driver.header.state == "ready")
        assert driver.app.theme == "ansi-light"
        styles = [segment.style for strip in driver.app.screen._compositor.render_strips() for segment in strip]
        colours = {colour for style in styles if style for colour in (style.color, style.bgcolor) if colour}
        assert colours
        assert not [colour for colour in colours if colour.triplet is not None]
