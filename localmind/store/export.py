"""A thread as a document to keep: Markdown for people. Pure text, cleaned by nobody: it is written as it was said."""

import time

from localmind.store.transcript import StoredMessage, Transcript

ENDS = {"stopped": "stopped", "failed": "failed", "streaming": "still being written"}


def as_markdown(transcript: Transcript) -> str:
    """The path of a thread: a heading a question, the answer below it with its sources."""
    thread = transcript.thread
    parts = [f"# {thread.title or 'Untitled'}", f"{_day(thread.created_at)} · localmind thread {thread.id}"]
    for turn in transcript.turns:
        parts.append("## " + turn.question.content.strip().replace("\n", "\n> "))
        parts += [f"*with {attached.path}*" for attached in turn.question.attachments]
        if turn.answer is not None:
            parts += _answer(turn.answer)
    return "\n\n".join(parts) + "\n"


def _answer(message: StoredMessage) -> list[str]:
    parts = [message.content.strip()] if message.content.strip() else []
    if message.state in ENDS:
        why = f": {message.error.message}" if message.error else ""
        parts.append(f"*{ENDS[message.state]}{why}*")
    if message.sources:
        parts.append("\n".join(f"- [{source.number}] {source.place}" for source in message.sources))
    return parts


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
