"""A model with its LoRA adapters, as a plan sees it: each adapter's tensors lie beside those that they change."""

import re
from collections.abc import Iterable
from dataclasses import replace

from localmind.models.gguf import GgufFacts, Header

LAYER = re.compile(r"blk\.(\d{1,5})\.")


def adapted(facts: GgufFacts, adapters: Iterable[Header]) -> GgufFacts:
    """The same with the bytes of adapters: llama.cpp puts their tensors on the device of the layer they belong to."""
    layers, other = list(facts.layer_bytes), facts.other_bytes
    for header in adapters:
        for tensor in header.tensors:
            found = LAYER.match(tensor.name)
            if found is not None and int(found[1]) < len(layers):
                layers[int(found[1])] += tensor.size
            else:
                other += tensor.size
    return replace(facts, layer_bytes=tuple(layers), other_bytes=other)
