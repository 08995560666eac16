"""kill -9 at random points of indexing: the daemon's part, the vectors worker, the extract worker.

    python benchmarks/knowledge_kills.py EMBEDDER_DIR [KILLS] [SEED]

A process indexes a folder with real workers (Chroma, CTranslate2, parsers) while files are written, edited,
renamed and deleted; at random moments it or one of its workers is killed. At the end the index is
compared with a fresh build of the same folder: same chunks, same ids in Chroma as in SQLite, and every
vector within rounding of the fresh one.
"""

import asyncio
import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy
import psutil

from localmind.knowledge.embedder import EmbedModel
from localmind.knowledge.knowledge import Knowledge
from localmind.knowledge.pace import Situation
from localmind.workers.supervisor import Supervisor, launcher

FILES = 120
WORDS = (
    "boat",
    "kettle",
    "garden",
    "window",
    "letter",
    "silver",
    "north",
    "copper",
    "yellow",
    "answer",
    "paper",
    "train",
)


async def opened(state: Path, embedder: Path) -> tuple[Knowledge, list[Supervisor]]:
    """A Knowledge on real workers."""
    workers = [Supervisor(kind, launcher(kind, kind), lifted_after_s=2.0) for kind in ("embed", "vectors", "extract")]
    embed, vectors, extract = workers
    knowledge = Knowledge(
        state / "knowledge.db",
        chroma_dir=state / "chroma",
        embed=embed,
        vectors=vectors,
        extract=extract,
        embed_model=EmbedModel("embedder", embedder, state / "converted"),
        sense=Situation,
        poll_s=1.0,
    )
    await knowledge.start()
    return knowledge, workers


async def victim(base: Path, embedder: Path) -> None:
    """Index until killed."""
    knowledge, _ = await opened(base / "state", embedder)
    await knowledge.add_folder(base / "folder")
    print("started", flush=True)
    await asyncio.Event().wait()


async def contents(
    base: Path, state: str, embedder: Path
) -> tuple[dict[str, list[str]], dict[str, numpy.ndarray], str]:
    """(path → chunks, text → vector in Chroma, what is wrong) of a finished index."""
    knowledge, workers = await opened(base / state, embedder)
    folder = await knowledge.add_folder(base / "folder")
    await knowledge.wait_indexed()
    index = knowledge._vectors
    # What was deleted leaves Chroma's files by a rebuild, which would otherwise begin in the middle of the comparison.
    await knowledge.purge()
    await asyncio.sleep(1)
    await knowledge.wait_indexed()
    rows = await knowledge._database.run(
        lambda one: one.db.execute(
            "SELECT chunk.id, path, text, data FROM chunk LEFT JOIN vector USING (text_hash) ORDER BY path, ordinal"
        ).fetchall()
    )
    files: dict[str, list[str]] = {}
    vectors: dict[str, numpy.ndarray] = {}
    wrong = ""
    ids = set(await index._call("ids", folder.id, "embedder"))
    if ids != {row["id"] for row in rows}:
        wrong = f"Chroma holds {len(ids)} ids, SQLite {len(rows)} chunks"
    for row in rows:
        files.setdefault(row["path"], []).append(row["text"])
        vectors[row["text"]] = numpy.frombuffer(row["data"], dtype="<f4")
        [(number, cosine), *_] = await index._call("query", folder.id, "embedder", vector=row["data"], k=1)
        if cosine < 0.999:
            wrong = f"chunk {row['id']} finds {number} at {cosine} and not itself"
    await knowledge.close()
    for worker in workers:
        await worker.stop()
    return files, vectors, wrong


def disturb(folder: Path, dice: random.Random) -> None:
    """Write, edit, rename or delete a few files."""
    for _ in range(dice.randint(3, 12)):
        path = folder / f"{dice.randrange(6)}" / f"{dice.randrange(FILES)}.md"
        path.parent.mkdir(exist_ok=True)
        action = dice.random()
        if action < 0.65:
            beside = path.with_name(f".{path.name}.part")
            paragraphs = (" ".join(dice.choices(WORDS, k=80)) for _ in range(dice.randint(1, 6)))
            beside.write_text(f"# {path.stem}\n\n" + "\n\n".join(paragraphs) + "\n")
            beside.rename(path)
        elif action < 0.8 and path.exists():
            path.rename(path.with_name(f"{dice.randrange(FILES)}.md"))
        elif path.exists():
            path.unlink()


def worker_of(process: subprocess.Popen[bytes], kind: str) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                line = child.cmdline()
                if "localmind.workers" in line and kind in line:
                    return child
    return None


def start(base: Path, embedder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, __file__, "victim", str(base), str(embedder)]
    with open(base / "victim.log", "ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    assert process.stdout.readline(), (base / "victim.log").read_text()[-2000:]
    return process


def main(embedder: Path, kills: int, seed: int) -> None:
    dice = random.Random(seed)
    base = Path(tempfile.mkdtemp(prefix="knowledge-kills-"))
    folder = base / "folder"
    folder.mkdir()
    for _ in range(20):
        disturb(folder, dice)
    done = dict.fromkeys(("daemon", "vectors", "extract"), 0)
    process = start(base, embedder)
    started = time.monotonic()
    while sum(done.values()) < kills:
        disturb(folder, dice)
        time.sleep(dice.uniform(0.05, 2.0))
        kind = dice.choice(tuple(done))
        if kind == "daemon":
            process.kill()
            process.wait()
            process = start(base, embedder)
        elif (child := worker_of(process, kind)) is not None:
            with contextlib.suppress(psutil.Error):
                child.kill()
        else:
            continue
        done[kind] += 1
        if sum(done.values()) % 10 == 0:
            print(f"{sum(done.values())} kills in {time.monotonic() - started:.0f} s: {done}", flush=True)
    process.kill()
    process.wait()
    compare(base, embedder, done)


def compare(base: Path, embedder: Path, done: dict[str, int]) -> None:
    """Open the index again and build a fresh one beside it."""
    folder, kills = base / "folder", sum(done.values())
    after = asyncio.run(contents(base, "state", embedder))
    fresh = asyncio.run(contents(base, "fresh", embedder))
    on_disk = {path.relative_to(folder).as_posix() for path in folder.rglob("*.md") if not path.name.startswith(".")}
    worst = min((float(after[1][text] @ fresh[1][text]) for text in fresh[1] if text in after[1]), default=1.0)
    print(f"{kills} kills {done}: {len(after[0])} files, {sum(map(len, after[0].values()))} chunks")
    print("same chunks as a fresh build:", after[0] == fresh[0], "| all files there:", set(after[0]) == on_disk)
    print(f"same vectors: {after[1].keys() == fresh[1].keys()}, least cosine to the fresh ones {worst:.6f}")
    print("Chroma:", after[2] or "every chunk is there and finds itself")
    bad = after[0] != fresh[0] or after[1].keys() != fresh[1].keys() or worst < 0.999 or after[2]
    if not bad:
        shutil.rmtree(base)
    sys.exit(f"kept for a look: {base}" if bad else 0)


if __name__ == "__main__":
    if sys.argv[1] == "victim":
        asyncio.run(victim(Path(sys.argv[2]), Path(sys.argv[3])))
    else:
        main(Path(sys.argv[1]), int((sys.argv[2:3] or ["100"])[0]), int((sys.argv[3:4] or ["1"])[0]))
