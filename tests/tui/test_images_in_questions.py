"""Images in the app: pasted, dropped, named, taken away, sent, kept through an edit, and never lost to a refusal."""

from pathlib import Path

import pytest
from images_made import gif, jpeg, png
from syrupy.assertion import SnapshotAssertion
from test_pictures import pictures
from textual.events import Paste
from textual.widgets import OptionList, Static
from tui_driver import Driver, Start, stored
from tui_fakes import FakeDaemon, FakeEyes

from localmind.errors import NotFound
from localmind.events import Done, TextDelta
from localmind.images import Image
from localmind_tui.completion import pasted_paths
from localmind_tui.pictures import is_picture
from localmind_tui.screens.models import ModelsScreen
from localmind_tui.widgets.pictures import Pictures

EYE = {"name": "box/eye", "role": "chat", "host": "box:8000", "files": False, "context": 8192, "sees": True}
PNG = Image("image/png", png(640, 480))


def lines(driver: Driver) -> list[str]:
    """As they will be: one that is being taken away is still there for a moment."""
    return [line.picture.name for row in driver.chat.query(Pictures) for line in row.lines]


async def drop(driver: Driver, *paths: Path) -> None:
    driver.composer.post_message(Paste(" ".join(f"'{path}'" for path in paths)))
    names = [path.name for path in paths if is_picture(path)]
    await driver.until(lambda: lines(driver)[-len(names) :] == names)
    await driver.until(lambda: all(line.region for line in driver.chat.query_one(Pictures).lines))  # Tab goes by places


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a photo.png"
    path.write_bytes(PNG.data)
    return path


async def test_a_dropped_image_goes_with_the_question_and_is_shown_in_it(start: Start, photo: Path) -> None:
    async with start() as driver:
        driver.daemon.model.outside = FakeEyes()
        await drop(driver, photo)
        assert driver.composer.text == ""
        turn = await driver.settled("What is this?", TextDelta("A boiler."), Done())
        assert driver.daemon.model.asked[0].messages[-1].images == (PNG,)
        assert "▣ a photo.png, PNG 640×480, 1." in str(turn.query_one(".question", Static).content)
        assert lines(driver) == []
        await driver.settled("And what colour?", Done())
        assert driver.daemon.model.asked[1].messages[0].images == (PNG,)


async def test_several_dropped_at_once_come_all_and_a_text_among_them_stays_a_file(
    start: Start, tmp_path: Path
) -> None:
    for name, data in (("one.png", PNG.data), ("note.md", b"The pump"), ("two.gif", gif())):
        (tmp_path / name).write_bytes(data)
    async with start() as driver:
        await drop(driver, *(tmp_path / name for name in ("one.png", "note.md", "two.gif")))
        assert lines(driver) == ["one.png", "two.gif"]
        assert driver.composer.text == f"@{tmp_path}/note.md "


async def test_every_way_to_name_an_image_by_key(start: Start, tmp_path: Path) -> None:
    here = tmp_path / "here"
    async with start() as driver:
        for name in ("by command.png", "completed.png", "typed.png"):
            (here / name).write_bytes(PNG.data)
        driver.daemon.model.outside = FakeEyes()
        driver.type("/image by command.png")
        await driver.press("enter")
        await driver.until(lambda: lines(driver) == ["by command.png"])
        driver.type("Which is @compl")
        await driver.press("tab")
        await driver.until(lambda: len(lines(driver)) == 2)
        assert driver.composer.text == "Which is "
        driver.type("like @typed.png ?")
        await driver.press("escape", "enter")
        await driver.until(lambda: driver.daemon.model.asked)
        asked = driver.daemon.model.asked[0].messages[-1]
        assert len(asked.images) == 3
        assert asked.content.startswith(
            "Images, in this order: by command.png, completed.png, typed.png\n\nWhich is like"
        )
        driver.daemon.say(Done())


async def test_images_are_taken_away_by_key_and_by_mouse(start: Start, tmp_path: Path) -> None:
    for name in ("1.png", "2.png", "3.png"):
        (tmp_path / name).write_bytes(png(noise=name.encode()))
    async with start() as driver:
        await drop(driver, *(tmp_path / name for name in ("1.png", "2.png", "3.png")))
        await driver.press("shift+tab", "k", "delete")
        await driver.until(lambda: lines(driver) == ["1.png", "3.png"])
        await driver.until(lambda: driver.chat.query_one(Pictures).lines[1].has_focus)
        await driver.press("j")
        await driver.until(lambda: driver.composer.has_focus)
        last = driver.chat.query_one(Pictures).lines[1]
        await driver.until(lambda: last.region)
        await driver.pilot.click(last, offset=(last._shown.cell_length, 0))
        await driver.until(lambda: lines(driver) == ["1.png"])
        await driver.until(lambda: driver.chat.query_one(Pictures).lines[0].has_focus)
        await driver.press("x")
        await driver.until(lambda: driver.composer.has_focus)
        assert driver.composer.pictures == ()


async def test_a_refusal_leaves_words_and_images_where_they_are(start: Start, photo: Path) -> None:
    async with start() as driver:
        driver.daemon.remote = [EYE]
        await drop(driver, photo)
        await driver.until(lambda: "box/eye is: F3 chooses it" in driver.notices)
        driver.type("/mode chat")
        await driver.press("enter")
        await driver.until(lambda: driver.chat.mode == "chat" and driver.composer.text == "")
        driver.type("What is this?")
        await driver.press("enter")
        await driver.until(lambda: "smollm2:135m cannot see images, as no model on this machine can" in driver.notices)
        assert (driver.composer.text, lines(driver)) == ("What is this?", ["a photo.png"])
        assert driver.daemon.threads.recent() == []
        photo.unlink()
        await driver.press("enter")
        await driver.until(lambda: "a photo.png is no file" in driver.notices)
        assert (driver.composer.text, lines(driver)) == ("What is this?", ["a photo.png"])


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("cut.png", png()[:-4], "cut.png is cut short"),
        ("\x1b]52;c;aGk=\x07liar.jpg", b"MZ\x90", "liar.jpg is no PNG, JPEG, WebP or GIF image"),
        ("camera.heic", bytes(4) + b"ftypheic", "convert it to PNG or JPEG"),
    ],
)
async def test_what_is_no_image_is_told_and_nothing_is_attached(
    start: Start, tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    async with start() as driver:
        driver.type(f"/image {tmp_path / name}")
        await driver.press("enter")
        await driver.until(lambda: words in driver.notices)
        assert driver.composer.pictures == ()
        assert "\x1b" not in driver.app.export_screenshot()


async def test_images_without_a_word_wait_for_one_and_a_draft_keeps_them(
    start: Start, photo: Path, tmp_path: Path
) -> None:
    async with start(memory=tmp_path / "tui.json") as driver:
        await drop(driver, photo)
        await driver.press("enter")
        await driver.until(lambda: "Say what you want to know" in driver.notices)
        await driver.chat.open(None)
        assert lines(driver) == ["a photo.png"]
    assert [each.name for each in stored(tmp_path / "tui.json").pictures[""]] == ["a photo.png"]


async def test_an_edited_question_keeps_its_images_even_when_their_files_are_gone(start: Start, photo: Path) -> None:
    async with start() as driver:
        driver.daemon.model.outside = FakeEyes()
        await drop(driver, photo)
        await driver.settled("What is this?", Done())
        photo.unlink()
        await driver.press("ctrl+up", "e")
        await driver.until(lambda: lines(driver) == ["a photo.png"])
        await driver.press("escape")
        await driver.until(lambda: lines(driver) == [])
        await driver.press("ctrl+up", "e")
        await driver.until(lambda: lines(driver) == ["a photo.png"])
        driver.composer.put("What is it made of?")
        await driver.press("enter")
        await driver.until(lambda: len(driver.daemon.model.asked) == 2)
        assert driver.daemon.model.asked[1].messages[-1].images == (PNG,)
        driver.daemon.say(Done())
        await driver.until(lambda: not driver.daemon.running.list())
        thread = driver.daemon.threads.recent()[0].id
        driver.daemon.threads.delete(thread)
        with pytest.raises(NotFound, match="not kept any more"):
            driver.daemon.threads.image(PNG.sha256)


async def test_models_elsewhere_can_be_chosen_and_say_that_they_see(start: Start) -> None:
    async with start() as driver:
        driver.daemon.remote = [EYE, EYE | {"name": "box/embed", "role": "embed"}]
        await driver.opened("f3", ModelsScreen)
        listed = driver.app.screen.query_one(OptionList)
        await driver.until(lambda: listed.option_count == 5)
        shown = str(listed.get_option_at_index(1).prompt)
        assert "box/eye" in shown
        assert "sees images" in shown
        listed.highlighted = 1

        def can(key: str) -> bool:
            return key in (keys := driver.app.screen.active_bindings) and keys[key].enabled

        await driver.until(lambda: not can("p") and can("enter"))  # there is nothing to download
        await driver.press("enter")
        await driver.until(lambda: driver.chat.model == "box/eye")
        driver.type("/model box/eye")
        await driver.press("enter")
        await driver.until(lambda: driver.composer.text == "")
        await driver.until(lambda: driver.header.model == "box/eye")
        driver.type("/model box/blind")
        await driver.press("enter")
        await driver.until(lambda: "no GET" in driver.notices)


def test_pasted_prose_is_no_drop(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(jpeg())
    path = str(tmp_path / "a.png")
    assert pasted_paths(f"{path} {path}") == [tmp_path / "a.png"] * 2
    assert pasted_paths(f"look at {path}") == pasted_paths("it's") == pasted_paths("") == []
    assert pasted_paths(" ".join([path] * 21)) == []


async def test_the_images_of_a_question_before_and_after_it_is_sent(
    start: Start, snapshot: SnapshotAssertion, tmp_path: Path
) -> None:
    (tmp_path / "meter in the cellar.jpg").write_bytes(jpeg(4032, 3024))
    (tmp_path / "plan.png").write_bytes(png(1200, 800))
    daemon = FakeDaemon(tmp_path / "threads.db")
    daemon.model.outside = FakeEyes()
    async with start(daemon) as driver:
        await drop(driver, tmp_path / "plan.png")
        await driver.settled("Where is the main valve?", TextDelta("Left of the door, behind the *meter*."), Done())
        await driver.until(lambda: driver.header.state == "ready")
        await drop(driver, tmp_path / "meter in the cellar.jpg", tmp_path / "plan.png")
        driver.type("Is it this one?")
        await driver.press("shift+tab")
        await pictures(driver, snapshot)
    await daemon.stop()
