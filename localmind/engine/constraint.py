"""What the text of an answer must look like, as one value: a grammar, and where in the text it begins.

Made where the request's tools and format are known (this module for `response_format`,
toolcalls for tools) and used by sampling.make_sampler. It owns no syntax: JSON Schema and GBNF are
the grammar package's.
"""

from dataclasses import dataclass

from localmind.engine import grammar
from localmind.errors import InvalidRequest
from localmind.messages import ResponseFormat


@dataclass(slots=True, frozen=True)
class Constraint:
    """A grammar with a rule `root` that generated text must match."""

    gbnf: str
    triggers: tuple[str, ...] = ()
    """Python regular expressions. Empty: the grammar holds from the first token. Else text is free until one of them
    matches in it (control tokens count as their text, e.g. `<tool_call>`); the grammar then begins at the start of
    the match's first group that took part, or of the whole match, and the answer ends where the grammar ends."""
    plain: bool = False
    """What it spells out is text for the client, even where it reads like a control token, which nobody would see."""


def of_format(wanted: ResponseFormat) -> Constraint | None:
    """The constraint of a response format, None for free text. Raises InvalidRequest for one that cannot be kept."""
    if wanted.grammar is not None:
        if wanted.json_schema is not None:
            raise InvalidRequest("a grammar and a JSON schema cannot both be given", hint="leave out one of them")
        grammar.check_gbnf(wanted.grammar)
        return Constraint(wanted.grammar, plain=True)
    if wanted.json_schema is None:
        return None
    schema = {"type": "object"} if wanted.json_schema == {} else wanted.json_schema
    return Constraint(grammar.schema_to_gbnf(schema), plain=True)
