"""Templates: filled, missing, kept and refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind import templates
from localmind.errors import InvalidRequest, LocalmindError, NotFound
from localmind.templates import Template


def test_variables_are_found_in_order_with_their_defaults():
    template = Template("t", "Translate {{input}} to {{ language|German }} for {{whom}}, {{language}}.")
    assert template.variables == {"input": None, "language": "German", "whom": None}


def test_what_is_known_is_filled_in_and_what_is_missing_is_named_once():
    template = Template("t", "\n{{a}} {{b|two}} {{c}} {{c}}\n")
    assert template.fill({"a": "one {{b}}"}) == ("one {{b}} two {{c}} {{c}}", ["c"])


@given(st.text(max_size=200), st.dictionaries(st.sampled_from(["a", "b"]), st.text(max_size=20)))
def test_any_text_is_a_template_and_filling_everything_leaves_nothing_missing(text: str, values: dict[str, str]):
    template = Template("t", text)
    filled, missing = template.fill(dict.fromkeys(template.variables, "x"))
    assert missing == []
    wanted = [name for name, default in template.variables.items() if default is None and name not in values]
    assert template.fill(values)[1] == wanted
    if "{{" not in text:
        assert filled == text.strip("\n")


def test_a_template_is_kept_listed_and_read_again(tmp_path: Path):
    directory = tmp_path / "templates"
    assert templates.names(directory) == []
    templates.write(directory, "brief", "Be brief.\n\n{{input}}\n")
    (directory / "other.txt").write_text("Other")
    assert templates.names(directory) == ["brief", "other"]
    assert templates.read(directory, "brief").fill({"input": "Hi"}) == ("Be brief.\n\nHi", [])


def test_a_name_that_is_taken_or_no_name_is_refused_and_nothing_is_overwritten(tmp_path: Path):
    templates.write(tmp_path, "brief", "first")
    with pytest.raises(InvalidRequest, match="already"):
        templates.write(tmp_path, "brief", "second")
    assert templates.read(tmp_path, "brief").text == "first\n"
    for name in ("", "../x", "a/b", ".hidden"):
        with pytest.raises(InvalidRequest):
            templates.write(tmp_path, name, "text")


def test_a_template_that_is_not_there_or_leads_out_of_the_directory_names_those_that_are(tmp_path: Path):
    (tmp_path / "secret.md").write_text("secret")
    inside = tmp_path / "templates"
    templates.write(inside, "brief", "text")
    for name in ("nothing", "../secret"):
        with pytest.raises(NotFound, match="there are: brief"):
            templates.read(inside, name)


def test_what_is_not_text_or_too_long_is_an_error_and_not_a_part_of_it(tmp_path: Path):
    (tmp_path / "bytes.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LocalmindError, match="cannot be read"):
        templates.read(tmp_path, "bytes")
    (tmp_path / "long.md").write_text("x" * (templates.LONGEST + 1))
    with pytest.raises(InvalidRequest, match="longer"):
        templates.read(tmp_path, "long")
