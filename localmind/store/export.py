"""A thread as a document to keep: Markdown for people. Pure text, cleaned by nobody: it is written as it was said."""

import re
import time
from collections.abc import Mapping

from localmind.endings import CUT
from localmind.images import Image
from localmind.store.transcript import NO_PICTURES, StoredImage, StoredMessage, Transcript

ENDS = {"stopped": "stopped", "failed": "failed", "streaming": "still being written"}


def as_markdown(transcript: Transcript, pictures: Mapping[str, bytes] = NO_PICTURES) -> str:
    """The path of a thread: a heading a question, the answer below it with its sources.

    `pictures` are the bytes of images by their hash, which then stand in the document; others are named.
    """
    thread = transcript.thread
    parts = [f"# {thread.title or 'Untitled'}", f"{_day(thread.created_at)} · localmind thread {thread.id}"]
    for turn in transcript.turns:
        parts.append("## " + turn.question.content.strip().replace("\n", "\n> "))
        parts += [f"*with {attached.path}*" for attached in turn.question.attachments]
        parts += [_image(each, pictures.get(each.sha256)) for each in turn.question.images]
        if turn.answer is not None:
            parts += _answer(turn.answer)
    return "\n\n".join(parts) + "\n"


def _answer(message: StoredMessage) -> list[str]:
    parts = [message.content.strip()] if message.content.strip() else []
    if message.state in ENDS:
        why = f": {message.error.message}" if message.error else ""
        parts.append(f"*{ENDS[message.state]}{why}*")
    elif message.finish_reason in CUT:
        parts.append(f"*{CUT[message.finish_reason]}*")
    if message.sources:
        parts.append("\n".join(f"- [{source.number}] {source.place}" for source in message.sources))
    return parts


def _image(stored: StoredImage, data: bytes | None) -> str:
    if data is None:
        return f"*with the image {_plain(stored.words)}*"
    return f"![{_plain(stored.name)}]({Image(stored.media_type, data).url})"


def _plain(name: str) -> str:
    """A name that cannot end the link it stands in."""
    return re.sub(r"([\\\[\]*_`<>])", r"\\\1", " ".join(name.split()))


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
