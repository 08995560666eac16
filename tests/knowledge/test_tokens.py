"""Counting tokens by words says what the tokenizer says, and chunks that are cut by it fit the embedder."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from localmind.knowledge.chunk import TOKENS_LIMIT, chunk, splitter
from localmind.knowledge.extract import Extracted
from localmind.knowledge.tokens import Tokens

SAMPLES = [
    "How do I descale the boiler? It was serviced on 9 October; see notes/2026-10-09.md.",
    "def retry_after_seconds(self, *, maxTokens: int = 30) -> None: ...",
    "| a | b |\n|---|---|\n|  1 | 2,50 € |\n" * 20,
    "锅炉在十月份进行了维护，费用是一百二十九欧元。钥匙在邻居家。" * 5,
    "Die Wärmepumpenheizungsanlage steht im Keller; Straße, Café, naïve." * 5,
    "x" * 300 + " " + "=" * 90,
    "",
]


@pytest.fixture(scope="module")
def tokenizer_file(embed_model_dir: Path) -> Path:
    return embed_model_dir / "tokenizer.json"


def test_the_count_is_that_of_the_tokenizer(tokenizer_file: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    true = [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in SAMPLES]
    counter = Tokens(tokenizer_file)
    assert counter.counts(SAMPLES) == true
    assert counter.counts(SAMPLES) == true


@pytest.mark.parametrize("kind", ["plain", "markdown", "python"])
def test_no_chunk_is_longer_than_the_embedder_likes(tokenizer_file: Path, kind: str) -> None:
    text = "\n\n".join(SAMPLES) * 3
    pieces = chunk(Extracted(text), splitter(tokenizer_file, kind))
    counts = Tokens(tokenizer_file).counts([piece.text for piece in pieces])
    assert max(counts) <= TOKENS_LIMIT
    assert "".join(piece.text for piece in pieces) == text
