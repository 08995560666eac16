"""An uploaded file and its form fields, written to disk as they arrive.

The bytes go straight into a private file that a worker can open, never through memory or a second copy, and stop at
the limit. Whatever goes wrong on the way, a client that leaves included, the file is gone afterwards.
"""

import base64
import binascii
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from localmind.errors import Cancelled, DiskFull, InvalidRequest, TooLarge
from localmind.paths import private_dir

FIELD_LIMIT = 256 * 1024
"""Bytes of all fields beside the file together."""
MOST_PARTS = 200


@dataclass(slots=True)
class Upload:
    """A form. `path` is the file's place on disk while the block lasts."""

    path: Path
    name: str = ""
    """As the client called the file."""
    fields: dict[str, list[str]] = field(default_factory=dict)
    has_file: bool = False

    def one(self, key: str) -> str | None:
        """The last value of a field; None when it is missing or empty."""
        values = self.fields.get(key)
        return values[-1] if values and values[-1] != "" else None

    def many(self, key: str) -> list[str]:
        """All values of a field, which may be sent as `key[]` as well."""
        return [*self.fields.get(f"{key}[]", []), *self.fields.get(key, [])]


@contextlib.asynccontextmanager
async def received(request: Request, directory: Path, limit: int) -> AsyncIterator[Upload]:
    """The request's form, its file on disk. Raises InvalidRequest, TooLarge, DiskFull, or Cancelled."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit + FIELD_LIMIT:
        raise too_large(limit)
    private_dir(directory)
    descriptor, name = tempfile.mkstemp(dir=directory, prefix="upload-")
    try:
        with os.fdopen(descriptor, "wb") as out:
            upload = Upload(Path(name))
            try:
                if request.headers.get("content-type", "").startswith("application/json"):
                    await _read_json(request, upload, out, limit)
                else:
                    await _read_form(request, upload, out, limit)
            except ClientDisconnect as problem:
                raise Cancelled("the client went away while it was sending") from problem
            except OSError as problem:
                raise DiskFull(f"the upload cannot be kept: {problem.strerror}", hint=f"df -h {directory}") from problem
        yield upload
    finally:
        os.unlink(name)


def too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the upload is larger than {limit // (1 << 20)} MB",
        hint="`localmind transcribe FILE` reads files of any size; `upload_limit_mb` in settings.toml sets the limit",
    )


async def _read_form(request: Request, upload: Upload, out: BinaryIO, limit: int) -> None:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidRequest("the body must be multipart/form-data with a `file`", hint="curl -F file=@speech.mp3 …")
    parts = _Parts(upload, out, limit)
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": parts.begin,
            "on_part_data": parts.data,
            "on_part_end": parts.end,
            "on_header_field": parts.header_field,
            "on_header_value": parts.header_value,
            "on_header_end": parts.header_end,
            "on_headers_finished": parts.headers_finished,
            "on_end": parts.finish,
        },
    )
    try:
        async for chunk in request.stream():
            if chunk:
                parser.write(chunk)
    except FormParserError as problem:
        raise InvalidRequest(f"the form cannot be read: {problem}") from problem
    if not parts.finished:
        raise InvalidRequest("the form ends in the middle")


async def _read_json(request: Request, upload: Upload, out: BinaryIO, limit: int) -> None:
    """llama.cpp's form: {"file": base64, "format": "wav", …}. Small recordings only: it must be in memory whole."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > min(limit, 64 << 20) * 4 // 3 + FIELD_LIMIT:
            raise too_large(min(limit, 64 << 20))
    try:
        data = json.loads(body)
        if not isinstance(data, dict):
            raise InvalidRequest("the body must be an object")
        encoded = data.pop("file", None)
        if isinstance(encoded, str):
            out.write(base64.b64decode(encoded.partition("base64,")[2] or encoded, validate=True))
            upload.has_file = True
    except (ValueError, RecursionError, binascii.Error) as problem:
        raise InvalidRequest(f"the body is not JSON with a base64 `file`: {problem}") from problem
    upload.name = f"the {data['format']} file" if isinstance(data.get("format"), str) else ""
    for key, value in data.items():
        values = value if isinstance(value, list) else [value]
        upload.fields[key] = [
            each if isinstance(each, str) else json.dumps(each) for each in values if each is not None
        ]


class _Parts:
    """What the parser calls back: one part after the other, the file's bytes to disk, the others to memory."""

    def __init__(self, upload: Upload, out: BinaryIO, limit: int) -> None:
        self._upload = upload
        self._out = out
        self._limit = limit
        self._written = self._held = self._count = 0
        self._headers: dict[bytes, bytes] = {}
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._name: str | None = None
        self._is_file = False
        self._value = bytearray()
        self.finished = False

    def begin(self) -> None:
        self._count += 1
        if self._count > MOST_PARTS:
            raise InvalidRequest(f"the form has more than {MOST_PARTS} parts")
        self._headers, self._name, self._is_file = {}, None, False
        self._value = bytearray()

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._hold(end - start)
        self._header[0].extend(data[start:end])

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._hold(end - start)
        self._header[1].extend(data[start:end])

    def header_end(self) -> None:
        key, value = self._header
        self._headers[bytes(key).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise InvalidRequest("a part of the form has no name")
        self._name = options[b"name"].decode("utf-8", "replace")
        self._is_file = self._name == "file"
        if self._is_file:
            if self._upload.has_file:
                raise InvalidRequest("the form has more than one `file`")
            self._upload.has_file = True
            given = options.get(b"filename", b"").decode("utf-8", "replace")
            self._upload.name = given.replace("\\", "/").rpartition("/")[2]

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._written += end - start
            if self._written > self._limit:
                raise too_large(self._limit)
            self._out.write(data[start:end])
        else:
            self._hold(end - start)
            self._value.extend(data[start:end])

    def end(self) -> None:
        if not self._is_file and self._name is not None:
            self._upload.fields.setdefault(self._name, []).append(self._value.decode("utf-8", "replace"))

    def finish(self) -> None:
        self.finished = True

    def _hold(self, count: int) -> None:
        self._held += count
        if self._held > FIELD_LIMIT:
            raise TooLarge(f"the fields of the form are larger than {FIELD_LIMIT // 1024} kB together")
