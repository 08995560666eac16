"""From messages to prompt tokens, so that nothing a message says can act as a control token.

A retrieved document or a pasted text may hold `<|im_end|>` and pretend to be the system. A template
joins everything into one string, so where such a text occurs the contents are marked, and the marked
parts are tokenised as plain text. Messages without it, nearly all, take the straight way and get
exactly the tokens that every other engine gives them.
"""

import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from localmind.engine import constraint
from localmind.engine.constraint import Constraint
from localmind.engine.output import OutputParser, output_format, parser
from localmind.engine.template import ChatTemplate
from localmind.messages import Message, ResponseFormat, ToolUse

OPEN, CLOSE = "\ue000", "\ue001"  # of Unicode's private use area
_marked = re.compile(f"{OPEN}(.*?){CLOSE}", re.DOTALL)
_marks = re.compile(f"[{OPEN}{CLOSE}]")


class Tokenizer(Protocol):
    """What is needed of llama.Model."""

    @property
    def adds_bos(self) -> bool: ...
    @property
    def bos_text(self) -> str: ...
    @property
    def control_texts(self) -> Sequence[str]: ...
    def tokenize(self, text: str, *, add_special: bool, parse_special: bool = True) -> "array[int]": ...


@dataclass(slots=True, frozen=True)
class Prepared:
    """All that a generation needs to know of its conversation."""

    tokens: "array[int]"
    text: str
    """The prompt as it was rendered, control tokens as their text."""
    constraint: Constraint | None
    """For the sampler; from the tools and the response format together."""
    shown_controls: frozenset[str]
    """Control tokens whose text the parser must be fed; all others are to be dropped."""
    parser: Callable[[], OutputParser]
    """A new parser of an answer; one each choice."""


class Prompter:
    """Renders and tokenises for one model."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        self._tokenizer = tokenizer
        self._template = template
        texts = sorted(tokenizer.control_texts, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, texts))) if texts else None

    def prepare(
        self,
        messages: Sequence[Message],
        tools: ToolUse = ToolUse(),
        format: ResponseFormat = ResponseFormat(),
        *,
        thinking: bool | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> Prepared:
        """Everything for a generation. `thinking` None leaves it to the template; `kwargs` are names for the template.

        Raises InvalidRequest for messages, tools or a format that the model cannot be asked with.
        """
        form = output_format(None, self._tokenizer.control_texts)
        return Prepared(
            tokens=self.tokens(messages),
            text="",
            constraint=constraint.of_format(format),
            shown_controls=form.shown_controls,
            parser=lambda: parser(form, tools),
        )

    def tokens(self, messages: Sequence[Message]) -> "array[int]":
        """Tokens of the prompt, up to where the answer begins. Raises what ChatTemplate.render raises."""
        hostile = self._control is not None and any(self._control.search(message.content) for message in messages)
        text = self._template.render(
            [
                {"role": message.role, "content": _mark(message.content) if hostile else message.content}
                for message in messages
            ]
        )
        model = self._tokenizer
        # Many templates write BOS themselves; a second one makes some models answer nonsense.
        add_bos = model.adds_bos and not (model.bos_text and text.startswith(model.bos_text))
        if not hostile:
            return model.tokenize(text, add_special=add_bos)
        tokens = array("i")
        for number, part in enumerate(_marked.split(text)):  # odd parts are what stood between the marks
            plain = _marks.sub("", part)
            if plain:
                tokens += model.tokenize(plain, add_special=add_bos and not tokens, parse_special=number % 2 == 0)
        return tokens


def _mark(content: str) -> str:
    return OPEN + _marks.sub("", content) + CLOSE
