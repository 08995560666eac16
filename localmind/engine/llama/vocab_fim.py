"""The tokens that a vocabulary has for filling in the middle of a text."""

from dataclasses import dataclass

from llama_cpp import llama_cpp as native

from localmind.engine.llama.model import Model


@dataclass(slots=True, frozen=True)
class FimTokens:
    """Token ids, None where the vocabulary has none. llama.cpp knows the spellings of the families."""

    prefix: int | None
    suffix: int | None
    middle: int | None
    repository: int | None
    file: int | None


def fim_tokens(model: Model) -> FimTokens:
    vocab = model.vocab
    ids = (
        native.llama_vocab_fim_pre(vocab),
        native.llama_vocab_fim_suf(vocab),
        native.llama_vocab_fim_mid(vocab),
        native.llama_vocab_fim_rep(vocab),
        native.llama_vocab_fim_sep(vocab),
    )
    return FimTokens(*(None if token == native.LLAMA_TOKEN_NULL else int(token) for token in ids))


def bos(model: Model) -> int | None:
    """The token that every prompt of this model begins with, if there is one."""
    return int(native.llama_vocab_bos(model.vocab)) if model.adds_bos else None
