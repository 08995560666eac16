"""Templates of questions: text files with `{{variable}}`, the same that `localmind ask -t` reads.

`NAME.md` or `NAME.txt` in the `templates` directory of the configuration. A variable is `{{name}}` or
`{{name|default}}`; `{{input}}` is the rest of what was typed. Nothing in a template is run.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localmind.errors import LocalmindError, NotFound

SUFFIXES = (".md", ".txt")
LONGEST = 200_000
_VARIABLE = re.compile(r"\{\{\s*([\w-]+)\s*(?:\|([^{}]*))?\}\}")


@dataclass(slots=True, frozen=True)
class Template:
    """One file."""

    name: str
    text: str

    @property
    def variables(self) -> dict[str, str | None]:
        """Names in the order of the text, each with its default."""
        found: dict[str, str | None] = {}
        for match in _VARIABLE.finditer(self.text):
            found.setdefault(match[1], match[2])
        return found

    def fill(self, values: Mapping[str, str]) -> tuple[str, list[str]]:
        """The text with what is known, and the names of what is missing, which stay as they are."""
        missing: list[str] = []

        def value(match: re.Match[str]) -> str:
            name, default = match[1], match[2]
            if name in values:
                return values[name]
            if default is not None:
                return str(default)
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
    """Raises NotFound, saying which there are, or LocalmindError."""
    for suffix in SUFFIXES:
        path = directory / f"{name}{suffix}"
        if path.parent == directory and path.is_file():
            try:
                return Template(name, path.read_text("utf-8")[:LONGEST])
            except (OSError, UnicodeDecodeError) as problem:
                raise LocalmindError(f"{path} cannot be read: {problem}") from problem
    known = ", ".join(names(directory)) or "none yet"
    raise NotFound(f"no template {name!r}; there are: {known}", hint=f"write {directory / (name + '.md')}")
