"""Pulling from a hub: what is chosen, what is pinned, who gets the token, and each way in which a hub can misbehave."""

import asyncio
import contextlib
import hashlib
import json
from pathlib import Path

import msgspec
import pytest
from gguf_files import META, TENSORS, Short, header, whole_file
from hub_fakes import COMMIT, FakeHub
from index_fakes import PATIENT, QUICK, Answer, Changed, Corrupt, Drop, Stall, noise, until

from localmind.catalog import Catalog, HubSource, ModelSpec, UrlSource
from localmind.errors import (
    DiskFull,
    DownloadFailed,
    HashMismatch,
    IndexUnreachable,
    LocalmindError,
    ModelFileBroken,
    ModelNotFound,
)
from localmind.models.describe import undescribed
from localmind.models.hub import not_reached
from localmind.models.hub_config import HubConfig
from localmind.models.line import Patience
from localmind.models.names import find_model
from localmind.models.pip_config import IndexConfig
from localmind.models.pull import pull
from localmind.models.room import FLOOR
from localmind.models.store import Store

REPO = "Some-Org/Tiny-GGUF"
NAME = f"hf.co/{REPO}"
PLENTY = FLOOR + 100_000_000
NOTHING = Catalog(())


def gguf(seed: int = 1, size: int = 300_000) -> bytes:
    """A file that passes the pre-check, with a tail of noise that makes it another one."""
    return whole_file() + noise(size, seed)


FILES = {
    "README.txt": b"hello",
    "Tiny-Q4_K_M.gguf": gguf(1),
    "Tiny-Q8_0.gguf": gguf(2),
    "mmproj-Tiny-F16.gguf": gguf(3),
}


@pytest.fixture
def repo(hub: FakeHub) -> FakeHub:
    hub.add(REPO, dict(FILES))
    return hub


def config(hub: FakeHub, **environ: str) -> HubConfig:
    return HubConfig.find({"HF_ENDPOINT": hub.url} | environ)


async def run(
    name: str | ModelSpec,
    store: Store,
    hub: HubConfig,
    client,
    *,
    free: int = PLENTY,
    patience: Patience = PATIENT,
    **more,
) -> ModelSpec:
    """Pull to the end, and what is installed then."""
    spec = await find_model(name, Catalog((), store.specs), hub, **more) if isinstance(name, str) else name
    steps = pull(spec, store, config=IndexConfig(()), hub=hub, client=client, free=lambda _: free, patience=patience)
    async for _ in steps:
        pass
    found = store.get(spec.name)
    assert found is not None
    assert found.spec is not None
    return found.spec


def left(store: Store) -> set[str]:
    return {path.suffix for path in store.partial.iterdir()}


async def test_a_repository_is_pulled_by_its_name_and_pinned_to_commit_and_hash(repo, store, client) -> None:
    spec = await run(NAME, store, config(repo), client)
    assert spec.name == "hf.co/some-org/tiny-gguf:q4_k_m"
    assert spec.sources == (HubSource(repo=REPO, revision=COMMIT),)
    assert [file.sha256 for file in spec.files] == [hashlib.sha256(FILES["Tiny-Q4_K_M.gguf"]).hexdigest()]
    assert (spec.family, spec.context, spec.quantisation, spec.licence) == ("Tiny", 4096, "Q4_K_M", "apache-2.0")
    assert store.verify(spec.name) == ()
    assert store.locate(spec.name).name == "Tiny-Q4_K_M.gguf"
    assert left(store) == set()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (f"{NAME}:Q8_0", "Tiny-Q8_0.gguf"),
        (f"{NAME.lower()}:q8_0".replace("some-org/tiny-gguf", REPO), "Tiny-Q8_0.gguf"),
        (f"https://huggingface.co/{REPO}", "Tiny-Q4_K_M.gguf"),
        (f"https://huggingface.co/{REPO}/blob/main/Tiny-Q8_0.gguf", "Tiny-Q8_0.gguf"),
        (f"huggingface.co/{REPO}/resolve/{COMMIT}/Tiny-Q8_0.gguf?download=true", "Tiny-Q8_0.gguf"),
    ],
)
async def test_each_way_to_write_a_place_on_the_hub_brings_that_file(repo, store, client, name, file) -> None:
    assert [found.name for found in (await run(name, store, config(repo), client)).files] == [file]


async def test_a_projector_for_images_comes_only_when_asked_for(repo, store, client) -> None:
    spec = await run(NAME, store, config(repo), client, with_projector=True)
    assert [file.name for file in spec.files] == ["Tiny-Q4_K_M.gguf", "mmproj-Tiny-F16.gguf"]


async def test_a_pulled_model_is_known_by_its_name_without_asking_anybody(repo, store, client) -> None:
    spec = await run(NAME, store, config(repo), client)
    asked = len(repo.seen)
    known = Catalog((), store.specs)
    assert known.find(NAME).files == known.find(f"{NAME}:Q4_K_M").files == spec.files
    await run(NAME, store, config(repo), client)
    assert len(repo.seen) == asked


async def test_all_parts_of_a_split_model_come_and_lie_beside_one_another(hub, store, client) -> None:
    first = header({**META, "split.no": Short(0), "split.count": Short(2)}, TENSORS[:1])
    second = header({"split.no": Short(1), "split.count": Short(2)}, [("blk.1.attn_q.weight", (64, 64), 8, 0)])
    parts = {
        "Q4/Big-Q4_K_M-00002-of-00002.gguf": second + bytes(-len(second) % 32) + bytes(4352),
        "Q4/Big-Q4_K_M-00001-of-00002.gguf": first + bytes(-len(first) % 32) + bytes(25600),
        "Q8/Big-Q8_0-00001-of-00002.gguf": gguf(5),
    }
    hub.add(REPO, parts)
    spec = await run(NAME, store, config(hub), client)
    assert [file.name[-21:-5] for file in spec.files] == ["M-00001-of-00002", "M-00002-of-00002"]
    place = store.locate(spec.name)
    assert place.name == "Big-Q4_K_M-00001-of-00002.gguf"
    assert (place.parent / "Big-Q4_K_M-00002-of-00002.gguf").exists()
    assert spec.parameters == 64 * 100 + 64 * 64


async def test_a_repository_of_a_speech_model_is_known_by_its_files(hub, store, client) -> None:
    files = {name: noise(2000, n) for n, name in enumerate(("model.bin", "config.json", "tokenizer.json"))}
    hub.add("Systran/whisper", {**files, "vocabulary.txt": b"a b c", "README.txt": b"not needed"})
    spec = await run("hf.co/Systran/whisper", store, config(hub), client)
    assert (spec.role, spec.format) == ("speech", "ctranslate2")
    assert {file.name for file in spec.files} == {*files, "vocabulary.txt"}
    assert store.verify(spec.name) == ()


async def test_a_small_file_that_is_not_what_git_says_is_refused(hub, store, client) -> None:
    names = ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt")
    hub.add("a/b", dict.fromkeys(names, b"0123456789"))
    hub.listing = lambda body: {**body, "siblings": [{**s, "blobId": "0" * 40} for s in body["siblings"]]}
    with pytest.raises(HashMismatch, match="is not what the hub promised"):
        await run("hf.co/a/b", store, config(hub), client)
    assert store.list() == ()


async def test_a_catalog_model_without_hashes_gets_those_of_the_hub(repo, store, client) -> None:
    spec = msgspec.structs.replace(
        undescribed("tiny:1b", [HubSource(repo=REPO)], quantisation="Q8_0"), family="Tiny", parameters=7, context=99
    )
    catalog = Catalog((spec,), store.specs)
    pinned = await run(spec, store, config(repo), client)
    assert [file.name for file in pinned.files] == ["Tiny-Q8_0.gguf"]
    assert (pinned.parameters, pinned.context) == (7, 99)
    assert catalog.find("tiny:1b").files == pinned.files
    # The repository moves on; what was pinned is what a repair brings.
    store.blob(pinned.files[0].sha256).unlink()
    repo.listing = b"broken"
    await run(catalog.find("tiny:1b"), store, config(repo), client)
    assert store.verify("tiny:1b") == ()


async def test_the_token_goes_to_the_hub_and_to_nobody_else(repo, store, client) -> None:
    repo.repos[REPO].token = "hf_secret"
    await run(NAME, store, config(repo, LOCALMIND_HUB_TOKEN="hf_secret"), client)
    assert {seen.authorization for seen in repo.seen} == {"Bearer hf_secret"}
    assert [seen.authorization for seen in repo.files.downloads] == [None]


async def test_a_token_made_for_hugging_face_is_not_sent_to_another_endpoint(repo, store, client) -> None:
    await run(NAME, store, config(repo, HF_TOKEN="hf_secret"), client)
    assert {seen.authorization for seen in [*repo.seen, *repo.files.seen]} == {None}


def test_hugging_faces_token_is_for_its_own_address_over_https() -> None:
    mirrored = HubConfig.find(
        {"HF_TOKEN": "t", "LOCALMIND_HUB_MIRRORS": "https://mirror.example http://huggingface.co"}
    )
    assert mirrored.endpoints == ("https://huggingface.co", "https://mirror.example", "http://huggingface.co")
    assert [mirrored.token(endpoint) for endpoint in mirrored.endpoints] == ["t", None, None]
    assert "hf_secret" not in repr(HubConfig.find({"HF_TOKEN": "hf_secret", "LOCALMIND_HUB_TOKEN": "hf_secret"}))


async def test_the_library_asks_for_nothing_but_the_listing(repo, store, client) -> None:
    await run(NAME, store, config(repo), client)
    assert repo.paths == [f"/api/models/{REPO}", f"/{REPO}/resolve/{COMMIT}/Tiny-Q4_K_M.gguf"]


async def test_a_mirror_is_asked_when_the_first_endpoint_is_down(repo, store, client) -> None:
    both = HubConfig.find({"HF_ENDPOINT": "http://127.0.0.1:9", "LOCALMIND_HUB_MIRRORS": repo.url})
    assert (await run(NAME, store, both, client)).licence == "apache-2.0"


async def test_offline_asks_nobody_and_what_is_here_still_works(repo, store, client) -> None:
    await run(NAME, store, config(repo), client)
    asked = len(repo.seen)
    off = config(repo, HF_HUB_OFFLINE="1")
    await run(NAME, store, off, client)
    with pytest.raises(IndexUnreachable, match="HF_HUB_OFFLINE") as caught:
        await run(f"{NAME}:Q8_0", store, off, client)
    assert caught.value.hint == "unset HF_HUB_OFFLINE"
    assert len(repo.seen) == asked


REFUSALS = [
    # what the hub does, the error, its words
    ({"status": 429, "headers": {"Retry-After": "77"}}, DownloadFailed, "asked too often"),
    ({"status": 500}, IndexUnreachable, "answers 500 for Some-Org/Tiny-GGUF"),
    ({"status": 418, "headers": {"X-Error-Message": "te\x7fapot"}}, DownloadFailed, "answers 418.*te.*apot"),
    ({"listing": b"<html>log in to the hotel's network</html>"}, DownloadFailed, "makes no sense"),
    ({"listing": b"[" * 100_000}, DownloadFailed, "makes no sense"),
    ({"listing": b'{"id": 1, "sha": [], "siblings": 7}'}, DownloadFailed, "makes no sense"),
    ({"listing": b" " * (33 << 20)}, DownloadFailed, "the answer is too long"),
    ({"listing": lambda body: {**body, "sha": "../../etc"}}, DownloadFailed, "names no commit"),
    ({"listing": lambda body: {**body, "siblings": []}}, ModelNotFound, "holds no GGUF"),
    ({"listing": lambda body: renamed(body, "../../evil-Q4_K_M.gguf")}, DownloadFailed, "not a plain relative path"),
    ({"listing": lambda body: renamed(body, "C:\\evil-Q4_K_M.gguf")}, DownloadFailed, "not a plain relative path"),
    ({"listing": lambda body: renamed(body, "e\x1b[31mvil-Q4_K_M.gguf")}, ModelNotFound, "holds no GGUF"),
    ({"listing": lambda body: hashed(body, "../" + "0" * 61)}, DownloadFailed, "impossible sha256"),
    ({"listing": lambda body: hashed(body, 7)}, DownloadFailed, "impossible sha256"),
]


def renamed(body: dict, path: str) -> dict:
    return {**body, "siblings": [{**body["siblings"][1], "rfilename": path}]}


def hashed(body: dict, sha256: object) -> dict:
    lfs = {**body["siblings"][1]["lfs"], "sha256": sha256}
    return {**body, "siblings": [{**body["siblings"][1], "lfs": lfs}]}


@pytest.mark.parametrize(("does", "kind", "says"), REFUSALS, ids=range(len(REFUSALS)))
async def test_a_hub_that_misbehaves_is_told_of_and_leaves_nothing(repo, store, client, does, kind, says) -> None:
    for name, value in does.items():
        setattr(repo, name, value)
    with pytest.raises(LocalmindError, match=says) as caught:
        await run(NAME, store, config(repo), client)
    assert type(caught.value) is kind
    assert caught.value.hint
    assert "\x1b" not in caught.value.message
    assert repo.files.seen == []
    assert (left(store), store.list(), list(store.blobs.iterdir())) == (set(), (), [])


@pytest.mark.parametrize(
    ("wrong", "says"), [(None, "401 .*Access to this model"), ("hf_old", "403 .*Access to this model")]
)
async def test_a_gated_model_says_what_to_do(repo, store, client, wrong, says) -> None:
    repo.repos[REPO].token = "hf_right"
    environ = {"LOCALMIND_HUB_TOKEN": wrong} if wrong else {}
    with pytest.raises(DownloadFailed, match=says) as caught:
        await run(NAME, store, config(repo, **environ), client)
    assert ("a token was sent" if wrong else "accepted its terms") in str(caught.value.hint)
    assert left(store) == set()


@pytest.mark.parametrize("name", ["hf.co/no/such", f"{NAME}:Q3_K_M", "hf.co/only", "hf.co/../etc/passwd"])
async def test_what_is_not_there_is_named_with_the_way_on(repo, store, client, name) -> None:
    with pytest.raises(ModelNotFound) as caught:
        await run(name, store, config(repo), client)
    assert caught.value.hint


async def test_a_missing_quantisation_lists_those_there_are(repo, store, client) -> None:
    with pytest.raises(ModelNotFound, match="it has Q4_K_M, Q8_0"):
        await run(f"{NAME}:IQ1_S", store, config(repo), client)


async def test_a_bare_organisation_and_name_points_to_the_hub(repo, store, client) -> None:
    with pytest.raises(ModelNotFound) as caught:
        await run(REPO, store, config(repo), client)
    assert caught.value.hint == f"localmind models pull hf.co/{REPO.lower()}"


ENDINGS = [
    ([Drop(100_000), *[Drop(0)] * 9], DownloadFailed, {".part", ".json"}),
    ([Stall(100_000), *[Stall(0)] * 9], DownloadFailed, {".part", ".json"}),
    ([Corrupt()], HashMismatch, set()),
    ([Drop(100_000), Changed(gguf(9), '"two"')], HashMismatch, set()),
    ([Answer(429, retry_after="999")], DownloadFailed, set()),
    ([Answer(302, headers=(("Location", "file:///etc/passwd"),))], DownloadFailed, set()),
    ([Answer(404)], DownloadFailed, set()),
]


@pytest.mark.parametrize(("faults", "kind", "stays"), ENDINGS, ids=range(len(ENDINGS)))
async def test_a_file_host_that_misbehaves_never_makes_a_model(repo, store, client, faults, kind, stays) -> None:
    repo.files.faults.extend(faults)
    patience = QUICK if any(isinstance(fault, Stall) for fault in faults) else PATIENT
    with pytest.raises(kind):
        await run(NAME, store, config(repo), client, patience=patience)
    assert left(store) == stays
    assert (store.list(), list(store.blobs.iterdir())) == ((), [])
    repo.files.faults.clear()
    repo.files.released.set()
    repo.files.files[hashlib.sha256(FILES["Tiny-Q4_K_M.gguf"]).hexdigest()] = FILES["Tiny-Q4_K_M.gguf"]
    spec = await run(NAME, store, config(repo), client)
    assert store.verify(spec.name) == ()


async def test_a_gguf_that_no_loader_should_see_is_not_kept(hub, store, client) -> None:
    hub.add(REPO, {"bad-Q4_0.gguf": whole_file(META, [("t", (1 << 40, 8), 0, 0)])})
    with pytest.raises(ModelFileBroken, match="cut short"):
        await run(NAME, store, config(hub), client)
    assert (left(store), store.list(), list(store.blobs.iterdir())) == (set(), (), [])


async def test_a_disk_too_small_stops_before_any_byte(repo, store, client) -> None:
    with pytest.raises(DiskFull, match="needs 0 MB"):
        await run(NAME, store, config(repo), client, free=FLOOR + 100_000)
    assert repo.files.downloads == []


async def test_a_cancelled_pull_goes_on_where_it_stopped(repo, store, client) -> None:
    repo.files.faults.append(Stall(280_000))
    task = asyncio.create_task(run(NAME, store, config(repo), client))
    await until(lambda: any(path.stat().st_size > 262_000 for path in store.partial.glob("*.part")))
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    (have,) = (path.stat().st_size for path in store.partial.glob("*.part"))
    await run(NAME, store, config(repo), client)
    assert repo.files.downloads[-1].range == f"bytes={have}-"


async def test_an_address_is_trusted_once_and_pinned(hub, store, client) -> None:
    data = gguf(4)
    hub.files.files["Odd Name.gguf"] = data
    url = f"{hub.files.url}/files/Odd%20Name.gguf"
    hub.files.files["Odd%20Name.gguf"] = data
    spec = await run(url, store, config(hub), client)
    assert spec.name == "odd-name"
    assert spec.sources == (UrlSource(url=url),)
    assert spec.files[0].sha256 == hashlib.sha256(data).hexdigest()
    store.blob(spec.files[0].sha256).unlink()
    hub.files.files["Odd%20Name.gguf"] = gguf(6)
    with pytest.raises(HashMismatch):
        await run(spec, store, config(hub), client)


async def test_an_address_with_a_promised_hash_is_held_to_it(hub, store, client) -> None:
    hub.files.files["m.gguf"] = gguf(4)
    with pytest.raises(HashMismatch):
        await run(f"{hub.files.url}/files/m.gguf#sha256={'0' * 64}", store, config(hub), client)
    assert store.list() == ()


async def test_the_manifest_of_an_older_version_is_still_read(repo, store: Store, client, tmp_path: Path) -> None:
    spec = await run(NAME, store, config(repo), client)
    manifest = next(store.manifests.iterdir())
    old = {key: value for key, value in json.loads(manifest.read_bytes()).items() if key not in ("spec", "links")}
    manifest.write_text(json.dumps(old))
    assert [found.name for found in store.list()] == [spec.name]
    assert store.locate(spec.name).exists()


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (OSError(-2, "Name or service not known"), "Name or service not known"),
        (OSError("odd \x1b[31mred"), "odd red"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_a_hub_that_cannot_be_reached_is_told_in_words(problem: Exception, words: str) -> None:
    told = not_reached("https://hub.test", problem, "a hint")
    assert told.message == f"https://hub.test cannot be reached: {words}"
    assert told.hint == "a hint"
