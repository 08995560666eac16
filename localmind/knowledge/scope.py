"""Where a search looks: folders, one directory or file of them, and filters by name, type and date.

Turned into SQL over the tables `file` and `chunk`. A filter that keeps few chunks is searched exactly by the
retriever, since the nearest neighbours of everything would hold none of them.
"""

import datetime
import fnmatch
import re
from dataclasses import dataclass

import msgspec

from localmind.errors import InvalidRequest
from localmind.knowledge.extract import KINDS
from localmind.knowledge.formats.code import GRAMMARS
from localmind.knowledge.index import Index


@dataclass(slots=True, frozen=True)
class Filters:
    """What a passage's file must be besides lying in the folder. None: anything."""

    glob: str | None = None
    """`*.md` for a name anywhere, `notes/*.md` or `**/2026/**` for a path below its watched folder."""
    kind: str | None = None
    """A type ("pdf", "markdown", "code", "mail") or a suffix (".rs")."""
    after: float | None = None
    """Changed at or after this Unix time."""
    before: float | None = None
    """Changed before this Unix time."""

    @property
    def any(self) -> bool:
        return self != Filters()

    def text(self) -> str | None:
        """As it is kept with a question; None when nothing is asked of files."""
        return msgspec.json.encode(self).decode() if self.any else None

    def check(self) -> None:
        """InvalidRequest for a type that nothing has."""
        if self.kind is not None and not _suffixes(self.kind):
            known = ", ".join(sorted({*KINDS.values(), "code"} - {"unknown"}))
            raise InvalidRequest(f"there is no type {self.kind!r}", hint=f"one of {known}, or a suffix such as .rs")


ANY_FILE = Filters()


def read_filters(text: str | None) -> Filters:
    """What `Filters.text` made."""
    return msgspec.json.decode(text, type=Filters) if text else ANY_FILE


@dataclass(slots=True, frozen=True)
class Scope:
    """What is searched: roots, and of the one root that `below` is about only that directory or file."""

    roots: tuple[int, ...]
    below: str = ""
    filters: Filters = Filters()

    @property
    def narrow(self) -> bool:
        """Whether it leaves out parts of a root."""
        return bool(self.below) or self.filters.any


def parse_date(text: str, *, end: bool = False) -> float:
    """Unix time of a local date `2026-05-01`, month `2026-05` or year `2026`; with `end`, of the moment it is over."""
    match = re.fullmatch(r"(\d{4})(?:-(\d{1,2}))?(?:-(\d{1,2}))?", text.strip())
    try:
        if match is None:
            raise ValueError
        year, month, day = int(match[1]), int(match[2] or 1), int(match[3] or 1)
        start = datetime.date(year, month, day)
        if end:
            if match[3]:
                start += datetime.timedelta(days=1)
            elif match[2]:
                start = datetime.date(year + month // 12, month % 12 + 1, 1)
            else:
                start = datetime.date(year + 1, 1, 1)
        return datetime.datetime(start.year, start.month, start.day).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{text!r} is not a date", hint="like 2026-05-31, 2026-05 or 2026") from None


def condition(index: Index, scope: Scope) -> tuple[str, list[object]]:
    """A condition on rows of `chunk`, with its values."""
    marks = ", ".join("?" for _ in scope.roots)
    sql, values = f"chunk.root_id IN ({marks})", list[object](scope.roots)
    if scope.below:
        # "0" follows "/" in the order of characters.
        sql += " AND (chunk.path = ? OR (chunk.path >= ? AND chunk.path < ?))"
        values += [scope.below, scope.below + "/", scope.below + "0"]
    if scope.filters.any:
        sql += f" AND chunk.file_id IN ({', '.join(map(str, files(index, scope)))})"
    return sql, values


def files(index: Index, scope: Scope) -> list[int]:
    """Ids of the files that pass the filters."""
    filters = scope.filters
    matches = _matcher(filters.glob) if filters.glob else None
    suffixes = _suffixes(filters.kind) if filters.kind else None
    marks = ", ".join("?" for _ in scope.roots)
    rows = index.db.execute(
        f"SELECT id, relpath, mtime_ns, indexed_at FROM file WHERE state = 'indexed' AND root_id IN ({marks})",
        scope.roots,
    )
    found = []
    for row in rows:
        # A time of 0 stands for a file that had just been written when it was read.
        changed = row["mtime_ns"] / 1e9 or row["indexed_at"]
        if (
            (matches is None or matches.match(row["relpath"]))
            and (suffixes is None or row["relpath"].lower().endswith(suffixes))
            and (filters.after is None or changed >= filters.after)
            and (filters.before is None or changed < filters.before)
        ):
            found.append(int(row["id"]))
    return found


def _suffixes(kind: str) -> tuple[str, ...]:
    wanted = kind.lower()
    if re.fullmatch(r"\.[\w.+-]+", wanted):
        return (wanted,)
    kinds = {*GRAMMARS, "code"} if wanted == "code" else {wanted}
    found = tuple(suffix for suffix, name in KINDS.items() if name in kinds)
    return found or ((f".{wanted}",) if f".{wanted}" in KINDS else ())


def _matcher(glob: str) -> re.Pattern[str]:
    """A glob as a regular expression: `*` stays within a name, `**` does not."""
    pattern = glob.strip("/") if "/" in glob.strip("/") else f"**/{glob.strip('/')}"
    pieces = []
    for part in re.split(r"(\*\*/|/\*\*$|\*\*)", pattern):
        match part:
            case "**/":
                pieces.append("(?:.*/)?")
            case "/**":
                pieces.append("/.*")
            case "**":
                pieces.append(".*")
            case _:
                # fnmatch wraps its expression in (?s:…)\Z.
                inner = fnmatch.translate(part)[4:-3] if part else ""
                pieces.append(inner.replace(".*", "[^/]*"))
    return re.compile("".join(pieces) + r"\Z", re.I | re.S)
