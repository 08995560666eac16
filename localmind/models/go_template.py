"""Ollama's templates, which are programs in Go's template language, as the Jinja that our engine runs.

Translated is what the templates of Ollama's library are written in: conditions, loops, variables, comparisons,
`slice`, `len`, `index`, `json`, and the fields of messages, tools and calls; in both of Ollama's ways, over
`.Messages`, or once a turn with `.System`, `.Prompt` and `.Response`. Anything else is refused by its name before a
model is made of it: a prompt that is laid out half would only show in bad answers. What comes out runs in the engine's
sandbox.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from localmind.errors import InvalidRequest
from localmind.models.go_actions import Part, Token, parts, unquoted

LONGEST = 100_000
DEEPEST = 40
"""Blocks or brackets inside one another."""

ROOT = {
    "Messages": "messages",
    "Tools": "(tools or [])",
    "System": "v.system",
    "Prompt": "v.prompt",
    "Response": "v.response",
    "Suffix": "''",
    "Think": "(enable_thinking is defined and enable_thinking)",
    "IsThinkSet": "(enable_thinking is defined)",
    "ThinkLevel": "(reasoning_effort or '')",
}
FIELDS = {
    "Role": "role", "Content": "content", "Thinking": "thinking", "ToolCalls": "tool_calls", "ToolName": "name",
    "ToolCallID": "tool_call_id", "ID": "id", "Type": "type", "Function": "function", "Name": "name", "Enum": "enum",
    "Arguments": "arguments", "Description": "description", "Parameters": "parameters", "Properties": "properties",
    "Required": "required", "Items": "items", "Images": "images", "Index": "index",
}  # fmt: skip
COMPARED = {"ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
JSON = "tojson(separators=(',', ':'))"

PRELUDE = (
    "{%- macro go(x) -%}{%- if x is boolean -%}{{ 'true' if x else 'false' }}"
    "{%- elif x is mapping or (x is iterable and x is not string) -%}{{ x|" + JSON + " }}"
    "{%- elif x is defined and x is not none -%}{{ x }}{%- endif -%}{%- endmacro -%}"
)
SYSTEM = "messages|selectattr('role', 'equalto', 'system')|map(attribute='content')|join('\\n\\n')"
FLUSH = "{{ turn() }}{%- set v.system = '' -%}{%- set v.prompt = '' -%}{%- set v.response = '' -%}"
TURNS = (
    "{%- for m in messages -%}{%- if m['role'] == 'system' -%}"
    "{%- if v.prompt or v.response -%}" + FLUSH + "{%- endif -%}{%- set v.system = m['content'] or '' -%}"
    "{%- elif m['role'] == 'user' -%}"
    "{%- if v.response -%}" + FLUSH + "{%- endif -%}{%- set v.prompt = m['content'] or '' -%}"
    "{%- elif m['role'] == 'assistant' -%}{%- set v.response = m['content'] or '' -%}{%- endif -%}{%- endfor -%}"
)


def to_jinja(source: str) -> str:
    """The same as a Jinja template over `messages` and `tools`. Raises InvalidRequest for what is not translated."""
    if len(source) > LONGEST:
        raise InvalidRequest(f"TEMPLATE has {len(source)} characters, more than {LONGEST}")
    found = parts(source)
    whole = _Translation(found)
    body = whole.text()
    if "Messages" in whole.used:
        begin = "{%- set v = namespace(prompt='', response='', system=" + SYSTEM + ") -%}"
        return PRELUDE + begin + body
    if "Prompt" not in whole.used:
        raise InvalidRequest("TEMPLATE has neither .Messages nor .Prompt, so nobody's words would be in it")
    if "Response" not in whole.used:
        body += "{{ go(v.response) }}"
    begin = "{%- set v = namespace(system='', prompt='', response='') -%}"
    last = _Translation(found, until_response=True).text() + "{{ v.response }}"
    return PRELUDE + begin + "{%- macro turn() -%}" + body + "{%- endmacro -%}" + TURNS + last


@dataclass(slots=True)
class _Translation:
    parts: Sequence[Part]
    until_response: bool = False
    """Nothing is written from where the answer is put in."""
    used: set[str] = field(default_factory=set)
    _at: int = 0
    _names: int = 0
    _line: int = 0
    _cut: bool = False
    _out: list[str] = field(default_factory=list)

    def text(self) -> str:
        if self._block("", {}, 0, loop=False)[0] != "":
            raise self._wrong("there is an `end` or `else` too many")
        return "".join(self._out)

    def _wrong(self, what: str) -> InvalidRequest:
        return InvalidRequest(f"TEMPLATE line {self._line}: {what}")

    def _not_there(self, what: str) -> InvalidRequest:
        return InvalidRequest(
            f"TEMPLATE line {self._line}: {what} is not supported here",
            hint="leave TEMPLATE out: conversations are then laid out by the template in the model's file",
        )

    def _block(self, dot: str, known: dict[str, str], depth: int, *, loop: bool) -> tuple[str, tuple[Token, ...]]:
        """Write everything up to the `end` or `else` of this block; returns that word and what follows it. `dot` is
        the value that fields belong to, empty for the root."""
        if depth > DEEPEST:
            raise self._wrong(f"more than {DEEPEST} blocks are inside one another")
        known = dict(known)
        while self._at < len(self.parts):
            part = self.parts[self._at]
            self._at += 1
            if part.tokens is None:
                if part.text and not self._cut:
                    self._out.append("{{ " + _quoted(part.text) + " }}")
                continue
            self._line = part.line
            word = part.tokens[0].text if part.tokens[0].kind == "word" else ""
            rest = part.tokens[1:]
            match word:
                case "end" | "else":
                    return word, rest
                case "if" | "with":
                    self._branch(word, rest, dot, known, depth, loop=loop)
                case "range":
                    self._range(rest, dot, known, depth)
                case "break" | "continue" if loop:
                    self._out.append("{%- " + word + " -%}")
                case "define" | "template" | "block" | "break" | "continue":
                    raise self._not_there(word)
                case _:
                    self._statement(part.tokens, dot, known)
        if depth:
            raise self._wrong("a block has no `end`")
        return "", ()

    def _branch(
        self, word: str, tokens: tuple[Token, ...], dot: str, known: dict[str, str], depth: int, *, loop: bool
    ) -> None:
        outer, opened = dot, "if"
        while True:
            inner = dict(known)
            value = self._assigned(tokens, outer, inner)
            if word == "with":
                name = self._name("w")
                self._out.append("{%- set " + name + " = " + value + " -%}")
                value = dot = name
            self._out.append("{%- " + opened + " " + value + " -%}")
            ended, more = self._block(dot, inner, depth + 1, loop=loop)
            if ended == "else" and more:
                if word != "if" or more[0].text != "if":
                    raise self._not_there(f"else {more[0].text}")
                tokens, opened = more[1:], "elif"
                continue
            if ended == "else":
                self._out.append("{%- else -%}")
                ended, more = self._block(outer, known, depth + 1, loop=loop)
            if ended != "end" or more:
                raise self._wrong("a block has no `end`")
            self._out.append("{%- endif -%}")
            return

    def _range(self, tokens: tuple[Token, ...], dot: str, known: dict[str, str], depth: int) -> None:
        names: list[str] = []
        if any(token.text == ":=" for token in tokens):
            split = next(place for place, token in enumerate(tokens) if token.text == ":=")
            names = [token.text for token in tokens[:split] if token.text != ","]
            tokens = tokens[split + 1 :]
            if not 1 <= len(names) <= 2 or any(not name.startswith("$") or name == "$" for name in names):
                raise self._wrong("`range` takes one variable or two")
        whole, each, place, key = (self._name(name) for name in ("r", "e", "i", "k"))
        key = key.replace(".", "")
        inner = dict(known)
        if names:
            inner |= {names[-1]: each} | ({names[0]: place} if len(names) == 2 else {})
        value, _ = self._pipeline(tokens, 0, dot, known, 0)
        is_map = f" if {whole} is mapping else "
        self._out.append("{%- set " + whole + " = " + value + " or [] -%}{%- for " + key + " in " + whole + " -%}")
        self._out.append("{%- set " + each + " = " + f"{whole}[{key}]{is_map}{key}" + " -%}")
        self._out.append("{%- set " + place + " = " + f"{key}{is_map}loop.index0" + " -%}")
        ended, more = self._block(each, inner, depth + 1, loop=True)
        if ended == "else" and not more:
            self._out.append("{%- else -%}")
            ended, more = self._block(dot, known, depth + 1, loop=False)
        if ended != "end" or more:
            raise self._wrong("a block has no `end`")
        self._out.append("{%- endfor -%}")

    def _statement(self, tokens: tuple[Token, ...], dot: str, known: dict[str, str]) -> None:
        if _assigns(tokens):
            self._assigned(tokens, dot, known)
            return
        fields = {token.text for token in tokens if token.kind == "fields"}
        self._cut = self._cut or (self.until_response and ".Response" in fields)
        value, _ = self._pipeline(tokens, 0, dot, known, 0)
        if not self._cut:
            self._out.append("{{ go(" + value + ") }}")

    def _assigned(self, tokens: tuple[Token, ...], dot: str, known: dict[str, str]) -> str:
        """The value of a pipeline, which may be given to a variable on the way."""
        target = name = ""
        if _assigns(tokens):
            name = tokens[0].text
            if name == "$" or (tokens[1].text == "=" and name not in known):
                raise self._wrong(f"there is no variable {name}")
            target = self._name("x") if tokens[1].text == ":=" else known[name]
            tokens = tokens[2:]
        value, end = self._pipeline(tokens, 0, dot, known, 0)
        if end < len(tokens):
            raise self._wrong(f"{tokens[end].text!r} is one too many")
        if not target:
            return value
        known[name] = target
        self._out.append("{%- set " + target + " = " + value + " -%}")
        return target

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"v.{kind}{self._names}"

    def _pipeline(
        self, tokens: tuple[Token, ...], at: int, dot: str, known: dict[str, str], depth: int
    ) -> tuple[str, int]:
        """A value, and the place behind it: the end or a closing bracket."""
        if depth > DEEPEST:
            raise self._wrong(f"more than {DEEPEST} brackets are inside one another")
        given: list[str] = []
        while True:
            function = tokens[at].text if at < len(tokens) and tokens[at].kind == "word" else ""
            if function in ("true", "false", "nil"):
                function = ""
            at += bool(function)
            values: list[str] = []
            while at < len(tokens) and tokens[at].text not in ("|", ")"):
                value, at = self._operand(tokens, at, dot, known, depth)
                values.append(value)
            if function:
                value = self._call(function, values + given)
            elif len(values) == 1 and not given:
                (value,) = values
            else:
                raise self._wrong("a value is missing" if not values else "two values stand side by side")
            if at == len(tokens) or tokens[at].text == ")":
                return value, at
            given, at = [value], at + 1

    def _operand(
        self, tokens: tuple[Token, ...], at: int, dot: str, known: dict[str, str], depth: int
    ) -> tuple[str, int]:
        token = tokens[at]
        at += 1
        root = False
        match token.kind:
            case "text":
                return _quoted(unquoted(token.text, self._line)), at
            case "number":
                return token.text, at
            case "word" if token.text in ("true", "false", "nil"):
                return {"nil": "none"}.get(token.text, token.text), at
            case "word":
                return self._call(token.text, []), at
            case "dot":
                if not dot:
                    raise self._not_there("`.` as a whole")
                return dot, at
            case "fields":
                return self._fields(dot, token.text, root=not dot), at
            case "variable":
                root = token.text == "$"
                if not root and token.text not in known:
                    raise self._wrong(f"there is no variable {token.text}")
                value = "" if root else known[token.text]
            case _ if token.text == "(":
                value, at = self._pipeline(tokens, at, dot, known, depth + 1)
                if at == len(tokens):
                    raise self._wrong("a bracket is not closed")
                value, at = f"({value})", at + 1
            case _:
                raise self._wrong(f"{token.text!r} is not understood")
        if at < len(tokens) and tokens[at].kind == "fields" and tokens[at].glued:
            return self._fields(value, tokens[at].text, root=root), at + 1
        if root:
            raise self._not_there("`$` as a whole")
        return value, at

    def _fields(self, value: str, chain: str, *, root: bool) -> str:
        for name in chain[1:].split("."):
            if root:
                if name not in ROOT:
                    raise self._not_there(f".{name}")
                self.used.add(name)
                value, root = ROOT[name], False
            elif name not in FIELDS:
                raise self._not_there(f".{name}")
            else:
                value = f"({value} or {{}})['{FIELDS[name]}']"
        return value

    def _call(self, name: str, values: list[str]) -> str:
        count = len(values)
        match name:
            case "and" | "or" if count:
                return "(" + f" {name} ".join(values) + ")"
            case "not" if count == 1:
                return f"(not {values[0]})"
            case "eq" if count > 1:
                return "(" + " or ".join(f"{values[0]} == {other}" for other in values[1:]) + ")"
            case "ne" | "lt" | "le" | "gt" | "ge" if count == 2:
                return f"({values[0]} {COMPARED[name]} {values[1]})"
            case "len" if count == 1:
                return f"(({values[0]} or [])|length)"
            case "slice" if 2 <= count <= 3:
                return f"({values[0]} or [])[{':'.join(values[1:] if count == 3 else [values[1], ''])}]"
            case "index" if count > 1:
                return f"({values[0]})" + "".join(f"[{value}]" for value in values[1:])
            case "json" | "toJson" if count == 1:
                return f"({values[0]}|{JSON})"
            case "print" if count:
                return "(" + " ~ ".join(f"go({value})" for value in values) + ")"
            case "currentDate" if not count:
                return "strftime_now('%Y-%m-%d')"
        raise self._not_there(f"`{name}`" + (f" with {count} values" if count else ""))


def _quoted(text: str) -> str:
    """A string as Jinja reads it."""
    return json.dumps(text, ensure_ascii=False)


def _assigns(tokens: tuple[Token, ...]) -> bool:
    return len(tokens) > 1 and tokens[0].kind == "variable" and tokens[1].text in (":=", "=")
