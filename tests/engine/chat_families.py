"""The templates of tests/engine/templates, laid out once, and a vocabulary without a model."""

import functools
import re
from array import array
from pathlib import Path

from localmind.engine.layout import Layout
from localmind.engine.output import output_format
from localmind.engine.template import ChatTemplate
from localmind.messages import Tool

FOLDER = Path(__file__).parent / "templates"
FAMILIES = tuple(sorted(path.stem for path in FOLDER.glob("*.jinja")))
BOS, EOS = "<s>", "</s>"

WEATHER = Tool(
    "get_weather",
    "Tells the weather.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where."},
            "days": {"type": "integer", "description": "How many."},
        },
        "required": ["city"],
    },
)
NOW = Tool("now", "Tells the time.")
TOOLS = (WEATHER, NOW)


def source(family: str) -> str:
    return (FOLDER / f"{family}.jinja").read_text()


def control_texts(family: str) -> tuple[str, ...]:
    """What looks like a control token in a template, and a few that vocabularies have beside."""
    found = re.findall(r"<[|｜][\w▁/-]+[|｜]?>|<[\w/]+\|>|\[/?[A-Z_]{3,}\]|</?(?:start|end)_of_turn>", source(family))
    extra = ["<|/tool_call|>", "<|tool_call|>"] if family == "phi4-mini" else []
    extra += ["<|tool_call_start|>", "<|tool_call_end|>"] if family == "lfm2.5" else []
    return tuple(sorted({BOS, EOS, "<|im_end|>", *found, *extra}))


@functools.cache
def layout(family: str) -> Layout:
    text = source(family)
    return Layout(ChatTemplate(text, bos=BOS, eos=EOS), output_format(text, control_texts(family)))


class FakeTokenizer:
    """One token a UTF-8 byte; control tokens, from 1000 on, where they are looked for."""

    def __init__(self, family: str, *, adds_bos: bool = False) -> None:
        self.adds_bos = adds_bos
        self.bos_text = BOS
        self.control_texts = control_texts(family)
        ordered = sorted(self.control_texts, key=len, reverse=True)
        self._pattern = re.compile(f"({'|'.join(map(re.escape, ordered))})")
        self._ids = {text: 1000 + number for number, text in enumerate(self.control_texts)}

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool = True) -> "array[int]":
        tokens = array("i", [self._ids[BOS]] if add_special else [])
        for part in self._pattern.split(text) if parse_special else [text]:
            own = parse_special and part in self._ids
            tokens.extend([self._ids[part]] if own else part.encode("utf-8", "replace"))
        return tokens
