"""Images that come and go while others are still under way."""

import asyncio
from pathlib import Path

from images_made import png
from test_overlapping import Gate, opening, said, threads_held
from textual import events
from tui_driver import Driver, Start

from localmind_tui.pasting import Pasted
from localmind_tui.remembered import Picture
from localmind_tui.widgets.composer import PASTE_LIMIT
from localmind_tui.widgets.pictures import PictureLine, Pictures


def picture(name: str) -> Picture:
    return Picture(name, "image/png", 8, 8, 100, path=f"/nowhere/{name}")


def shown(driver: Driver) -> list[str]:
    return [line.picture.name for line in driver.chat.query(PictureLine)]


async def test_rows_of_images_that_are_wanted_at_once_do_not_mix_and_a_line_that_stays_is_the_same(
    start: Start,
) -> None:
    async with start() as driver:
        one, two, three = (picture(name) for name in ("1.png", "2.png", "3.png"))
        driver.composer.pictures = (one,)
        await driver.chat.show_pictures()
        row = driver.chat.query_one(Pictures)
        first = row.lines[0]
        await asyncio.gather(row.show((one, two)), row.show((one, two, three)), row.show((three, one)))
        assert shown(driver) == [line.picture.name for line in row.lines] == ["3.png", "1.png"]
        assert row.lines[1] is first
        await asyncio.gather(row.show(()), row.show((two, three)), row.show((two,)))
        assert (shown(driver), row.display) == (["2.png"], True)


async def test_keys_that_follow_at_once_find_their_place_among_the_images(start: Start) -> None:
    async with start() as driver:
        driver.composer.pictures = tuple(picture(name) for name in ("1.png", "2.png", "3.png"))
        await driver.chat.show_pictures()
        row = driver.chat.query_one(Pictures)
        driver.chat.set_focus(row.lines[1])
        gone = row.lines[1]
        showing = asyncio.create_task(row.show(driver.composer.pictures[::2]))
        await asyncio.sleep(0)
        assert driver.app.focused is row.lines[1]  # before anything was taken away or drawn
        driver.chat.on_picture_line_left(PictureLine.Left(1, gone))  # of a key that was pressed just before
        await showing
        assert driver.app.focused is row.lines[1]


async def test_an_image_that_comes_late_leaves_the_focus_alone_and_stays_with_its_draft(
    start: Start, tmp_path: Path
) -> None:
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(png(noise=name.encode()))
    async with start() as driver:
        elsewhere = said(driver.daemon, "elsewhere")
        await driver.chat._take(tmp_path / "1.png")
        line = driver.chat.query_one(PictureLine)
        with threads_held() as let_go:
            taking = asyncio.create_task(driver.chat._take(tmp_path / "2.png"))
            driver.chat.set_focus(line)
            let_go.set()
            await taking
        await driver.pilot.pause()
        assert driver.app.focused is line
        with threads_held() as let_go:
            taking = asyncio.create_task(driver.chat._take(tmp_path / "1.png"))
            await asyncio.sleep(0)
            await driver.chat.open(elsewhere)
            let_go.set()
            await taking
        assert shown(driver) == []
        await driver.chat.open(None)
        assert shown(driver) == ["2.png", "1.png"]


async def test_a_pasted_image_that_is_taken_away_while_the_daemon_is_asked_about_it_leaves_no_file(
    start: Start, tmp_path: Path
) -> None:
    async with start() as driver:
        pasted = driver.chat._pasted = Pasted(tmp_path / "pasted")
        gate = Gate(driver.daemon, "get", lambda path: path == "/models")
        taking = asyncio.create_task(driver.chat._take(pasted.keep(png()), pasted))
        await driver.until(lambda: gate.waiting)
        driver.chat.query_one(PictureLine).action_remove()
        await driver.until(lambda: not list((tmp_path / "pasted").iterdir()))
        gate.let_go()
        await taking


async def test_what_is_pasted_and_dropped_before_a_thread_has_come_stands_behind_its_draft(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "new.png").write_bytes(png())
    async with start() as driver:
        thread = said(driver.daemon, "old")
        memory, chat, composer = driver.app.desk.memory, driver.chat, driver.composer
        memory.draft(thread, "[pasted 1: 1 lines] and ")
        memory.pasted(thread, ("the draft's own",))
        memory.pictured(thread, (picture("kept.png"),))
        composer.post_message(events.Paste("left behind " * PASTE_LIMIT))
        await driver.until(lambda: composer.pastes)
        composer.pictures = (picture("left.png"),)
        left = composer.text, composer.pastes, composer.pictures
        gate = Gate(driver.daemon, "get", lambda path: path == f"/threads/{thread}")
        async with opening(driver, thread):
            await driver.until(lambda: gate.waiting)
            for number in (1, 2):
                composer.post_message(events.Paste(f"{number} " * PASTE_LIMIT))
                await driver.until(lambda number=number: len(composer.pastes) == 1 + number)
            await chat._take(tmp_path / "new.png")
            gate.let_go()
        assert composer.text == ("[pasted 1: 1 lines] and [pasted 2: 8,000 characters] [pasted 3: 8,000 characters] ")
        assert composer.pastes == ("the draft's own", "1 " * PASTE_LIMIT, "2 " * PASTE_LIMIT)
        assert [each.name for each in composer.pictures] == shown(driver) == ["kept.png", "new.png"]
        now = memory.now
        assert (now.drafts[""], now.pastes[""], now.pictures[""]) == left


async def test_what_is_left_and_then_changed_comes_along_and_an_image_meant_for_what_was_left_does_not(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "late.png").write_bytes(png())
    async with start() as driver:
        thread = said(driver.daemon, "old")
        driver.composer.insert("a question to nobody")
        gate = Gate(driver.daemon, "get", lambda path: path == f"/threads/{thread}")
        with threads_held() as let_go:
            taking = asyncio.create_task(driver.chat._take(tmp_path / "late.png"))
            await asyncio.sleep(0)
            async with opening(driver, thread):
                await driver.until(lambda: gate.waiting)
                let_go.set()
                await taking
                driver.composer.put("another question")
                gate.let_go()
        assert (driver.composer.text, shown(driver)) == ("another question", [])
        now = driver.app.desk.memory.now
        assert now.drafts[""] == "a question to nobody"
        assert [each.name for each in now.pictures[""]] == ["late.png"]


async def test_an_image_dropped_between_two_threads_goes_to_the_one_that_comes(start: Start, tmp_path: Path) -> None:
    (tmp_path / "new.png").write_bytes(png())
    async with start() as driver:
        one, two = said(driver.daemon, "one"), said(driver.daemon, "two")
        gates = [Gate(driver.daemon, "get", lambda path, each=each: path == f"/threads/{each}") for each in (one, two)]
        async with opening(driver, one):
            await driver.until(lambda: gates[0].waiting)
            with threads_held() as let_go:
                taking = asyncio.create_task(driver.chat._take(tmp_path / "new.png"))
                await asyncio.sleep(0)
                async with opening(driver, two):
                    await driver.until(lambda: gates[1].waiting)
                    let_go.set()
                    await taking
                    gates[1].let_go()
            gates[0].let_go()
        assert (driver.chat._key, shown(driver)) == (two, ["new.png"])
        assert driver.app.desk.memory.now.pictures == {two: driver.composer.pictures}


async def test_what_is_pasted_for_a_thread_that_never_comes_is_there_the_next_time(
    start: Start, tmp_path: Path
) -> None:
    async with start(memory=tmp_path / "tui.json") as driver:
        thread = said(driver.daemon, "old")
        gate = Gate(driver.daemon, "get", lambda path: path == f"/threads/{thread}")
        opening = asyncio.create_task(driver.chat.open(thread))
        await driver.until(lambda: gate.waiting)
        driver.composer.post_message(events.Paste("a word " * PASTE_LIMIT))
        await driver.until(lambda: driver.composer.pastes)
        driver.composer.pictures = (picture("dropped.png"),)
    opening.cancel()
    async with start(memory=tmp_path / "tui.json") as driver:
        assert driver.composer.pasted == [("pasted-1", "a word " * PASTE_LIMIT)]
        assert [each.name for each in driver.composer.pictures] == ["dropped.png"]
