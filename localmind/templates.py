"""Templates of questions: text files with `{{variable}}`, the same for `localmind ask -t` and the terminal app.

`NAME.md` or `NAME.txt` in the `templates` directory of the configuration. A variable is `{{name}}` or
`{{name|default}}`; `{{input}}` is the rest of what was typed. Nothing in a template is run.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localmind.closest import closest
from localmind.errors import InvalidRequest, LocalmindError, NotFound
from localmind.paths import write_new

SUFFIXES = (".md", ".txt")
LONGEST = 200_000
"""Characters; what is longer is refused, since half a template asks another question."""
INPUT = "input"
_VARIABLE = re.compile(r"\{\{\s*([\w-]+)\s*(?:\|\s*([^{}]*?)\s*)?\}\}")
_NAME = re.compile(r"[\w][\w.-]{0,100}")


@dataclass(slots=True, frozen=True)
class Template:
    """One file."""

    name: str
    text: str

    @property
    def variables(self) -> dict[str, str | None]:
        """Names in the order of the text, each with its default, which has to be given once."""
        found: dict[str, str | None] = {}
        for match in _VARIABLE.finditer(self.text):
            found[match[1]] = match[2] if found.get(match[1]) is None else found[match[1]]
        return found

    def fill(self, values: Mapping[str, str]) -> tuple[str, list[str]]:
        """The text with what is known, and the names of what is missing, which stay as they are."""
        missing: list[str] = []
        defaults = self.variables

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name in values:
                return values[name]
            if (default := defaults[name]) is not None:
                return default
            if name not in missing:
                missing.append(name)
            return match[0]

        return _VARIABLE.sub(value, self.text).strip("\n"), missing


def names(directory: Path) -> list[str]:
    """Of all templates, in order."""
    try:
        return sorted({path.stem for path in directory.iterdir() if path.suffix in SUFFIXES})
    except OSError:
        return []


def read(directory: Path, name: str) -> Template:
    """Raises NotFound, saying which there are, InvalidRequest or LocalmindError."""
    for suffix in SUFFIXES:
        path = directory / f"{name}{suffix}"
        if path.parent == directory and path.is_file():
            try:
                text = path.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as problem:
                raise LocalmindError(f"{path} cannot be read: {problem}") from problem
            if len(text) > LONGEST:
                raise InvalidRequest(f"{path} is longer than {LONGEST} characters")
            return Template(name, text)
    known = ", ".join(names(directory)) or "none yet"
    close = closest(name, names(directory))
    hint = f"did you mean {close[0]!r}?" if close else f'localmind ask --save {name} "… {{{{input}}}}" makes it'
    raise NotFound(f"no template {name!r}; there are: {known}", hint=hint)


def write(directory: Path, name: str, text: str) -> Path:
    """Keep a template under a new name. Raises InvalidRequest for a name that is taken or cannot be a file's."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{name!r} cannot be the name of a template", hint="use letters, digits, - and _")
    path = directory / f"{name}.md"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_new(path, text.rstrip("\n") + "\n")
    except FileExistsError:
        raise InvalidRequest(f"there is a template {name!r} already", hint=f"edit or remove {path}") from None
    except OSError as problem:
        raise LocalmindError(f"{path} cannot be written: {problem.strerror}") from problem
    return path
