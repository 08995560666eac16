"""What the full-text index knows of a question: how common its words are, which chunks hold them, which hold them best.

Plain functions of an open Index, to be run through `Database.read`. They know nothing of vectors.
"""

import contextlib
import sqlite3
from collections.abc import Sequence

from localmind.knowledge.index import Index
from localmind.knowledge.passages import listed
from localmind.knowledge.scope import Scope, condition
from localmind.knowledge.search import Query
from localmind.knowledge.tables import TOKENIZER

DEPTH = 200
# Of a word in the path, against 1 for one in the text.
PATH_NAMED, PATH_UNNAMED = 4.0, 0.5
# Chunks of an index that hold a word are counted up to here: beyond that it says little anyway.
FREQUENCY_LIMIT = 5000
# Chunks by the rarer words that make the common ones needless.
ENOUGH = 40
# Chunks that are scored, the newest: what rare words may find together, and of those with common words a part.
SCORED_RARE, SCORED_COMMON = 20_000, 12_000


def by_keywords(index: Index, query: Query, scope: Scope) -> tuple[dict[str, int], dict[int, float], int]:
    """(frequency of each term, BM25 of the best chunks, about how many chunks there are)."""
    frequency = frequencies(index, query)
    return frequency, keyword_scores(index, query, frequency, scope, DEPTH), total_chunks(index)


def total_chunks(index: Index) -> int:
    """About how many chunks there are, without counting them."""
    # Each alone is one step in the table; both in one SELECT would go through all of it (27 ms for 100,000).
    row = index.db.execute("SELECT (SELECT max(id) FROM chunk) - (SELECT min(id) FROM chunk) + 1 AS n").fetchone()
    return int(row["n"] or 0)


def frequencies(index: Index, query: Query) -> dict[str, int]:
    """How many chunks of the index hold each term, up to FREQUENCY_LIMIT."""
    count = "SELECT count(*) AS n FROM (SELECT 1 FROM chunk_fts WHERE chunk_fts MATCH ? LIMIT ?)"
    return {term: index.db.execute(count, (term, FREQUENCY_LIMIT)).fetchone()["n"] for term in query.terms}


def keyword_scores(index: Index, query: Query, frequency: dict[str, int], scope: Scope, limit: int) -> dict[int, float]:
    """Chunk → BM25, best first. Words that are everywhere only cost time where rarer ones find enough."""
    if not scope.roots:
        return {}
    rare = [term for term in query.terms if 0 < frequency[term] < FREQUENCY_LIMIT]
    common = [term for term in query.terms if frequency[term] >= FREQUENCY_LIMIT]
    wanted = query.matching(rare)
    if len(rare) == 1 and common:
        # The chunks are still those of the one word, and the others say which of them are best.
        wanted = f"{rare[0]} AND ({query.matching([*rare, *common])})"
    found = _scores(index, query, wanted, scope, limit, SCORED_RARE)
    for match in dict.fromkeys((query.matching(common, every=True), query.matching(common))):
        if len(found) < ENOUGH:
            more = _scores(index, query, match, scope, limit, SCORED_COMMON)
            found |= {number: score for number, score in more.items() if number not in found}
    return dict(sorted(found.items(), key=lambda pair: -pair[1])[:limit])


def _scores(index: Index, query: Query, match: str | None, scope: Scope, limit: int, most: int) -> dict[int, float]:
    """Of the newest `most` chunks that match. A word in a heading or path says less than one in the text (measured),
    unless the query names a path."""
    if match is None:
        return {}
    path = PATH_NAMED if query.names_path else PATH_UNNAMED
    where, values = "", list[object]()
    if scope.narrow or len(scope.roots) < index.db.execute("SELECT count(*) AS n FROM root").fetchone()["n"]:
        inside, values = condition(index, scope)
        # CROSS: SQLite would otherwise go through all chunks of the folder and ask the full-text index for each.
        where = f"AND {inside}"
    joined = " CROSS JOIN chunk ON chunk.id = chunk_fts.rowid" if where else ""
    rows = index.db.execute(
        "SELECT id, score FROM (SELECT chunk_fts.rowid AS id, bm25(chunk_fts, 1.0, 0.5, ?, 1.0) AS score"
        f" FROM chunk_fts{joined} WHERE chunk_fts MATCH ? {where} ORDER BY chunk_fts.rowid DESC LIMIT ?)"
        " ORDER BY score, id LIMIT ?",
        (path, match, *values, most, limit),
    )
    return {row["id"]: -row["score"] for row in rows}


def words_held(index: Index, terms: Sequence[str], ids: Sequence[int]) -> dict[str, set[int]]:
    """Which of the chunks hold each term: asked of a small full-text table in memory, since the big one goes through
    all chunks that hold a word to find these (20 ms of a search among 100,000 chunks)."""
    columns = "text, heading, path, extra"
    with contextlib.closing(sqlite3.connect(":memory:")) as memory:
        memory.execute(f"CREATE VIRTUAL TABLE few USING fts5 ({columns}, tokenize = '{TOKENIZER}', detail = full)")
        rows = index.db.execute(f"SELECT id, {columns} FROM chunk WHERE id IN ({listed(ids)})")
        memory.executemany(f"INSERT INTO few (rowid, {columns}) VALUES (?, ?, ?, ?, ?)", map(tuple, rows))
        return {
            term: {row[0] for row in memory.execute("SELECT rowid FROM few WHERE few MATCH ?", (term,))}
            for term in terms
        }
