"""An image in the desktop's clipboard that is no file: which tool gives it, and the private file that it is kept in.

The tools are the platform's own and are run without a shell. What they give is believed only as far as its first
bytes say. The file is this user's alone and goes away when no draft names it any more.
"""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import re
import shutil
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from localmind.errors import LocalmindError, NotFound
from localmind.images import LARGEST, looks
from localmind.paths import private_dir, write_atomic

TYPES = ("png", "jpeg", "webp", "gif")
PATIENCE_S = 10.0
"""PowerShell takes three seconds to begin."""
FORGOTTEN_S = 30 * 86_400
"""A file of another window or of a crash that is older than this is named by no draft that anybody comes back to."""
INSTEAD = "/image PATH"
_WINDOWS = (
    "Add-Type -AssemblyName System.Windows.Forms,System.Drawing; "
    "$i = [System.Windows.Forms.Clipboard]::GetImage(); if ($i) { $m = New-Object System.IO.MemoryStream; "
    "$i.Save($m, [System.Drawing.Imaging.ImageFormat]::Png); [Convert]::ToBase64String($m.ToArray()) }"
)


@dataclass(slots=True, frozen=True)
class Tool:
    """What prints the image: command lines that are tried one after the other, and how their output is written."""

    argvs: tuple[tuple[str, ...], ...]
    form: Literal["bytes", "base64", "applescript"] = "bytes"


def tool_for(
    environ: Mapping[str, str], which: Callable[[str], str | None] = shutil.which, platform: str = sys.platform
) -> Tool:
    """The tool of this desktop. Raises LocalmindError with what to install, or what to do instead."""
    if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"):
        raise LocalmindError("over SSH the clipboard is another machine's", hint=f"copy the file here, then {INSTEAD}")
    if platform == "darwin":
        if which("pngpaste") is not None:
            return Tool((("pngpaste", "-"),))
        return Tool((("osascript", "-e", "the clipboard as «class PNGf»"),), "applescript")
    shell = next((name for name in ("powershell.exe", "powershell") if which(name) is not None), None)
    if platform == "win32" or (shell is not None and environ.get("WSL_DISTRO_NAME")):
        if shell is None:
            raise LocalmindError("PowerShell reads the clipboard, and it is not on PATH", hint=INSTEAD)
        return Tool(((shell, "-NoProfile", "-STA", "-Command", _WINDOWS),), "base64")
    if environ.get("WAYLAND_DISPLAY"):
        if which("wl-paste") is None:
            raise LocalmindError("wl-paste, which reads the clipboard, is missing", hint="install wl-clipboard")
        return Tool(tuple(("wl-paste", "--no-newline", "--type", f"image/{each}") for each in TYPES))
    if environ.get("DISPLAY"):
        if which("xclip") is None:
            raise LocalmindError("xclip, which reads the clipboard, is missing", hint="install xclip")
        return Tool(tuple(("xclip", "-selection", "clipboard", "-target", f"image/{each}", "-out") for each in TYPES))
    raise LocalmindError("there is no desktop here whose clipboard could be read", hint=INSTEAD)


async def image_in_clipboard(tool: Tool) -> bytes:
    """The bytes of a whole image. Raises NotFound when there is none, LocalmindError when it cannot be read."""
    for argv in tool.argvs:
        if data := decoded(await _output(argv), tool.form):
            looks(data, "the image in the clipboard")
            return data
    raise NotFound("there is no image in the clipboard", hint=INSTEAD)


def decoded(output: bytes, form: Literal["bytes", "base64", "applescript"]) -> bytes:
    """What a tool printed, as the image; empty when it printed something else."""
    try:
        if form == "base64":
            return base64.b64decode(b"".join(output.split()), validate=True)
        if form == "applescript":
            match = re.fullmatch(rb"\s*\xc2\xabdata PNGf([0-9A-Fa-f]*)\xc2\xbb\s*", output)
            return binascii.unhexlify(match[1]) if match else b""
    except binascii.Error:
        return b""
    return output


async def _output(argv: tuple[str, ...]) -> bytes:
    """What a program prints; nothing when it fails. No more is read than an image may have."""
    nothing = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=nothing, stdout=asyncio.subprocess.PIPE, stderr=nothing
        )
    except OSError as problem:
        raise LocalmindError(f"cannot run {argv[0]}: {problem.strerror}", hint=INSTEAD) from problem
    assert process.stdout is not None
    limit, pieces = 4 * LARGEST, list[bytes]()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while limit > 0 and (piece := await process.stdout.read(1 << 20)):
                pieces.append(piece)
                limit -= len(piece)
            if limit > 0:
                return b"".join(pieces) if await process.wait() == 0 else b""
    except TimeoutError as problem:
        raise LocalmindError(f"{argv[0]} does not answer", hint=INSTEAD) from problem
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    raise LocalmindError("what is in the clipboard is too large for an image", hint=INSTEAD)


class Pasted:
    """The files of images that were pasted, in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._own: set[Path] = set()

    def keep(self, data: bytes) -> Path:
        """A file with the image, readable by this user alone; `own` says when it has come where it shall be.

        Raises LocalmindError. Blocking.
        """
        kind = looks(data).media_type.rpartition("/")[2]
        path = private_dir(self._directory) / f"clipboard-{hashlib.sha256(data).hexdigest()[:8]}.{kind}"
        write_atomic(path, data)
        self._own.discard(path)  # also one that is there already is on its way again
        return path

    def own(self, path: Path) -> None:
        """It has come to its draft, or to none: from now on it is forgotten when no draft names it."""
        self._own.add(path)

    def forget_all_but(self, named: Collection[str]) -> None:
        """Remove the files of this window that no draft names, and those that nobody can want any more. Blocking."""
        with contextlib.suppress(OSError):
            for path in list(self._directory.iterdir()) if self._directory.is_dir() else ():
                old = time.time() - path.stat().st_mtime > FORGOTTEN_S
                if (path in self._own or old) and str(path) not in named:
                    path.unlink(missing_ok=True)
                    self._own.discard(path)
