"""Converts a BERT-class embedder from safetensors to a CTranslate2 model directory.

Runs only inside the embed worker. It needs numpy and `ctranslate2.specs`, no torch: the weights are
copied name by name, query/key/value fused into one linear layer. The result is cached by a key of
the source file and the recipe, appears by one rename, and can be deleted at any time. Models that
are not plain BERT (other position encodings, other activations) are refused by name, not guessed at.
"""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from localmind.errors import ModelFileBroken

# Part of the cache key: raise it when the conversion itself changes.
RECIPE = "bert-1"

ACTIVATIONS = {"gelu": "GELU", "gelu_new": "GELUTanh", "relu": "RELU"}


def read_config(model_dir: Path) -> dict[str, Any]:
    """The model's `config.json`; ModelFileBroken when it is missing, broken or not a BERT."""
    try:
        config = json.loads((model_dir / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFileBroken(
            f"cannot read the embedder's config.json in {model_dir}: {error}",
            hint="localmind models verify",
        ) from error
    kind, position = config.get("model_type"), config.get("position_embedding_type", "absolute")
    if kind != "bert" or position != "absolute" or config.get("hidden_act", "gelu") not in ACTIVATIONS:
        raise ModelFileBroken(
            f"the embedder in {model_dir} is a {kind!r} model that the CPU backend does not run",
            hint="localmind models pull all-minilm:l6-v2",
        )
    return dict(config)


def cache_key(model_dir: Path, quantization: str) -> str:
    """Names the converted model by its source bytes' identity (size, time, header) and the recipe."""
    source = model_dir / "model.safetensors"
    try:
        status = source.stat()
        with source.open("rb") as stream:
            head = stream.read(65536)
    except OSError as error:
        raise ModelFileBroken(
            f"cannot read the embedder's weights: {error}", hint="localmind models pull all-minilm:l6-v2"
        ) from error
    digest = hashlib.blake2b(digest_size=12)
    digest.update(f"{RECIPE} {quantization} {status.st_size} {status.st_mtime_ns}".encode())
    digest.update(head)
    digest.update(json.dumps(read_config(model_dir), sort_keys=True).encode())
    return digest.hexdigest()


def converted(model_dir: Path, cache_dir: Path, quantization: str = "int8") -> Path:
    """The CTranslate2 directory for `model_dir`, made now unless the cache has it.

    A half-written conversion never appears under its final name; two processes that convert at once
    both succeed and one result is kept.
    """
    target = cache_dir / cache_key(model_dir, quantization)
    if (target / "model.bin").is_file():
        return target
    cache_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    work = Path(tempfile.mkdtemp(prefix=".convert-", dir=cache_dir))
    try:
        _write_spec(model_dir, work, quantization)
        try:
            os.rename(work, target)
        except OSError:
            # Somebody else finished first; theirs is the same model.
            if not (target / "model.bin").is_file():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def load_weights(model_dir: Path) -> dict[str, Any]:
    """All tensors as float32 numpy arrays by their name without the leading `bert.`."""
    import numpy
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(str(model_dir / "model.safetensors"))
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelFileBroken(f"the embedder's weights are broken: {error}", hint="localmind models verify") from error
    return {name.removeprefix("bert."): numpy.asarray(value, dtype=numpy.float32) for name, value in tensors.items()}


def vocabulary(model_dir: Path, size: int) -> list[str]:
    """Tokens in order of id, padded to `size` as the embedding table may be larger than the vocabulary."""
    from tokenizers import Tokenizer

    tokens = Tokenizer.from_file(str(model_dir / "tokenizer.json")).get_vocab(with_added_tokens=True)
    by_id = {number: token for token, number in tokens.items()}
    return [by_id.get(number, f"<extra_id_{number}>") for number in range(size)]


def _write_spec(model_dir: Path, target: Path, quantization: str) -> None:
    import numpy
    from ctranslate2.specs import common_spec, transformer_spec

    config, weights = read_config(model_dir), load_weights(model_dir)

    encoder = transformer_spec.TransformerEncoderSpec(
        config["num_hidden_layers"],
        config["num_attention_heads"],
        pre_norm=False,
        activation=getattr(common_spec.Activation, ACTIVATIONS[config.get("hidden_act", "gelu")]),
        layernorm_embedding=True,
        num_source_embeddings=2,
        embeddings_merge=common_spec.EmbeddingsMerge.ADD,
    )
    spec = transformer_spec.TransformerEncoderModelSpec(encoder)
    encoder.scale_embeddings = False

    def linear(into: Any, *names: str) -> None:
        into.weight = numpy.concatenate([weights[name + ".weight"] for name in names])
        into.bias = numpy.concatenate([weights[name + ".bias"] for name in names])

    def norm(into: Any, name: str) -> None:
        into.gamma, into.beta = weights[name + ".weight"], weights[name + ".bias"]

    try:
        encoder.embeddings[0].weight = weights["embeddings.word_embeddings.weight"]
        encoder.embeddings[1].weight = weights["embeddings.token_type_embeddings.weight"]
        encoder.position_encodings.encodings = weights["embeddings.position_embeddings.weight"]
        norm(encoder.layernorm_embedding, "embeddings.LayerNorm")
        for number, layer in enumerate(encoder.layer):
            name = f"encoder.layer.{number}."
            attention = name + "attention.self."
            linear(layer.self_attention.linear[0], attention + "query", attention + "key", attention + "value")
            linear(layer.self_attention.linear[1], name + "attention.output.dense")
            norm(layer.self_attention.layer_norm, name + "attention.output.LayerNorm")
            linear(layer.ffn.linear_0, name + "intermediate.dense")
            linear(layer.ffn.linear_1, name + "output.dense")
            norm(layer.ffn.layer_norm, name + "output.LayerNorm")
    except KeyError as error:
        raise ModelFileBroken(
            f"the embedder's weights lack the tensor {error}", hint="localmind models verify"
        ) from error

    spec.register_vocabulary(vocabulary(model_dir, config["vocab_size"]))
    spec.config.layer_norm_epsilon = config.get("layer_norm_eps", 1e-12)
    spec.config.unk_token = "[UNK]"
    spec.validate()
    spec.optimize(quantization=None if quantization == "float32" else quantization)
    spec.save(str(target))
