"""Whether two models mean the same by a token id."""

from llama_cpp import llama_cpp as native

from localmind.engine.llama.model import Model

MOST_EXTRA = 128
"""Ids by which vocabularies may differ in number: padding and unused control tokens, as llama.cpp allows."""


def difference(draft: Model, target: Model) -> str | None:
    """Why a draft of the one is no draft for the other, in words; None if it is. A tenth of a second."""
    kinds = native.llama_vocab_type(draft.vocab), native.llama_vocab_type(target.vocab)
    if kinds[0] != kinds[1]:
        return "their tokenisers are of different kinds"
    if abs(draft.n_vocab - target.n_vocab) > MOST_EXTRA:
        return f"one knows {draft.n_vocab} tokens and the other {target.n_vocab}"
    for token in range(min(draft.n_vocab, target.n_vocab)):
        ours: bytes = native.llama_vocab_get_text(draft.vocab, token)
        theirs: bytes = native.llama_vocab_get_text(target.vocab, token)
        if ours != theirs:
            texts = [text.decode("utf-8", "replace") for text in (ours, theirs)]
            return f"token {token} is {texts[0]!r} in one and {texts[1]!r} in the other"
    return None
