"""Images of questions in the store: kept with their question or not at all, once, and deleted for real."""

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import database
from images_made import gif, png

from localmind.errors import NotFound
from localmind.images import MOST_TOGETHER, Image, image_of
from localmind.messages import Message
from localmind.store.connection import open_database
from localmind.store.export import as_markdown
from localmind.store.images import Picture
from localmind.store.threads import Threads
from localmind.store.threads_schema import MIGRATIONS

BOILER = Picture("boiler.png", image_of(png(640, 480, noise=b"the secret of the boiler")))
PUMP = Picture("pump.gif", image_of(gif()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "threads.db"


@pytest.fixture
def threads(path: Path) -> Iterator[Threads]:
    store = Threads(path)
    yield store
    store.close()


def kept(path: Path) -> int:
    """How many images' bytes are there."""
    with database(path) as db:
        count = db.execute("SELECT count(*) FROM image_data").fetchone()[0]
    db.close()
    return int(count)


def answered(threads: Threads, turn_id: int, text: str = "ok") -> None:
    message = threads.begin(turn_id, model="m")
    threads.extend(message, text)
    threads.finish(message)


def test_a_question_keeps_its_images_over_a_restart(path: Path) -> None:
    first = Threads(path)
    thread = first.create().id
    asked = first.ask(thread, "What is wrong here?", pictures=[BOILER, PUMP])
    first.close()
    again = Threads(path)
    stored = again.get(thread).turns[0].question
    assert stored.images == asked.question.images
    assert [each.words for each in stored.images] == [
        "boiler.png, PNG 640×480, 1.3 kB",
        f"pump.gif, GIF 3×2, {len(PUMP.image.data)} B",
    ]
    assert again.image(stored.images[1].sha256) == PUMP.image
    again.close()


def test_a_model_that_sees_is_shown_all_images_of_the_path_and_another_their_names(threads: Threads) -> None:
    thread = threads.create().id
    answered(threads, threads.ask(thread, "What is this?", pictures=[BOILER]).id, "A boiler.")
    second = threads.ask(thread, "And are these the same?", pictures=[BOILER, PUMP])
    seen = threads.said_until(second, seeing=True)
    names = "Images, in this order: boiler.png, pump.gif\n\n"
    assert seen == [
        Message("user", "What is this?", images=(BOILER.image,)),
        Message("assistant", "A boiler."),
        Message("user", names + "And are these the same?", images=(BOILER.image, PUMP.image)),
    ]
    first, _, last = threads.said_until(second, seeing=False)
    assert first.images == last.images == ()
    assert first.content.startswith("[boiler.png, PNG 640×480")
    assert first.content.endswith("not shown to you]\nWhat is this?")


def test_what_is_too_much_for_one_request_leaves_out_the_oldest(threads: Threads) -> None:
    thread = threads.create().id
    for number in range(3):
        answered(threads, threads.ask(thread, f"{number}", pictures=[_large(number)]).id)
    last = threads.ask(thread, "last", pictures=[_large(3)])
    said = [message for message in threads.said_until(last, seeing=True) if message.role == "user"]
    assert [len(message.images) for message in said] == [0, 0, 1, 1]
    assert "not shown to you" in said[1].content


def _large(number: int) -> Picture:
    data = png(2, 1, noise=bytes([65 + number]) * (MOST_TOGETHER // 2 - 100))
    return Picture(f"{number}.png", Image("image/png", data))


def test_the_same_bytes_are_kept_once_and_as_long_as_any_question_has_them(threads: Threads, path: Path) -> None:
    thread = threads.create().id
    first = threads.ask(thread, "one", pictures=[BOILER])
    other = threads.ask(thread, "one, please", pictures=[BOILER], beside=first.id)
    elsewhere = threads.create().id
    threads.ask(elsewhere, "too", pictures=[BOILER, PUMP])
    assert kept(path) == 2
    threads.delete_branch(first.question.id)
    assert threads.turn(other.question.id).question.images[0].name == "boiler.png"
    threads.delete(thread)
    assert kept(path) == 2
    threads.delete(elsewhere)
    assert kept(path) == 0
    with pytest.raises(NotFound, match="not kept any more"):
        threads.image(BOILER.image.sha256)


def test_a_deleted_image_is_in_no_file_any_more(threads: Threads, path: Path) -> None:
    thread = threads.create().id
    threads.ask(thread, "What is this?", pictures=[Picture("private.png", _large(0).image), BOILER])
    copy = path.with_name(path.name + ".backup-0004")
    with database(path) as db, database(copy) as target:
        db.backup(target)
    for each in (db, target):
        each.close()
    assert any(b"the secret of the boiler" in each.read_bytes() for each in path.parent.iterdir())
    threads.delete(thread)
    for each in path.parent.iterdir():
        data = each.read_bytes()
        assert b"the secret of the boiler" not in data, each
        assert b"A" * 1000 not in data, each
        assert b"private.png" not in data, each


def test_a_database_from_before_there_were_images_is_brought_up_to_date(path: Path) -> None:
    old = open_database(path, MIGRATIONS[:3])
    old.execute("INSERT INTO thread (id, title, created_at, updated_at) VALUES ('abc', 'old', 1, 1)")
    old.execute("INSERT INTO turn (id, thread_id, number) VALUES (1, 'abc', 1)")
    old.execute(
        "INSERT INTO message (id, turn_id, role, content, state, created_at) VALUES (1, 1, 'user', 'q', 'done', 1)"
    )
    old.execute("UPDATE thread SET tip = 1")
    old.close()
    threads = Threads(path)
    assert threads.get("abc").turns[0].question.images == ()
    threads.ask("abc", "now", pictures=[PUMP])
    assert [len(turn.question.images) for turn in threads.get("abc").turns] == [0, 1]
    threads.close()


def test_markdown_carries_the_images_and_a_copy_for_the_index_their_names(threads: Threads) -> None:
    thread = threads.create().id
    threads.ask(thread, "Look", pictures=[Picture("a](http://evil)[b\n.gif", PUMP.image)])
    found = threads.get(thread)
    whole = as_markdown(found, threads.contents(found.turns))
    link = f"![a\\](http://evil)\\[b .gif](data:image/gif;base64,{base64.b64encode(gif()).decode()})"
    assert link in whole
    assert "*with the image a\\](http://evil)\\[b .gif, GIF 3×2, " in as_markdown(found)
    assert "base64" not in as_markdown(found)


WRITER = """
import sys
from pathlib import Path
from localmind.images import Image
from localmind.store.images import Picture
from localmind.store.threads import Threads

threads = Threads(Path(sys.argv[1]))
data = bytes.fromhex(sys.stdin.readline())
thread = threads.create().id
print(thread, flush=True)
for number in range(10_000):
    own = [data.replace(b"NUMBER", b"%03d%03d" % (number, each)) for each in (1, 2)]
    pieces = [Picture(f"{each}.png", Image("image/png", own[each - 1])) for each in (1, 2)]
    threads.ask(thread, f"question {number}", pictures=pieces)
    print(number, flush=True)
"""


def test_killed_while_storing_every_question_has_both_its_images_and_nothing_is_left_over(path: Path) -> None:
    data = png(2, 1, noise=b"NUMBER" + b"x" * 300_000)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write(data.hex() + "\n")
        writer.stdin.flush()
        thread = writer.stdout.readline().strip()
        said = 0
        while said < 12:
            said = int(writer.stdout.readline())
        writer.kill()
    threads = Threads(path)
    turns = threads.get(thread).turns
    assert len(turns) > said  # what was reported as stored is there
    for number, turn in enumerate(turns):
        assert [each.name for each in turn.question.images] == ["1.png", "2.png"]
        for each in turn.question.images:
            assert b"%03d" % number in threads.image(each.sha256).data
    assert kept(path) == 2 * len(turns)
    threads.delete(thread)
    assert kept(path) == 0
    threads.close()
