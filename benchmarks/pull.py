"""How fast a model is fetched on loopback, and what kill -9 costs, beside huggingface_hub's own download.

    python benchmarks/pull.py [--megabytes 200] [--rounds 5]

A hub with one GGUF is served by another process; each takes its turn, round by round. Ours reads, hashes, writes, syncs
and checks the file; hf_hub_download reads and writes it. Neither's imports count. Then each is killed at 90 % and run
again, and the hub counts what it sends the second time.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

REPO, COMMIT, FILE = "org/bench-GGUF", "a" * 40, "bench-Q4_K_M.gguf"


def serve(path: Path) -> None:
    """The hub: a listing and one file, with ranges, by sendfile. Says how many bytes it sent, on request."""
    size, digest = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
    sent, limit = [0], [0]
    lfs = {"sha256": digest, "size": size, "pointerSize": 134}
    listing = json.dumps(
        {
            "id": REPO,
            "sha": COMMIT,
            "siblings": [{"rfilename": FILE, "size": size, "blobId": "b" * 40, "lfs": lfs}],
        }
    ).encode()
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def answer(peer: socket.socket) -> None:
        with peer, path.open("rb") as source, contextlib.suppress(OSError):
            while head := read_head(peer):
                target = head.split(" ", 2)[1]
                if target.startswith("/sent"):
                    limit[0] = int(target.partition("?")[2] or 0)
                    body = str(sent[0]).encode()
                    sent[0] = 0
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                elif target.startswith("/api/"):
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(listing) + listing)
                else:
                    found = re.search(r"(?im)^range: bytes=(\d+)-(\d*)", head)
                    start = int(found[1]) if found else 0
                    end = min(size, int(found[2]) + 1) if found and found[2] else size
                    more = f"Content-Range: bytes {start}-{end - 1}/{size}\r\n" if found else ""
                    peer.sendall(
                        f'HTTP/1.1 {206 if found else 200} OK\r\n{more}ETag: "{digest}"\r\nX-Repo-Commit: {COMMIT}\r\n'
                        f'X-Linked-Size: {size}\r\nX-Linked-Etag: "{digest}"\r\nAccept-Ranges: bytes\r\n'
                        f"Content-Length: {end - start}\r\n\r\n".encode()
                    )
                    if head.startswith("HEAD"):
                        continue
                    while start < end:
                        if limit[0] and sent[0] >= limit[0]:
                            threading.Event().wait(1000)  # stalls at 90 % until the client is killed
                        step = os.sendfile(peer.fileno(), source.fileno(), start, min(1 << 18, end - start))
                        start += step
                        sent[0] += step

    while True:
        peer, _ = listener.accept()
        threading.Thread(target=answer, args=(peer,), daemon=True).start()


def read_head(peer: socket.socket) -> str:
    head = b""
    while b"\r\n\r\n" not in head:
        data = peer.recv(65536)
        if not data:
            return ""
        head += data
    return head.decode("latin-1")


def ours(url: str, home: Path) -> float:
    import huggingface_hub

    huggingface_hub.HfApi()  # its import is lazy, and takes half a second
    from localmind.catalog import Catalog
    from localmind.models.hub_config import HubConfig
    from localmind.models.names import find_model
    from localmind.models.pull import pull
    from localmind.models.store import Store

    async def fetch() -> float:
        store, hub = Store(home), HubConfig.find({"HF_ENDPOINT": url})
        spec = await find_model(f"hf.co/{REPO}", Catalog(()), hub)
        begun = time.monotonic()
        async for _ in pull(spec, store, hub=hub):
            pass
        return time.monotonic() - begun

    return asyncio.run(fetch())


def theirs(url: str, home: Path) -> float:
    os.environ |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1"}
    from huggingface_hub import hf_hub_download

    begun = time.monotonic()
    hf_hub_download(REPO, FILE, endpoint=url, cache_dir=home, token=False)
    return time.monotonic() - begun


def child(which: str, url: str, home: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, __file__, "--run", which, url, str(home)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def ask(url: str, target: str) -> int:
    import urllib.request

    with urllib.request.urlopen(f"{url}{target}") as answer:
        return int(answer.read())


def killed_at_90_percent(which: str, url: str, home: Path, size: int) -> int:
    """Bytes that the run after a kill -9 at 90 % fetches; a tenth of the file had never been sent."""
    ask(url, f"/sent?{size * 9 // 10}")
    running = child(which, url, home)
    seen = 0
    while seen < size * 9 // 10:
        time.sleep(0.05)
        total = sum(path.stat().st_blocks * 512 for path in home.rglob("*") if path.is_file())
        written = sum(path.stat().st_size for path in home.rglob("*.part"))
        seen = max(written, total if which == "theirs" else 0)
        if which == "theirs" and seen > size * 9 // 10 - (11 << 20):
            break  # it writes 10 MiB at a time, so the last are still in memory
        if which == "ours" and seen > size * 9 // 10 - (4 << 20):
            break
    running.send_signal(signal.SIGKILL)
    running.communicate()
    ask(url, "/sent")
    child(which, url, home).communicate()
    return ask(url, "/sent")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--megabytes", type=int, default=200)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    arguments.add_argument("--serve", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.serve:
        serve(Path(given.serve))
    if given.run:
        which, url, home = given.run
        print((ours if which == "ours" else theirs)(url, Path(home)))
        return
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.gguf"
        path.write_bytes(sample(given.megabytes << 20))
        size = path.stat().st_size
        server = subprocess.Popen([sys.executable, __file__, "--serve", str(path)], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            speeds: dict[str, list[float]] = {"ours": [], "theirs": []}
            for number in range(given.rounds):
                for which in sorted(speeds, reverse=bool(number % 2)):
                    os.sync()  # what the one before left to be written is not for this one to wait for
                    home = Path(place) / f"{which}{number}"
                    out, _ = child(which, url, home).communicate()
                    shutil.rmtree(home)
                    speeds[which].append(size / 1e6 / float(out))
            for which, found in speeds.items():
                print(f"{which:8} {statistics.median(found):7.0f} MB/s  ({', '.join(f'{one:.0f}' for one in found)})")
            ratios = [one / other for one, other in zip(speeds["ours"], speeds["theirs"], strict=True)]
            print(f"ratio    {statistics.median(ratios):7.2f}       ({', '.join(f'{one:.2f}' for one in ratios)})")
            for which in speeds:
                again = killed_at_90_percent(which, url, Path(place) / f"{which}-killed", size)
                twice = (again - size // 10) / (1 << 20)
                print(f"{which:8} {twice:7.1f} MiB fetched twice after kill -9 at 90 % of {size >> 20} MiB")
        finally:
            server.kill()
            server.wait()


def sample(size: int) -> bytes:
    """A GGUF that passes the pre-check, as long as it is told to be."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests/models"))
    from gguf_files import whole_file

    head: bytes = whole_file()
    return head + os.urandom(1 << 20) * (size // (1 << 20))


if __name__ == "__main__":
    main()
