"""JSON and notebooks to text.

JSON written for people keeps its own lines. JSON in one endless line has none worth citing: it becomes
a line a value, `people.0.name: Ada`, under its key. A notebook becomes its cells: prose, code and the text
of their outputs; pictures and widgets are left out.
"""

import json
from collections.abc import Iterator
from typing import Any

from localmind.errors import ExtractFailed
from localmind.knowledge.extract import Extracted
from localmind.knowledge.formats.lines import Lines

# Characters a line on average: above that, nobody reads the file by its lines.
DENSE = 400
OUTPUT_LIMIT = 4000


def read(text: str) -> Extracted:
    """The text itself, or its values one a line."""
    if len(text) < DENSE * (text.count("\n") + 1):
        return Extracted(text)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return Extracted(text)
    lines = Lines("JSON")
    top = ""
    for path, value in _leaves(document):
        key = path[0] if path else ""
        if key != top:
            top = key
            lines.under(1, top)
        lines.add(f"{'.'.join(path)}: {value}" if path else value)
    return lines.done()


def _leaves(document: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """(path, value as text) of every value that holds no others; without recursion, since depth is hostile."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(((*path, str(key)), value[key]) for key in reversed(value))
        elif isinstance(value, list):
            waiting.extend(((*path, str(number)), value[number]) for number in reversed(range(len(value))))
        elif value is not None and value != "":
            yield path, value if isinstance(value, str) else json.dumps(value)


def read_notebook(text: str) -> Extracted:
    """The cells of a Jupyter notebook in order."""
    from localmind.knowledge import headings

    try:
        cells = json.loads(text)["cells"]
        lines = Lines("notebook")
        for number, cell in enumerate(cells, 1):
            source = _joined(cell.get("source"))
            if cell.get("cell_type") == "markdown":
                lines.include(Extracted(source, headings.markdown(source)))
            else:
                lines.block(source)
                for output in cell.get("outputs") or ():
                    lines.block(_output(output)[:OUTPUT_LIMIT])
            if number < len(cells):
                lines.add("")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ExtractFailed(f"this notebook is broken: {error}"[:300]) from error
    return lines.done()


def _joined(source: Any) -> str:
    return "".join(source) if isinstance(source, list) else str(source or "")


def _output(output: dict[str, Any]) -> str:
    """What an output says in words; a traceback is the last line of it."""
    if output.get("output_type") == "stream":
        return _joined(output.get("text"))
    if output.get("output_type") == "error":
        return f"{output.get('ename')}: {output.get('evalue')}"
    return _joined((output.get("data") or {}).get("text/plain"))
