"""What a repository on the Hub holds: its commit, its files with sizes and hashes, its licence, who may have it.

huggingface_hub asks and knows the errors; it is imported by the first listing and by nothing else, since it takes half
a second. It moves no bytes of models: its HTTP path neither goes on where it stopped nor checks hashes. What a hub
answers is a stranger's word: bounded in length, and every name, size and hash is checked before anybody sees it.
"""

import asyncio
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2

from localmind.catalog.spec import check_relative
from localmind.clean import clean_line
from localmind.errors import DownloadFailed, IndexUnreachable, LocalmindError, ModelNotFound
from localmind.models.hub_config import HUB, HubConfig
from localmind.models.pip_config import without_credentials

LARGEST_ANSWER = 32 << 20
"""Bytes of one listing; the Hub's longest are of a few thousand files, 1 MB."""
MOST_FILES = 20_000
TIMEOUT_S = 20.0
COMMIT = re.compile(r"[0-9a-f]{40}\Z")
SHA256 = re.compile(r"[0-9a-f]{64}\Z")
OFFLINE = "HF_HUB_OFFLINE says that no hub may be asked"

_asking = threading.Lock()
"""huggingface_hub has one client a process."""


@dataclass(slots=True, frozen=True)
class HubFile:
    """One file of a repository."""

    path: str
    size: int
    sha256: str | None
    """Of files in large file storage; small ones have only `oid`."""
    oid: str | None
    """git's hash of a small file: sha1 of "blob SIZE\\0" and its bytes."""


@dataclass(slots=True, frozen=True)
class HubRepo:
    """A repository at one commit."""

    endpoint: str
    name: str
    commit: str
    files: tuple[HubFile, ...]
    licence: str
    gated: bool
    token: str | None = None

    def url(self, path: str) -> str:
        return file_url(self.endpoint, self.name, self.commit, path)

    @property
    def headers(self) -> dict[str, str]:
        return authorization(self.token)


def file_url(endpoint: str, repo: str, revision: str, path: str) -> str:
    return f"{endpoint}/{repo}/resolve/{quote(revision, safe='')}/{quote(path)}"


def authorization(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


async def listing(repo: str, revision: str, config: HubConfig) -> HubRepo:
    """The repository on the first endpoint that answers. Raises IndexUnreachable, ModelNotFound, DownloadFailed."""
    if config.offline:
        raise IndexUnreachable(f"{repo} is not here, and {OFFLINE}", hint="unset HF_HUB_OFFLINE")
    unreachable: IndexUnreachable | None = None
    for endpoint in config.endpoints:
        try:
            # Not shielded: who stops waiting need not wait for a peer's timeout, and the thread touches nothing.
            return await asyncio.to_thread(_listing, endpoint, repo, revision, config)
        except IndexUnreachable as problem:
            unreachable = unreachable or problem
    raise unreachable or IndexUnreachable("no hub is configured", hint="unset HF_ENDPOINT")


def _listing(endpoint: str, repo: str, revision: str, config: HubConfig) -> HubRepo:
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # read once, at import
    from huggingface_hub import HfApi, errors, set_client_factory

    shown = f"{repo} on {without_credentials(endpoint)}"
    token = config.token(endpoint)
    client = httpx2.Client(
        verify=config.ca_file or True,
        follow_redirects=True,
        max_redirects=5,
        timeout=TIMEOUT_S,
        event_hooks={"response": [_bounded]},
    )
    try:
        with _asking, client:
            set_client_factory(lambda: client)
            # "main" is asked for without a revision: mirrors know fewer routes than the Hub.
            found = HfApi(endpoint=endpoint, user_agent="localmind").model_info(
                repo,
                revision=None if revision == "main" else revision,
                files_metadata=True,
                timeout=TIMEOUT_S,
                token=token or False,
            )
            return _checked(endpoint, repo, found, token)
    except errors.HfHubHTTPError as problem:
        raise _refused(shown, repo, revision, endpoint, token, problem) from problem
    except httpx2.HTTPError as problem:
        hint = "check the connection; set HF_ENDPOINT to a mirror, or give a file: localmind models import PATH"
        raise not_reached(without_credentials(endpoint), problem, hint) from problem
    except errors.HFValidationError as problem:
        raise ModelNotFound(f"{clean_line(repo)} is no name of a repository", hint="hf.co/ORG/REPO") from problem
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
        raise DownloadFailed(
            f"what the hub says of {shown} makes no sense: {clean_line(str(problem))[:200]}",
            hint="is HF_ENDPOINT the address of a hub?",
        ) from problem


def _bounded(answer: httpx2.Response) -> None:
    """Read the body here, before huggingface_hub would read it without a limit."""
    body = bytearray()
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise ValueError("the answer is too long")
    # What `Response.read` would have left behind.
    answer._content = bytes(body)


def _checked(endpoint: str, repo: str, found: Any, token: str | None) -> HubRepo:
    if not isinstance(found.sha, str) or not COMMIT.match(found.sha):
        raise ValueError("it names no commit")
    if len(found.siblings or ()) > MOST_FILES:
        raise ValueError(f"more than {MOST_FILES} files")
    card = found.card_data.to_dict() if found.card_data is not None else {}
    licence = card.get("license")
    if licence == "other" and isinstance(card.get("license_name"), str):
        licence = card["license_name"]
    return HubRepo(
        endpoint,
        repo,
        found.sha,
        tuple(_files(found.siblings or ())),
        clean_line(licence)[:80] if isinstance(licence, str) and licence else "unknown",
        bool(found.gated),
        token,
    )


def _files(siblings: Any) -> Iterator[HubFile]:
    """Those with a usable name, size and hash; nobody misses a file that says nothing of itself."""
    for sibling in siblings:
        path, size = sibling.rfilename, sibling.size
        sha256 = sibling.lfs.sha256 if sibling.lfs is not None else None
        if sibling.lfs is not None and isinstance(sibling.lfs.size, int):
            size = sibling.lfs.size
        oid = sibling.blob_id
        if not isinstance(path, str) or len(path) > 400 or clean_line(path) != path:
            continue
        if not isinstance(size, int) or not 1 <= size <= 1 << 44:
            continue
        check_relative(path)
        if sha256 is not None and not (isinstance(sha256, str) and SHA256.match(sha256)):
            raise ValueError(f"{path} has an impossible sha256")
        if sha256 is None and not (isinstance(oid, str) and COMMIT.match(oid)):
            continue
        yield HubFile(path, size, sha256, None if sha256 else oid)


def _refused(shown: str, repo: str, revision: str, endpoint: str, token: str | None, problem: Any) -> LocalmindError:
    from huggingface_hub import errors

    answer = problem.response
    page = f"{HUB if endpoint == HUB else without_credentials(endpoint)}/{repo}"
    wants = "then `hf auth login`, or set HF_TOKEN" if endpoint == HUB else "then set LOCALMIND_HUB_TOKEN for this hub"
    if isinstance(problem, errors.GatedRepoError):
        if token:
            return DownloadFailed(
                f"{shown} is only for those who accepted its terms, and your token did not suffice",
                hint=f"accept them at {page} with the account of this token",
            )
        return DownloadFailed(
            f"{shown} is only for those who accepted its terms", hint=f"accept them at {page}, {wants}"
        )
    if isinstance(problem, errors.RepositoryNotFoundError):
        return ModelNotFound(
            f"there is no {shown} that you may see", hint=f"check the spelling; if it is private, {wants}"
        )
    if isinstance(problem, errors.RevisionNotFoundError):
        return ModelNotFound(f"{shown} has no revision {clean_line(revision)}", hint=f"see {page}/tree/main")
    status = answer.status_code
    if status == 429:
        wait = clean_line(answer.headers.get("retry-after", ""))[:20]
        after = f", and again in {wait} s" if wait.isdigit() else ""
        return DownloadFailed(f"{without_credentials(endpoint)} is asked too often", hint=f"wait{after}; {wants}")
    said = clean_line(answer.headers.get("x-error-message", ""))[:200]
    text = f"{without_credentials(endpoint)} answers {status} for {repo}{': ' + said if said else ''}"
    if status >= 500:
        return IndexUnreachable(text, hint="try again later, or set HF_ENDPOINT to a mirror")
    return DownloadFailed(text, hint=wants if status in (401, 403) else "is HF_ENDPOINT the address of a hub?")


def not_reached(address: str, problem: Exception, hint: str) -> IndexUnreachable:
    """The network's own words, without the system's number for them."""
    words = re.sub(r"^\[Errno -?\d+\] ", "", clean_line(str(problem))[:200]) or type(problem).__name__
    return IndexUnreachable(f"{address} cannot be reached: {words}", hint=hint)
