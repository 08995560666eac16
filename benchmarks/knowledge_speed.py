"""How fast the index is: first read, re-open, rename, save to searchable, searches, memory.

    python benchmarks/knowledge_speed.py EMBEDDER_DIR read CORPUS     # seconds until all of CORPUS is found by keyword
    python benchmarks/knowledge_speed.py EMBEDDER_DIR tree            # 10,000 files re-opened, 1,000 files renamed
    python benchmarks/knowledge_speed.py EMBEDDER_DIR save CORPUS     # save to searchable, idle and in bulk
    python benchmarks/knowledge_speed.py EMBEDDER_DIR embed           # chunks a second, beside a bare CTranslate2 loop
    python benchmarks/knowledge_speed.py EMBEDDER_DIR search [CHUNKS] # p95 and memory at 100,000 chunks

Real workers everywhere, no daemon around them. `search` takes random vectors about 2,000 centres for all but the
questions, since embedding 100,000 chunks would take an hour; Chroma and SQLite hold them like any other.
Memory is the sum of the resident sets of this process and all workers.
"""

import asyncio
import itertools
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy
import psutil

from localmind.knowledge import fulltext, vector_rows
from localmind.knowledge.embedder import EmbedModel
from localmind.knowledge.index import Index, embedded_text, text_hash
from localmind.knowledge.knowledge import Knowledge
from localmind.knowledge.pace import Situation
from localmind.workers.supervisor import Supervisor, launcher

_PARTS = (
    ("ba", "ke", "gar", "win", "let", "sil", "nor"),
    ("ro", "ti", "mu", "da"),
    ("n", "x", "ster", "ling", "do", "pe"),
)
WORDS = ["".join(parts) for parts in itertools.product(*_PARTS)]


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Asks every 20 ms."""
    while True:
        answer = condition()
        if answer if isinstance(answer, bool) else await answer:
            return
        await asyncio.sleep(0.02)


class Bench:
    """A Knowledge on real workers in a state directory of its own."""

    def __init__(self, base: Path, embedder: Path, *, embed: bool = True) -> None:
        self.workers = {kind: Supervisor(kind, launcher(kind, kind)) for kind in ("embed", "vectors", "extract")}
        self.model = EmbedModel("embedder", embedder, base / "converted")
        self.knowledge = Knowledge(
            base / "state/knowledge.db", chroma_dir=base / "state/chroma", **self.workers,
            embed_model=self.model if embed else None, sense=Situation,
        )  # fmt: skip

    async def close(self) -> None:
        await self.knowledge.close()
        for worker in self.workers.values():
            await worker.stop()

    async def until_read(self) -> None:
        """Until every file can be found by keyword."""
        await until(lambda: all(work.idle for work in self.knowledge._reading.work.values()))


def memory() -> dict[str, float]:
    """Resident megabytes of this process and its workers."""
    own = psutil.Process()
    found = {"daemon": own.memory_info().rss / 1e6}
    for child in own.children(recursive=True):
        line = child.cmdline()
        name = line[line.index("localmind.workers") + 1] if "localmind.workers" in line else "extract child"
        found[name] = found.get(name, 0.0) + child.memory_info().rss / 1e6
    return found


def p95(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return f"p50 {ordered[len(ordered) // 2] * 1e3:.0f} ms, p95 {ordered[int(len(ordered) * 0.95)] * 1e3:.0f} ms"


async def read(base: Path, embedder: Path, corpus: Path) -> None:
    bench = Bench(base, embedder)
    await bench.knowledge.start()
    started, cpu = time.monotonic(), time.process_time()
    await bench.knowledge.add_folder(corpus)
    await bench.until_read()
    took = time.monotonic() - started
    [status] = await bench.knowledge.folders()
    print(f"{status.files} files, {status.chunks} chunks searchable by keyword in {took:.1f} s", end="; ")
    print(f"{len(status.errors)} errors; this process took {time.process_time() - cpu:.1f} s of CPU, {memory()}")
    await bench.close()


async def tree(base: Path, embedder: Path) -> None:
    folder = base / "folder"
    dice = random.Random(1)
    for number in range(10_000):
        path = folder / f"d{number // 1000}" / f"s{number % 20}" / f"{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {number}\n\n" + " ".join(dice.choices(WORDS, k=120)))
    bench = Bench(base, embedder, embed=False)
    await bench.knowledge.start()
    await bench.knowledge.add_folder(folder)
    await bench.until_read()
    await bench.close()
    bench = Bench(base, embedder, embed=False)
    started = time.monotonic()
    await bench.knowledge.start()
    await bench.knowledge.wait_indexed()
    took = time.monotonic() - started
    reads = bench.workers["extract"].pid
    print(f"10,000 unchanged files re-opened in {took:.2f} s; extract worker started: {reads is not None}")
    started = time.monotonic()
    (folder / "d3").rename(folder / "renamed")
    await until(lambda: bench.knowledge._database.read(_moved, "renamed/"))
    took = time.monotonic() - started
    reads = bench.workers["extract"].pid
    print(f"1,000 renamed files follow in {took:.2f} s; extract worker started: {reads is not None}")
    await bench.close()


def _moved(index: Index, prefix: str) -> bool:
    return bool(
        index.db.execute("SELECT count(*) = 1000 FROM file WHERE relpath LIKE ? || '%'", (prefix,)).fetchone()[0]
    )


async def saves(bench: Bench, folder: Path, name: str, times: int, going: Callable[[], bool]) -> None:
    waits: list[float] = []
    for number in range(times):
        if not going():
            break
        word = f"unheardof{name}{number}"
        started = time.monotonic()
        (folder / f"{name}{number}.md").write_text(f"The word is {word}.\n")
        while not await bench.knowledge.search(word, limit=1):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        waits.append(time.monotonic() - started)
    print(f"save to searchable, {name}: {len(waits)} saves, {p95(waits)}")


async def save(base: Path, embedder: Path, corpus: Path) -> None:
    folder = base / "folder"
    folder.mkdir()
    bench = Bench(base, embedder)
    await bench.knowledge.start()
    await bench.knowledge.add_folder(folder)
    await bench.knowledge.wait_indexed()
    await saves(bench, folder, "idle", 20, lambda: True)
    await bench.knowledge.add_folder(corpus)
    await asyncio.sleep(2)
    bulk = lambda: any(work.cold for work in bench.knowledge._reading.work.values())  # noqa: E731
    await saves(bench, folder, "bulk", 20, bulk)
    waits: list[float] = []
    while len(waits) < 40 and bulk():
        started = time.monotonic()
        await bench.knowledge.search(f"{random.choice(WORDS)} how is memory allocated number {len(waits)}")
        waits.append(time.monotonic() - started)
    if waits:
        print(f"search while files are read: {p95(waits)}")
    await bench.close()


async def embed(base: Path, embedder: Path) -> None:
    import threading

    from localmind.knowledge.embed_worker import Embedder

    dice = random.Random(2)
    english = (Path(__file__).parents[1] / "README.md").read_text().split()
    texts = [" ".join(dice.choices(english, k=100)) for _ in range(256)]
    bare = Embedder(embedder, base / "converted", threads=2)
    tokens = [min(len(one.ids), 256) for one in bare._tokenizer.encode_batch(texts)]
    print(f"{len(texts)} texts of {sum(tokens) / len(tokens):.0f} tokens, threads alive: {threading.active_count()}")
    folder = base / "folder"
    folder.mkdir()
    bench = Bench(base, embedder)
    await bench.knowledge.start()
    await bench.knowledge.add_folder(folder)
    await bench.knowledge.wait_indexed()
    await bench.knowledge._embedding.embedder.embed(texts[:4], "passage")  # type: ignore[union-attr]
    await bench.knowledge.pause(True)
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text)
    await bench.knowledge.pause(False)
    await bench.until_read()
    for turn in range(2):
        started = time.monotonic()
        bare.embed(texts)
        print(f"bare CTranslate2 loop: {len(texts) / (time.monotonic() - started):.1f} chunks/s")
        if turn == 0:
            await bench.knowledge._database.run(_again)
            before, started = bench.knowledge._embedding.embedded, time.monotonic()
            bench.knowledge._embedding.wake()
            await asyncio.sleep(0.05)
            await bench.knowledge.wait_indexed()
            done = bench.knowledge._embedding.embedded - before
            rate = done / (time.monotonic() - started)
            print(f"through the index, into SQLite and Chroma: {rate:.1f} chunks/s ({done})")
    await bench.close()


def _again(index: Index) -> None:
    index.db.execute("DELETE FROM vector")
    index.db.execute("UPDATE chunk SET stage = 0")


def fill(index: Index, root_id: int, chunks: int) -> None:
    """Files of 20 chunks each with random vectors about 2,000 centres."""
    rng, dice = numpy.random.default_rng(3), random.Random(3)
    centres = rng.normal(size=(2000, 384)).astype("<f4")
    vocabulary = [f"{word}{number}" for word in WORDS for number in range(60)]
    weights = [1 / (rank + 5) for rank in range(len(vocabulary))]
    index.db.execute("BEGIN")
    for number in range(chunks):
        file_id = number // 20 + 1
        if number % 20 == 0:
            index.db.execute(
                "INSERT INTO file (id, root_id, relpath, device, inode, size, mtime_ns, recipe, state, indexed_at)"
                " VALUES (?, ?, ?, 0, ?, 0, 0, '', 'indexed', 0)", (file_id, root_id, f"d/{file_id}.md", file_id),
            )  # fmt: skip
        text = " ".join(dice.choices(vocabulary, weights=weights, k=130))
        digest = text_hash(embedded_text(None, text))
        vector = centres[dice.randrange(2000)] + 0.5 * rng.normal(size=384).astype("<f4")
        vector /= numpy.linalg.norm(vector)
        index.db.execute(
            "INSERT INTO chunk (file_id, root_id, ordinal, path, text, text_hash, char_start, char_end, line_start,"
            " line_end, stage) VALUES (?, ?, ?, ?, ?, ?, 0, 1, 1, 1, 1)",
            (file_id, root_id, number % 20, f"d/{file_id}.md", text, digest),
        )
        index.db.execute("INSERT OR REPLACE INTO vector VALUES (?, 'embedder', ?)", (digest, vector.tobytes()))
    fulltext.add(index.db, "file_id <= ? AND path LIKE 'd/%'", (file_id,))
    index.db.execute("COMMIT")


async def search(base: Path, embedder: Path, chunks: int) -> None:
    folder = base / "folder"
    folder.mkdir()
    (folder / "one.md").write_text("One file, so that the folder is not empty.\n")
    bench = Bench(base, embedder)
    await bench.knowledge.start()
    made = await bench.knowledge.add_folder(folder)
    await bench.knowledge.wait_indexed()
    await bench.knowledge._database.run(fill, made.id, chunks)
    dice = random.Random(5)
    questions = []
    for _ in range(100):
        rare = (f"{word}{dice.randrange(60)}" for word in dice.choices(WORDS, k=3))
        questions.append(" ".join([*dice.choices(WORDS, k=2), *rare]))
    for question in questions[:3]:
        await bench.knowledge.search(question)
    print(f"{chunks} chunks, exact search while Chroma has none:", await timed(bench, questions[:20]), flush=True)
    started = time.monotonic()
    bench.knowledge._embedding.wake()
    waits: list[float] = []
    while not await bench.knowledge._database.read(vector_rows.complete):
        begun = time.monotonic()
        await bench.knowledge.search(dice.choice(questions))
        waits.append(time.monotonic() - begun)
        await asyncio.sleep(0.5)
    print(f"placed in Chroma in {time.monotonic() - started:.0f} s; searches meanwhile: {p95(waits)}", flush=True)
    for question in questions[:3]:
        await bench.knowledge.search(question)
    print("search, idle:", await timed(bench, questions))
    sizes = memory()
    print(
        f"resident: {sum(sizes.values()):.0f} MB, { ({name: round(size) for name, size in sizes.items()}) }", flush=True
    )
    for number in range(300):
        (folder / f"new{number}.md").write_text(f"# {number}\n\n" + " ".join(dice.choices(WORDS, k=400)))
    await asyncio.sleep(2)
    waits = []
    while bench.knowledge._embedding.busy and len(waits) < 100:
        begun = time.monotonic()
        await bench.knowledge.search(dice.choice(questions))
        waits.append(time.monotonic() - begun)
        await asyncio.sleep(0.1)
    if waits:
        print(f"search while indexing: {p95(waits)} ({len(waits)})")
    sizes = memory()
    print(
        f"resident: {sum(sizes.values()):.0f} MB, { ({name: round(size) for name, size in sizes.items()}) }", flush=True
    )
    await bench.close()


async def timed(bench: Bench, questions: list[str]) -> str:
    waits = []
    for question in questions:
        started = time.monotonic()
        await bench.knowledge.search(question)
        waits.append(time.monotonic() - started)
    return p95(waits)


def main() -> None:
    embedder, what, *rest = Path(sys.argv[1]), *sys.argv[2:]
    base = Path(tempfile.mkdtemp(prefix="knowledge-speed-"))
    try:
        match what:
            case "read":
                asyncio.run(read(base, embedder, Path(rest[0]).resolve()))
            case "tree":
                asyncio.run(tree(base, embedder))
            case "save":
                asyncio.run(save(base, embedder, Path(rest[0]).resolve()))
            case "embed":
                asyncio.run(embed(base, embedder))
            case "search":
                asyncio.run(search(base, embedder, int((rest or ["100000"])[0])))
            case _:
                sys.exit(__doc__)
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
