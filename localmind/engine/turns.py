"""Changes to a conversation that a template refuses, from the lightest to the heaviest.

Pure functions from messages as templates see them (dicts) to messages. None loses a word: what a template
has no place for is moved or told in words. Which of them are tried, and when, is layout.py's to decide.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

Turn = dict[str, Any]
Change = Callable[[list[Turn]], list[Turn]]

NOTHING_SAID = "(no message)"
"""For the user's turn that some templates want before the assistant's first."""

GAP = "\n\n"
_odd = re.compile(r"[^A-Za-z0-9_.:/-]")
_id = re.compile(r"[A-Za-z0-9_-]{1,64}")
_short_id = re.compile(r"[A-Za-z0-9]{9}")


def systems_first(turns: list[Turn]) -> list[Turn]:
    """All system messages as one, in front."""
    words = [turn["content"] for turn in turns if turn["role"] == "system" and turn["content"].strip()]
    rest = [turn for turn in turns if turn["role"] != "system"]
    return [{"role": "system", "content": GAP.join(words)}, *rest] if words else rest


def orphans_told(turns: list[Turn]) -> list[Turn]:
    """Results that answer no call, told by the user."""
    told: list[Turn] = []
    open_calls = 0
    for turn in turns:
        if turn["role"] == "tool":
            told.append(turn if open_calls else {"role": "user", "content": f"Result of a call:\n{turn['content']}"})
            open_calls = max(0, open_calls - 1)
        else:
            open_calls = len(turn.get("tool_calls") or ())
            told.append(turn)
    return told


def blanks_dropped(turns: list[Turn]) -> list[Turn]:
    """Without messages that say nothing."""
    return [turn for turn in turns if turn["content"].strip() or turn.get("tool_calls") or turn["role"] == "tool"]


def text_before_calls(turns: list[Turn]) -> list[Turn]:
    """What was said beside calls as a message of its own before them."""
    split: list[Turn] = []
    for turn in turns:
        if turn.get("tool_calls") and turn["content"]:
            split.append(_with_calls(turn, []))
            turn = {**turn, "content": ""}
        split.append(turn)
    return split


def joined(turns: list[Turn]) -> list[Turn]:
    """Neighbours of one role as one message, calls and results apart."""
    merged: list[Turn] = []
    for turn in turns:
        last = merged[-1] if merged else None
        if last and last["role"] == turn["role"] and turn["role"] != "tool" and not last.get("tool_calls"):
            merged[-1] = {**last, **turn, "content": _joined(last["content"], turn["content"])}
        else:
            merged.append(turn)
    return merged


def user_first(turns: list[Turn]) -> list[Turn]:
    """A user's turn before anything but the system's."""
    start = 1 if turns and turns[0]["role"] == "system" else 0
    if start < len(turns) and turns[start]["role"] == "user":
        return turns
    return [*turns[:start], {"role": "user", "content": NOTHING_SAID}, *turns[start:]]


def systems_in_user(turns: list[Turn]) -> list[Turn]:
    """The system's words in front of the first user message, for templates that know no system."""
    words = [turn["content"] for turn in turns if turn["role"] == "system" and turn["content"].strip()]
    rest = [turn for turn in turns if turn["role"] != "system"]
    if not words:
        return rest
    if rest and rest[0]["role"] == "user":
        return [{**rest[0], "content": _joined(GAP.join(words), rest[0]["content"])}, *rest[1:]]
    return [{"role": "user", "content": GAP.join(words)}, *rest]


def one_call_each(turns: list[Turn]) -> list[Turn]:
    """Calls made together as one after another, each followed by its result."""
    split: list[Turn] = []
    number = 0
    while number < len(turns):
        turn = turns[number]
        number += 1
        calls = turn.get("tool_calls") or []
        if len(calls) < 2:
            split.append(turn)
            continue
        results = []
        while number < len(turns) and turns[number]["role"] == "tool":
            results.append(turns[number])
            number += 1
        left = list(results)
        for index, call in enumerate(calls):
            own = next((r for r in left if r.get("tool_call_id") == call["id"]), left[0] if left else None)
            split.append(_with_calls(turn if index == 0 else {**turn, "content": ""}, [call]))
            if own is not None:
                left.remove(own)
                split.append(own)
        split.extend(left)
    return split


def all_told(write_calls: Callable[[Sequence[Turn]], str], *, calls: bool = True, results: bool = True) -> Change:
    """Calls as the assistant's text in the form that `write_calls` gives them, results as the user's."""

    def change(turns: list[Turn]) -> list[Turn]:
        told: list[Turn] = []
        for turn in turns:
            if calls and turn.get("tool_calls"):
                text = _joined(turn["content"], write_calls(turn["tool_calls"]), "\n")
                told.append({**_with_calls(turn, []), "content": text})
            elif results and turn["role"] == "tool":
                text = result_in_words(turn)
                if told and told[-1].get("results"):
                    told[-1] = {**told[-1], "content": told[-1]["content"] + "\n" + text}
                else:
                    told.append({"role": "user", "content": text, "results": True})
            else:
                told.append(turn)
        return [{key: value for key, value in turn.items() if key != "results"} for turn in told]

    return change


def result_in_words(turn: Turn) -> str:
    return f"<tool_response>\n{turn['content']}\n</tool_response>"


def plain_name(name: str) -> str:
    """A function's name with no character that could mean anything else."""
    return _odd.sub("_", name)[:128]


def plain_id(given: str, *, short: bool) -> str:
    """A call's id in a form that templates take, the same for the same id; Mistral's want nine letters or digits."""
    if (_short_id if short else _id).fullmatch(given):
        return given
    digest = hashlib.sha256(given.encode("utf-8", "replace")).hexdigest()
    return digest[:9] if short else "call_" + digest[:24]


def _with_calls(turn: Turn, calls: Sequence[Turn]) -> Turn:
    rest = {key: value for key, value in turn.items() if key != "tool_calls"}
    return {**rest, "tool_calls": list(calls)} if calls else rest


def _joined(first: str, second: str, gap: str = GAP) -> str:
    return gap.join(filter(None, (first, second)))
