"""Gives a passage what stands around it: chunks are small so that each says one thing, readers want the context.

A passage grows by whole chunks to the side that is nearer to the question, until it has the length of a
paragraph or two. It stays on its page and takes nothing that another passage shows.
"""

from collections.abc import Mapping, Sequence

from localmind.knowledge.index import Index
from localmind.knowledge.search import Candidate

# Characters aimed at, about 220 tokens; a chunk that would lead further than the second figure is left out.
CHARACTERS, MOST = 900, 1170
# Chunks looked up on either side.
REACH = 6


def widened(
    index: Index, groups: Sequence[Sequence[Candidate]], similarities: Mapping[int, float]
) -> list[list[Candidate]]:
    """The passages with their surroundings, the chunk that each was found by first."""
    runs = [list(group) for group in groups]
    taken = {one.chunk_id for run in runs for one in run}
    for run in runs:
        around = _around(index, run)
        low, high = min(one.ordinal for one in run), max(one.ordinal for one in run)
        size = sum(around[at][1] for at in range(low, high + 1) if at in around)
        while size < CHARACTERS:
            beside = [at for at in (high + 1, low - 1) if at in around and around[at][0] not in taken]
            beside = [at for at in beside if size + around[at][1] <= MOST]
            if not beside:
                break
            # An answer goes on more often than it began before, so without similarities it goes on.
            at = max(beside, key=lambda at: similarities.get(around[at][0], -1.0))
            number, length = around[at]
            run.append(Candidate(number, run[0].file_id, at, run[0].page, similarities.get(number), 0.0, 0.0))
            taken.add(number)
            low, high, size = min(low, at), max(high, at), size + length
    return runs


def _around(index: Index, run: Sequence[Candidate]) -> dict[int, tuple[int, int]]:
    """Ordinal → (id, characters) of the chunks of a run and near it, on the same page."""
    rows = index.db.execute(
        "SELECT id, ordinal, char_end - char_start AS length FROM chunk"
        " WHERE file_id = ? AND ordinal BETWEEN ? AND ? AND page IS ?",
        (
            run[0].file_id,
            min(one.ordinal for one in run) - REACH,
            max(one.ordinal for one in run) + REACH,
            run[0].page,
        ),
    )
    return {row["ordinal"]: (row["id"], row["length"]) for row in rows}
