"""Whether a path is in the index and, when it is not, by which rule: the answer of `localmind folders why`.

Asks the same rules and the same scan that decide; it has no rule of its own.
"""

import asyncio
import os
import stat
from pathlib import Path

from localmind.counted import counted
from localmind.knowledge.database import Database
from localmind.knowledge.extract import BINARY
from localmind.knowledge.folders import overlapping
from localmind.knowledge.index import Index, Root
from localmind.knowledge.reading import Reading
from localmind.knowledge.rules import Rules


async def why(path: Path, database: Database, reading: Reading) -> str:
    """In a sentence: is this path indexed, and if not, by which rule."""
    # The last part is not resolved: a link is a reason.
    path = Path(path).expanduser().absolute()
    real = Path(os.path.realpath(path.parent), path.name)
    home = overlapping(real, await database.read(Index.roots), around=False)
    if home is None:
        return "it is not in a watched folder"
    relpath = real.relative_to(home.path).as_posix()
    if relpath == ".":
        return "it is a watched folder"
    return await _inside(home, relpath, real, database, reading)


async def _inside(home: Root, relpath: str, real: Path, database: Database, reading: Reading) -> str:
    is_dir = await asyncio.to_thread(real.is_dir)
    reason = await asyncio.to_thread(Rules(home.path, reading.never).explain, relpath, is_dir=is_dir)
    if reason is not None:
        return f"not indexed: {reason}"
    if is_dir:
        return "its files are indexed, as far as rules and formats allow"
    state = await database.read(Index.file_state, home.id, relpath)
    if state is not None:
        kind, because, chunks = state
        if kind == "indexed":
            there = await asyncio.to_thread(os.path.lexists, real)
            return f"indexed, {counted(chunks, 'passage')}" + (
                "" if there else "; it is not there now, and what is known is kept"
            )
        return f"not indexed: {because}"
    found, _ = await reading.scan(home, [relpath])
    if relpath in found.entries:
        return "it will be indexed in a moment"
    if found.problems:
        return f"not indexed: {found.problems[0][1]}"
    return await asyncio.to_thread(_kind, real)


def _kind(path: Path) -> str:
    try:
        status = os.lstat(path)
    except OSError:
        return "there is no such file"
    if not stat.S_ISREG(status.st_mode):
        return "not indexed: it is a device, a pipe or a socket, which are never opened"
    if not status.st_size:
        return "not indexed: it is empty"
    if path.suffix.lower() in BINARY:
        return f"not indexed: files named *{path.suffix.lower()} are never read (built-in list of binary formats)"
    return "not indexed: it is of a kind that is never read"
