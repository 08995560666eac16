"""What a model writes, read as it streams: reasoning, text and tool calls, in the form of its family.

A family's form is chosen from the chat template's own text and the vocabulary's control tokens, never
from a name. One generator a request reads the text at a cursor and waits where it needs more, so how
the text is cut into pieces changes nothing. Nothing here raises for what a model writes: what is not
a call to an offered tool comes out as text.

    form = output_format(template, control_texts)
    reader = parser(form, tools, prompt_end=prompt[-200:])
    events = [*reader.feed("..."), *reader.finish()]        # reader.called: finish_reason is "tool_calls"
"""

from localmind.engine.output.form import OutputFormat, output_format
from localmind.engine.output.reader import OutputParser, parser

__all__ = ["OutputFormat", "OutputParser", "output_format", "parser"]
