"""Markdown of answers laid out as rows, and the widget that draws them."""

from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.selection import SELECT_ALL

from localmind_tui.prose import Code, Reader, Row, rows
from localmind_tui.widgets.document import LARGE, Document

HOSTILE = st.text(st.sampled_from("ab *_`~>#|-+1.\n\t[](!)=:\\<&日e\u0301"), max_size=120)


def shown(text: str, width: int) -> list[str]:
    return [row.content.plain.rstrip() for row in rows(Reader([]).read(text), width) if isinstance(row, Row)]


def test_lists_are_marked_nested_and_hang_under_their_first_word() -> None:
    text = "- one\n- two words that wrap\n  1. inner\n  2. again\n\n9. nine\n10. ten"
    assert shown(text, 14) == [
        "• one",
        "• two words",
        "  that wrap",
        "  1. inner",
        "  2. again",
        "",
        " 9. nine",
        "10. ten",
    ]


def test_quotes_keep_their_bar_on_every_row_also_around_other_blocks() -> None:
    assert shown("> said at length\n>\n> - item", 10) == ["▌ said at", "▌ length", "▌", "▌ • item"]


def test_a_table_takes_what_its_cells_need_wraps_where_it_must_and_is_told_where_nothing_fits() -> None:
    text = "| part | euros |\n|:---|---:|\n| pump | 148 |\n| a filter of paper | 7 |"
    assert shown(text, 60)[:3] == [
        "part              │ euros",
        "──────────────────┼──────",
        "pump              │   148",
    ]
    assert shown(text, 20) == [
        "part         │ euros",
        "─────────────┼──────",
        "pump         │   148",
        "             │",
        "a filter of  │     7",
        "paper        │",
    ]
    assert shown(text, 10)[:4] == ["part: pump", "euros: 148", "", "part: a"]


def test_code_is_kept_to_the_blank_and_folded_at_the_edge() -> None:
    codes: list[Code] = []
    pieces = Reader(codes).read("```python\ndef f():\n\n\treturn 12345678\n```")
    drawn = [row.content.plain for row in rows(pieces, 16) if isinstance(row, Row)]
    assert codes == [Code("python", "def f():\n\n\treturn 12345678\n")]
    assert [row.strip() for row in drawn] == ["python · copy", "def f():", "", "return 123", "45678"]
    assert {len(row) for row in drawn} == {16}


def test_images_are_named_links_are_marked_and_html_is_text() -> None:
    pieces = Reader([]).read("![a cat](http://x/cat.png) [here](http://x) <b>no</b>")
    row = next(each for each in rows(pieces, 80) if isinstance(each, Row))
    assert row.content.plain == "[image: a cat] here <b>no</b>"
    assert any("href" in str(span.style) or getattr(span.style, "meta", {}).get("href") for span in row.content.spans)


@given(HOSTILE, st.integers(5, 40))
def test_no_text_breaks_the_layout_or_loses_its_letters(text: str, width: int) -> None:
    drawn = [row for row in rows(Reader([]).read(text), width) if isinstance(row, Row)]
    letters = [letter for letter in "".join(row.content.plain for row in drawn) if letter in "ab"]
    plain = [letter for letter in text if letter in "ab"]
    nested = sum(text.count(each) for each in ">-+*_.)")
    if nested < 5 and not set(text) & set("[]()`|~<&!:="):  # what these mean may not be shown, nor what is nested deep
        assert len(letters) >= len(plain)
    if not nested and "|" not in text:
        assert all(row.content.cell_length <= width for row in drawn)


class Alone(App[None]):
    """One document, or some."""

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self.documents = [Document(text) for text in texts]
        self.document = self.documents[0]
        self.wanted: list[str] = []

    def compose(self) -> ComposeResult:
        yield from self.documents

    def on_document_copy_wanted(self, event: Document.CopyWanted) -> None:
        self.wanted.append(event.code)


async def test_what_is_marked_is_copied_without_the_breaks_of_the_screen() -> None:
    app = Alone("- words that are wrapped at the edge of it\n- two")
    async with app.run_test(size=(20, 10)):
        assert app.document.size.height == 4
        assert app.document.get_selection(SELECT_ALL) == ("• words that are wrapped at the edge of it\n• two", "\n")


async def test_an_open_block_is_replaced_as_it_grows_and_leaves_nothing_behind() -> None:
    app = Alone("Closed.")
    async with app.run_test(size=(30, 20)) as pilot:
        for text in ("- o", "- one\n- t", "- one\n- two", ""):
            app.document.show_open(text, plain=False)
            await pilot.pause()
        await app.document.append("- one\n- two\n")
        await pilot.pause()
        assert app.document.size.height == 4
        assert app.document.get_selection(SELECT_ALL) == ("Closed.\n\n• one\n• two", "\n")


async def test_a_document_that_was_taken_away_can_be_drawn_once_more() -> None:
    app = Alone("Some *words*.")
    async with app.run_test(size=(30, 20)):
        await app.document.remove()
        assert len(app.document.render_lines(Region(0, 0, 30, 1))) == 1


GROWING = {
    "a list": "Before.\n\n- one *word*\n- two\n\n  and more\n- three\n  - in it\n",
    "numbers that get wider": "".join(f"{number}. item\n" for number in range(7, 12)),
    "a table that gets wider": "| a | b |\n|---|---|\n| 1 | 2 |\n| long words | 3 |\n| 4 | **5** |\n",
    "code": "```python\ndef a() -> int:\n    return 1\n\n\nprint(a())\n```\n",
    "a quote": "> one\n> two\n>\n> - three\n",
    "a heading below its words": "words\n===\n\nmore ~~of~~ them\n",
    "marks that close late": "this **is bold\nto here** and *not closed",
}


def drawn(document: Document) -> list[list[tuple[str, str]]]:
    """Words and their styles, row by row, without the empty room below an open block."""
    strips = document.render_lines(Region(0, 0, document.size.width, document.size.height))
    while strips and not strips[-1].text.strip():
        strips.pop()
    return [[(text, str(style)) for text, style, _ in strip] for strip in strips]


async def test_a_block_that_grows_looks_at_every_step_as_if_it_had_been_there_at_once() -> None:
    app = Alone("Closed.", "Closed.")
    growing, fresh = app.documents
    async with app.run_test(size=(30, 80)) as pilot:
        for text in GROWING.values():
            await growing.update("Closed.")
            for end in range(2, len(text) + 3, 3):
                growing.show_open(text[:end], plain=False)
                await fresh.update("Closed.")
                fresh.show_open(text[:end], plain=False)
                await pilot.pause()
                assert drawn(growing) == drawn(fresh), text[:end]


async def test_a_large_block_of_code_is_coloured_behind_and_a_click_above_it_copies_it() -> None:
    code = "x = 1  # one\n" * (LARGE // 10)
    app = Alone(f"```python\n{code}```")
    async with app.run_test(size=(40, 20)) as pilot:
        while app.document.colouring:
            await pilot.pause(0.05)
        assert any(segment.style and segment.style.italic for segment in app.document.render_line(1))
        await pilot.click(Document, offset=(5, 0))
        await pilot.pause()
        assert app.wanted == [code]
