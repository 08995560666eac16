"""German, French, Chinese and code through the real full-text table: a question finds the words it means."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind.knowledge.chunk import Chunk
from localmind.knowledge.index import Index
from localmind.knowledge.keywords import FREQUENCY_LIMIT, frequencies, keyword_scores
from localmind.knowledge.language import EXTRA_LIMIT, extra_words, language, pairs, runs, spellings
from localmind.knowledge.scan import Entry
from localmind.knowledge.scope import Scope
from localmind.knowledge.search import parse

TEXTS = {
    "wohnung.md": "Die Wohnungen im zweiten Stock haben neue Küchen und Häuser aus Holz.",
    "heizung.md": "Der Kessel wurde am 9. Oktober gewartet. Die Heizungsanlage steht im Keller.",
    "strasse.md": "Unsere Adresse: Lange Straße 12, Gießen.",
    "chaudiere.md": "La chaudière a été révisée en octobre. Les clés de l'appartement sont chez la voisine.",
    "jardin.md": "Les tomates se plantent en mai, après les gelées.",
    "guolu.md": "锅炉在十月份进行了维护，费用是一百二十九欧元。钥匙在邻居家。",
    "huayuan.md": "花园里的西红柿应该在五月种植。",
    "boira.md": "ボイラーの点検は十月に行われました。",
    "code.py": "def maxTokensFor(modelName): return parseHTTPHeader(modelName)",
    "snake.py": "retry_after_seconds = 30",
    "boiler.md": "The boiler was serviced in October. The keys are with the neighbour.",
}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index(tmp_path / "knowledge.db")
    root = index.add_root(tmp_path, 1)
    for number, (name, text) in enumerate(TEXTS.items(), 1):
        chunk = Chunk(text, 0, len(text), 1, 1, None, None, extra_words(text))
        entry = Entry(name, "text", 1, number, len(text), number)
        fields = [getattr(chunk, field) for field in chunk.__slots__]
        index.replace(
            root.id,
            entry,
            "r",
            {"skip": None, "mtime_ns": 1, "fresh": False, "size": 1, "content_hash": b"", "chunks": [fields]},
            "",
        )
    yield index
    index.close()


def found(index: Index, question: str) -> list[str]:
    query = parse(question)
    ids = keyword_scores(index, query, frequencies(index, query), Scope((1,)), 10)
    names = dict(index.db.execute("SELECT id, path FROM chunk").fetchall())
    return [names[number] for number in ids]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Wie viele Wohnungen gibt es im zweiten Stock?", "wohnung.md"),
        ("Was kostet die Wohnung?", "wohnung.md"),
        ("Wo ist ein Haus?", "wohnung.md"),
        ("Gibt es eine neue Kueche?", "wohnung.md"),
        ("Wo ist die Heizung?", "heizung.md"),
        ("Wann wurden die Kessel gewartet?", "heizung.md"),
        ("Wie heißt unsere Strasse?", "strasse.md"),
        ("Quand a-t-on révisé la chaudière ?", "chaudiere.md"),
        ("Où est la clé de l'appartement ?", "chaudiere.md"),
        ("quand planter une tomate", "jardin.md"),
        ("锅炉什么时候维护？", "guolu.md"),
        ("钥匙在哪里", "guolu.md"),
        ("西红柿", "huayuan.md"),
        ('"五月种植"', "huayuan.md"),
        ("ボイラーの点検はいつ", "boira.md"),
        ("max tokens for a model", "code.py"),
        ("parse the HTTP header", "code.py"),
        ("what does maxTokensFor do?", "code.py"),
        ("what does retry_after_seconds do?", "snake.py"),
        ("where are the keys", "boiler.md"),
        ("what is in boiler.md?", "boiler.md"),
    ],
)
def test_a_question_finds_the_file_in_its_language(index: Index, question: str, expected: str) -> None:
    assert found(index, question)[:1] == [expected]


@pytest.mark.parametrize(
    ("common", "expected"),
    [
        # Rarer words find too few, so the common ones add theirs: chunks that hold them all first, then any.
        ({"keys"}, ["boiler.md"]),
        ({"keys", "boiler", "neighbour", "serviced"}, ["boiler.md"]),
        ({"keys", "tomates"}, ["boiler.md", "jardin.md"]),
        ({"tomates", "serviced"}, ["boiler.md", "jardin.md"]),
    ],
)
def test_words_that_are_everywhere_are_looked_for_where_rarer_ones_find_too_little(
    index: Index, common: set[str], expected: list[str]
) -> None:
    query = parse("keys boiler neighbour serviced tomates unheardof")
    frequency = frequencies(index, query) | {f'"{word}"': FREQUENCY_LIMIT for word in common}
    held = dict(index.db.execute("SELECT id, path FROM chunk").fetchall())
    scores = keyword_scores(index, query, frequency, Scope((1,)), 10)
    assert {*expected} <= {held[number] for number in scores}
    assert held[next(iter(scores))] == "boiler.md"
    assert len(keyword_scores(index, query, frequency, Scope((1,)), 1)) == 1


def test_a_quotation_in_chinese_must_stand_there_in_order(index: Index) -> None:
    assert found(index, '"维护锅炉"') == []
    assert found(index, '"锅炉在十月"') == ["guolu.md"]


def test_deleted_text_leaves_the_full_text_index_consistent(index: Index) -> None:
    files = {row["relpath"]: row["id"] for row in index.db.execute("SELECT id, relpath FROM file")}
    index.forget([files["guolu.md"]])
    index.move([(files["huayuan.md"], Entry("moved.md", "markdown", 1, 1, 1, 1))])
    index.db.execute("INSERT INTO chunk_fts (chunk_fts, rank) VALUES ('integrity-check', 1)")
    assert found(index, "锅炉") == []
    assert found(index, "西红柿") == ["moved.md"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wann wurde die Heizung gewartet?", "de"),
        ("Où est la clé ?", "fr"),
        ("¿Dónde está la llave?", "es"),
        ("Dove sono le chiavi della casa?", "it"),
        ("Waar zijn de sleutels van het huis?", "nl"),
        ("Onde estão as chaves do apartamento?", "pt"),
        ("Where are the keys?", "en"),
        ("boiler pressure", "en"),
        ("Is an in-place sort stable?", "en"),
        ("", "en"),
    ],
)
def test_the_language_is_told_by_small_words(text: str, expected: str) -> None:
    assert language(text) == expected


@given(st.text(max_size=200))
def test_any_text_has_extra_words_and_a_query(text: str) -> None:
    extra = extra_words(text)
    assert len(extra) <= EXTRA_LIMIT
    for run in runs(text):
        assert "".join(pair[0] for pair in pairs(run)) in run
    assert spellings(text)
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE t USING fts5 (x, tokenize = 'porter unicode61 remove_diacritics 2')")
    db.execute("INSERT INTO t VALUES (?)", (text.replace("\0", "") + extra,))
    query = parse(text)
    if match := query.matching(query.terms):
        db.execute("SELECT * FROM t WHERE t MATCH ?", (match,)).fetchall()
    db.close()
