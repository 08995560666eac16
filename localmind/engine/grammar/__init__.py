"""Grammars in llama.cpp's GBNF: from JSON Schema, and checked before native code sees them.

`schema_to_gbnf(schema)` is a whole grammar with a rule `root`. To embed a schema in a larger grammar,
`rules(schema, "call-1")` gives the name of its first rule and all its rules, whose names begin with
`call-1`, so that several schemas live in one grammar under different prefixes. A value's rule begins
at the first character of the JSON and ends at the last: it eats no white space round it. For example

    name, found = rules(tool.parameters, "arguments")
    text = render({"root": f'{literal("<tool_call>")} {name} {literal("</tool_call>")}', **found})

A schema that cannot be expressed raises InvalidRequest with the keyword and its JSON pointer.
"""

from localmind.engine.grammar.gbnf import literal, render
from localmind.engine.grammar.judge import check_gbnf, printable_ascii
from localmind.engine.grammar.schema import rules, schema_to_gbnf

__all__ = ["check_gbnf", "literal", "printable_ascii", "render", "rules", "schema_to_gbnf"]
