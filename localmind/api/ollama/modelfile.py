"""Modelfiles: what Ollama's `create` reads and its `show` prints.

FROM, SYSTEM, TEMPLATE, PARAMETER, MESSAGE and LICENSE are understood. The template in a `show` is, unless somebody gave
one, only a sign for clients that look into it: `.Suffix` means that the model fills in the middle, `.Tools` that it
takes tools. What then lays a conversation out is the template in the model's own file.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from localmind.api.cards import Card
from localmind.errors import InvalidRequest
from localmind.messages import Message, Role
from localmind.models.made import Made

LONGEST = 1_000_000
ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}
_COMMAND = re.compile(r"[ \t]*([A-Za-z]+)[ \t]+")
_QUOTED = re.compile(r'"""(.*?)"""', re.S)


@dataclass(slots=True)
class Recipe:
    """A model that is to be made."""

    base: str = ""
    system: str = ""
    template: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    licence: list[str] = field(default_factory=list)


def parse(text: str) -> Recipe:
    """Raises InvalidRequest with the line of what it does not understand."""
    recipe = Recipe()
    at = 0
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        row = text[at:end].strip()
        if not row or row.startswith("#"):
            at = end + 1
            continue
        where = f"line {text.count(chr(10), 0, at) + 1}"
        found = _COMMAND.match(text, at)
        if found is None:
            raise InvalidRequest(f"modelfile {where}: {row[:60]!r} is no command")
        value, at = _value(text, found.end(), end, found[1].upper())
        _apply(recipe, found[1].upper(), value, where)
    if not recipe.base:
        raise InvalidRequest("no FROM line: which model is it made of?")
    return recipe


def _value(text: str, start: int, end: int, command: str) -> tuple[str, int]:
    """What a command is given, and where the next line begins; three quotes may hold several lines."""
    head = ""
    if command in ("MESSAGE", "PARAMETER"):  # their value has a word before it
        head, _, _ = text[start:end].partition(" ")
        start += len(head)
        head += " "
    opened = start + len(text[start:end]) - len(text[start:end].lstrip())
    if (quoted := _QUOTED.match(text, opened)) is not None:
        after = text.find("\n", quoted.end())
        return head + quoted[1], len(text) if after < 0 else after + 1
    plain = text[start:end].strip()
    if len(plain) > 1 and plain[0] == plain[-1] == '"':
        plain = plain[1:-1].replace('\\"', '"').replace("\\n", "\n")
    return head + plain, end + 1


def _apply(recipe: Recipe, command: str, value: str, where: str) -> None:
    match command:
        case "FROM":
            recipe.base = value
        case "SYSTEM":
            recipe.system = value
        case "TEMPLATE":
            recipe.template = value
        case "LICENSE":
            recipe.licence.append(value)
        case "PARAMETER":
            name, _, setting = value.partition(" ")
            add_parameter(recipe.parameters, name.lower(), setting.strip())
        case "MESSAGE":
            role, _, said = value.partition(" ")
            if role not in ROLES:
                raise InvalidRequest(f"modelfile {where}: MESSAGE begins with one of {', '.join(ROLES)}")
            recipe.messages.append(Message(ROLES[role], said.strip()))
        case "ADAPTER":
            raise InvalidRequest(
                f"modelfile {where}: ADAPTER is not supported here", hint="POST /localmind/v1/engine/adapters"
            )
        case _:
            raise InvalidRequest(f"modelfile {where}: there is no command {command[:40]}")


def add_parameter(parameters: dict[str, Any], name: str, text: str) -> None:
    """Numbers and truth values as such; `stop` may come several times."""
    value: Any = text
    if name != "stop":
        try:
            value = json.loads(text)
        except ValueError:
            value = text
    if name == "stop":
        parameters.setdefault("stop", []).append(value)
    else:
        parameters[name] = value


def parameter_lines(parameters: Mapping[str, Any]) -> str:
    """As `show` prints them: a name, blanks, a value; texts are quoted."""
    rows: list[str] = []
    for name, value in parameters.items():
        for each in value if isinstance(value, list) else [value]:
            rows.append(f"{name:<30} {json.dumps(each)}")
    return "\n".join(rows)


def modelfile(name: str, made: Made | None) -> str:
    """What would make this model again."""
    if made is None:
        return f"# localmind has this model in its catalog\nFROM {name}\n"
    rows = [f"FROM {made.base}"]
    rows += [f'SYSTEM """{made.system}"""'] * bool(made.system)
    rows += [f'TEMPLATE """{made.template}"""'] * bool(made.template)
    rows += [f"PARAMETER {row}" for row in parameter_lines(made.parameters).splitlines()]
    rows += [f'MESSAGE {each.role} """{each.content}"""' for each in made.messages]
    return "\n".join(rows) + "\n"


def go_template(card: Card) -> str:
    """A template in Ollama's language that says what the model takes."""
    abilities = card.capabilities
    if "embedding" in abilities:
        return "{{ .Prompt }}"
    parts: Sequence[str] = (
        "{{- if .Suffix }}{{ .Prompt }}{{ .Suffix }}{{ else }}" if "insert" in abilities else "",
        "{{- if .System }}{{ .System }}{{ end }}",
        "{{- if .Tools }}{{ .Tools }}{{ end }}" if "tools" in abilities else "",
        "{{- range .Messages }}{{ .Role }}: {{ .Content }}{{ end }}",
        "{{ end }}" if "insert" in abilities else "",
    )
    return "\n".join(part for part in parts if part)
