"""BERT in float32 numpy from its safetensors, one text at a time: the reference for every faster backend."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from tokenizers import Tokenizer

from localmind.knowledge.convert import load_weights, read_config

_erf = numpy.vectorize(math.erf, otypes=[numpy.float32])


class NumpyBert:
    """Mean-pooled, normalised sentence vectors (Devlin et al. 2018; pooling as in sentence-transformers)."""

    def __init__(self, model_dir: Path) -> None:
        self.config, self.weights = read_config(model_dir), load_weights(model_dir)
        self.tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
        self.tokenizer.no_padding()

    def embed(self, texts: Sequence[str], max_tokens: int) -> Any:
        self.tokenizer.enable_truncation(max_tokens)
        rows = [self._states(self.tokenizer.encode(text or " ").ids).mean(axis=0) for text in texts]
        return numpy.stack([row / numpy.linalg.norm(row) for row in rows])

    def _linear(self, x: Any, name: str) -> Any:
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def _norm(self, x: Any, name: str) -> Any:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = numpy.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.config["layer_norm_eps"])
        return centred / scale * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def _states(self, ids: Sequence[int]) -> Any:
        w, count = self.weights, len(ids)
        x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:count]
        x = self._norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        heads = self.config["num_attention_heads"]
        for number in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{number}."
            q, k, v = (
                self._linear(x, f"{name}attention.self.{part}").reshape(count, heads, -1).transpose(1, 0, 2)
                for part in ("query", "key", "value")
            )
            scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
            scores = numpy.exp(scores - scores.max(axis=-1, keepdims=True))
            mixed = (scores / scores.sum(axis=-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(count, -1)
            x = self._norm(
                x + self._linear(mixed, name + "attention.output.dense"), name + "attention.output.LayerNorm"
            )
            inner = self._linear(x, name + "intermediate.dense")
            inner = inner * 0.5 * (1 + _erf(inner / math.sqrt(2)))
            x = self._norm(x + self._linear(inner, name + "output.dense"), name + "output.LayerNorm")
        return x
