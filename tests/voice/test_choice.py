"""Which speech model hears, on described machines; and that a missing or wrong one says what to pull."""

from dataclasses import replace

import msgspec
import pytest

from localmind.catalog import Catalog, ModelSpec, bundled
from localmind.errors import InvalidRequest, ModelNotFound, ModelNotInstalled
from localmind.machine.devices import Gpu, Machine
from localmind.voice.choice import choose, keeps_up, lay

GIB = 1 << 30
TINY = next(spec for spec in bundled() if spec.name == "whisper:tiny.en")


def model(name: str, millions: int) -> ModelSpec:
    return msgspec.structs.replace(TINY, name=name, aliases=(), parameters=millions * 1_000_000)


BASE, SMALL_EN, SMALL = model("whisper:base", 74), model("whisper:small.en", 244), model("whisper:small", 244)
TURBO, DISTIL = model("whisper:large-v3-turbo", 809), model("whisper:distil-large-v3.5", 756)
ALL = Catalog((TINY, BASE, SMALL_EN, SMALL, TURBO, DISTIL))

LAPTOP = Machine("linux", "x86_64", "a laptop", frozenset(), 8, 16, 16 * GIB, 10 * GIB)
BOARD = replace(LAPTOP, cores_physical=2, cores_usable=2)
GAMER = replace(LAPTOP, gpus=(Gpu("RTX 4070", "CUDA", 12 * GIB, 10 * GIB),))
FULL_GPU = replace(LAPTOP, gpus=(Gpu("RTX 4070", "CUDA", 12 * GIB, GIB // 4),))
MAC = replace(LAPTOP, system="darwin", gpus=(Gpu("Apple M3", "Metal", 16 * GIB, 10 * GIB, unified=True),))


def here(*installed: ModelSpec, machine: Machine = LAPTOP, name: str | None = None, **more: object) -> str:
    return choose(ALL, lambda spec: spec in installed, machine, name, **more).name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("machine", "language", "expected"),
    [
        (LAPTOP, None, "whisper:small.en"),
        (LAPTOP, "en", "whisper:small.en"),
        (LAPTOP, "de", "whisper:small"),
        (BOARD, "en", "whisper:base"),
        (BOARD, "de", "whisper:base"),
        (GAMER, "de", "whisper:large-v3-turbo"),
        (MAC, None, "whisper:small.en"),
    ],
)
def test_the_best_that_keeps_up_with_speech_is_taken(machine: Machine, language: str | None, expected: str) -> None:
    assert here(*ALL.models, machine=machine, language=language) == expected


def test_where_none_keeps_up_the_smallest_is_taken() -> None:
    assert here(TURBO, SMALL, machine=BOARD) == "whisper:small"


@pytest.mark.parametrize("name", ["whisper-1", "", "default", "gpt-4o-transcribe", None])
def test_openai_s_names_mean_the_one_that_is_here(name: str | None) -> None:
    assert here(TINY, name=name) == "whisper:tiny.en"


def test_a_name_of_ours_and_the_user_s_setting_are_kept_to() -> None:
    assert here(*ALL.models, name="whisper:base") == "whisper:base"
    assert here(*ALL.models, name="whisper-1", preferred="whisper:large-v3-turbo") == "whisper:large-v3-turbo"


def test_what_is_missing_says_what_to_pull() -> None:
    with pytest.raises(ModelNotInstalled) as nothing:
        here()
    assert nothing.value.hint == "localmind models pull whisper:tiny.en"
    with pytest.raises(ModelNotInstalled) as named:
        here(TINY, name="whisper:small")
    assert named.value.hint == "localmind models pull whisper:small"
    with pytest.raises(ModelNotFound):
        here(TINY, name="parakeet")


def test_english_only_models_refuse_other_languages_and_translation() -> None:
    for more in ({"language": "de"}, {"translate": True}, {"language": "fr", "translate": True}):
        with pytest.raises(InvalidRequest, match="English only") as refused:
            here(TINY, DISTIL, **more)
        assert refused.value.hint == "localmind models pull whisper:base"
    with pytest.raises(InvalidRequest, match="not for speech"):
        choose(Catalog(bundled()), lambda spec: True, LAPTOP, "smollm2:135m")


def test_cuda_with_room_takes_it_and_everything_else_is_the_cpu() -> None:
    assert (lay(TURBO, GAMER).device, lay(TURBO, GAMER).compute_type) == ("cuda", "float16")
    for machine in (LAPTOP, MAC, FULL_GPU):
        laid = lay(TURBO, machine)
        assert (laid.device, laid.compute_type, laid.threads) == ("cpu", "int8", 8)
    assert any("Apple M3" in reason for reason in lay(TINY, MAC).reasons)
    assert lay(TINY, LAPTOP, threads=3).threads == 3
    assert not keeps_up(TURBO, LAPTOP)
