"""Source code: where its definitions stand, as a trail `Class > method`, by tree-sitter's grammars.

The same grammars cut the chunks (chunk.py), so that a function is not torn where it fits. The text of a
file is never changed. A language without a grammar here is read as text with no trail. A file that
does not parse still gives what does: these parsers recover.
"""

import importlib
from typing import Any

from localmind.knowledge.extract import Extracted, Heading
from localmind.knowledge.headings import Trail

# kind → (module of the grammar, its function)
GRAMMARS = {
    "bash": ("tree_sitter_bash", "language"),
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "csharp": ("tree_sitter_c_sharp", "language"),
    "go": ("tree_sitter_go", "language"),
    "java": ("tree_sitter_java", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "php": ("tree_sitter_php", "language_php"),
    "python": ("tree_sitter_python", "language"),
    "ruby": ("tree_sitter_ruby", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "typescript": ("tree_sitter_typescript", "language_tsx"),
}
# Characters; a bigger file is made by a program for a program.
PARSE_LIMIT = 2_000_000
DEPTH_LIMIT = 100

_DEFINES = frozenset(
    {
        *("function_definition", "class_definition", "function_declaration", "generator_function_declaration"),
        *("class_declaration", "abstract_class_declaration", "method_definition", "method_declaration"),
        *("interface_declaration", "enum_declaration", "struct_declaration", "record_declaration"),
        *("constructor_declaration", "namespace_declaration", "namespace_definition", "internal_module", "module"),
        *("class_specifier", "struct_specifier", "enum_specifier", "union_specifier", "trait_declaration"),
        *("function_item", "struct_item", "enum_item", "trait_item", "impl_item", "mod_item", "macro_definition"),
        *("class", "method", "singleton_method", "type_alias_declaration", "type_declaration", "type_spec"),
        *("property_declaration", "type_definition", "variable_declarator"),
    }
)
_VALUES = frozenset({"arrow_function", "function_expression", "function", "class"})


def grammar(kind: str) -> Any:
    """The pointer to a grammar, as tree-sitter and semantic-text-splitter take it; None if there is none."""
    if kind not in GRAMMARS:
        return None
    module, function = GRAMMARS[kind]
    return getattr(importlib.import_module(module), function)()


def read(text: str, kind: str) -> Extracted:
    """The text with a heading where a definition begins, and where what is outside goes on."""
    if kind not in GRAMMARS or len(text) > PARSE_LIMIT:
        return Extracted(text)
    from tree_sitter import Language, Parser

    data = text.encode("utf-8")
    tree = Parser(Language(grammar(kind))).parse(data)
    ascii_only = len(data) == len(text)
    headings: list[Heading] = []
    trail = Trail()
    for entered, depth, name, place in _definitions(tree.root_node):
        start = place if ascii_only else len(data[:place].decode("utf-8", "ignore"))
        shown = trail.enter(depth, name) if entered else trail.leave(depth)
        if headings:
            # Two on one line: the later one begins where the earlier ended, and the inner one names the line.
            start = max(start, headings[-1].start)
            if headings[-1].start == start:
                headings.pop()
        headings.append(Heading(start, shown))
    return Extracted(text, tuple(headings))


def _definitions(root: Any) -> list[tuple[bool, int, str, int]]:
    """(begins, depth, name, byte) at the start and the end of every named definition, in order of the text."""
    found: list[tuple[bool, int, str, int]] = []
    waiting: list[tuple[Any, int, int | None]] = [(root, 1, None)]
    while waiting:
        node, depth, end = waiting.pop()
        if end is not None:
            found.append((False, depth, "", end))
            continue
        name = _name(node)
        if name:
            # What precedes it on its line, and the decorators of a wrapped definition, belong to it.
            outer = node.parent if node.parent is not None and node.parent.type == "decorated_definition" else node
            found.append((True, depth, name, outer.start_byte - outer.start_point.column))
            waiting.append((node, depth, node.end_byte))
        if depth < DEPTH_LIMIT:
            inner = depth + 1 if name else depth
            waiting.extend((child, inner, None) for child in reversed(node.named_children))
    return found


def _name(node: Any) -> str:
    if node.type not in _DEFINES or not node.is_named:
        return ""
    if node.type == "variable_declarator":
        value = node.child_by_field_name("value")
        if value is None or value.type not in _VALUES:
            return ""
    if node.type.endswith("_specifier") and node.child_by_field_name("body") is None:
        return ""  # `struct point p;` names a type, it defines none
    named = node.child_by_field_name("type" if node.type == "impl_item" else "name")
    # C: the name is the innermost declarator.
    declarator = node.child_by_field_name("declarator") if named is None else None
    while declarator is not None:
        named, declarator = declarator, declarator.child_by_field_name("declarator")
    if named is None:
        return ""
    text = named.text.decode("utf-8", "replace") if named.text else ""
    return " ".join(text.split())[:120]
