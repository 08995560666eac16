"""An image of a question in the desktop's own viewer: it is written to a private file that goes with the window.

In a terminal without a desktop nothing is opened; whoever asked is told where the file is.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from localmind.paths import write_atomic
from localmind_tui.editor import Launch


def viewer_for(
    path: Path,
    environ: Mapping[str, str],
    which: Callable[[str], str | None] = shutil.which,
    platform: str = sys.platform,
) -> Launch | None:
    """The command that shows an image in a window; None where there is no desktop, or nothing that opens files."""
    if platform == "win32":
        return Launch(("explorer.exe", str(path)), in_terminal=False)
    if platform == "darwin":
        return Launch(("open", str(path)), in_terminal=False)
    desktop = environ.get("WAYLAND_DISPLAY") or environ.get("DISPLAY")
    if desktop and which("xdg-open") is not None:
        return Launch(("xdg-open", str(path)), in_terminal=False)
    return None


class Viewing:
    """The files that were written to be looked at."""

    def __init__(self) -> None:
        self._directory: Path | None = None

    def write(self, name: str, sha256: str, data: bytes) -> Path:
        """A file of this user alone. Its name is only letters, since a viewer gets it on a command line. Blocking."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="localmind-"))
        plain = "".join(each if each.isalnum() or each in "._" else "-" for each in name)[-60:].lstrip("-.")
        path = self._directory / f"{sha256[:8]}-{plain or 'image'}"
        write_atomic(path, data)
        return path

    def close(self) -> None:
        """Remove them all. Blocking."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
