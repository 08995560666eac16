"""A message (EML) to text: who, to whom, when and what about, then what it says, then its attachments.

The plain text is preferred to its HTML twin. Attachments of formats that are read are read, one level
deep and within bounds; others are named. Remote images are never asked for, since nothing is. Lines are
those of the extracted text: in the file they may be base64.
"""

import email
import email.policy
from email.message import EmailMessage
from typing import cast

from localmind.errors import ExtractFailed
from localmind.knowledge.extract import DOCUMENTS, Extracted, extract, kind_of
from localmind.knowledge.formats import html
from localmind.knowledge.formats.epub import squeezed
from localmind.knowledge.formats.lines import Lines
from localmind.plaintext import decode

HEADERS = ("From", "To", "Cc", "Date", "Subject")
PARTS_LIMIT = 200
ATTACHMENT_LIMIT = 20 * 1024 * 1024
_ATTACHED = DOCUMENTS | {"text", "markdown", "html", "csv"}


def read(data: bytes) -> Extracted:
    """The text of one message."""
    lines = Lines("message")
    try:
        message = email.message_from_bytes(data, policy=email.policy.default)
        if not message.keys():
            raise ExtractFailed("this message is broken: it has no headers")
        _message(message, lines)
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        # The package's parser of headers raises these on hostile ones.
        raise ExtractFailed(f"this message is broken: {error}"[:300]) from error
    return lines.done()


def _message(message: EmailMessage, lines: Lines) -> None:
    subject = " ".join(str(message.get("Subject", "")).split())
    if subject:
        lines.under(1, subject)
    for name in HEADERS:
        if message.get(name):
            lines.add(f"{name}: {message[name]}")
    lines.add("")
    body = message.get_body(("plain", "html"))
    parts = [part for part in message.walk() if not part.is_multipart()][:PARTS_LIMIT]
    if body is not None:
        _text(cast(EmailMessage, body), lines)
    for part in parts:
        # walk() goes into forwarded messages too: their text parts have no name and are no attachment.
        if part is body:
            continue
        if name := str(part.get_filename() or ""):
            _attachment(name, part, lines)
        elif part.get_content_maintype() == "text" and not _alternative(message, part):
            _text(part, lines)


def _alternative(message: EmailMessage, part: EmailMessage) -> bool:
    """Whether a part only says the same as the body in another way."""
    return any(
        holder.get_content_type() in ("multipart/alternative", "multipart/related") and part in _children(holder)
        for holder in message.walk()
    )


def _children(holder: object) -> list[object]:
    payload = holder.get_payload() if isinstance(holder, EmailMessage) else None
    return list(payload) if isinstance(payload, list) else []


def _payload(part: EmailMessage) -> bytes:
    found = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def _text(part: EmailMessage, lines: Lines) -> None:
    data = _payload(part)
    charset = part.get_content_charset()
    try:
        text = data.decode(charset or "utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except (LookupError, UnicodeDecodeError):
        text = decode(data)
    if part.get_content_type() == "text/html":
        lines.include(squeezed(html.read(text, by_blocks=True)), level=1)
    else:
        lines.block(text)


def _attachment(name: str, part: EmailMessage, lines: Lines) -> None:
    name = " ".join(name.split())[:200]
    lines.add(f"Attachment: {name}")
    kind = kind_of(name)
    data = _payload(part)
    if kind not in _ATTACHED or kind == "mail" or not data or len(data) > ATTACHMENT_LIMIT:
        return
    try:
        found = extract(data, kind)
    except ExtractFailed as error:
        lines.add(f"({error.message})")
        return
    lines.under(2, name)
    lines.include(found, level=2)
