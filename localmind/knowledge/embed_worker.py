"""The embed worker: texts in, unit vectors out, by a BERT-class model on CTranslate2.

One call embeds one list; the list is sorted by length and run in batches of four, the fastest size
measured on two cores (see benchmarks/embed.py). A question does not wait for a list of passages: it is
answered between two batches. The model is named in every call and loaded when it is not a loaded one, so
a restarted worker needs no ceremony. What to embed first is the daemon's decision. Exact search lives
here too, since whoever searches needs this worker anyway.
"""

import functools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from localmind.errors import InvalidRequest, ModelFileBroken
from localmind.knowledge.convert import converted, read_config
from localmind.knowledge.exact import Exact
from localmind.knowledge.late import scores, silent, sketch, word_weights
from localmind.knowledge.ranking import rank_call
from localmind.knowledge.urgent import UrgentWorker
from localmind.workers.runtime import Reply, WorkerMain

BATCH = 4
# While somebody searches, passages go one by one for so many seconds after each question: a tenth slower, and a
# question waits for one of them, not for four.
SEARCHING_S = 10.0
# While an index changes its embedder the old one answers questions and the new one embeds.
MODELS_LOADED = 2


class Embedder:
    """A loaded model. `quantization` is `int8` or `float32`; `threads` the cores one batch may use."""

    def __init__(self, model_dir: Path, cache_dir: Path, *, threads: int, quantization: str = "int8") -> None:
        import ctranslate2
        from tokenizers import Tokenizer

        config = read_config(model_dir)
        self.dim: int = config["hidden_size"]
        self.max_tokens = _sequence_limit(model_dir, config["max_position_embeddings"])
        directory = converted(model_dir, cache_dir, quantization)
        try:
            self._tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
            # inter_threads=1: one batch at a time, so that `threads` really is the number of busy cores.
            self._encoder = ctranslate2.Encoder(
                str(directory), device="cpu", compute_type=quantization, inter_threads=1, intra_threads=threads
            )
        except Exception as error:  # both libraries raise bare Exception/RuntimeError for broken files
            raise ModelFileBroken(f"cannot load the embedder: {error}", hint="localmind models verify") from error
        # tokenizer.json of MiniLM pads everything to 128; padding here is per batch, by CTranslate2.
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_tokens)
        self._silent = silent(self._tokenizer.get_vocab(with_added_tokens=True))
        self._asked: tuple[str, list[tuple[int, int]], Any] = ("", [], None)

    def embed(
        self,
        texts: Sequence[str],
        *,
        batch: Callable[[], int] = lambda: BATCH,
        between: Callable[[], None] = lambda: None,
        sketches: dict[int, bytes] | None = None,
    ) -> Any:
        """Unit vectors as a float32 array of shape (len(texts), dim), in the order of `texts`.

        `batch` says how many texts are next, `between` is called between two batches. `sketches` is given the
        words of each text (late.py).

        Mean of the token states under the attention mask, then L2 norm, as sentence-transformers does.
        Tokens beyond `max_tokens` are cut; chunks are made short enough that none are.
        """
        import ctranslate2
        import numpy

        result = numpy.zeros((len(texts), self.dim), dtype=numpy.float32)
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch([text or " " for text in texts])]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        start = 0
        while start < len(order):
            if start:
                between()
            picked = order[start : start + batch()]
            start += len(picked)
            output = self._encoder.forward_batch([ids[index] for index in picked])
            states = numpy.array(output.last_hidden_state.to(ctranslate2.DataType.float32))
            for row, index in enumerate(picked):
                mine = states[row, : len(ids[index])]
                if sketches is not None:
                    sketches[index] = sketch(mine, ids[index], self._silent)
                mean = mine.mean(axis=0)
                result[index] = mean / max(float(numpy.linalg.norm(mean)), 1e-12)
        return result

    def ask(self, question: str) -> Any:
        """A question's unit vector, as `embed` makes it; what its words say is kept for `near`."""
        import ctranslate2
        import numpy

        encoding = self._tokenizer.encode(question or " ")
        output = self._encoder.forward_batch([encoding.ids])
        states = numpy.array(output.last_hidden_state.to(ctranslate2.DataType.float32))[0]
        self._asked = (question, encoding.offsets, states)
        mean = states.mean(axis=0)
        return mean / max(float(numpy.linalg.norm(mean)), 1e-12)

    def near(self, question: str, weights: Mapping[str, float], sketches: Sequence[bytes]) -> list[float]:
        """How near the words of a question come to those of each sketch; see late.py."""
        if self._asked[0] != question or self._asked[2] is None:
            self.ask(question)
        _, offsets, states = self._asked
        return scores(states, word_weights(question, offsets, weights), sketches)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text with the special ones, at most `max_tokens`."""
        return [len(encoding.ids) for encoding in self._tokenizer.encode_batch(list(texts))]


def _sequence_limit(model_dir: Path, positions: int) -> int:
    """What the model was trained to read at once, in tokens: at most its position table."""
    try:
        limit = json.loads((model_dir / "sentence_bert_config.json").read_text("utf-8"))["max_seq_length"]
        return min(int(limit), positions)
    except (OSError, ValueError, KeyError, TypeError):
        return positions


class EmbedCalls:
    """The methods of the worker: `load`, `embed`, `index`, `rank`, `count_tokens`. Runs on the worker's one thread."""

    def __init__(self) -> None:
        self._loaded_models: dict[tuple[str, str, int], Embedder] = {}
        self.between: Callable[[], None] = lambda: None
        """Called between two batches of passages."""
        self._searched = -SEARCHING_S

    def load(self, params: dict[str, Any], reply: Reply) -> dict[str, int]:
        """`{model_dir, cache_dir, threads}` → `{dim, max_tokens}`."""
        embedder = self._loaded(params)
        return {"dim": embedder.dim, "max_tokens": embedder.max_tokens}

    def embed(self, params: dict[str, Any], reply: Reply) -> bytes:
        """`{texts, kind, …load's}` → float32 little-endian, n × dim. MiniLM reads both kinds the same way."""
        texts = params.get("texts")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise InvalidRequest("embed needs a list of texts")
        if params.get("kind") == "query" and len(texts) == 1:
            if params.get("searching"):
                self._searched = time.monotonic()
            return bytes(self._loaded(params).ask(texts[0]).astype("<f4").tobytes())
        between = self.between if params.get("kind") == "passage" else lambda: None
        return bytes(self._loaded(params).embed(texts, batch=self._batch, between=between).astype("<f4").tobytes())

    def index(self, params: dict[str, Any], reply: Reply) -> list[bytes]:
        """`{texts, …load's}` → all vectors as `embed` gives them, then the sketch of each text."""
        sketches: dict[int, bytes] = {}
        texts = [str(text) for text in params["texts"]]
        vectors = self._loaded(params).embed(texts, batch=self._batch, between=self.between, sketches=sketches)
        return [vectors.astype("<f4").tobytes(), *(sketches[number] for number in range(len(texts)))]

    def rank(self, params: dict[str, Any], reply: Reply) -> Any:
        """`{database, hits, vector, model, …load's}` → what ranking.py makes of them."""
        embedder = self._loaded(params)
        return rank_call(params, functools.partial(embedder.near, str(params["hits"]["text"])))

    def count_tokens(self, params: dict[str, Any], reply: Reply) -> list[int]:
        """`{texts, …load's}` → tokens of each."""
        return self._loaded(params).count_tokens(list(params.get("texts") or ()))

    def _batch(self) -> int:
        return 1 if time.monotonic() - self._searched < SEARCHING_S else BATCH

    def _loaded(self, params: dict[str, Any]) -> Embedder:
        loaded = self._loaded_models
        if "model_dir" not in params:
            if not loaded:
                raise InvalidRequest("no embedder is loaded", hint="call load first, or name model_dir in the call")
            return next(reversed(loaded.values()))
        key = (str(params["model_dir"]), str(params["cache_dir"]), int(params.get("threads") or 1))
        embedder = loaded.pop(key, None)
        if embedder is None:
            # Drop the one that was used longest ago first: one more at once would cost its memory for a moment.
            while len(loaded) >= MODELS_LOADED:
                del loaded[next(iter(loaded))]
            embedder = Embedder(Path(key[0]), Path(key[1]), threads=key[2])
        loaded[key] = embedder
        return embedder


def urgent(method: str, params: dict[str, Any]) -> bool:
    """Whether somebody waits at a screen for this call."""
    return method in ("exact", "inside", "rank") or (method == "embed" and params.get("kind") == "query")


def leads_on(method: str, params: dict[str, Any]) -> bool:
    """Whether it is not the last call of a search: the ranking is."""
    return method != "rank" and bool(params.get("searching"))


def create() -> WorkerMain:
    """Entry point of the worker kind `embed`."""
    # The tokenizer's own thread pool would compete with the encoder's for the same cores.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # So would numpy's: products as small as ours take 34 ms on its two threads and 4 on one. Before numpy is imported.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    calls, exact = EmbedCalls(), Exact()
    names = ("load", "embed", "index", "rank", "count_tokens")
    methods = {name: getattr(calls, name) for name in names} | {"exact": exact.exact, "inside": exact.inside}
    worker = UrgentWorker(methods, urgent, leads_on=leads_on)
    calls.between = worker.let_urgent_pass
    return worker
