"""From messages to prompt tokens, so that nothing a message says can act as a control token.

A retrieved document, a tool's result or a pasted text may hold `<|im_end|>` and pretend to be the system.
A template joins everything into one string, so where any text from outside could spell a control token
the conversation is rendered again with a mark inside every such place, and what the marks give away is
tokenised as plain text. Conversations without it, nearly all, take the straight way and get exactly the
tokens that every other engine gives them.
"""

import bisect
import itertools
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from localmind.engine.constraint import Constraint
from localmind.engine.layout import Layout, Page
from localmind.engine.output import OutputFormat, OutputParser, output_format, parser
from localmind.engine.output.constrain import answer_constraint
from localmind.engine.output.reader import opens
from localmind.engine.template import BREAK, OURS, ChatTemplate
from localmind.errors import InvalidRequest, ModelFileBroken
from localmind.messages import ANY_TEXT, Message, ResponseFormat, ToolUse

NO_TOOLS = ToolUse()
KEPT = 32
"""Constraints and other templates that are remembered."""

END = 200
"""Characters of the prompt's end that a parser is shown."""


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
        self.layout = self._laid_out(template)
        self._others: dict[str, Layout] = {}
        self._constraints: dict[tuple[OutputFormat, bytes, bool, bool], Constraint | None] = {}
        self._controls = frozenset(tokenizer.control_texts)
        self._beginnings = frozenset(text[:2] for text in self._controls)
        self._lengths = sorted({len(text) for text in self._controls}, reverse=True)
        first = "".join(sorted({text[0] for text in self._controls}))
        self._suspect = re.compile(f"[{re.escape(first)}]") if first else re.compile("(?!)")

    def prepare(
        self,
        messages: Sequence[Message],
        tools: ToolUse = NO_TOOLS,
        format: ResponseFormat = ANY_TEXT,
        *,
        thinking: bool | None = None,
        kwargs: Mapping[str, Any] | None = None,
        template: str | None = None,
    ) -> Prepared:
        """Everything for a generation. `thinking` None leaves it to the template; `kwargs` are names for the template,
        `template` is one to use instead of the model's.

        A conversation that ends with the assistant's text is continued there. Under the choice "none" the tools are
        not even described. Raises InvalidRequest for messages, tools or a format that the model cannot be asked with.
        """
        names = self._names(thinking, kwargs or {})
        offered = () if tools.choice == "none" else tools.tools
        layout = self.layout if template is None else self._other(template)
        page, segments = self._render(layout, messages, offered, names)
        closing = ""
        if thinking is False and opens(page.form, page.text):
            closing = page.form.thought[1] + "\n\n"  # this template always opens: no thoughts are these
            segments.append((closing, True))
        text = page.text + closing
        opened = opens(page.form, text)
        thinks = thinking is not False and not page.prefilled and not text.rstrip().endswith(page.form.thought[1])
        return Prepared(
            tokens=self._tokens(segments),
            text=text,
            constraint=self._constraint(page.form, tools, format, opened=opened, thinks=thinks),
            shown_controls=layout.form.shown_controls,
            parser=lambda: parser(page.form, tools, prompt_end=text[-END:], prefilled=page.prefilled),
        )

    def tokens(self, messages: Sequence[Message]) -> "array[int]":
        """Tokens of the prompt, up to where the answer begins."""
        return self.prepare(messages).tokens

    def _laid_out(self, template: ChatTemplate) -> Layout:
        return Layout(template, output_format(template.source, self._tokenizer.control_texts))

    def _other(self, source: str) -> Layout:
        """The layout by a template that is not the model's own; kept, since finding out what it can takes a while.
        Raises InvalidRequest."""
        if source not in self._others:
            if len(self._others) >= KEPT:
                self._others.pop(next(iter(self._others)))
            try:
                self._others[source] = self._laid_out(self._template.another(source))
            except ModelFileBroken as problem:
                raise InvalidRequest(f"the template that was given: {problem.message}") from problem
        return self._others[source]

    def _constraint(
        self, form: OutputFormat, tools: ToolUse, format: ResponseFormat, *, opened: bool, thinks: bool
    ) -> Constraint | None:
        """As `answer_constraint`; kept, since an editor sends the same sixty tools every turn, which take 200 ms."""
        key = (form, msgspec.json.encode((tools, format)), opened, thinks)
        if key not in self._constraints:
            if len(self._constraints) >= KEPT:
                self._constraints.pop(next(iter(self._constraints)))
            self._constraints[key] = answer_constraint(form, tools, format, opened=opened, thinks=thinks)
        return self._constraints[key]

    def _names(self, thinking: bool | None, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        refused = OURS & kwargs.keys()
        if refused:
            raise InvalidRequest(f"the template's variable {min(refused)} cannot be set")
        names: dict[str, Any] = {}
        if thinking is not None:
            names.update(enable_thinking=thinking, thinking=thinking)
            if not thinking:
                names["reasoning_effort"] = "low"
        return {**names, **kwargs}

    def _render(
        self, layout: Layout, messages: Sequence[Message], tools: Sequence[Any], names: Mapping[str, Any]
    ) -> tuple[Page, list[tuple[str, bool]]]:
        """The page, and its text in segments, each with whether control tokens are to be looked for in it."""
        suspicious = False

        def look(text: str) -> str:
            nonlocal suspicious
            suspicious = suspicious or bool(self._suspect.search(text))
            return text

        checked = _strings_through(names, look)
        page = layout.render(messages, tools, checked, guard=look)
        if not suspicious:
            return page, [(page.text, True)]
        marked = layout.render(messages, tools, _strings_through(names, self._mark), guard=self._mark)
        segments = list(self._segments(marked.text))
        ours = all(special for _, special in segments)
        if ours and self._count(page.text) == self._count("".join(part for part, _ in segments)):
            return page, [(page.text, True)]
        text = "".join(part for part, _ in segments)
        return Page(text, marked.form, marked.prefilled), segments

    def _mark(self, text: str) -> str:
        """`text` with a mark behind every character that could begin a control token."""
        return self._suspect.sub(lambda found: found[0] + BREAK, text.replace(BREAK, ""))

    def _segments(self, marked: str) -> Iterator[tuple[str, bool]]:
        """The text without marks; control tokens that are not the template's own stand alone, as plain text."""
        pieces = marked.split(BREAK)
        text = "".join(pieces)
        breaks = list(itertools.accumulate(map(len, pieces)))[:-1]
        start = 0
        for first, end in self._spans(text):
            after = bisect.bisect_right(breaks, first)
            if after < len(breaks) and breaks[after] <= end:
                if start < first:
                    yield text[start:first], True
                yield text[first:end], False
                start = end
        if start < len(text) or start == 0:
            yield text[start:], True

    def _count(self, text: str) -> int:
        return sum(1 for _ in self._spans(text))

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where control tokens stand, longest first as the tokenizer takes them. Some vocabularies have thousands, so
        they are looked up by length instead of being tried one after another."""
        at = 0
        while found := self._suspect.search(text, at):
            start = found.start()
            at = start + 1
            if text[start : start + 2] not in self._beginnings:
                continue
            length = next((n for n in self._lengths if text[start : start + n] in self._controls), 0)
            if length:
                yield start, start + length
                at = start + length

    def _tokens(self, segments: Sequence[tuple[str, bool]]) -> "array[int]":
        model = self._tokenizer
        tokens = array("i")
        for text, special in segments:
            # Many templates write BOS themselves; a second one makes some models answer nonsense.
            has_bos = special and model.bos_text and text.startswith(model.bos_text)
            add_bos = model.adds_bos and not tokens and not has_bos
            tokens += model.tokenize(text, add_special=add_bos, parse_special=special)
        return tokens


def _strings_through(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return [_strings_through(item, change) for item in value]
    if isinstance(value, Mapping):
        return {key: _strings_through(item, change) for key, item in value.items()}
    return value
