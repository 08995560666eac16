"""Images from the clipboard: which tool is asked on which desktop, what is believed of it, and where files stay."""

import asyncio
import base64
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from images_made import png
from tui_driver import ENVIRON, Driver, Start
from tui_fakes import FakeEyes

from localmind.errors import InvalidRequest, LocalmindError, NotFound
from localmind.events import Done
from localmind.images import Image
from localmind_tui.pasting import Pasted, Tool, decoded, image_in_clipboard, tool_for
from localmind_tui.viewing import Viewing, viewer_for
from localmind_tui.widgets.pictures import PictureLine

PNG = png(64, 48)


def having(*names: str) -> Any:
    return lambda name: f"/usr/bin/{name}" if name in names else None


def test_each_desktop_is_asked_by_its_own_tool() -> None:
    wayland = tool_for({"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}, having("wl-paste", "xclip"), "linux")
    assert wayland.argvs[0] == ("wl-paste", "--no-newline", "--type", "image/png")
    assert [argv[-1] for argv in wayland.argvs] == ["image/png", "image/jpeg", "image/webp", "image/gif"]
    x11 = tool_for({"DISPLAY": ":0"}, having("wl-paste", "xclip"), "linux")
    assert x11.argvs[0] == ("xclip", "-selection", "clipboard", "-target", "image/png", "-out")
    assert tool_for({}, having("pngpaste"), "darwin") == Tool((("pngpaste", "-"),))
    assert tool_for({}, having(), "darwin").form == "applescript"
    assert tool_for({}, having("powershell"), "win32").form == "base64"
    wsl = tool_for({"WSL_DISTRO_NAME": "Debian", "DISPLAY": ":0"}, having("powershell.exe", "xclip"), "linux")
    assert wsl.argvs[0][:3] == ("powershell.exe", "-NoProfile", "-STA")


@pytest.mark.parametrize(
    ("environ", "platform", "words", "hint"),
    [
        ({"SSH_TTY": "/dev/pts/1", "DISPLAY": ":0"}, "linux", "another machine's", "/image PATH"),
        ({"WAYLAND_DISPLAY": "w"}, "linux", "wl-paste", "install wl-clipboard"),
        ({"DISPLAY": ":0"}, "linux", "xclip", "install xclip"),
        ({}, "linux", "no desktop", "/image PATH"),
        ({}, "win32", "PowerShell", "/image PATH"),
    ],
)
def test_what_is_missing_is_named(environ: dict[str, str], platform: str, words: str, hint: str) -> None:
    with pytest.raises(LocalmindError, match=words) as told:
        tool_for(environ, having(), platform)
    assert hint in str(told.value.hint)


def printing(data: bytes, *before: tuple[str, ...], code: int = 0) -> Tool:
    words = f"import base64, os; os.write(1, base64.b64decode({base64.b64encode(data)!r})); os._exit({code})"
    return Tool((*before, (sys.executable, "-S", "-c", words)))


async def test_the_first_kind_that_is_there_is_taken_and_nothing_is_no_image() -> None:
    empty = (sys.executable, "-S", "-c", "raise SystemExit(1)")
    assert await image_in_clipboard(printing(PNG, empty)) == PNG
    with pytest.raises(NotFound, match="no image in the clipboard"):
        await image_in_clipboard(Tool((empty,)))
    with pytest.raises(NotFound):  # what a tool printed before it failed is not believed
        await image_in_clipboard(printing(PNG, code=1))
    with pytest.raises(InvalidRequest, match="cut short"):
        await image_in_clipboard(printing(PNG[:-8]))
    with pytest.raises(LocalmindError, match="cannot run /no/such/tool"):
        await image_in_clipboard(Tool((("/no/such/tool",),)))


async def test_whoever_waits_no_longer_leaves_no_program_behind(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    words = f"import os, pathlib, time; pathlib.Path({str(begun)!r}).write_text(str(os.getpid())); time.sleep(600)"
    asking = asyncio.ensure_future(image_in_clipboard(Tool(((sys.executable, "-c", words),))))
    while not (begun.exists() and begun.read_text()):
        assert not asking.done()
        await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait([asking])
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)


def test_what_the_platforms_print_becomes_the_image() -> None:
    assert decoded(base64.b64encode(PNG) + b"\r\n", "base64") == PNG
    assert decoded("«data PNGf".encode() + PNG.hex().upper().encode() + "»\n".encode(), "applescript") == PNG
    assert decoded(b"execution error: (-1700)", "applescript") == b""


@given(st.binary(max_size=200), st.sampled_from(["bytes", "base64", "applescript"]))
def test_whatever_a_tool_prints_is_an_image_or_nothing(output: bytes, form: Any) -> None:
    assert isinstance(decoded(output, form), bytes)


def test_files_are_private_and_stay_only_while_a_draft_names_them(tmp_path: Path) -> None:
    pasted = Pasted(tmp_path / "pasted")
    kept, gone, coming = pasted.keep(PNG), pasted.keep(png(8, 8)), pasted.keep(png(9, 9))
    pasted.own(kept)
    pasted.own(gone)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (kept, kept.parent)] == [0o600, 0o700]
    others, old = kept.with_name("of-another-window.png"), kept.with_name("of-a-crash.png")
    for each in (others, old):
        each.write_bytes(PNG)
    os.utime(old, (0, 0))
    pasted.forget_all_but({str(kept)})
    assert {each.name for each in kept.parent.iterdir()} == {kept.name, coming.name, others.name}
    assert not gone.exists()


def pictures(driver: Driver) -> list[str]:
    return [line.picture.name for line in driver.chat.query(PictureLine)]


async def test_an_image_from_the_clipboard_goes_with_the_question_and_its_file_goes_away(
    start: Start, tmp_path: Path
) -> None:
    tool = tmp_path / "bin" / "xclip"
    tool.parent.mkdir()
    (tmp_path / "shot.png").write_bytes(PNG)
    tool.write_text(f'#!/bin/sh\ncase "$4" in image/png) cat "{tmp_path}/shot.png" ;; *) exit 1 ;; esac\n')
    opener = tool.with_name("xdg-open")
    opener.write_text("#!/bin/sh\nexit 1\n")  # it is found, and never run: the test's app launches nothing
    for each in (tool, opener):
        each.chmod(0o755)
    memory = tmp_path / "tui.json"
    environ = {name: value for name, value in ENVIRON.items() if name != "SSH_TTY"} | {"DISPLAY": ":0"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
        async with start(environ=environ, memory=memory) as driver:
            driver.daemon.model.outside = FakeEyes()
            await driver.press("ctrl+v")
            await driver.until(lambda: len(pictures(driver)) == 1)
            (file,) = (tmp_path / "pasted").iterdir()
            assert pictures(driver) == [file.name]
            turn = await driver.settled("What is this?", Done())
            assert driver.daemon.model.asked[0].messages[-1].images == (Image("image/png", PNG),)
            await driver.until(lambda: not list((tmp_path / "pasted").iterdir()))
            turn.focus()
            await driver.press("o")
            await driver.until(lambda: driver.launched)
            assert driver.launched[0].argv[0] == "xdg-open"
            assert Path(driver.launched[0].argv[1]).read_bytes() == PNG
            (tmp_path / "shot.png").unlink()
            driver.composer.focus()
            driver.composer.put("/image")
            await driver.press("enter")
            await driver.until(lambda: "no image in the clipboard" in driver.notices)


async def test_text_that_was_copied_in_the_app_is_pasted_where_there_is_no_image(start: Start) -> None:
    async with start() as driver:
        await driver.press("ctrl+v")
        await driver.until(lambda: "over SSH the clipboard is another machine's" in driver.notices)
        driver.app.copy_to_clipboard("the boiler")
        await driver.press("ctrl+v")
        await driver.until(lambda: driver.composer.text == "the boiler")


async def test_a_kept_image_is_written_where_there_is_no_desktop_and_goes_with_the_window(
    start: Start, tmp_path: Path
) -> None:
    photo = tmp_path / "a photo.png"
    photo.write_bytes(PNG)
    async with start() as driver:
        driver.daemon.model.outside = FakeEyes()
        driver.composer.put(f"/image {photo}")
        await driver.press("enter")
        await driver.until(lambda: pictures(driver))
        turn = await driver.settled("What is this?", Done())
        turn.focus()
        await driver.press("o")
        await driver.until(lambda: "Until this window closes it is here: " in driver.notices)
        written = Path(driver.notices.rpartition("it is here: ")[2].strip())
        assert written.read_bytes() == PNG
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert not written.parent.exists()


def test_the_viewer_is_the_desktops_and_its_file_has_a_plain_name(tmp_path: Path) -> None:
    path = Path("/tmp/x.png")
    assert viewer_for(path, {"DISPLAY": ":0"}, having("xdg-open"), "linux") is not None
    assert viewer_for(path, {"DISPLAY": ":0"}, having(), "linux") is None
    assert viewer_for(path, {}, having("xdg-open"), "linux") is None
    opened = viewer_for(path, {}, having(), "darwin")
    assert opened is not None
    assert (opened.argv, opened.in_terminal) == (("open", str(path)), False)
    viewing = Viewing()
    try:
        assert viewing.write("-rf /../$(x) é.png", "ab" * 32, PNG).name == "abababab-rf--..---x--é.png"
    finally:
        viewing.close()
