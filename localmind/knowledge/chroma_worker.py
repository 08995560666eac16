"""The vectors worker: Chroma in its own process, holding ids and vectors and nothing else.

Chroma gets no text and no metadata, since what it deletes stays in its files; no embedding function,
since its own downloads one; and only `add` with ids it does not have, since upserting present ids wedges
its compaction (chroma issue 7678). Every call names its place and collection, so a restarted worker
needs no ceremony. A place is a directory of ours, or the address of a Chroma server. A question does not wait
for what is being added: it is answered between two small parts of it.
"""

import contextlib
import ctypes
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from localmind.errors import InvalidRequest, RemoteUnreachable
from localmind.knowledge.urgent import UrgentWorker
from localmind.workers.runtime import Reply, WorkerMain

BATCH = 200
# Vectors added at once: among 100,000 of them 200 take a quarter of a second and 32 about 50 ms.
PART = 32
EF_SEARCH = 300
# Vectors after which freed memory is given back: while an index grows, Chroma leaves holes that nothing else fits in.
TRIM_EVERY = 5000
REST_S = 3.0


class VectorCalls:
    """The worker's methods. `dir` or `url`, and `collection` name the place in all of them."""

    def __init__(self) -> None:
        self._client: Any = None
        self._where: tuple[Any, ...] | None = None
        self._collections: dict[str, Any] = {}
        self._untrimmed = 0
        self.between: Callable[[], None] = lambda: None
        """Called between two parts of what is added or deleted."""

    def open(self, params: dict[str, Any], reply: Reply) -> dict[str, int]:
        """`{dir | url, token, collection}` → `{count}`; creates what is not there."""
        return {"count": self._collection(params).count()}

    def count(self, params: dict[str, Any], reply: Reply) -> int:
        """Vectors in the collection."""
        return int(self._collection(params).count())

    def add(self, params: dict[str, Any], reply: Reply) -> int:
        """`{ids, vectors: bytes, dim}` → how many were new. Ids that are there already are left alone."""
        import numpy

        ids, dim = [str(number) for number in params["ids"]], int(params["dim"])
        vectors = numpy.frombuffer(params["vectors"], dtype="<f4")
        if vectors.size != len(ids) * dim:
            raise InvalidRequest(f"{len(ids)} ids need {len(ids) * dim} numbers, got {vectors.size}")
        matrix = vectors.reshape(len(ids), dim)
        collection = self._collection(params)
        added = 0
        for start in range(0, len(ids), BATCH):
            part = ids[start : start + BATCH]
            present = set(collection.get(ids=part, include=[])["ids"])
            fresh = [index for index, name in enumerate(part, start) if name not in present]
            for at in range(0, len(fresh), PART):
                some = fresh[at : at + PART]
                collection.add(ids=[ids[index] for index in some], embeddings=matrix[some])
                self.between()
            added += len(fresh)
        self._untrimmed += added
        if self._untrimmed >= TRIM_EVERY:
            self.rest()
        return added

    def delete(self, params: dict[str, Any], reply: Reply) -> None:
        """`{ids}`; unknown ids are no error."""
        ids = [str(number) for number in params["ids"]]
        collection = self._collection(params)
        for start in range(0, len(ids), BATCH):
            collection.delete(ids=ids[start : start + BATCH])

    def query(self, params: dict[str, Any], reply: Reply) -> list[tuple[int, float]]:
        """`{vector: bytes, k}` → `[[id, cosine similarity], …]`, best first."""
        import numpy

        vector = numpy.frombuffer(params["vector"], dtype="<f4")
        # It may hold fewer; to count them first took Chroma twice as long as to find them.
        answer = self._collection(params).query(
            query_embeddings=[vector], n_results=max(1, int(params["k"])), include=["distances"]
        )
        return [
            (int(name), 1.0 - float(far)) for name, far in zip(answer["ids"][0], answer["distances"][0], strict=True)
        ]

    def ids(self, params: dict[str, Any], reply: Reply) -> list[int]:
        """All ids of the collection."""
        return [int(name) for name in self._collection(params).get(include=[])["ids"]]

    def drop(self, params: dict[str, Any], reply: Reply) -> None:
        """Delete every collection that begins with `prefix` and is not in `keep`, and index files Chroma leaves."""
        client, keep, prefix = self._open_client(params), set(params["keep"]), str(params.get("prefix") or "")
        for collection in client.list_collections():
            if collection.name not in keep and collection.name.startswith(prefix):
                client.delete_collection(collection.name)
                self._collections.pop(collection.name, None)
        if "dir" in params:
            self._remove_orphans(Path(params["dir"]))

    def close(self, params: dict[str, Any] | None = None, reply: Reply | None = None) -> None:
        """Release the directory; the next call opens it (or another) again."""
        client, self._client, self._where, self._collections = self._client, None, None, {}
        if client is not None:
            client.close()

    def rest(self) -> None:
        """Give freed memory back to the system, where its C library can (glibc)."""
        self._untrimmed = 0
        if sys.platform == "linux":
            with contextlib.suppress(AttributeError, OSError):
                ctypes.CDLL(None).malloc_trim(0)

    def _open_client(self, params: dict[str, Any]) -> Any:
        where = (params.get("dir"), params.get("url"), params.get("token"))
        if self._client is None or where != self._where:
            self.close()
            # Before the import: chromadb reads its settings from the environment.
            os.environ["ANONYMIZED_TELEMETRY"] = "False"
            self._client = (
                _server(str(params["url"]), params.get("token")) if params.get("url") else _files(str(params["dir"]))
            )
            self._where = where
        return self._client

    def _collection(self, params: dict[str, Any]) -> Any:
        client, name = self._open_client(params), str(params["collection"])
        if name not in self._collections:
            # cosine cannot be changed later. With Chroma's own ef_search of 100 a search finds 91 of the nearest 100
            # among 54,000 vectors, with 400 it finds 99 and takes 3 ms longer (measured).
            self._collections[name] = client.get_or_create_collection(
                name, embedding_function=None, configuration={"hnsw": {"space": "cosine", "ef_search": EF_SEARCH}}
            )
        return self._collections[name]

    def _remove_orphans(self, directory: Path) -> None:
        """Chroma forgets to delete the index files of a deleted collection (chroma issue 5259)."""
        address = f"{(directory / 'chroma.sqlite3').as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=5)) as db:
            live = {str(row[0]) for row in db.execute("SELECT id FROM segments")}
        for entry in directory.iterdir():
            if entry.is_dir() and not entry.is_symlink() and len(entry.name) == 36 and entry.name not in live:
                shutil.rmtree(entry, ignore_errors=True)


def _files(directory: str) -> Any:
    import chromadb
    from chromadb.api.shared_system_client import SharedSystemClient

    Path(directory).mkdir(parents=True, exist_ok=True, mode=0o700)
    settings = chromadb.config.Settings(anonymized_telemetry=False, is_persistent=True, allow_reset=False)
    try:
        return chromadb.PersistentClient(path=directory, settings=settings)
    except Exception:
        # What could not be opened, on a full disk for instance, would be handed out half made the next time.
        SharedSystemClient.clear_system_cache()
        raise


def _server(url: str, token: str | None) -> Any:
    import chromadb

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidRequest(f"{url} is no address of a Chroma server", hint="e.g. http://127.0.0.1:8000")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    headers = {"Authorization": f"Bearer {token}", "X-Chroma-Token": token} if token else None
    try:
        return chromadb.HttpClient(
            host=parts.hostname,
            port=port,
            ssl=parts.scheme == "https",
            headers=headers,
            settings=chromadb.config.Settings(anonymized_telemetry=False),
        )
    except ValueError as error:  # what chromadb makes of a server that does not answer
        raise RemoteUnreachable(
            f"the Chroma server {parts.hostname}:{port} does not answer: {error}", hint=f"curl {url}/api/v2/heartbeat"
        ) from error


def create() -> WorkerMain:
    """Entry point of the worker kind `vectors`."""
    calls = VectorCalls()
    names = ("open", "count", "add", "delete", "query", "ids", "drop", "close")
    worker = UrgentWorker(
        {name: getattr(calls, name) for name in names},
        lambda method, params: method == "query",
        rest=calls.rest,
        rest_s=REST_S,
    )
    calls.between = worker.let_urgent_pass
    return worker
