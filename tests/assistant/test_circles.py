"""An answer that goes round in circles is found, whatever it repeats; text that only looks alike is left alone."""

import base64
import contextlib
import hashlib
import random
from collections.abc import AsyncGenerator
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from localmind.assistant.ended import ended_in_circles
from localmind.circles import KEPT, PIECE, ROUNDS, STEP, WINDOW, Circles, first_rounds
from localmind.errors import WorkerDied
from localmind.events import Done, Event, ReasoningDelta, Sources, TextDelta
from localmind.messages import Timings, Usage
from localmind.workers.brake import Brake

HOME = Path(__file__).parents[2]
WORDS = (HOME / "docs" / "knowledge.md").read_text("utf-8").split()
CIRCLES = sorted((Path(__file__).parents[1] / "data" / "circles").glob("*.txt"))
"""What SmolLM2-135M said, as it said it."""


def goes_round(text: str) -> bool:
    return Circles().feed(text)


def lines(template: str, count: int = 600) -> str:
    """`{n}` counts; {w} and {v} are words."""
    chosen = random.Random(template)
    return "".join(template.format(n=n, w=chosen.choice(WORDS), v=chosen.choice(WORDS)) for n in range(1, count + 1))


REFRAIN = "O the boiler, the boiler, it hums in the cellar,\nand the bees come and go as they please.\n\n"
HONEST = {
    "numbers": "".join(f"{n}\n" for n in range(1, 6000)),
    "numbers in a line": ", ".join(map(str, range(6000))),
    "multiplication": "".join(f"{a} x {b} = {a * b}\n" for a, b in product(range(1, 41), repeat=2)),
    "multiplication as a table": "".join(
        "| " + " | ".join(f"{a * b:4}" for a in range(1, 21)) + " |\n" for b in range(1, 200)
    ),
    "squares": lines("The square of {n} is a number.\n", 900),
    "INSERT": lines("INSERT INTO customer (id, name, active) VALUES ({n}, '{w}', TRUE);\n"),
    "INSERT that only counts": lines("INSERT INTO seat (hall, row, taken) VALUES (1, {n}, FALSE);\n"),
    "Markdown table": lines("| {n:4} | {w:20} | yes | 0.00 | open |\n"),
    "Markdown table that only counts": lines("| {n} | not measured | – | – | to do |\n"),
    "HTML table": lines('  <tr class="row"><td class="number">{n}</td><td class="name">{w}</td><td>none</td></tr>\n'),
    "JSON": lines('{{\n    "id": {n},\n    "name": "{w}",\n    "enabled": true,\n    "tags": []\n}},\n'),
    "CSV": lines("2026-01-01,{n},0,0,0,0,{w}\n"),
    "log": lines("2026-11-23 08:15:00,{n:03} INFO  localmind.daemon: request {n} from 127.0.0.1 took 12 ms\n"),
    "tests that only count": lines(
        "def test_{n}(client):\n    reply = client.get('/items/{n}')\n    assert reply.status_code == 200\n\n\n"
    ),
    "constants": lines("#define REGISTER_{n} (BASE_ADDRESS + 0x{n:04x})\n"),
    "settings": lines(
        "server_{n}:\n  host: 10.0.0.{n}\n  port: 8080\n  retries: 3\n  timeout: 30s\n  enabled: true\n\n"
    ),
    "translations": lines("**{w}** – German: *{v}*, French: *{w}*, Italian: *{v}*\n"),
    "boxes": lines("+--------------------+\n| {w:18} |\n+--------------------+\n         |\n         v\n"),
    "a song": "".join(f"{' '.join(random.Random(n).choices(WORDS, k=24))}\n\n{REFRAIN}" for n in range(60)),
    "bottles": "".join(
        f"{n} bottles of beer on the wall, {n} bottles of beer. Take one down, pass it around, {m} bottles of beer.\n"
        for n, m in pairwise(range(999, 1, -1))
    ),
    "base64": base64.encodebytes(b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256))).decode() * 2,
    "the same code twice": 2 * lines("    {w}_{n} = self.{v}({n})\n", 300),
    "an HTML table of placeholders": lines(
        "<tr><td>{n}</td><td>name</td><td>address</td><td>telephone</td><td>none</td><td>0.00</td><td>open</td></tr>\n"
    ),
    "a list of letters": "".join(
        f'    "{letter}",\n' if random.Random(n).random() < 0.97 else "    None,\n"
        for n, letter in enumerate("abcdefghijklmnopqrstuvwxyz" * 60)
    ),
    "a line a hundred times": "I will not put the bees into the boiler.\n" * 100,
    "Chinese": "".join(
        f"第{n}章：{chr(0x4E00 + n * 7)}{chr(0x4E00 + n * 13)}的故事。今天我们继续讲述。\n" for n in range(600)
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_what_repeats_itself_for_a_reason_is_left_alone(name: str) -> None:
    assert not goes_round(HONEST[name])


def texts() -> list[Path]:
    """All text of this repository: code, Markdown, TOML, pictures of screens as SVG, poems of style sheets."""
    kinds = {".py", ".md", ".toml", ".svg", ".tcss", ".txt", ".json", ".csv", ".html", ".yml", ".service", ".rb", ".sh"}
    places = [
        HOME / name for name in ("docs", "localmind", "tui", "tests", "samples", "packaging", "benchmarks", "tools")
    ]
    found = [path for place in places for path in sorted(place.rglob("*")) if path.suffix in kinds and path.is_file()]
    return [path for path in found if path not in CIRCLES]


def test_no_text_of_this_repository_goes_round() -> None:
    read = [(path, path.read_text("utf-8", "replace")) for path in texts()]
    assert sum(len(text) >= WINDOW for _, text in read) > 300
    assert [str(path) for path, text in read if goes_round(text)] == []


PLAIN = sorted({word for word in WORDS if word.isalpha() and len(word) <= 12})


@given(
    rows=st.lists(st.lists(st.sampled_from(PLAIN), max_size=12, unique=True), min_size=1, max_size=3),
    separator=st.sampled_from([" ", ", ", " | ", "\t", "</td><td>", '", "', " = "]),
    named=st.booleans(),
)
def test_rows_that_count_are_left_alone_whatever_they_are_made_of(
    rows: list[list[str]], separator: str, named: bool
) -> None:
    """Tables, scripts and lists whose lines differ by their number alone, or by a name as well."""
    made, n = "", 0
    while len(made) < 3 * WINDOW:
        n += 1
        row = rows[n % len(rows)]
        made += separator.join([str(n), *row, *([PLAIN[n * 7 % len(PLAIN)]] if named else [])]) + "\n"
    assert not goes_round(made)


@given(
    before=st.integers(0, 3 * STEP),
    said=st.text(min_size=1, max_size=KEPT // ROUNDS),
    seed=st.integers(0, 9),
)
@example(before=0, said=" ", seed=0)
@example(before=777, said=" ".join(WORDS)[: STEP - 1], seed=1)
@example(before=1, said=" ".join(WORDS)[:STEP], seed=2)
@example(before=1200, said=" ".join(WORDS)[: KEPT // ROUNDS], seed=3)
def test_every_circle_is_found_before_it_has_gone_on_for_long(before: int, said: str, seed: int) -> None:
    begun = " ".join(random.Random(seed).sample(WORDS, 400))[:before]
    enough = max(WINDOW, ROUNDS * len(said)) + STEP
    assert goes_round(begun + (said * (enough // len(said) + 1))[:enough])


@given(said=st.sampled_from([4, 40, 400, 1000, 2000, 4000]), cuts=st.sets(st.integers(1, 31_999), max_size=8))
def test_how_a_text_is_cut_into_pieces_makes_no_difference(said: int, cuts: set[int]) -> None:
    begun = "".join(WORDS)[:1777]
    text = (begun + "".join(WORDS)[5000 : 5000 + said] * (20_000 // said))[:20_000] + " ".join(WORDS)[: 2 * WINDOW]
    ends = [*sorted(cuts), len(text)]
    judged = Circles()
    by_pieces = [judged.feed(text[start:end]) for start, end in pairwise([0, *ends])]
    assert by_pieces == [goes_round(text[:end]) for end in ends]
    by_letters = Circles()
    assert any(by_letters.feed(letter) for letter in text) == by_pieces[-1]


def test_the_whole_text_is_judged_by_its_newest_part_and_no_more_of_it_is_kept() -> None:
    judged = Circles()
    for _ in range(3):
        assert not judged.feed(HONEST["log"])
    assert not judged.feed("She represents herself. " * 200)
    assert judged.feed("She represents herself. " * 80)
    assert judged.feed("And then she went home."), "it has been said"
    assert len(judged._newest) <= KEPT


@pytest.mark.parametrize("path", CIRCLES, ids=lambda path: path.stem)
def test_what_the_starter_model_really_said_in_circles_is_found(path: Path) -> None:
    assert goes_round(path.read_text("utf-8"))


@pytest.mark.parametrize(
    "varied",
    [
        ["She said that she was just a machine. ", "She said that she was just a machine, and she said that she was. "],
        ["The sea is a place of endless sorrow,\n", "A place where the soul can be lost,\n"],
        ["I check the fire's room, ", "and I check the fire's room, ", "and then I check the room. "],
    ],
)
def test_a_circle_that_varies_is_found_too(varied: list[str]) -> None:
    assert goes_round("".join(random.Random(1).choices(varied, k=WINDOW // 10)))


def test_half_a_character_from_another_machine_breaks_nothing() -> None:
    assert goes_round("\ud83d" * 2 * WINDOW)


@pytest.mark.parametrize("before", [0, 1, 777, 3000, 20_000])
@pytest.mark.parametrize("words", [1, 4, 60, 500])
def test_of_a_circle_its_beginning_is_told_and_what_was_said_before(before: int, words: int) -> None:
    begun = " ".join(random.Random(5).choices(WORDS, k=4000))[:before]
    around = " ".join(WORDS[900 : 900 + words]) + " "
    text = begun + (around * WINDOW)[: max(WINDOW, ROUNDS * len(around))]
    told = first_rounds(text).removesuffix(" …")
    assert text.startswith(told)
    assert before - PIECE <= len(told) <= before + len(around) + 2 * PIECE


@pytest.mark.parametrize("path", CIRCLES, ids=lambda path: path.stem)
def test_of_what_the_starter_model_really_said_in_circles_little_is_told_again(path: Path) -> None:
    text = path.read_text("utf-8")
    told = first_rounds(text).removesuffix(" …")
    assert text.startswith(told)
    assert PIECE <= len(told) < len(text) / 2


def test_a_text_that_says_something_new_to_its_end_is_told_whole() -> None:
    assert first_rounds(" ".join(WORDS)) == " ".join(WORDS)


class FakeStream:
    """Events of a generation, and whether it was given up; `braked` comes when it is asked to end, where it can be."""

    def __init__(self, *events: Event, braked: Event | Exception | None = None) -> None:
        self._events = events
        self._braked = braked
        self.brake = Brake()
        self.closed = False
        self.read = 0

    async def __call__(self) -> AsyncGenerator[Event, None]:
        try:
            with contextlib.ExitStack() as stack:
                if self._braked is not None:
                    stack.enter_context(self.brake.fitted(lambda: None))
                for event in self._events:
                    self.read += 1
                    yield event
                    if self.brake.pulled and self.read % 7 == 0:  # what was on its way still comes
                        break
                if isinstance(self._braked, Exception):
                    raise self._braked
                if self.brake.pulled and self._braked is not None:
                    yield self._braked
        finally:
            self.closed = True


async def ended(stream: FakeStream) -> list[Event]:
    return [event async for event in ended_in_circles(stream(), "m", stream.brake)]


@pytest.mark.parametrize("kind", [TextDelta, ReasoningDelta])
async def test_a_generation_in_circles_is_given_up_and_says_so_at_its_end(kind: type[TextDelta]) -> None:
    stream = FakeStream(Sources(()), *[kind("over and over. ")] * 1000, Done("length"))
    _, *said, done = await ended(stream)
    assert stream.closed
    assert len(said) == WINDOW // 15
    assert done == Done("repetition", model="m")


async def test_a_generation_that_can_say_what_it_cost_is_asked_to_end_and_its_last_words_are_dropped() -> None:
    cost = Done("cancelled", Usage(9, 409, 3), Timings(decode_ms=4000), "m")
    stream = FakeStream(*[TextDelta("over and over. ")] * 1000, braked=cost)
    *said, done = await ended(stream)
    assert done == Done("repetition", cost.usage, cost.timings, "m")
    assert (len(said), stream.read > len(said), stream.closed) == (WINDOW // 15, True, True)


async def test_one_that_dies_of_being_asked_to_end_has_ended_as_well() -> None:
    stream = FakeStream(*[TextDelta("over and over. ")] * 1000, braked=WorkerDied("gone"))
    *said, done = await ended(stream)
    assert (len(said), done, stream.closed) == (WINDOW // 15, Done("repetition", model="m"), True)


async def test_thoughts_and_text_are_judged_apart_and_an_honest_answer_keeps_its_own_end() -> None:
    half = WINDOW * 2 // 3 // 15
    events = [
        *[ReasoningDelta("over and over. ")] * half,
        *[TextDelta("over and over. ")] * half,
        Done("stop", Usage(9, 9)),
    ]
    assert await ended(FakeStream(*events)) == events
