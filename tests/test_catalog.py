"""The catalog: what ships, what a user may add, and how clearly a slip is reported."""

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind import catalog
from localmind.errors import ConfigInvalid, ModelNotFound
from localmind.paths import Paths

BUNDLED = (Path(__file__).resolve().parents[1] / "models.toml").read_text("utf-8")

OWN = """schema = 1

[[model]]
name = "mine:1b"
role = "chat"
format = "gguf"
family = "Mine"
licence = "MIT"
parameters = 1_000
context = 2048
quantisation = "Q8_0"

[[model.files]]
name = "mine.gguf"
size = 10
sha256 = "{sha}"

[[model.sources]]
kind = "wheel"
package = "mine"
version = "1"
wheel = "mine-1-py3-none-any.whl"
size = 20
sha256 = "{sha}"
prefix = "mine/"
""".replace("{sha}", "ab" * 32)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.find({"LOCALMIND_HOME": str(tmp_path)})
    found.config.mkdir(parents=True)
    return found


def test_the_starter_set_is_there_with_a_chat_an_embed_and_a_speech_model(paths: Paths) -> None:
    known = catalog.load(paths)
    starters = [spec for spec in known if spec.starter]
    assert [spec.name for spec in starters] == ["smollm2:135m", "all-minilm:l6-v2", "whisper:tiny.en"]
    assert [known.of_role(role)[0] for role in ("chat", "embed", "speech")] == starters
    assert known.find("smollm2:135m").files[0].sha256.startswith("b179c952")
    assert known.find("smollm2:135m").size == 98_362_432


LICENCES = {"Apache-2.0", "MIT", "CC0-1.0"}


def test_every_bundled_model_has_a_licence_a_source_and_distinct_names() -> None:
    models = catalog.bundled()
    names = [name for spec in models for name in (spec.name, *spec.aliases)]
    assert len(names) == len(set(names))
    for spec in models:
        assert spec.licence in LICENCES or spec.licence.startswith("LicenseRef-"), spec.name
        assert spec.sources, spec.name
        assert spec.good_for, spec.name
        assert spec.role in spec.reach or {"code", "fim"} & spec.reach, spec.name
        assert spec.rank, spec.name


def test_there_is_something_for_every_use() -> None:
    reach = [use for spec in catalog.bundled() for use in spec.reach]
    assert {use: reach.count(use) >= 1 for use in get_args(catalog.Use)} == dict.fromkeys(get_args(catalog.Use), True)


def test_the_shape_of_a_dense_model_accounts_for_its_parameters() -> None:
    """So a slip in layers, widths, heads or vocabulary is found: together they make the published number."""
    checked = 0
    for spec in catalog.bundled():
        shape = spec.shape
        if shape is None or shape.active is not None:
            continue
        matrices = 2 if spec.family == "BGE" else 3
        attention = shape.width * shape.head * (2 * shape.heads + 2 * shape.kv_heads)
        layers = shape.layers * (attention + matrices * shape.width * shape.feed_forward)
        embeddings = shape.vocabulary * shape.width * (1 if shape.tied else 2)
        assert (layers + embeddings) / spec.parameters == pytest.approx(1, abs=0.02), spec.name
        checked += 1
    assert checked > 20


@pytest.mark.parametrize(
    ("wanted", "name", "quantisation"),
    [
        ("qwen3", "qwen3:4b", "Q4_K_M"),
        ("qwen3:4b-q4_k_m", "qwen3:4b", "Q4_K_M"),
        ("Qwen3:4B-Q8_0", "qwen3:4b-q8_0", "Q8_0"),
        ("qwen3:8b", "qwen3:8b", "Q4_K_M"),
    ],
)
def test_a_family_means_its_middle_model_and_a_quantisation_may_follow(
    paths: Paths, wanted: str, name: str, quantisation: str
) -> None:
    spec = catalog.load(paths).find(wanted)
    assert (spec.name, spec.quantisation, spec.files) == (name, quantisation, ())


def test_of_a_family_the_model_that_is_here_is_meant(paths: Paths) -> None:
    here = catalog.load(paths).find("qwen3:8b")
    known = catalog.load(paths, lambda: (here,))
    assert known.find("qwen3").name == "qwen3:8b"
    assert known.find("qwen3:4b").name == "qwen3:4b"


def test_the_best_is_the_best_that_is_here_and_the_starter_while_nothing_is(paths: Paths) -> None:
    known = catalog.load(paths)
    assert known.find("best").name == "smollm2:135m"
    here = tuple(known.find(name) for name in ("smollm2:135m", "qwen3:4b", "qwen3:1.7b", "bge-m3"))
    assert catalog.load(paths, lambda: here).find("best").name == "qwen3:4b"
    own = msgspec.structs.replace(here[1], name="mine", rank=0, parameters=30_000_000_000)
    assert catalog.load(paths, lambda: (*here, own)).find("best").name == "mine"


def test_a_small_import_of_unknown_worth_does_not_take_the_starters_place(paths: Paths) -> None:
    starter = catalog.load(paths).find("smollm2:135m")
    for parameters, best in ((15_000_000, "smollm2:135m"), (135_000_000, "smollm2:135m"), (360_000_000, "mine")):
        own = msgspec.structs.replace(starter, name="mine", rank=0, parameters=parameters, starter=False)
        assert catalog.load(paths, lambda own=own: (starter, own)).find("best").name == best


@pytest.mark.parametrize("name", ["smollm2:135m", "SmolLM2", " smollm2:135M ", "smollm2:latest", "smollm2:135m-q4_1"])
def test_a_name_is_found_in_any_case_by_alias_and_by_family(paths: Paths, name: str) -> None:
    assert catalog.load(paths).find(name).name == "smollm2:135m"


def test_a_misspelt_name_gets_a_suggestion(paths: Paths) -> None:
    with pytest.raises(ModelNotFound) as caught:
        catalog.load(paths).find("smolm2:135")
    assert "did you mean `smollm2:135m`" in str(caught.value.hint)


def test_the_beginning_of_a_name_is_taken_for_it(paths: Paths) -> None:
    with pytest.raises(ModelNotFound) as caught:
        catalog.load(paths).find("phi")
    assert "did you mean `phi" in str(caught.value.hint)  # and not piper, which has as many letters in common


@pytest.mark.parametrize("name", ["boiler", "gpt-3.5-turbo", "claude", "x"])
def test_an_odd_guess_is_not_made(paths: Paths, name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        catalog.load(paths).find(name)
    assert "did you mean" not in str(caught.value.hint)


def test_a_name_like_nothing_else_points_to_the_list(paths: Paths) -> None:
    with pytest.raises(ModelNotFound) as caught:
        catalog.load(paths).find("zzzzzzzz")
    assert caught.value.hint == "localmind models list"


def test_an_overlay_adds_a_model_behind_the_bundled_ones(paths: Paths) -> None:
    paths.catalog_overlay.write_text(OWN)
    assert [spec.name for spec in catalog.load(paths)][-1] == "mine:1b"


def test_an_overlay_replaces_a_bundled_model_of_the_same_name_in_its_place(paths: Paths) -> None:
    paths.catalog_overlay.write_text(OWN.replace("mine:1b", "all-minilm:l6-v2"))
    known = catalog.load(paths)
    assert len(known) == len(catalog.bundled())
    assert known.find("all-minilm:l6-v2").family == "Mine"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("size = 10", "size = -10", "line 15: expected `int` >= 1 (model.files.size)"),
        ('role = "chat"', 'role = "poet"', "line 5: invalid enum value 'poet'"),
        ('role = "chat"', 'rule = "chat"', "line 5: object contains unknown field `rule`"),
        ('family = "Mine"', "", "line 3: object missing required field `family`"),
        ('package = "mine"', 'package = "../mine"', "line 20: expected `str` matching"),
        ('"mine.gguf"', '"../../mine.gguf"', "line 13: '../../mine.gguf' is not a plain relative path"),
        ('"mine.gguf"', '"/etc/mine.gguf"', "line 13: '/etc/mine.gguf' is not a plain relative path"),
        ('"mine.gguf"', '"mine.bin"', "line 3: the first file of a gguf model must end in .gguf"),
        ('name = "mine:1b"', 'name = "mine:1b\\n"', "line 4: expected `str` matching"),
        ("schema = 1", "schema = 7", "line 1: invalid enum value 7 (schema)"),
        ("[[model]]", "[[model", "(at line 3, column 8)"),
    ],
)
def test_a_slip_in_the_overlay_is_named_with_its_line(paths: Paths, old: str, new: str, says: str) -> None:
    paths.catalog_overlay.write_text(OWN.replace(old, new, 1))
    with pytest.raises(ConfigInvalid) as caught:
        catalog.load(paths)
    assert says in caught.value.message
    assert str(paths.catalog_overlay) in caught.value.message
    assert str(paths.catalog_overlay) in str(caught.value.hint)


def test_the_same_model_twice_in_one_overlay_is_refused(paths: Paths) -> None:
    paths.catalog_overlay.write_text(OWN + OWN.removeprefix("schema = 1\n"))
    with pytest.raises(ConfigInvalid, match="'mine:1b' is there twice"):
        catalog.load(paths)


def test_an_overlay_that_is_not_text_is_refused_not_crashed_on(paths: Paths) -> None:
    paths.catalog_overlay.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        catalog.load(paths)


@given(st.text(max_size=300), st.integers(0, len(BUNDLED)), st.integers(0, 60))
def test_a_damaged_catalog_gives_models_or_config_invalid_and_nothing_else(junk: str, at: int, cut: int) -> None:
    damaged = BUNDLED[:at] + junk + BUNDLED[at + cut :]
    with contextlib.suppress(ConfigInvalid):
        assert all(spec.files or spec.sources for spec in catalog.parse(damaged, "models.toml"))


def test_loading_the_catalog_imports_no_network_code() -> None:
    code = (
        "import sys; from localmind import catalog; catalog.bundled();"
        "sys.exit(any(m in sys.modules for m in ('httpx', 'httpx2', 'pydantic', 'numpy', 'asyncio')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
