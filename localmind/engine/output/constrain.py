"""Grammars for an answer: calls in the family's own form, an answer of a wanted shape, reasoning before either.

Under "required" the grammar holds from the first token, so any model writes a valid call. Under "auto" it
begins with the family's marker: whether to call is the model's choice, how is not. Forms that are not JSON
(Qwen3-Coder's tags, Gemma's and LFM2's own) are forced into Hermes', which the parser reads from everyone.
"""

import re
from collections.abc import Sequence
from typing import Any

from localmind.engine import constraint, grammar
from localmind.engine.constraint import Constraint
from localmind.engine.grammar import literal, render
from localmind.engine.output import marked_calls
from localmind.engine.output.form import OutputFormat
from localmind.engine.output.harmony import CHANNEL, MESSAGE, START
from localmind.errors import InvalidRequest
from localmind.messages import ResponseFormat, Tool, ToolUse

MAX_CALLS = 16
"""Calls in one answer that a grammar lets a model make: a weak one would not stop."""

NOT_JSON = ("tagged", "function-gemma", "gemma4", "pythonic")
Rules = dict[str, str]


def answer_constraint(
    form: OutputFormat, tools: ToolUse, wanted: ResponseFormat, *, opened: bool = False, thinks: bool = True
) -> Constraint | None:
    """What an answer must look like, None for anything.

    `opened`: the prompt ends inside reasoning; `thinks` False: there is to be none. Raises InvalidRequest for a tool
    that is not offered and for a schema that cannot be kept, where keeping it was asked for.
    """
    offered = () if tools.choice == "none" else tools.tools
    if tools.choice == "required":
        if not offered:
            raise InvalidRequest("a tool call is required, and no tools are given")
        offered = tuple(tool for tool in offered if tools.name in (None, tool.name))
        if not offered:
            raise InvalidRequest(f"the required function {tools.name!r} is not among the tools")
        calls, rules = _calls(form, offered, parallel=tools.parallel)
        return _from_start(form, calls, rules, opened=opened, thinks=thinks)
    shape = constraint.of_format(wanted)
    if shape is None:
        return _lazy(form, offered, parallel=tools.parallel) if offered else None
    if wanted.grammar is not None:
        return Constraint(shape.gbnf, (re.escape(form.thought[1]) + r"\s*()",)) if opened else shape
    schema = {"type": "object"} if wanted.json_schema == {} else wanted.json_schema
    answer, rules = grammar.rules(schema, "answer")
    if form.family == "harmony":
        answer = f"{literal(CHANNEL + 'final' + MESSAGE)} {answer}"
    if offered:
        calls, more = _calls(form, offered, parallel=tools.parallel)
        answer, rules = f"{calls} | {answer}", {**rules, **more}
    return _from_start(form, answer, rules, opened=opened, thinks=thinks)


def _from_start(form: OutputFormat, body: str, rules: Rules, *, opened: bool, thinks: bool) -> Constraint:
    """The grammar from the first token on, behind reasoning where the model reasons."""
    root = f"({body})"
    if form.family == "harmony" and thinks:
        found = _up_to("<|end|>", "thought")
        opening = literal(CHANNEL + "analysis" + MESSAGE)
        root = f"({opening} thought-0 {literal(START + 'assistant')})? {root}"
        rules = {**rules, **found}
    elif opened or (form.thinks and thinks and form.family != "harmony"):
        rules = {**rules, **_up_to(form.thought[1], "thought")}
        thought = f"thought-0 {_space(2)}"
        root = f"{thought} {root}" if opened else f"({literal(form.thought[0])} {thought})? {root}"
    return Constraint(render({"root": root, **rules}))


def _lazy(form: OutputFormat, offered: Sequence[Tool], *, parallel: bool) -> Constraint | None:
    """Begins when a call does."""
    if form.family in NOT_JSON:
        return Constraint(*_strict_only(form, offered, parallel)) if any(tool.strict for tool in offered) else None
    calls, rules = _calls(form, offered, parallel=parallel)
    gbnf = render({"root": calls, **rules})
    try:
        grammar.check_gbnf(gbnf)
    except InvalidRequest:
        if any(tool.strict for tool in offered):
            raise
        return None  # so many tools that no grammar holds them: the model is trusted
    names = "|".join(re.escape(tool.name) for tool in offered)
    if form.family == "llama":
        trigger = rf'^\s*(\{{"name": "(?:{names})", "parameters": )'
    elif form.family == "harmony":
        trigger = (
            rf"({re.escape(CHANNEL)}commentary to=functions\.(?:{names}) ?<\|constrain\|>json{re.escape(MESSAGE)})"
        )
    else:
        trigger = f"({re.escape(form.markers[0])})"
    return Constraint(gbnf, (trigger,))


def _strict_only(form: OutputFormat, offered: Sequence[Tool], parallel: bool) -> tuple[str, tuple[str, ...]]:
    calls, rules = _calls(form, offered, parallel=parallel)
    return render({"root": calls, **rules}), (f"({re.escape('<tool_call>')})",)


def _calls(form: OutputFormat, offered: Sequence[Tool], *, parallel: bool) -> tuple[str, Rules]:
    """A rule's right side for all the calls of an answer, and the rules it needs."""
    rules: Rules = {}
    objects, named = [], []
    key = "parameters" if form.family == "llama" else "arguments"
    for number, tool in enumerate(offered):
        arguments, found = _arguments(tool, f"tool{number}")
        rules.update(found)
        opening = literal(f'{{"name": "{tool.name}", "{key}": ')
        objects.append(f'{opening} {arguments} "}}"')
        named.append((tool.name, arguments))
    more = f"{{0,{MAX_CALLS - 1}}}" if parallel else "{0,0}"
    rules["call"] = " | ".join(objects)
    family = form.family
    if family == "llama":
        return "call", rules
    if family in ("mistral", "array"):
        end = ' "]"' + (literal("<|/tool_call|>") if form.closes and family == "array" else "")
        listed = f'"[" call (", " call){more}{end}' if parallel else f'"[" call{end}'
        return f"{literal(form.markers[0])} {_space(1)} {listed}", rules
    if family == "mistral-named":
        call_id = '("[CALL_ID]" [a-zA-Z0-9]{9})?'
        rules["call"] = " | ".join(
            f'{literal("[TOOL_CALLS]" + name)} {call_id} "[ARGS]" {arguments}' for name, arguments in named
        )
        return (f"call{{1,{MAX_CALLS}}}" if parallel else "call"), rules
    if family == "deepseek":
        return _deepseek(form, named, rules, more, parallel=parallel)
    if family == "harmony":
        # one call a message: <|call|> ends generation
        constrain = literal("<|constrain|>json" + MESSAGE)
        rules["call"] = " | ".join(
            f'{literal(f"{CHANNEL}commentary to=functions.{name}")} " "? {constrain} {found}' for name, found in named
        )
        return "call", rules
    rules["tagged-call"] = f'"<tool_call>" {_space(1)} call {_space(1)} "</tool_call>"'
    return (f'tagged-call ("\\n" tagged-call){more}' if parallel else "tagged-call"), rules


def _deepseek(
    form: OutputFormat, named: Sequence[tuple[str, str]], rules: Rules, more: str, *, parallel: bool
) -> tuple[str, Rules]:
    separator, end = marked_calls.DEEPSEEK_SEPARATOR, marked_calls.DEEPSEEK_CALL_END
    bodies = []
    for name, arguments in named:
        if form.separate_calls:
            bodies.append(f"{literal(name + separator)} {arguments} {literal(end)}")
        else:
            opening = literal(f"function{separator}{name}\n```json\n")
            bodies.append(f"{opening} {arguments} {literal(chr(10) + '```' + end)}")
    rules["call"] = " | ".join(f"{literal(marked_calls.DEEPSEEK_CALL)} {body}" for body in bodies)
    several = f' ("\\n"? call){more}' if parallel else ""
    begin, finish = literal(marked_calls.DEEPSEEK_CALLS), literal(marked_calls.DEEPSEEK_CALLS_END)
    return f"{begin} call{several} {finish}", rules


def _arguments(tool: Tool, prefix: str) -> tuple[str, Rules]:
    """Rules of a tool's arguments: its schema, or any object where that cannot be expressed and need not be kept."""
    schema: dict[str, Any] = {"type": "object", **tool.parameters}
    if not schema.get("properties") and schema.keys() <= {"type", "properties", "required", "additionalProperties"}:
        if schema.get("additionalProperties") not in (None, False):
            schema.pop("properties", None)
        else:
            return f"{prefix}-none", {f"{prefix}-none": '"{}"'}
    try:
        return grammar.rules(schema, prefix)
    except InvalidRequest as problem:
        if tool.strict:
            raise InvalidRequest(f"the schema of the function {tool.name}: {problem.message}") from problem
        return grammar.rules({"type": "object"}, prefix)


def _space(most: int) -> str:
    return f"[ \\n]{{0,{most}}}"


def _up_to(end: str, prefix: str) -> Rules:
    """Rules `prefix`-0… for any text up to and with the first `end` (an automaton as Knuth, Morris and Pratt build)."""
    letters = sorted(set(end))
    rules: Rules = {}
    other = grammar_class(letters)
    for state in range(len(end)):
        moves = []
        for letter in letters:
            after = end[:state] + letter
            target = next(size for size in range(min(len(after), len(end)), -1, -1) if after.endswith(end[:size]))
            moves.append(literal(letter) + (f" {prefix}-{target}" if target < len(end) else ""))
        rules[f"{prefix}-{state}"] = " | ".join([*moves, f"{other} {prefix}-0"])
    return rules


def grammar_class(letters: Sequence[str]) -> str:
    """`[^…]` of these letters."""
    return "[^" + "".join(f"\\x{ord(c):02X}" if ord(c) < 256 else f"\\U{ord(c):08X}" for c in letters) + "]"
