"""What the daemon may ask of an engine worker, as types; and what a generate call means for its model."""

import hashlib
from array import array
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from localmind.engine import constraint, report
from localmind.engine.answer import PlainParser
from localmind.engine.closing import least_tokens
from localmind.engine.generation import Ask
from localmind.engine.grammar.shortest import followed
from localmind.engine.loop import MAX_QUEUED
from localmind.engine.pool import Kind
from localmind.engine.prompt import Prepared, Prompter
from localmind.engine.sequence import Sequence as TokenSequence
from localmind.errors import ContextTooLong, InvalidRequest
from localmind.events import Logprob, TokenLogprob
from localmind.messages import CacheReport, Message, ToolUse
from localmind.workers.request import Request

if TYPE_CHECKING:
    from localmind.engine.extras import Extras
    from localmind.engine.llama import Model


class LoadParams(msgspec.Struct, frozen=True):
    path: str
    plan: dict[str, Any]
    queue_limit: int = MAX_QUEUED
    """Requests that may wait; one more gets QueueFull."""
    cache_dir: str | None = None
    """Where prefixes may be kept over a restart."""
    prefix_ram_mb: int = 0
    prefix_disk_mb: int = 0
    speculation: bool = True
    stall_ms: float = 250.0
    """Time that prefill should add to a step. The pieces of a prompt depend on it and on measured speed, and the last
    digits of logits on the pieces."""
    draft_model: str | None = None


class AdaptersParams(msgspec.Struct, frozen=True):
    action: Literal["list", "load", "unload"] = "list"
    name: str = ""
    path: str = ""


class TokenizeParams(msgspec.Struct, frozen=True):
    text: str
    add_special: bool = False
    parse_special: bool = True


class DetokenizeParams(msgspec.Struct, frozen=True):
    tokens: tuple[int, ...]
    apart: bool = False
    """Each token's own bytes instead of the text of all: half a character is no text."""


class CountParams(msgspec.Struct, frozen=True):
    messages: tuple[Message, ...]
    tools: ToolUse = ToolUse()
    template: str | None = None


class TemplateParams(msgspec.Struct, frozen=True):
    messages: tuple[Message, ...]
    tools: ToolUse = ToolUse()
    thinking: bool | None = None
    template_kwargs: dict[str, Any] = {}
    template: str | None = None


def prepare(asked: Request, model: "Model", prompter: Prompter, extras: "Extras", *, n_ctx: int) -> Prepared:
    """Tokens, grammar and parser of a request. Raises InvalidRequest for what the model cannot be asked."""
    ways = [bool(asked.messages), asked.prompt is not None, asked.tokens is not None, asked.infill is not None]
    if sum(ways) != 1:
        raise InvalidRequest("there are no messages" if not any(ways) else "messages and a prompt exclude each other")
    if asked.messages:
        return prompter.prepare(
            asked.messages,
            asked.tools,
            asked.format,
            thinking=asked.thinking,
            kwargs=asked.template_kwargs,
            template=asked.template,
        )
    if asked.tokens is not None:
        if any(not 0 <= token < model.n_vocab for token in asked.tokens):
            raise InvalidRequest(f"a token id is outside the vocabulary of {model.n_vocab}")
        tokens = array("i", asked.tokens)
    elif asked.prompt is not None:
        tokens = model.tokenize(asked.prompt, add_special=True)
    else:
        assert asked.infill is not None
        hole = asked.infill
        most = asked.sampling.max_tokens
        tokens = extras.infill(hole.prefix, hole.suffix, hole.extra, n_ctx=n_ctx, max_tokens=most).tokens
    return Prepared(tokens, asked.prompt or "", constraint.of_format(asked.format), frozenset(), PlainParser)


def check_room(asked: Request, prepared: Prepared, spell: Callable[[bytes], list[int] | None], *, n_ctx: int) -> None:
    """Refuse a call that is required and cannot be written in the tokens that it may have: cut, it would be none.
    Raises InvalidRequest with both numbers. Meanwhile the grammar is read, which the loop then need not do."""
    wanted = prepared.constraint
    if wanted is None or wanted.triggers:
        return
    grammar = followed(wanted.gbnf)
    if not asked.messages or asked.tools.choice != "required":
        return
    least, room = least_tokens(grammar, spell), n_ctx - len(prepared.tokens)
    most = asked.sampling.max_tokens
    if least is None or room <= 0:
        return
    if most is not None and most < least:
        raise InvalidRequest(
            f"max_tokens {most} is less than the {least} tokens of the shortest call that the tools allow",
            hint=f"ask for {least} tokens or more; what the call is to hold comes on top",
            numbers={"max_tokens": most, "least": least},
        )
    if room < least:
        raise ContextTooLong(
            f"the prompt leaves {room} tokens of the context's {n_ctx}, and the shortest call that the tools allow "
            f"takes {least}",
            hint="shorten the prompt, or choose a model with a longer context",
            numbers={"n_prompt_tokens": len(prepared.tokens), "n_ctx": n_ctx},
        )


def ask(asked: Request, prepared: Prepared, model: "Model", adapters: Hashable) -> Ask:
    """The request as it enters the loop."""
    plain = Ask(
        prepared.tokens,
        asked.sampling,
        prepared.constraint,
        prepared.shown_controls,
        asked.client,
        asked.priority == "background",
        adapters,
    )
    if not asked.scored or not prepared.tokens:
        return plain
    if asked.prompt is None and asked.tokens is None:
        raise InvalidRequest("only a prompt can be scored, as text or as tokens")
    added = asked.prompt is not None and model.adds_bos  # nobody wrote it, so nobody wants to read how likely it was
    (first,) = model.pieces(prepared.tokens[:1])
    known = () if added else (TokenLogprob(Logprob(first.decode("utf-8", "replace"), first, nan, prepared.tokens[0])),)
    return replace(
        plain,
        prompt=prepared.tokens[:1],
        given=prepared.tokens[1:],
        known=known if asked.sampling.logprobs is not None else (),
    )


def reporter(tokens: "array[int]", model: "Model", kind: Kind) -> Callable[[TokenSequence], CacheReport]:
    """How a finished sequence explains its cache hit or miss."""

    def text_of(ids: Sequence[int]) -> str:
        return model.detokenize(ids)

    return lambda sequence: report.cache_report(sequence, tokens, text_of, whole_only=kind == "whole")


def state_key(path: Path, plan: dict[str, Any]) -> str:
    """Names everything that a KV state depends on: the file, the build of llama.cpp, and how it is laid out."""
    from localmind.engine import llama

    stat = path.stat()
    layout = {name: value for name, value in plan.items() if name not in ("n_threads", "n_threads_batch")}
    parts = (str(path.resolve()), stat.st_size, stat.st_mtime_ns, llama.build(), sorted(layout.items()))
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()
