"""Folders from the first scan to the last delete, on toy workers and a real disk."""

from pathlib import Path

import pytest
from knowledge_fakes import Household, eventually

from localmind.errors import (
    FolderNotFound,
    InvalidRequest,
    ModelQuarantined,
    PermissionRefused,
    WorkerDied,
)
from localmind.knowledge.knowledge import Knowledge


async def test_a_folder_is_read_embedded_and_found_with_exact_lines(house: Household) -> None:
    passage = (await house.knowledge.search("When was the boiler serviced?"))[0]
    assert passage.path == str(house.folder / "boiler.md")
    assert (passage.number, passage.line_start, passage.line_end, passage.heading) == (1, 1, 3, "Boiler")
    assert "9 October" in passage.text
    status = await house.status()
    assert (status.state, status.files, status.chunks, status.vectors_pending) == ("ready", 2, 2, 0)
    assert (status.errors, status.problem, status.watching) == ((), None, "events")
    assert len(house.toy.texts) == 2


async def test_a_question_that_nothing_answers_finds_nothing(house: Household) -> None:
    assert await house.knowledge.search("quarterly dividend of the mining company") == []


async def test_an_edit_replaces_what_was_there(house: Household) -> None:
    house.put("boiler.md", "# Boiler\n\nThe boiler was replaced by a heat pump.\n")
    await house.until("heat pump replaced", ["boiler.md"])
    assert await house.found("serviced by Marek Dudek") == []


async def test_a_write_in_place_is_noticed_too(house: Household) -> None:
    with (house.folder / "boiler.md").open("a") as stream:
        stream.write("\nThe chimney sweep is called Anton.\n")
    await house.until("chimney sweep Anton", ["boiler.md"])


async def test_a_renamed_directory_is_neither_read_nor_embedded_again(house: Household) -> None:
    read, embedded = len(house.extract.calls), len(house.toy.texts)
    (house.folder / "trip").rename(house.folder / "holiday")
    await house.until("guest house Pri Lipi", ["holiday/plan.txt"])
    await house.knowledge.wait_indexed()
    assert len(house.extract.calls) == read
    assert len(house.toy.texts) == embedded


async def test_a_directory_that_left_takes_its_files_along(house: Household) -> None:
    (house.folder / "trip").rename(house.base / "elsewhere")
    await house.until("guest house Pri Lipi", [])
    (house.base / "elsewhere").rename(house.folder / "back")
    await house.until("guest house Pri Lipi", ["back/plan.txt"])


async def test_a_copy_is_not_embedded_again(house: Household) -> None:
    embedded = len(house.toy.texts)
    house.put("copy.md", (house.folder / "boiler.md").read_text())
    await house.until("boiler serviced", ["boiler.md", "copy.md"])
    await house.knowledge.wait_indexed()
    assert len(house.toy.texts) == embedded


async def test_a_new_ignore_file_takes_files_out_and_its_removal_brings_them_back(house: Household) -> None:
    house.put(".localmindignore", "trip/\n")
    await house.until("guest house Pri Lipi", [])
    (house.folder / ".localmindignore").unlink()
    await house.until("guest house Pri Lipi", ["trip/plan.txt"])


async def test_one_bad_file_stops_nothing_and_is_tried_again_only_when_it_changes(house: Household) -> None:
    (house.folder / "bad.pdf").write_bytes(b"%PDF- nonsense")
    house.put("good.md", "The good file mentions marmalade.\n")
    await house.until("marmalade good file", ["good.md"])
    await house.knowledge.wait_indexed()
    status = await house.status()
    assert [path for path, _ in status.errors] == ["bad.pdf"]
    assert "broken" in status.errors[0][1]
    assert "broken" in await house.knowledge.why(house.folder / "bad.pdf")
    tries = len([call for call in house.extract.named("extract") if call["kind"] == "pdf"])
    await house.knowledge.add_folder(house.folder)
    await house.knowledge.wait_indexed()
    assert len([call for call in house.extract.named("extract") if call["kind"] == "pdf"]) == tries
    house.put("bad.pdf", "%PDF- other nonsense")

    async def tried_again() -> bool:
        return len([call for call in house.extract.named("extract") if call["kind"] == "pdf"]) > tries

    await eventually(tried_again)
    house.put("after.md", "Afterwards there is a kumquat.\n")
    await house.until("afterwards kumquat", ["after.md"])


async def test_search_is_limited_to_a_folder_or_a_part_of_it(house: Household) -> None:
    house.put("trip/boiler-of-the-guest-house.md", "The boiler of the guest house is old.\n")
    await house.until("boiler guest house", ["trip/boiler-of-the-guest-house.md", "trip/plan.txt", "boiler.md"])
    assert set(await house.found("boiler", folder=house.folder / "trip")) == {"trip/boiler-of-the-guest-house.md"}
    assert "boiler.md" in await house.found("boiler", folder=house.folder)
    with pytest.raises(FolderNotFound) as error:
        await house.knowledge.search("boiler", folder=house.base)
    assert error.value.hint is not None


async def test_a_removed_folder_is_forgotten_with_its_words(house: Household) -> None:
    [folder] = await house.knowledge.folders()
    await house.knowledge.remove_folder(house.folder)
    assert await house.knowledge.folders() == []
    assert await house.knowledge.search("boiler serviced") == []
    assert house.store.places == {}
    await house.knowledge.close()
    for path in (house.base / "state").rglob("*"):
        if path.is_file():
            assert b"Dudek" not in path.read_bytes(), path
            assert b"dudek" not in path.read_bytes(), path
    await house.fresh().start()
    with pytest.raises(FolderNotFound):
        await house.knowledge.remove_folder(folder.id)


async def test_adding_twice_is_one_folder_and_overlaps_are_refused(house: Household) -> None:
    again = await house.knowledge.add_folder(house.folder / "trip" / "..")
    assert again.path == str(house.folder)
    assert len(await house.knowledge.folders()) == 1
    with pytest.raises(InvalidRequest, match="already watched as part of"):
        await house.knowledge.add_folder(house.folder / "trip")
    with pytest.raises(InvalidRequest, match="contains the watched folder"):
        await house.knowledge.add_folder(house.base)


async def test_folders_that_cannot_be_are_refused_with_a_hint(house: Household) -> None:
    with pytest.raises(FolderNotFound, match="there is no folder") as gone:
        await house.knowledge.add_folder(house.base / "gone")
    assert gone.value.hint
    with pytest.raises(FolderNotFound, match="is a file"):
        await house.knowledge.add_folder(house.folder / "boiler.md")
    (house.base / ".ssh").mkdir()
    for path in (Path("/"), Path("/proc/self"), house.base / ".ssh", house.base / "state"):
        with pytest.raises(PermissionRefused):
            await house.knowledge.add_folder(path)


@pytest.mark.parametrize("question", ["", "  \n"])
async def test_an_empty_question_is_an_invalid_request(house: Household, question: str) -> None:
    with pytest.raises(InvalidRequest):
        await house.knowledge.search(question)
    with pytest.raises(InvalidRequest):
        await house.knowledge.search("boiler", limit=0)


async def test_why_explains_every_path(house: Household) -> None:
    house.put(".env", "KEY=1")
    (house.folder / "photo.jpg").write_bytes(b"jpg")
    (house.folder / "link.md").symlink_to(house.folder / "boiler.md")
    why = house.knowledge.why
    assert await why(house.folder / "boiler.md") == "indexed, 1 passage"
    assert await why(house.folder / ".env") == "not indexed: it may hold secrets (built-in deny list: .env)"
    assert await why(house.folder / "photo.jpg") == (
        "not indexed: files named *.jpg are never read (built-in list of binary formats)"
    )
    assert await why(house.folder / "link.md") == "not indexed: it is a symbolic link"
    assert await why(house.folder / "none.md") == "there is no such file"
    assert await why(house.folder) == "it is a watched folder"
    assert await why(Path("/etc/hostname")) == "it is not in a watched folder"


async def test_a_restart_on_unchanged_files_reads_and_embeds_nothing(house: Household) -> None:
    await house.knowledge.close()
    house.extract.calls.clear()
    house.toy.texts.clear()
    await house.fresh().start()
    await house.knowledge.wait_indexed()
    assert house.extract.calls == []
    assert house.toy.texts == []
    assert await house.found("boiler serviced") == ["boiler.md"]


async def test_what_changed_while_nobody_watched_is_noticed_at_the_start(house: Household) -> None:
    await house.knowledge.close()
    (house.folder / "boiler.md").unlink()
    house.put("late.md", "The lawnmower needs new blades.\n")
    await house.fresh().start()
    await house.knowledge.wait_indexed()
    assert set(await house.contents()) == {"late.md", "trip/plan.txt"}


async def test_a_folder_that_vanished_keeps_its_index_and_says_so(house: Household) -> None:
    house.folder.rename(house.base / "unplugged")

    async def offline() -> bool:
        return (await house.status()).state == "offline"

    await eventually(offline)
    assert "kept" in ((await house.status()).problem or "")
    assert await house.found("boiler serviced") == ["boiler.md"]
    (house.base / "unplugged").rename(house.folder)

    async def ready() -> bool:
        return (await house.status()).state == "ready"

    await eventually(ready)
    house.put("again.md", "The folder is back with a kumquat.\n")

    async def noticed() -> bool:
        return "again.md" in await house.found("kumquat")

    await eventually(noticed)


async def test_without_an_embedder_keywords_answer_and_vectors_follow_when_it_comes(tmp_path: Path) -> None:
    house = Household(tmp_path, embedder=False)
    house.put("boiler.md", "The boiler was serviced by Marek Dudek.\n")
    await house.knowledge.start()
    try:
        folder = await house.knowledge.add_folder(house.folder)
        await house.knowledge.wait_indexed(folder.id)
        assert await house.found("boiler serviced") == ["boiler.md"]
        assert (await house.status()).vectors_pending == 1
        await house.knowledge.use_embed_model(house.model)
        await house.knowledge.wait_indexed(folder.id)
        assert (await house.status()).vectors_pending == 0
        assert (await house.knowledge.search("boiler serviced"))[0].score > 0.3
    finally:
        await house.knowledge.close()


async def test_an_embedder_that_is_missing_at_a_restart_makes_nothing_be_read_again(house: Household) -> None:
    await house.knowledge.close()
    house.extract.calls.clear()
    house.options["embed_model"] = None
    await house.fresh().start()
    await house.knowledge.wait_indexed()
    assert house.extract.calls == []
    assert await house.found("boiler serviced") == ["boiler.md"]


async def test_another_embedder_embeds_everything_again(house: Household) -> None:
    house.toy.texts.clear()
    other = type(house.model)("toy:2", house.base, house.base)
    await house.knowledge.use_embed_model(other)
    await house.knowledge.wait_indexed()
    assert len(house.toy.texts) == 2
    assert await house.found("boiler serviced") == ["boiler.md"]


async def test_when_the_vectors_worker_is_dead_keywords_still_answer(house: Household) -> None:
    house.vectors.broken = WorkerDied("the vectors worker was killed by SIGSEGV")
    assert await house.found("boiler serviced") == ["boiler.md"]
    house.put("new.md", "The piano was tuned in March.\n")
    await house.until("piano tuned March", ["new.md"])
    await house.knowledge.wait_indexed()
    assert "SIGSEGV" in ((await house.status()).problem or "")
    await house.knowledge.remove_folder(house.folder)


async def test_when_the_embed_worker_is_dead_keywords_still_answer(house: Household) -> None:
    house.embed.broken = WorkerDied("the embed worker was killed by SIGKILL")
    assert await house.found("boiler serviced") == ["boiler.md"]


async def test_a_file_under_which_the_extract_worker_dies_twice_is_given_up(house: Household) -> None:
    house.extract.broken = WorkerDied("the extract worker was killed by SIGKILL")
    house.put("doom.md", "Doom.\n")

    async def given_up() -> bool:
        return bool((await house.status()).errors)

    await eventually(given_up)
    assert (await house.status()).errors == (("doom.md", "the extract worker was killed by SIGKILL"),)


async def test_a_quarantined_extract_worker_is_a_problem_of_the_folder_not_of_its_files(house: Household) -> None:
    house.extract.broken = ModelQuarantined("the extract worker died 3 times in 10 minutes")
    house.put("later.md", "Later.\n")

    async def in_trouble() -> bool:
        return (await house.status()).problem is not None

    await eventually(in_trouble)
    await house.knowledge.wait_indexed()
    status = await house.status()
    assert status.errors == ()
    assert "3 times" in (status.problem or "")


async def test_a_lost_vector_directory_is_rebuilt_without_embedding(house: Household) -> None:
    await house.knowledge.close()
    house.store.places.clear()
    house.toy.texts.clear()
    await house.fresh().start()
    await house.knowledge.wait_indexed()
    assert sum(len(place) for place in house.store.places.values()) == 2
    assert house.toy.texts == []
    assert await house.found("boiler serviced") == ["boiler.md"]


async def test_vectors_that_do_not_find_themselves_start_a_new_generation(house: Household) -> None:
    await house.knowledge.close()
    [(directory, collection)] = house.store.places
    house.store.places[directory, collection] = {
        number: vector * 0 for number, vector in house.store.places[directory, collection].items()
    }
    await house.fresh().start()
    await house.knowledge.wait_indexed()
    assert directory.endswith("g0001")
    assert {place.rpartition("/")[2] for place, _ in house.store.places} == {"g0001", "g0002"}
    assert (await house.knowledge.search("boiler serviced"))[0].score > 0.3


async def test_chroma_with_too_many_or_too_few_ids_is_reconciled(house: Household) -> None:
    await house.knowledge.close()
    [place] = house.store.places.values()
    lost = next(iter(place))
    stray = place.pop(lost)
    place[9998] = place[9999] = stray
    await house.fresh().start()
    await house.knowledge.wait_indexed()
    [place] = house.store.places.values()
    assert lost in place
    assert not {9998, 9999} & set(place)


async def test_embedding_waits_while_somebody_reads_an_answer(house: Household) -> None:
    with house.knowledge.hold():
        house.put("new.md", "The piano was tuned in March.\n")
        await house.until("piano tuned March", ["new.md"])
        assert (await house.status()).vectors_pending == 1
    await house.knowledge.wait_indexed()
    assert (await house.status()).vectors_pending == 0


async def test_progress_ends_with_the_work(house: Household) -> None:
    for number in range(300):
        house.put(f"many/{number}.md", f"File {number} speaks of {'plums ' * (number % 9)}\n")
    folder = await house.knowledge.add_folder(house.folder)
    steps = [step async for step in house.knowledge.progress(folder.id)]
    assert steps[-1].stage == "done"
    assert steps[-1].done == 302
    assert "read" in {step.stage for step in steps}


async def test_a_folder_with_more_directories_than_watches_is_polled_and_says_so(tmp_path: Path) -> None:
    house = Household(tmp_path, watch_limit=4, poll_s=0.05)
    for number in range(5):
        house.put(f"d{number}/a.md", f"Directory {number}.\n")
    await house.knowledge.start()
    try:
        folder = await house.knowledge.add_folder(house.folder)
        await house.knowledge.wait_indexed(folder.id)
        assert (await house.status()).watching.startswith("polling: more directories than inotify")
        house.put("d4/telescope.md", "The telescope is in the attic.\n")
        await house.until("telescope attic", ["d4/telescope.md"])
    finally:
        await house.knowledge.close()


async def test_an_event_that_was_lost_is_made_up_for_by_the_next_reconciliation(tmp_path: Path) -> None:
    house = Household(tmp_path, reconcile_s=0.1)
    await house.knowledge.start()
    try:
        await house.knowledge.add_folder(house.folder)
        await house.knowledge._watches.close()
        house.put("unseen.md", "The unseen file speaks of marmalade.\n")
        await house.until("unseen marmalade", ["unseen.md"])
    finally:
        await house.knowledge.close()


async def test_closing_in_the_middle_of_the_work_leaves_a_database_that_starts_again(tmp_path: Path) -> None:
    house = Household(tmp_path)
    for number in range(40):
        house.put(f"{number}.md", f"File {number} speaks of {'plums ' * number}\n")
    knowledge: Knowledge = house.knowledge
    await knowledge.start()
    await knowledge.add_folder(house.folder)

    async def begun() -> bool:
        return len(house.extract.calls) >= 10

    await eventually(begun)
    await knowledge.close()
    await house.fresh().start()
    await house.knowledge.wait_indexed()
    assert len(await house.contents()) == 40
    await house.knowledge.close()
