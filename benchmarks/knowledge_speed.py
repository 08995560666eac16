"""How fast the index is: first read, re-open, rename, save to searchable, searches, memory.

    python benchmarks/knowledge_speed.py EMBEDDER_DIR read CORPUS     # seconds until all of CORPUS is found by keyword
    python benchmarks/knowledge_speed.py EMBEDDER_DIR tree [STATE]    # 10,000 files re-opened, 1,000 files renamed
    python benchmarks/knowledge_speed.py EMBEDDER_DIR save CORPUS     # save to searchable, idle and in bulk
    python benchmarks/knowledge_speed.py EMBEDDER_DIR embed           # chunks a second, beside a bare CTranslate2 loop
    python benchmarks/knowledge_speed.py EMBEDDER_DIR search [STATE [CHUNKS]]   # p95 and memory at 100,000 chunks

Real workers everywhere, no daemon around them. `search` takes random vectors about 2,000 centres for all but the
questions, since embedding 100,000 chunks would take an hour; Chroma and SQLite hold them like any other. With
STATE, a directory, the first run only prepares it there, and the next ones measure on it.
Memory is the sum of the resident sets of this process and all workers. Beside seconds stand the CPU seconds of
all processes: on a machine that others share they tell more. What it costs a chat: knowledge_chat.py.
"""

import asyncio
import contextlib
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

from localmind.knowledge import fulltext, late, vector_rows
from localmind.knowledge.embedder import EmbedModel
from localmind.knowledge.index import Index, Root, embedded_text, text_hash
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


def described(sizes: dict[str, float]) -> str:
    """Megabytes, the sum first."""
    return f"{sum(sizes.values()):.0f} MB: " + ", ".join(f"{name} {size:.0f}" for name, size in sizes.items())


def cpu() -> float:
    """Seconds of processor time that this process and its workers, living and ended, have used."""
    own = psutil.Process()
    total = 0.0
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            spent = process.cpu_times()
            total += spent.user + spent.system + spent.children_user + spent.children_system
    return total


def p95(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    return f"p50 {ordered[len(ordered) // 2] * 1e3:.0f} ms, p95 {ordered[int(len(ordered) * 0.95)] * 1e3:.0f} ms"


async def read(base: Path, embedder: Path, corpus: Path) -> None:
    bench = Bench(base, embedder)
    await bench.knowledge.start()
    started, before, own = time.monotonic(), cpu(), time.process_time()
    await bench.knowledge.add_folder(corpus)
    await bench.until_read()
    took = time.monotonic() - started
    [status] = await bench.knowledge.folders()
    print(f"{status.files} files, {status.chunks} chunks searchable by keyword in {took:.1f} s", end="; ")
    print(f"{len(status.errors)} errors; {cpu() - before:.1f} s of CPU, {time.process_time() - own:.1f} of it here")
    print("resident:", described(memory()))
    await bench.close()


async def tree(base: Path, embedder: Path, *, prepare: bool) -> None:
    folder = base / "folder"
    if not folder.exists():
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
        if prepare:
            return
    bench = Bench(base, embedder, embed=False)
    started = time.monotonic()
    await bench.knowledge.start()
    await bench.knowledge.wait_indexed()
    took = time.monotonic() - started
    reads = bench.workers["extract"].pid
    print(f"10,000 unchanged files re-opened in {took:.2f} s; extract worker started: {reads is not None}")
    old, new = ("d3", "renamed") if (folder / "d3").exists() else ("renamed", "d3")
    started = time.monotonic()
    (folder / old).rename(folder / new)
    await until(lambda: bench.knowledge._database.read(_moved, f"{new}/"))
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
        word, path = f"unheardof{name}{number}", folder / f"{name}{number}.md"
        started = time.monotonic()
        path.write_text(f"The word is {word}.\n")
        await until(lambda word=word, path=path: _first(bench, word, path))  # type: ignore[misc]
        waits.append(time.monotonic() - started)
    print(f"save to searchable, {name}: {len(waits)} saves, {p95(waits)}")


async def _first(bench: Bench, word: str, path: Path) -> bool:
    """Whether a search finds just this file; others may answer before, by their meaning."""
    return [one.path for one in await bench.knowledge.search(word, limit=1)] == [str(path)]


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
    """Both sides in units of 200 tokens: the index cuts texts into smaller chunks than that."""
    from localmind.knowledge.embed_worker import Embedder

    dice = random.Random(2)
    english = (Path(__file__).parents[1] / "README.md").read_text().split()
    bare = Embedder(embedder, base / "converted", threads=2)
    texts = [" ".join(dice.choices(english, k=90)) for _ in range(256)]
    tokens = sum(bare.count_tokens(texts))
    print(f"{len(texts)} texts of {tokens / len(texts):.0f} tokens")
    folder = base / "folder"
    folder.mkdir()
    bench = Bench(base, embedder)
    await bench.knowledge.start()
    await bench.knowledge.add_folder(folder)
    await bench.knowledge.wait_indexed()
    await bench.knowledge._embedding.embedder.embed(texts[:4], "passage")  # type: ignore[union-attr]
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text)
    # Once through with everything, so that nothing is left to read in the measured round.
    await until(lambda: bench.knowledge._database.read(_files, len(texts)))
    await bench.knowledge.wait_indexed()
    held = sum(bare.count_tokens(await bench.knowledge._database.read(_texts)))
    for turn in range(2):
        started, before = time.monotonic(), cpu()
        bare.embed(texts)
        print(f"bare CTranslate2 loop: {tokens / 200 / (time.monotonic() - started):.1f} a second", end=", ")
        print(f"{cpu() - before:.1f} s of CPU")
        if turn == 0:
            await bench.knowledge._database.run(_again)
            started, before, done = time.monotonic(), cpu(), bench.knowledge._embedding.embedded
            bench.knowledge._embedding.wake()
            await asyncio.sleep(0.05)
            await bench.knowledge.wait_indexed()
            took, done = time.monotonic() - started, bench.knowledge._embedding.embedded - done
            print(f"through the index, into SQLite and Chroma: {held / 200 / took:.1f} a second", end=", ")
            print(f"{cpu() - before:.1f} s of CPU ({done} chunks, {held} tokens)")
    await bench.close()


def _files(index: Index, wanted: int) -> bool:
    return bool(index.db.execute("SELECT count(*) = ? FROM file WHERE state = 'indexed'", (wanted,)).fetchone()[0])


def _texts(index: Index) -> list[str]:
    return [embedded_text(row["heading"], row["text"]) for row in index.db.execute("SELECT heading, text FROM chunk")]


def _again(index: Index) -> None:
    index.db.execute("DELETE FROM vector")
    index.db.execute("UPDATE chunk SET stage = 0")


VOCABULARY = ["".join(pair) for pair in itertools.islice(itertools.product(WORDS, WORDS), 10_000)]


def fill(index: Index, root: Root, chunks: int, recipe: str) -> None:
    """Files of 20 chunks each of 80 words with random vectors about 2,000 centres.

    The files on the disk hold nothing but are known by size and time, so nothing is read when the index is opened.
    """
    rng, dice = numpy.random.default_rng(3), random.Random(3)
    centres = rng.normal(size=(2000, 384)).astype("<f4")
    weights = list(itertools.accumulate(1 / (rank + 5) for rank in range(len(VOCABULARY))))
    (root.path / "d").mkdir()
    index.db.execute("BEGIN")
    for number in range(chunks):
        if number % 20 == 0:
            relpath = f"d/{number // 20}.md"
            (root.path / relpath).write_text("x")
            found = (root.path / relpath).stat()
            file_id = index.db.execute(
                "INSERT INTO file (root_id, relpath, device, inode, size, mtime_ns, recipe, state, indexed_at)"
                " VALUES (?, ?, ?, ?, 1, ?, ?, 'indexed', 0)",
                (root.id, relpath, found.st_dev, found.st_ino, found.st_mtime_ns, recipe),
            ).lastrowid
        text = " ".join(dice.choices(VOCABULARY, cum_weights=weights, k=80))
        digest = text_hash(embedded_text(None, text))
        vector = centres[dice.randrange(2000)] + 0.5 * rng.normal(size=384).astype("<f4")
        vector /= numpy.linalg.norm(vector)
        index.db.execute(
            "INSERT INTO chunk (file_id, root_id, ordinal, path, text, text_hash, char_start, char_end, line_start,"
            " line_end, stage) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, 1, 1)",
            (file_id, root.id, number % 20, relpath, text, digest, number % 20 * 500, number % 20 * 500 + len(text)),
        )
        index.db.execute("INSERT OR REPLACE INTO vector VALUES (?, 'embedder', ?, 1)", (digest, vector.tobytes()))
        words = rng.bytes(45 * late.BYTES)
        index.db.execute("INSERT OR REPLACE INTO sketch VALUES (?, 'embedder', ?)", (digest, words))
    fulltext.add(index.db, "path LIKE 'd/%'")
    index.db.execute("COMMIT")


async def search(base: Path, embedder: Path, chunks: int, *, prepare: bool) -> None:
    folder = base / "folder"
    questions = _questions()
    bench = Bench(base, embedder)
    if not folder.exists():
        folder.mkdir()
        (folder / "one.md").write_text("One file, so that the folder is not empty.\n")
        await bench.knowledge.start()
        made = await bench.knowledge.add_folder(folder)
        await bench.knowledge.wait_indexed()
        [root] = [root for root in await bench.knowledge._database.run(Index.roots) if root.id == made.id]
        recipe = bench.knowledge._reading.recipes()["markdown"]
        await bench.knowledge._database.run(fill, root, chunks, recipe)
        for question in questions[:3]:
            await bench.knowledge.search(question)
        print(f"{chunks} chunks, exact search while Chroma has none:", await timed(bench, questions[:20]), flush=True)
        started, waits = time.monotonic(), list[float]()
        bench.knowledge._embedding.wake()
        while not await bench.knowledge._database.read(vector_rows.complete):
            waits += await asked(bench, questions, 1, pause=0.5)
        print(f"placed in Chroma in {time.monotonic() - started:.0f} s; searches meanwhile: {p95(waits)}", flush=True)
        if prepare:
            await bench.close()
            return
    else:
        await bench.knowledge.start()
        await until(lambda: bench.knowledge._database.read(vector_rows.complete))
    await until(lambda: all(bench.knowledge._vectors.ready(number) for number in bench.knowledge._reading.work))
    for question in questions[:3]:
        await bench.knowledge.search(question)
    print("search, idle:", await timed(bench, questions))
    print("resident:", described(memory()), flush=True)
    await asyncio.sleep(5)
    print("resident, 5 s later:", described(memory()), flush=True)
    before = bench.knowledge._embedding.embedded
    # A copied state still watches the folder that it was made with.
    [watched] = [work.root.path for work in bench.knowledge._reading.work.values()]
    for number in range(300):
        (watched / f"new{number}.md").write_text(f"# {number}\n\n" + " ".join(random.choices(WORDS, k=400)))
    await asyncio.sleep(2)
    waits = []
    while bench.knowledge._embedding.busy and len(waits) < 100:
        waits += await asked(bench, questions, 1, pause=0.1)
    if waits:
        done = bench.knowledge._embedding.embedded - before
        print(f"search while indexing: {p95(waits)} ({len(waits)} searches, {done} chunks embedded meanwhile)")
    else:
        print("search while indexing: not measured, nothing was being embedded")
    print("resident:", described(memory()), flush=True)
    await bench.close()


def _questions() -> list[str]:
    """Of two common and two rarer words each."""
    dice = random.Random(4)
    return [" ".join([*dice.choices(VOCABULARY[:50], k=2), *dice.choices(VOCABULARY, k=2)]) for _ in range(100)]


async def asked(bench: Bench, questions: list[str], times: int, *, pause: float = 0.0) -> list[float]:
    waits = []
    for _ in range(times):
        started = time.monotonic()
        await bench.knowledge.search(random.choice(questions))
        waits.append(time.monotonic() - started)
        await asyncio.sleep(pause)
    return waits


async def timed(bench: Bench, questions: list[str]) -> str:
    waits = []
    for question in questions:
        started = time.monotonic()
        await bench.knowledge.search(question)
        waits.append(time.monotonic() - started)
    return p95(waits)


def main() -> None:
    embedder, what, *rest = Path(sys.argv[1]), *sys.argv[2:]
    kept = Path(rest[0]).resolve() if rest and what in ("tree", "search") else None
    base = kept or Path(tempfile.mkdtemp(prefix="knowledge-speed-"))
    base.mkdir(parents=True, exist_ok=True)
    try:
        match what:
            case "read":
                asyncio.run(read(base, embedder, Path(rest[0]).resolve()))
            case "tree":
                asyncio.run(tree(base, embedder, prepare=kept is not None))
            case "save":
                asyncio.run(save(base, embedder, Path(rest[0]).resolve()))
            case "embed":
                asyncio.run(embed(base, embedder))
            case "search":
                chunks = int((rest[1:] or ["100000"])[0])
                asyncio.run(search(base, embedder, chunks, prepare=kept is not None))
            case _:
                sys.exit(__doc__)
    finally:
        if kept is None:
            shutil.rmtree(base)


if __name__ == "__main__":
    main()
