"""A change of the embedder happens in the background: the old one answers until every passage has its new vector."""

from knowledge_fakes import Household, eventually

from localmind.knowledge.embedder import EmbedModel


def asked(house: Household) -> list[str]:
    """The models that questions were embedded with."""
    return [str(params["model_dir"]) for params in house.embed.named("embed") if params["kind"] == "query"]


async def test_the_old_embedder_answers_until_the_new_one_has_every_passage(house: Household) -> None:
    old, new = house.model, EmbedModel("toy:2", house.base / "two", house.base)
    house.options |= {"find_model": {old.name: old}.get}
    await house.knowledge.close()
    await house.fresh().start()
    await house.knowledge.wait_indexed()
    with house.knowledge.hold():
        await house.knowledge.use_embed_model(new)
        indexing = await house.knowledge.indexing()
        assert (indexing.embed_model, indexing.answering_model) == ("toy:2", "toy:1")
        assert await house.found("boiler serviced") == ["boiler.md"]
        assert asked(house)[-1] == str(old.model_dir)
        assert (await house.knowledge.search("boiler serviced"))[0].score > 0.3

    async def changed() -> bool:
        """Questions go to the new one a moment after the vectors are its own."""
        assert await house.found("boiler serviced") == ["boiler.md"]
        return asked(house)[-1] == str(new.model_dir)

    await eventually(changed)
    assert (await house.knowledge.indexing()).answering_model == "toy:2"
    assert len({collection for _, collection in house.store.places}) == 1, "the old vectors are gone"


async def test_a_change_that_was_interrupted_goes_on_with_the_old_embedder_answering(house: Household) -> None:
    old, new = house.model, EmbedModel("toy:2", house.base / "two", house.base)
    with house.knowledge.hold():
        await house.knowledge.use_embed_model(new)
        await house.knowledge.close()
    house.options |= {"embed_model": new, "find_model": {old.name: old}.get}
    knowledge = house.fresh()
    with knowledge.hold():
        await knowledge.start()
        assert (await knowledge.indexing()).answering_model == "toy:1"
        assert await house.found("guest house Pri Lipi") == ["trip/plan.txt"]
    await knowledge.wait_indexed()

    async def changed() -> bool:
        return (await knowledge.indexing()).answering_model == "toy:2"

    await eventually(changed)


async def test_without_the_old_embedder_keywords_and_the_new_vectors_answer(house: Household) -> None:
    with house.knowledge.hold():
        await house.knowledge.use_embed_model(EmbedModel("toy:2", house.base / "two", house.base))
        indexing = await house.knowledge.indexing()
        assert indexing.answering_model == "toy:2"
        assert await house.found("boiler serviced") == ["boiler.md"]
