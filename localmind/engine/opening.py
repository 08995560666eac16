"""Opens a model file for the worker: a chat model with its context and perhaps a draft model, or an encoder.

An encoder (BERT and its kin, rerankers among them) never gets a chat context: llama.cpp ends the process when one is
decoded there. It has only its Extras. What is reported of a load is put together here for both.
"""

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from localmind.engine import embed, llama
from localmind.engine.draft import PIECE, DraftModel
from localmind.engine.extras import Extras
from localmind.engine.llama import Model
from localmind.engine.loaded import Loaded, open_model
from localmind.engine.requests import LoadParams
from localmind.engine.speculate import Cost, Either, Speculator, prompt_lookup
from localmind.errors import InvalidRequest, LocalmindError
from localmind.machine.plan import Plan


@dataclass(slots=True, frozen=True)
class Opened:
    model: Model
    extras: Extras
    loaded: Loaded | None
    """None for an encoder."""

    def speculator(self, prompt: "array[int]", cost: Cost) -> Speculator:
        """What guesses ahead for one sequence: its own text, else the draft model."""
        lookup = prompt_lookup(prompt, cost)
        draft = self.loaded.draft if self.loaded is not None else None
        return lookup if draft is None else Either(lookup, draft.speculator(cost))

    def require_chat(self) -> Loaded:
        """Raises InvalidRequest for a model that cannot write."""
        if self.loaded is None:
            does = "reranks" if self.extras.reranks else "embeds"
            raise InvalidRequest(
                f"{self.model.path.name} only {does}: it cannot write",
                hint="choose a chat model: localmind models list",
            )
        return self.loaded

    def close(self) -> None:
        """Only while no loop owns it."""
        self.extras.close()
        if self.loaded is not None:
            self.loaded.close()
        else:
            self.model.close()

    def facts(self, began: float) -> dict[str, Any]:
        """The answer to a load that began then."""
        model, loaded = self.model, self.loaded
        facts: dict[str, Any] = {
            "n_ctx_train": model.n_ctx_train,
            "n_vocab": model.n_vocab,
            "n_params": model.n_params,
            "size_bytes": model.size_bytes,
            "description": model.description,
            "architecture": model.metadata("general.architecture") or "",
            "has_template": model.chat_template is not None,
            "load_ms": 1e3 * (time.monotonic() - began),
            "build": llama.system_info(),
        }
        if loaded is None:
            n_tokens = self.extras.embedder.n_tokens
            return facts | {
                "n_ctx": n_tokens,
                "n_ctx_seq": n_tokens,
                "slots": embed.TEXTS,
                "canary": {"prefill_tok_s": 0.0, "decode_tok_s": 0.0, "tokens": embed.CANARY, "cuts_tails": False},
                "memory": {"kind": "none", "explanation": "an encoder: it keeps nothing between two texts"},
            }
        return facts | {
            "n_ctx": loaded.n_ctx,
            "n_ctx_seq": loaded.n_ctx_seq,
            "slots": loaded.n_slots,
            "canary": {
                "prefill_tok_s": loaded.canary.prefill_tok_s,
                "decode_tok_s": loaded.canary.decode_tok_s,
                "tokens": loaded.canary.tokens,
                "cuts_tails": loaded.canary.cuts_tails,
            },
            "memory": {"kind": loaded.memory.kind, "explanation": loaded.memory.explanation},
        }


def open_file(asked: LoadParams, plan: Plan, progress: Callable[[float], bool]) -> Opened:
    """For the native thread. Raises what a load can raise; nothing is left open then."""
    model = open_model(Path(asked.path), plan, progress)
    extras = Extras(model, n_threads=plan.n_threads_batch)
    if embed.only_embeds(model):
        return Opened(model, extras, None)
    return Opened(model, extras, _with_draft(Loaded(model, plan), asked, plan))


def open_again(opened: Opened, asked: LoadParams, plan: Plan) -> Opened:
    """The same with a new context, for the native thread. When it raises, the model is closed as well."""
    before = opened.require_chat()
    before.keeps_model = True
    before.close()
    return replace(opened, loaded=_with_draft(Loaded(opened.model, plan, before), asked, plan))


def _with_draft(loaded: Loaded, asked: LoadParams, plan: Plan) -> Loaded:
    if asked.draft_model is not None and asked.speculation:
        try:
            loaded.draft = _draft(Path(asked.draft_model), plan, loaded)
        except LocalmindError:
            loaded.close()
            raise
    return loaded


def _draft(path: Path, plan: Plan, loaded: Loaded) -> DraftModel:
    hint = "unset `draft_model` in settings.toml or LOCALMIND_DRAFT_MODEL, or name a smaller model of the same family"
    if not loaded.memory.cuts_tails:
        raise InvalidRequest(
            f"`draft_model`: nothing can draft for {loaded.model.path.name}, "
            "whose memory cannot be cut back to what was accepted",
            hint=hint,
        )
    try:
        return DraftModel(path, replace(plan.for_draft(), n_batch=PIECE, n_ubatch=PIECE), loaded.model)
    except InvalidRequest as problem:
        raise InvalidRequest(f"`draft_model`: {problem.message}", hint=hint) from problem
