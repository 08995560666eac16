"""A model from a repository of the Hub, or from one address: ask what there is, fetch its files, pin what came.

The Hub's record of large files says their sha256 beforehand; small files have git's hash there, and are fetched first
since they are needed to know the model at all. An address without a promise is trusted once: the hash of what came is
kept, and a later repair must bring the same. Tokens go to the endpoint that they belong to, never after a redirect.
"""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncGenerator, Sequence
from urllib.parse import urldefrag

import httpx2
import msgspec

from localmind.catalog import FileSpec, HubSource, ModelSpec, UrlSource
from localmind.errors import DownloadFailed, HashMismatch, IndexUnreachable, ModelFileBroken
from localmind.events import Progress
from localmind.models.choose import choose, included
from localmind.models.hub import COMMIT, OFFLINE, HubFile, HubRepo, authorization, file_url, listing, not_reached
from localmind.models.peer import Wanted, asked
from localmind.models.pip_config import without_credentials
from localmind.models.steps import in_thread
from localmind.models.tools import Tools, size_of

LARGEST_SMALL = 16 << 20
"""Bytes of a file that is not in large file storage; the Hub puts everything above 10 MB there."""
SHA256_MARK = re.compile(r"sha256[=:-]([0-9a-f]{64})\Z", re.IGNORECASE)


class HubPull:
    """One attempt with one repository. `spec` has its files, each with its hash, once `steps` has ended."""

    def __init__(self, spec: ModelSpec, source: HubSource, tools: Tools) -> None:
        self.spec = spec
        self.source = source
        self.tools = tools

    @property
    def key(self) -> str:
        return f"{self.source.repo}@{self.source.revision}:{self.spec.name}"

    @property
    def origin(self) -> str:
        return f"hf.co/{self.source.repo}@{self.source.revision[:12]}"

    async def steps(self) -> AsyncGenerator[Progress, None]:
        source, config = self.source, self.tools.hub
        yield Progress("find", 0, None, "", f"{source.repo}")
        if not self.spec.files:
            repo = await listing(source.repo, source.revision, config)
            await self._pin(repo, self._chosen(repo))
        if config.offline and self.tools.store.missing(self.spec):
            raise IndexUnreachable(f"{self.spec.name} is not here, and {OFFLINE}", hint="unset HF_HUB_OFFLINE")
        problem: DownloadFailed | None = None
        for endpoint in config.endpoints:
            headers = authorization(config.token(endpoint))
            urls = [file_url(endpoint, source.repo, self.source.revision, file.name) for file in self.spec.files]
            try:
                async with contextlib.aclosing(fetched(self.spec, urls, headers, self.tools)) as steps:
                    async for step in steps:
                        yield step
                return
            except DownloadFailed as found:
                problem = problem or found
        raise problem or IndexUnreachable("no hub is configured", hint="unset HF_ENDPOINT")

    def _chosen(self, repo: HubRepo) -> Sequence[HubFile]:
        where = f"hf.co/{repo.name}"
        if self.source.include:
            return included(repo.files, self.source.include, where)
        return choose(repo.files, self.spec.quantisation, where).files

    async def _pin(self, repo: HubRepo, files: Sequence[HubFile]) -> None:
        """Name each file with its sha256, and the commit. Small files are in the store after this."""
        pinned: list[FileSpec] = []
        for file in files:
            sha256 = file.sha256
            if sha256 is None:
                sha256 = await asyncio.to_thread(self._small, repo, file)
            pinned.append(FileSpec(file.path, file.size, sha256))
        self.source = msgspec.structs.replace(self.source, revision=repo.commit)
        kept = tuple(other for other in self.spec.sources if not isinstance(other, HubSource))
        self.spec = msgspec.structs.replace(self.spec, files=tuple(pinned), sources=(self.source, *kept))

    def _small(self, repo: HubRepo, file: HubFile) -> str:
        """Fetch a file that git keeps, check it by git's hash, and say its sha256."""
        if file.size > LARGEST_SMALL:
            raise HashMismatch(f"{file.path} of {repo.name} has no sha256 on the hub", hint="localmind doctor")
        wanted = Wanted(repo.url(file.path), file.size, f"{repo.name}/{file.path}", repo.headers)
        try:
            # Asked for as it is: git's hash is of the plain bytes.
            with asked(self.tools.client, wanted, {}, httpx2.Timeout(self.tools.patience.stall_s)) as answer:
                if answer.status_code != 200:
                    raise DownloadFailed(f"the hub answers {answer.status_code} for {wanted.shown}", hint="try again")
                body = bytearray()
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > file.size:
                        break
        except httpx2.HTTPError as problem:
            raise DownloadFailed(
                f"{wanted.shown} did not come: {str(problem) or type(problem).__name__}", hint="try again"
            ) from problem
        data = bytes(body)
        if hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() != file.oid:
            raise HashMismatch(
                f"{wanted.shown} is not what the hub promised", hint="the source alters files; try another HF_ENDPOINT"
            )
        spec = FileSpec(file.path, len(data), hashlib.sha256(data).hexdigest())
        if not self.tools.store.has(spec):
            self._keep(spec, data)
        return spec.sha256

    def _keep(self, spec: FileSpec, data: bytes) -> None:
        store = self.tools.store
        temporary = store.partial / f"{spec.sha256}.tmp"
        with temporary.open("wb") as out:
            out.write(data)
        store.adopt(temporary, spec)


class UrlPull:
    """One attempt with one address."""

    def __init__(self, spec: ModelSpec, source: UrlSource, tools: Tools) -> None:
        self.spec = spec
        self.tools = tools
        self.url, mark = urldefrag(source.url)
        self.promised = found[1].lower() if (found := SHA256_MARK.match(mark)) else None

    @property
    def key(self) -> str:
        return self.url

    @property
    def origin(self) -> str:
        return without_credentials(self.url)

    async def steps(self) -> AsyncGenerator[Progress, None]:
        if self.spec.files:
            async with contextlib.aclosing(fetched(self.spec, [self.url], {}, self.tools)) as steps:
                async for step in steps:
                    yield step
            return
        name = self.origin.rpartition("/")[2]
        yield Progress("find", 0, None, "", name)
        size = await asyncio.to_thread(self._length, name)
        self.tools.check_disk(size, self.spec.name)
        store = self.tools.store
        part = store.partial / f"{hashlib.sha256(self.url.encode()).hexdigest()}.part"
        fetch = self.tools.fetch(self.url, part, self.promised, size, name)
        async with contextlib.aclosing(fetch.run()) as steps:
            async for step in steps:
                yield step
        file = FileSpec(name, size, fetch.digest)
        await in_thread(store.adopt, part, file)
        self.spec = msgspec.structs.replace(self.spec, files=(file,))

    def _length(self, name: str) -> int:
        wanted = Wanted(self.url, 0, name, {})
        try:
            with asked(self.tools.client, wanted, {}, httpx2.Timeout(self.tools.patience.stall_s)) as answer:
                length = answer.headers.get("content-length", "")
                if answer.status_code != 200:
                    raise DownloadFailed(f"{self.origin} answers {answer.status_code}", hint="is the address right?")
        except (httpx2.HTTPError, httpx2.InvalidURL) as problem:
            raise not_reached(self.origin, problem, "is the address right?") from problem
        if not length.isdigit() or not 0 < int(length) <= 1 << 44:
            raise DownloadFailed(f"{self.origin} does not say how long it is", hint="fetch it, then models import PATH")
        return int(length)


async def fetched(
    spec: ModelSpec, urls: Sequence[str], headers: dict[str, str], tools: Tools
) -> AsyncGenerator[Progress, None]:
    """Bring the files that are not here, one after the other, as one line of progress.

    Raises what a Fetch raises, and ModelFileBroken for a GGUF that no loader should see.
    """
    store = tools.store
    missing = {file.sha256: (file, url) for file, url in zip(spec.files, urls, strict=True) if not store.has(file)}
    total = sum(file.size for file, _ in missing.values())
    parts = {sha256: store.partial / f"{sha256}.part" for sha256 in missing}
    tools.check_disk(total - sum(size_of(part) for part in parts.values()), spec.name)
    before = 0
    for sha256, (file, url) in missing.items():
        async with store.lock(sha256):
            if not store.has(file):
                fetch = tools.fetch(url, parts[sha256], sha256, file.size, file.name, headers)
                async with contextlib.aclosing(fetch.run()) as steps:
                    async for step in steps:
                        yield msgspec.structs.replace(step, done=before + step.done, total=float(total))
                try:
                    await in_thread(store.adopt, parts[sha256], file)
                except ModelFileBroken:
                    fetch.discard()
                    raise
        before += file.size


def is_pinned(source: HubSource) -> bool:
    """Whether its files can never change."""
    return bool(COMMIT.match(source.revision))
