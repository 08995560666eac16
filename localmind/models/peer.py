"""What a server answers to a request for a file of known size, and what that means for the download.

It follows redirects itself: what belongs to one host (a token, a password) goes to no other, and nobody is sent from
https to http or out of HTTP. It decides whether an answer continues a part, starts it anew, is worth another try or
is final. Texts of the server are shown only when cleaned. It writes no file.
"""

import contextlib
import email.utils
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx2

from localmind.clean import clean_line
from localmind.errors import DownloadFailed, HashMismatch

REDIRECTS = (301, 302, 303, 307, 308)
MOST_REDIRECTS = 5
STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"\Z')
AGAIN = "run the same command again: it continues where it stopped"


class Busy(Exception):
    """Worth another try; `wait_s` is what the server asked for."""

    def __init__(self, text: str, wait_s: float | None = None) -> None:
        super().__init__(text)
        self.wait_s = wait_s


class CannotContinue(Busy):
    """The server does not go on with what we have: it is to be thrown away."""

    def __init__(self) -> None:
        super().__init__("the server cannot continue this download", 0.0)


@dataclass(slots=True, frozen=True)
class Wanted:
    """The file that is asked for."""

    url: str
    size: int
    shown: str
    """Its name in messages; never a URL with a query or a password in it."""
    headers: Mapping[str, str]
    """For the host of `url` and no other, such as an Authorization."""

    @property
    def origin(self) -> tuple[str, str, int | None]:
        return _origin(httpx2.URL(self.url))


@contextlib.contextmanager
def asked(
    client: httpx2.Client, wanted: Wanted, headers: Mapping[str, str], timeout: httpx2.Timeout
) -> Iterator[httpx2.Response]:
    """The final answer, its body unread. Raises DownloadFailed for a redirect that is not followed."""
    url = httpx2.URL(wanted.url)
    for _ in range(MOST_REDIRECTS + 1):
        own = wanted.headers if _origin(url) == wanted.origin else {}
        sent = {"Accept-Encoding": "identity", **headers, **own}
        with client.stream("GET", url, headers=sent, timeout=timeout, follow_redirects=False) as answer:
            target = answer.headers.get("location")
            if answer.status_code not in REDIRECTS or not target:
                yield answer
                return
        url = _next(url, target, wanted)
    raise DownloadFailed(
        f"the server sends the download of {wanted.shown} from one place to another, {MOST_REDIRECTS} times",
        hint="localmind doctor",
    )


def _next(url: httpx2.URL, target: str, wanted: Wanted) -> httpx2.URL:
    try:
        after = url.join(target)
    except (httpx2.InvalidURL, ValueError):
        after = httpx2.URL("")
    if after.scheme not in ("http", "https") or not after.host:
        reason = "to a place that is no web address"
    elif url.scheme == "https" and after.scheme == "http":
        reason = "from https to http, where anybody on the way could change it"
    else:
        return after
    raise DownloadFailed(
        f"the server sends the download of {wanted.shown} {reason}",
        hint="the source or something on the way to it is not to be trusted; use another one",
    )


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def first_byte(answer: httpx2.Response, wanted: Wanted, have: int) -> int:
    """From which byte of the file this answer counts: `have` or 0.

    Raises Busy, CannotContinue, HashMismatch for another size, DownloadFailed for everything else that is no file.
    """
    status = answer.status_code
    if status in (200, 206) and answer.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise DownloadFailed(
            f"the server compresses {wanted.shown} although asked not to",
            hint="a proxy alters downloads; try another index with LOCALMIND_INDEX_URL",
        )
    if status == 206 and have:
        unit, _, rest = answer.headers.get("content-range", "").partition(" ")
        start, _, total = rest.replace("/", "-").partition("-")
        if unit == "bytes" and start == str(have) and total.rpartition("-")[2] in (str(wanted.size), "*"):
            return have
    elif status == 200:
        length = answer.headers.get("content-length", str(wanted.size))
        if length != str(wanted.size):
            raise other_size(wanted, clean_line(length)[:20])
        return 0
    elif status in (408, 425, 429) or status >= 500:
        raise Busy(f"the server answers {status}{_reason(answer)}", _retry_after(answer))
    elif status not in (206, 416):
        raise _refusal(answer, wanted)
    raise CannotContinue


def other_size(wanted: Wanted, has: str) -> HashMismatch:
    return HashMismatch(
        f"{wanted.shown} has {has} bytes instead of {wanted.size}",
        hint="the source offers another file under this name; try another index with LOCALMIND_INDEX_URL",
    )


def strong_etag(answer: httpx2.Response) -> str | None:
    """An ETag that promises equal bytes. A weak or odd one promises nothing: the sha256 at the end decides."""
    etag = answer.headers.get("etag", "")
    return etag if STRONG_ETAG.match(etag) else None


def _refusal(answer: httpx2.Response, wanted: Wanted) -> DownloadFailed:
    status = answer.status_code
    sent = any(key.lower() == "authorization" for key in wanted.headers)
    hint = "localmind doctor, or another index with LOCALMIND_INDEX_URL"
    if status in (401, 403):
        hint = "it may be only for those who accepted its terms on its page, or want a token or a password"
        if sent:
            hint = "a token was sent and did not suffice: is it still valid, and were the terms accepted on the page?"
    return DownloadFailed(f"the server answers {status} for {wanted.shown}{_reason(answer)}", hint=hint)


def _reason(answer: httpx2.Response) -> str:
    """What a model hub says of its refusal, in a header."""
    said = clean_line(answer.headers.get("x-error-message", ""))[:200]
    return f": {said}" if said else ""


def _retry_after(answer: httpx2.Response) -> float | None:
    """Seconds, from either form of the header."""
    value = answer.headers.get("retry-after", "")
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
