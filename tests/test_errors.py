"""The error tree: complete table, stable codes, nothing lost on the wire."""

import inspect
from collections.abc import Iterator

import pytest

from localmind import errors
from localmind.errors import TABLE, LocalmindError, from_wire, row, to_wire


def tree(base: type[LocalmindError]) -> Iterator[type[LocalmindError]]:
    yield base
    for child in base.__subclasses__():
        yield from tree(child)


ALL = sorted(set(tree(LocalmindError)), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_a_row_and_survives_the_wire(kind: type[LocalmindError]) -> None:
    error = kind("it happened", hint="type this", numbers={"n_ctx": 5})
    back = from_wire(to_wire(error))
    assert (type(back), back.message, back.hint, back.numbers) == (kind, "it happened", "type this", {"n_ctx": 5})
    assert 400 <= row(error).status < 600
    assert row(error).exit in (1, 2, 3, 4, 5, 130)


def test_the_table_names_no_class_twice_or_in_vain() -> None:
    assert set(TABLE) == set(ALL)


def test_the_docstring_draws_every_class() -> None:
    for kind in ALL:
        assert kind.__name__ in (errors.__doc__ or ""), kind


def test_every_class_says_what_it_means() -> None:
    for kind in ALL:
        assert inspect.getdoc(kind), kind


def test_codes_are_snake_case() -> None:
    assert errors.ModelNotInstalled("x").code == "model_not_installed"
    assert errors.WorkerDied("x").code == "worker_died"


def test_an_error_of_a_newer_version_is_still_an_error() -> None:
    error = from_wire({"error": "FluxCapacitorEmpty", "message": "no plutonium"})
    assert type(error) is LocalmindError
    assert error.message == "no plutonium"
