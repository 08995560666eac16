"""The images of questions in `threads.db`: their bytes once by hash, and which message has which.

They live in the database because then the question and its images are on the disk together or not at all, and what is
deleted goes with its message, out of the log and the copies by the same ways as text. The last message that names some
bytes takes them along (a trigger). Nothing here judges what an image is; localmind.images did.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from localmind.errors import NotFound
from localmind.images import MOST_TOGETHER, Image, looks
from localmind.store.transcript import StoredImage, Turn


@dataclass(slots=True, frozen=True)
class Picture:
    """An image and what it is called."""

    name: str
    image: Image


def keep(db: sqlite3.Connection, message_id: int, images: Sequence[Picture]) -> None:
    """Store the images of a message, within the caller's transaction."""
    for number, each in enumerate(images, start=1):
        sha256, what = each.image.sha256, looks(each.image.data, each.name)
        db.execute("INSERT OR IGNORE INTO image_data (sha256, data) VALUES (?, ?)", (sha256, each.image.data))
        db.execute(
            "INSERT INTO image (message_id, number, name, media_type, width, height, size, sha256) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(message_id, number, each.name.encode("utf-8", "replace").decode(), what.media_type),
                *(what.width, what.height, what.size, sha256),
            ),
        )


def image(db: sqlite3.Connection, sha256: str) -> Image:
    """Raises NotFound."""
    row = db.execute(
        "SELECT data, media_type FROM image_data JOIN image USING (sha256) WHERE sha256 = ? LIMIT 1",
        (sha256.encode("utf-8", "replace").decode(),),
    ).fetchone()
    if row is None:
        raise NotFound("that image is not kept any more: the question that had it was deleted", hint="attach it again")
    return Image(row["media_type"], row["data"])


def of_questions(db: sqlite3.Connection, turns: str) -> dict[int, tuple[StoredImage, ...]]:
    """The images of the questions of some turns, by message. `turns` are their ids as JSON."""
    found: dict[int, tuple[StoredImage, ...]] = {}
    for row in db.execute(
        "SELECT image.* FROM message JOIN image ON image.message_id = message.id "
        "WHERE message.turn_id IN (SELECT value FROM json_each(?)) ORDER BY message_id, number",
        (turns,),
    ):
        values = {key: row[key] for key in StoredImage.__struct_fields__}
        found[row["message_id"]] = (*found.get(row["message_id"], ()), StoredImage(**values))
    return found


def newest(db: sqlite3.Connection, turns: Iterable[Turn]) -> dict[str, bytes]:
    """The bytes of images by their hash, as many of the newest as may go with one request."""
    fitting: list[Turn] = []
    room = MOST_TOGETHER
    for turn in reversed(list(turns)):
        room -= sum(each.size for each in turn.question.images)
        if room < 0:
            break
        fitting.append(turn)
    return contents(db, fitting)


def contents(db: sqlite3.Connection, turns: Iterable[Turn]) -> dict[str, bytes]:
    """The bytes of all their images by hash."""
    marks = json.dumps([each.sha256 for turn in turns for each in turn.question.images])
    rows = db.execute("SELECT sha256, data FROM image_data WHERE sha256 IN (SELECT value FROM json_each(?))", (marks,))
    return {row["sha256"]: row["data"] for row in rows}
