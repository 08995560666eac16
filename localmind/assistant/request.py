"""A question with what is set for its thread, as an engine takes it. Pure values."""

from collections.abc import Sequence

import msgspec

from localmind.messages import Message, ResponseFormat, SamplingParams, stated
from localmind.store.transcript import Mode, Options
from localmind.workers.request import Request


def request_for(
    question: Message,
    before: Sequence[Message],
    options: Options,
    mode: Mode,
    format: ResponseFormat,
) -> Request:
    """A question as the engine takes it. From the folders facts are wanted, and the passages bring their own system."""
    from_files = mode == "files"
    system = [Message("system", options.system)] if options.system and not from_files else []
    return Request(
        messages=(*system, *before, question),
        sampling=_sampling(options, temperature=0.0 if from_files else None),
        format=format,
        thinking=options.thinking,
        explain=True,
    )


def over(options: Options, more: Options | None) -> Options:
    """`options` with those that `more` sets."""
    given = {name: value for name, value in msgspec.structs.asdict(more).items() if value is not None} if more else {}
    return msgspec.structs.replace(options, **given)


def _sampling(options: Options, temperature: float | None) -> SamplingParams:
    chosen = {"temperature": options.temperature if options.temperature is not None else temperature}
    chosen |= {"top_p": options.top_p, "max_tokens": options.max_tokens}
    given = {name: value for name, value in chosen.items() if value is not None}
    return msgspec.structs.replace(SamplingParams(stated=stated(given)), **given)
