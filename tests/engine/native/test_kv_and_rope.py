"""Cache types and stretched positions on a tiny model: they load, they compute, they keep what they promise."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import random_gguf
from tiny import PLAN, Tiny, close, same

from localmind.machine.plan import KvType


@pytest.mark.parametrize("kv_type", ["f16", "q8_0", "q4_0"])
def test_each_cache_type_loads_decodes_and_comes_back_from_a_copy(
    tiny_model: Callable[[str], Path], kv_type: KvType
) -> None:
    tiny = Tiny(tiny_model("llama"), replace(PLAN, kv_type=kv_type, flash_attn=None if kv_type == "f16" else True))
    logits = tiny.evaluate(0, tiny.tokens(60))
    assert numpy.isfinite(logits).all()
    state = tiny.context.save(0)
    expected = tiny.follow(0, logits, 60)
    tiny.context.clear()
    assert tiny.context.restore(1, state)
    assert same(tiny.follow(1, logits, 60), expected)
    tiny.close()


def test_a_quantised_cache_is_smaller_and_nearly_as_good(tiny_model: Callable[[str], Path]) -> None:
    sizes: dict[str, int] = {}
    logits = {}
    for kv_type in ("f16", "q8_0", "q4_0"):
        tiny = Tiny(tiny_model("llama"), replace(PLAN, kv_type=kv_type, flash_attn=True))
        logits[kv_type] = tiny.evaluate(0, tiny.tokens(60))
        sizes[kv_type] = len(tiny.context.save(0))
        tiny.close()
    assert sizes["q4_0"] < 0.65 * sizes["q8_0"]
    assert sizes["q8_0"] < 0.65 * sizes["f16"]
    assert close([logits["q8_0"]], [logits["f16"]], 0.1)


@pytest.mark.parametrize("weights", ["q8_0", "q4_0"])
def test_quantised_weights_decode_like_the_ones_they_come_from(
    tiny_model: Callable[[str], Path], tmp_path: Path, weights: str
) -> None:
    whole = Tiny(tiny_model("llama"))
    small = Tiny(random_gguf.write(tmp_path / "small.gguf", "llama", type=weights))
    tokens = whole.tokens(40)
    likeness = numpy.corrcoef(whole.evaluate(0, tokens), small.evaluate(0, tokens))[0, 1]
    whole.close()
    small.close()
    assert likeness > (0.99 if weights == "q8_0" else 0.6)


def test_positions_are_stretched_only_when_asked_and_then_report_their_new_length(
    tiny_model: Callable[[str], Path],
) -> None:
    trained = Tiny(tiny_model("llama"))
    bigger_pool = Tiny(tiny_model("llama"), replace(PLAN, n_ctx=4096))
    stretched = Tiny(tiny_model("llama"), replace(PLAN, n_ctx=8192, n_ctx_seq=8192))
    assert trained.model.n_ctx_train == bigger_pool.model.n_ctx_train == 2048
    assert stretched.model.n_ctx_train == 8192
    tokens = trained.tokens(100)
    plain = trained.evaluate(0, tokens)
    assert close([bigger_pool.evaluate(0, tokens)], [plain])
    far = stretched.evaluate(0, tokens)
    assert numpy.isfinite(far).all()
    assert not close([far], [plain]), "the same tokens stand at other angles"
    for tiny in (trained, bigger_pool, stretched):
        tiny.close()
