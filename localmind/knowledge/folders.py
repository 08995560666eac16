"""What a folder is to the user: the values that are shown, and which folders may be watched at all.

Checks of a path a user typed live here, with the message and the hint that the user sees; watching and
reading are elsewhere.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localmind.errors import FolderNotFound, FolderUnreadable, PermissionRefused
from localmind.knowledge.index import Root
from localmind.knowledge.rules import denied

# Not folders of documents; reading /proc can hang or act.
FORBIDDEN = tuple(Path(path) for path in ("/", "/proc", "/sys", "/dev", "/run", "/boot"))


@dataclass(slots=True, frozen=True)
class Folder:
    """A watched folder."""

    id: int
    path: str


def canonical(path: Path) -> Path:
    """The real, absolute path of a readable directory. FolderNotFound or FolderUnreadable otherwise."""
    shown = str(path)
    try:
        real = Path(os.path.realpath(Path(path).expanduser()))
        with os.scandir(real) as entries:
            next(entries, None)
        str(real).encode("utf-8")
    except FileNotFoundError:
        raise FolderNotFound(f"there is no folder {shown}", hint=f'ls -d "{shown}"') from None
    except NotADirectoryError:
        raise FolderNotFound(
            f"{shown} is a file, not a folder", hint=f'localmind folders add "{Path(shown).parent}"'
        ) from None
    except (PermissionError, OSError) as error:
        raise FolderUnreadable(f"{shown} cannot be read: {error.strerror}", hint=f'ls -ld "{shown}"') from error
    except (UnicodeEncodeError, RuntimeError, ValueError) as error:
        raise FolderNotFound(f"{shown!r} is not a usable path: {error}", hint="ls") from error
    return real


def refuse_root(real: Path, never: Sequence[Path]) -> None:
    """PermissionRefused for folders that must not be watched, whoever asks."""
    if real in FORBIDDEN or any(real.is_relative_to(path) for path in FORBIDDEN[1:4]):
        raise PermissionRefused(
            f"{real} belongs to the system; localmind watches folders of documents",
            hint="localmind folders add ~/Documents",
        )
    parts = real.parts[1:]
    if any(denied("/".join(parts[: count + 1]), is_dir=True) for count in range(len(parts))):
        raise PermissionRefused(
            f"{real} may hold secrets and is never read (built-in deny list)", hint="localmind folders add ~/Documents"
        )
    if any(real.is_relative_to(os.path.realpath(path)) for path in never):
        raise PermissionRefused(f"{real} belongs to localmind itself", hint="localmind folders add ~/Documents")


def overlapping(real: Path, roots: Sequence[Root], *, around: bool = True) -> Root | None:
    """The root that `real` lies in; or, with `around`, one that lies in `real`."""
    for root in roots:
        if real.is_relative_to(root.path) or (around and root.path.is_relative_to(real)):
            return root
    return None


def find_root(path_or_id: Path | int, roots: Sequence[Root]) -> Root:
    """The watched folder that is meant; FolderNotFound if there is none."""
    if isinstance(path_or_id, int):
        wanted = next((root for root in roots if root.id == path_or_id), None)
    else:
        typed = Path(path_or_id).expanduser()
        # Both spellings: the folder may be gone, or have become a link, since it was added.
        names = {Path(os.path.realpath(typed)), Path(os.path.abspath(typed))}
        wanted = next((root for root in roots if root.path in names), None)
    if wanted is None:
        raise FolderNotFound(f"{path_or_id} is not a watched folder", hint="localmind folders list")
    return wanted
