"""Where a growing Markdown text is cut, and its blocks of code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it.token import Token

from localmind.markdown import closed_length, code_blocks, markdown_parser

LINES = st.sampled_from(
    [
        *(
            "para",
            "more *text*",
            "**bold**",
            "# Title",
            "",
            "",
            "- item",
            "- other",
            "  same item",
            "  - inner",
            "1. one",
        ),
        *(
            "> said",
            "> ```",
            "```",
            "```py",
            "~~~",
            "code()",
            "| a | b |",
            "|---|---|",
            "| 1 | 2 |",
            "---",
            "===",
            "* * *",
        ),
        *("10. ten", "2. two", "-", "- - a", "+ x", "- ```", "   three", "    four", "      six", "\ttab", "   > q"),
        *("   ```", "    ```", "    ```py", "<div>"),
    ]
)
DOCUMENTS = st.lists(LINES).map("\n".join)


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("half a para", ""),
        ("a para\n", ""),
        ("a para\n\n", "a para\n\n"),
        ("a para\n\nnext", "a para\n\n"),
        ("- a\n- b\n\n", ""),
        ("- a\n- b\n\n- c", ""),
        ("- a\n- b\n\n-", ""),
        ("1. a\n\n2", ""),
        ("- a\n- b\n\nT", "- a\n- b\n\n"),
        ("- a\n\n  still a\n\n", ""),
        ("> said\n\n> more\n\nend", "> said\n\n> more\n\n"),
        ("```py\nx = 1\n\ny = 2\n", ""),
        ("```py\nx = 1\n\ny = 2\n```\n", "```py\nx = 1\n\ny = 2\n```\n"),
        ("````\n```\n````\n", "````\n```\n````\n"),
        ("| a |\n|---|\n| 1 |\n", ""),
        ("text\n- list after text\n\n", ""),
    ],
)
def test_only_whole_blocks_are_closed(text: str, closed: str) -> None:
    assert text[: closed_length(text)] == closed


@given(DOCUMENTS)
def test_the_border_never_moves_back(text: str) -> None:
    borders = [closed_length(text[:length]) for length in range(len(text) + 1)]
    assert borders == sorted(borders)


def shape(tokens: list[Token]) -> list[tuple[str, str, str]]:
    return [(token.type, token.tag, token.content) for token in tokens]


@given(DOCUMENTS, st.integers(0, 200))
def test_what_is_cut_off_and_what_comes_after_mean_together_what_the_whole_means(text: str, come: int) -> None:
    parser = markdown_parser()
    border = closed_length(text[:come])
    parts = shape(parser.parse(text[:border])) + shape(parser.parse(text[border:]))
    assert parts == shape(parser.parse(text))


def test_code_is_without_its_fence_and_its_list() -> None:
    assert code_blocks("```py\na\n\nb\n```\n~~~~\n~~~\n~~~~\n```\nopen") == ["a\n\nb\n", "~~~\n", "open"]
    assert code_blocks("10. Run\n\n    ```sh\n    ls\n      -l\n    ```\n") == ["ls\n  -l\n"]
    assert code_blocks("no `code` here") == []
    assert code_blocks("    set by four blanks\n") == ["set by four blanks\n"]
    assert code_blocks("    set by four blanks\n", ["fence"]) == []
