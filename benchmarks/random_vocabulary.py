"""Small vocabularies of our own for the GGUFs of random_gguf.py, so that no test has to download one.

They hold every byte, so any text can be tokenised, and some common words, so that tokens differ in length.
"""

from dataclasses import dataclass
from typing import Any

NORMAL, CONTROL = 1, 3
"""enum llama_token_type."""

WORDS = """
the of and to in is it that was for on are with as they at be this from have or by one had not but what all were
when we there can an your which their said if do will each about how up out them then she many some so these
would other into has more her two like him see time could no make than first been its who now people my made
over did down only way find use may water long little very after words called just where most know get through
back much before go good new write our used me man too any day same right look think also around another came
come work three word must because does part even place well such here take why things help put years different
away again off went old number def return class import self None True False print value name list index
""".split()  # noqa: SIM905 - a list of them would fill two screens

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(slots=True, frozen=True)
class Vocabulary:
    texts: tuple[str, ...]
    types: tuple[int, ...]
    keys: dict[str, Any]
    """Everything under `tokenizer.`, beside the tokens."""


def _bytes_as_text() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    texts = {byte: chr(byte) for byte in printable}
    for number, byte in enumerate(byte for byte in range(256) if byte not in texts):
        texts[byte] = chr(256 + number)
    return [texts[byte] for byte in range(256)]


def bpe(*, fim: bool = False, size: int | None = None) -> Vocabulary:
    """Byte-level BPE: bytes, beginnings of common words, ChatML's control tokens; padded to `size` tokens."""
    texts = _bytes_as_text()
    known = set(texts)
    merges: list[str] = []
    for word in WORDS:
        left = "Ġ"  # a space
        for letter in word:
            if left + letter not in known:
                merges.append(f"{left} {letter}")
                texts.append(left + letter)
                known.add(left + letter)
            left += letter
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    if fim:
        control += [
            "<|fim_prefix|>",
            "<|fim_suffix|>",
            "<|fim_middle|>",
            "<|fim_pad|>",
            "<|repo_name|>",
            "<|file_sep|>",
        ]
    types = [NORMAL] * len(texts) + [CONTROL] * len(control)
    first = len(texts)
    texts += control
    while size and len(texts) < size:
        texts.append(f"Ġ#{len(texts)}")
        types.append(NORMAL)
    keys = {
        "ggml.model": "gpt2",
        "ggml.pre": "gpt-2",
        "ggml.merges": merges,
        "ggml.bos_token_id": first,
        "ggml.eos_token_id": first + 2,
        "ggml.add_bos_token": False,
        "chat_template": CHATML,
    }
    return Vocabulary(tuple(texts), tuple(types), keys)


def wordpiece() -> Vocabulary:
    """BERT's: letters alone and at the start of a word (`▁`), and whole words."""
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1) if not chr(code).isupper()]
    control = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*letters, *(f"▁{text}" for text in [*letters, *(word.lower() for word in WORDS)])]
    texts = [*control, *dict.fromkeys(words)]
    types = [CONTROL] * len(control) + [NORMAL] * (len(texts) - len(control))
    keys = {
        "ggml.model": "bert",
        "ggml.pre": "jina-v2-en",
        "ggml.padding_token_id": 0,
        "ggml.unknown_token_id": 1,
        "ggml.bos_token_id": 2,
        "ggml.cls_token_id": 2,
        "ggml.eos_token_id": 3,
        "ggml.seperator_token_id": 3,  # llama.cpp's spelling
        "ggml.mask_token_id": 4,
        "ggml.add_bos_token": True,
        "ggml.add_eos_token": True,
        "ggml.token_type_count": 2,
    }
    return Vocabulary(tuple(texts), tuple(types), keys)
