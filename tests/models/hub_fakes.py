"""A loopback model hub with a file host of its own, as the real one has: listings here, bytes after a redirect."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from index_fakes import FakeIndex, Seen, running_index

COMMIT = "c0ffee" + "0" * 34


@dataclass
class FakeRepo:
    files: dict[str, bytes]
    commit: str = COMMIT
    licence: str = "apache-2.0"
    gated: bool = False
    token: str | None = None
    """Without it the repository answers 401 or 403."""


@dataclass
class FakeHub:
    """Repositories by name; files whose name ends in .json or .txt are small ones that git keeps."""

    files: FakeIndex
    """The host of the bytes, with its faults."""
    url: str = ""
    repos: dict[str, FakeRepo] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    status: int | None = None
    """What every listing answers, instead of a listing."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every answer of the hub."""
    listing: Any = None
    """Bytes, or a function of the true listing that makes another one of it."""

    def add(self, name: str, files: dict[str, bytes], **changes: Any) -> FakeRepo:
        repo = self.repos[name] = FakeRepo(files, **changes)
        self.files.files |= {hashlib.sha256(data).hexdigest(): data for data in files.values()}
        return repo

    @property
    def paths(self) -> list[str]:
        return [seen.path.partition("?")[0] for seen in self.seen]


def record(path: str, data: bytes) -> dict[str, Any]:
    """How the Hub lists a file."""
    oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": oid}
    if not path.endswith((".json", ".txt")):
        entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return entry


@contextmanager
def running_hub() -> Iterator[FakeHub]:
    with running_index() as files:
        hub = FakeHub(files)

        class Requests(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                _answer(self, hub)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _answer(request: BaseHTTPRequestHandler, hub: FakeHub) -> None:
    head = request.headers
    hub.seen.append(Seen(request.path, head.get("Range"), head.get("If-Range"), head.get("Authorization")))
    path = unquote(urlsplit(request.path).path)
    if path.startswith("/api/models/"):
        name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
        _list(request, hub, name, revision)
        return
    owner, repo, _, revision, *rest = path.removeprefix("/").split("/")
    found = hub.repos.get(f"{owner}/{repo}")
    file = "/".join(rest)
    if found is None or file not in found.files or revision not in ("main", found.commit):
        _send(request, hub, 404, b"", {"X-Error-Code": "EntryNotFound"})
    elif (problem := _refusal(found, head.get("Authorization"))) is not None:
        _send(request, hub, *problem)
    else:
        sha256 = hashlib.sha256(found.files[file]).hexdigest()
        more = {"X-Repo-Commit": found.commit, "X-Linked-Etag": f'"{sha256}"'}
        if file.endswith((".json", ".txt")):
            _send(request, hub, 200, found.files[file], more)
        else:
            _send(request, hub, 302, b"", {**more, "Location": f"{hub.files.url}/files/{sha256}?signed=yes"})


def _list(request: BaseHTTPRequestHandler, hub: FakeHub, name: str, revision: str) -> None:
    if hub.status is not None:
        _send(request, hub, hub.status, b'{"error": "no"}')
        return
    repo = hub.repos.get(name)
    if repo is None:
        _send(request, hub, 401, b"{}", {"X-Error-Code": "RepoNotFound"})
        return
    if revision not in ("", "main", repo.commit):
        _send(request, hub, 404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        return
    # The Hub lists gated repositories to everybody; their files it does not give.
    entries = [record(path, data) for path, data in repo.files.items()]
    body: Any = {
        "id": name,
        "sha": repo.commit,
        "gated": "manual" if repo.gated else False,
        "cardData": {"license": repo.licence},
        "siblings": entries,
    }
    if isinstance(hub.listing, bytes):
        _send(request, hub, 200, hub.listing)
        return
    if hub.listing is not None:
        body = hub.listing(body)
    _send(request, hub, 200, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _refusal(repo: FakeRepo, sent: str | None) -> tuple[int, bytes, dict[str, str]] | None:
    if repo.token is None or sent == f"Bearer {repo.token}":
        return None
    status = 403 if sent else 401
    return status, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this model is restricted"}


def _send(
    request: BaseHTTPRequestHandler, hub: FakeHub, status: int, body: bytes, headers: dict[str, str] | None = None
) -> None:
    request.send_response(status)
    for key, value in {**hub.headers, **(headers or {}), "Content-Length": str(len(body))}.items():
        request.send_header(key, value)
    request.end_headers()
    request.wfile.write(body)
