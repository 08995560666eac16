"""Which command opens a source at its line. It decides and never runs anything.

A text file goes to $VISUAL or $EDITOR with the line in the form that the editor understands; a
document with pages goes to the desktop's opener, since an editor would show its bytes.
"""

import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from localmind.attachments import DOCUMENTS
from localmind.errors import LocalmindError, NotFound
from localmind.events import Passage
from localmind.speech import RECORDINGS

COLON = {"hx", "helix", "subl", "zed", "zeditor", "mate"}
"""Editors that take `file:line`."""
GOTO = {"code", "codium", "code-insiders", "cursor", "windsurf"}
"""Editors that take `--goto file:line`."""
WINDOWED = COLON - {"hx", "helix"} | GOTO | {"gvim", "gedit", "kate", "xdg-open", "open"}
"""Programs with a window of their own: the app need not leave the terminal to them."""


@dataclass(slots=True, frozen=True)
class Launch:
    """A command line and whether it takes over the terminal."""

    argv: tuple[str, ...]
    in_terminal: bool


def launch_for(
    passage: Passage, environ: Mapping[str, str], which: Callable[[str], str | None] = shutil.which
) -> Launch:
    """The command for one source. Raises NotFound for a file that is gone, LocalmindError without a program."""
    path = Path(passage.path)
    if not path.is_file():
        raise NotFound(f"{path} is no longer there", hint="localmind folders status")
    if path.suffix.lower() in RECORDINGS and (player := which("mpv")) is not None:
        # A little before, so that the first word is heard.
        return Launch((player, f"--start={max(0, passage.line_start - 2)}", str(path)), in_terminal=True)
    if passage.page is not None or path.suffix.lower() in DOCUMENTS | RECORDINGS:
        opener = "open" if sys.platform == "darwin" else "xdg-open"
        if which(opener) is None:
            raise LocalmindError(f"no program here opens {path.name}: `{opener}` is missing", hint=f"look at {path}")
        return Launch((opener, str(path)), in_terminal=False)
    command = editor_command(environ, which)
    name = Path(command[0]).name.removesuffix(".exe")
    if name in COLON:
        place = [f"{path}:{passage.line_start}"]
    elif name in GOTO:
        place = ["--goto", f"{path}:{passage.line_start}"]
    else:  # vi, vim, nvim, nano, emacs, micro, kak, joe, mcedit
        place = [f"+{passage.line_start}", str(path)]
    return Launch((*command, *place), in_terminal=name not in WINDOWED)


def editor_command(environ: Mapping[str, str], which: Callable[[str], str | None] = shutil.which) -> list[str]:
    """The words of $VISUAL or $EDITOR, else the first editor that is here. Raises LocalmindError with a hint."""
    hint = "export EDITOR=nano"
    for variable in ("VISUAL", "EDITOR"):
        if not environ.get(variable, "").strip():
            continue
        try:
            command = shlex.split(environ[variable])
        except ValueError as problem:
            raise LocalmindError(f"${variable} cannot be read: {problem}", hint=hint) from problem
        if which(command[0]) is None:
            raise LocalmindError(f"${variable} names `{command[0]}`, which is not installed", hint=hint)
        return command
    for name in ("nano", "vim", "vi"):
        if which(name) is not None:
            return [name]
    raise LocalmindError("no editor found", hint=hint)
