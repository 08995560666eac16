"""What a model's memory can do, found out by trying: which parts of a finished conversation can be used again.

Full attention keeps every token, so any beginning is reusable. Recurrent and hybrid models (Mamba, RWKV, LFM2,
Granite 4, Qwen3-Next …) keep one running state, which cannot be rolled back: a conversation goes on exactly where it
ended, or starts again. Worse, llama.cpp copies a *part* of a hybrid sequence without complaint and the answers are
wrong, so the pool, which decides what is shared, is told the kind. Names of architectures play no part in it.
"""

from array import array
from dataclasses import dataclass
from typing import Literal

from localmind.engine.llama import Batch, Context, Model
from localmind.engine.llama.memory import first_position, keeps_a_state, window
from localmind.errors import ModelFileBroken

Reuse = Literal["any_prefix", "whole"]


@dataclass(slots=True, frozen=True)
class MemoryKind:
    kind: Reuse
    """any_prefix: tails can be cut, prefixes shared. whole: only whole states."""
    window: int
    """Tokens that layers with a sliding window look back on, 0 if there are none."""
    explanation: str
    """One sentence for `localmind models show`."""

    @property
    def cuts_tails(self) -> bool:
        return self.kind == "any_prefix"


def probe(model: Model, context: Context, batch: Batch) -> MemoryKind:
    """Find the kind with two tokens in slot 0, which must be empty and is so again. Raises ModelFileBroken."""
    looks_back = window(model)
    batch.reset()
    batch.add(array("i", [0, 0]), position=0, slot=0, output=True)
    code = context.decode(batch)
    if code:
        raise ModelFileBroken(
            f"{model.path.name} cannot be evaluated (llama.cpp code {code})", hint="localmind models verify"
        )
    cuts = context.remove(0, 1) and context.last_position(0) == 0 and first_position(context, 0) == 0
    context.clear()
    if not cuts:
        name = keeps_a_state(model) or "this"
        return MemoryKind(
            "whole",
            looks_back,
            f"{name} memory keeps one running state instead of every token: a conversation is continued where it "
            "ended, and an earlier point of it has to be evaluated again",
        )
    if looks_back:
        return MemoryKind(
            "any_prefix",
            looks_back,
            "any beginning of an earlier conversation is used again; brought back from memory or disk only with its "
            f"end, for then most layers have just the last {looks_back} tokens",
        )
    return MemoryKind(
        "any_prefix", 0, "every token is kept, and any beginning of an earlier conversation is used again"
    )
