"""What pickers read: each dialect's list of models, over the starter models and watched folders; nothing is loaded."""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from api_fakes import FakeEngines, post

from localmind.catalog import ModelSpec
from localmind.events import Done, Event, Passage, Sources, TextDelta
from localmind.knowledge.scope import ANY_FILE, Filters
from localmind.models.go_template import to_jinja
from localmind.models.made import Made, MadeModels
from localmind.models.store import Store
from localmind.workers.request import Request

CHAT = "smollm2:135m"
NOTES = Passage(1, "/home/u/notes/boiler.md", 3, 9, None, None, "Serviced in May.", 0.8)


@dataclass
class FakeFolder:
    path: str


class FakeKnowledge:
    def __init__(self, *paths: str) -> None:
        self._folders = [FakeFolder(path) for path in paths]

    async def folders(self) -> list[FakeFolder]:
        return self._folders


class FakeGrounded:
    """Finds NOTES in whatever folder it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Request, Path | None]] = []

    async def answer(
        self, spec: ModelSpec, asked: Request, folder: Path | None, filters: Filters = ANY_FILE
    ) -> AsyncGenerator[Event, None]:
        self.asked.append((asked, folder))
        for event in (Sources((NOTES,)), TextDelta("In May [1]."), Sources((NOTES,)), Done()):
            yield event


@pytest.fixture
def engines(starter_store: Store, tmp_path: Path) -> FakeEngines:
    found = FakeEngines()
    found.parts = {
        "store": starter_store,
        "knowledge": FakeKnowledge("/home/u/notes", "/home/u/My Papers"),
        "made": MadeModels(tmp_path / "made.json"),
        "grounded": FakeGrounded(),
    }
    return found


async def get(engines: FakeEngines, path: str) -> Any:
    reply = await post(engines, b"", path, method="GET")
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_tags_have_all_that_strict_readers_want(engines: FakeEngines) -> None:
    models = (await get(engines, "/api/tags"))["models"]
    names = [model["name"] for model in models]
    assert names[0] == CHAT
    assert names[-3:] == [f"{CHAT}+files", f"{CHAT}+files:notes", f"{CHAT}+files:my-papers"]
    for model in models:
        assert model["model"] == model["name"]
        assert isinstance(model["size"], int)
        assert re.fullmatch("[0-9a-f]{64}", model["digest"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", model["modified_at"])
        texts = {"parent_model", "format", "family", "parameter_size", "quantization_level"}
        assert all(isinstance(model["details"][name], str) for name in texts)
        assert model["details"]["families"] == [model["details"]["family"]]
        assert model["capabilities"]
    assert len({model["digest"] for model in models}) == len(models)


async def test_every_tag_can_be_shown(engines: FakeEngines) -> None:
    for model in (await get(engines, "/api/tags"))["models"]:
        shown = (await post(engines, {"name": model["name"]}, "/api/show")).json()
        info = shown["model_info"]
        family = info["general.architecture"]
        assert shown["details"]["family"] == family
        assert next(key for key in info if "context_length" in key) == f"{family}.context_length"
        assert info["general.basename"] == model["name"]
        assert shown["capabilities"] == model["capabilities"]
        assert re.match(r'^(\S+)\s+((?:".*")|\S+)$', shown["parameters"].splitlines()[0]), "as Continue reads them"
        assert (".Suffix" in shown["template"]) == ("insert" in shown["capabilities"])


async def test_the_context_of_a_loaded_model_is_the_loaded_one(engines: FakeEngines) -> None:
    assert (await get(engines, "/api/ps"))["models"] == []
    trained = (await get(engines, f"/v1/models/{CHAT}"))["context_length"]
    engines.live[CHAT] = {}
    assert (await get(engines, f"/v1/models/{CHAT}"))["context_length"] == 4096 < trained
    (running,) = (await get(engines, "/api/ps"))["models"]
    assert (running["name"], running["context_length"]) == (CHAT, 4096)
    assert {"size", "size_vram", "digest", "expires_at", "details"} <= running.keys()


async def test_openais_list_is_the_union_of_what_clients_read(engines: FakeEngines) -> None:
    listed = await get(engines, "/v1/models")
    assert (listed["object"], listed["has_more"]) == ("list", False)
    assert (listed["first_id"], listed["last_id"]) == (listed["data"][0]["id"], listed["data"][-1]["id"])
    first = listed["data"][0]
    assert (first["id"], first["object"], first["type"]) == (CHAT, "model", "model")
    assert first["created"] > 0
    assert first["meta"]["n_params"] == 134_515_008
    assert await get(engines, "//models".removeprefix("/")) == listed


async def test_lm_studios_list_has_its_seven_fields(engines: FakeEngines) -> None:
    engines.live[CHAT] = {}
    models = {model["id"]: model for model in (await get(engines, "/api/v0/models"))["data"]}
    required = {"id", "object", "type", "publisher", "compatibility_type", "state", "max_context_length"}
    assert all(required <= model.keys() for model in models.values())
    assert (models[CHAT]["state"], models[CHAT]["loaded_context_length"]) == ("loaded", 4096)
    assert models[CHAT]["capabilities"] == ["tool_use"]
    assert models["all-minilm:l6-v2"]["type"] == "embeddings"
    chat = {"model": CHAT, "messages": [{"role": "user", "content": "x"}]}
    reply = (await post(engines, chat, "/api/v0/chat/completions")).json()
    assert (reply["stats"]["stop_reason"], reply["model_info"]["arch"]) == ("eosFound", "llama")
    stream = (await post(engines, chat | {"stream": True}, "/api/v0/chat/completions")).text
    assert all(line.startswith("data: ") for line in stream.splitlines() if line)


async def test_props_say_what_editors_budget_with(engines: FakeEngines) -> None:
    props = await get(engines, f"/props?model={CHAT}&autoload=false")
    assert props["default_generation_settings"]["n_ctx"] > 1000
    assert "<|im_start|>" in props["chat_template"]
    assert props["modalities"] == {"vision": False, "audio": False}
    assert "/" not in props["model_path"], "no path of this machine is told"


async def test_a_made_model_speaks_with_its_own_words_and_settings(engines: FakeEngines) -> None:
    body = {"model": "pirate", "from": CHAT, "system": "Talk like a pirate.", "parameters": {"temperature": 0.1}}
    lines = (await post(engines, body, "/api/create")).text.splitlines()
    assert lines[-1] == '{"status":"success"}'
    chat = {"model": "pirate:latest", "messages": [{"role": "user", "content": "hi"}]}
    for path in ("/v1/chat/completions", "/api/chat"):
        await post(engines, chat, path)
        assert [message.content for message in engines.asked[-1].messages] == ["Talk like a pirate.", "hi"]
        assert engines.asked[-1].sampling.temperature == 0.1
    await post(engines, chat | {"temperature": 1}, "/v1/chat/completions")
    assert engines.asked[-1].sampling.temperature == 1
    made: MadeModels = engines.parts["made"]
    assert [each.name for each in made.list()] == ["pirate"]
    assert (await post(engines, {"model": CHAT, "from": CHAT}, "/api/create")).status_code == 400
    assert (await post(engines, {"source": "pirate", "destination": "corsair"}, "/api/copy")).status_code == 200
    assert (await post(engines, {"model": "pirate"}, "/api/delete", method="DELETE")).status_code == 200
    assert [each.name for each in made.list()] == ["corsair"]


async def test_a_made_model_lays_conversations_out_by_its_template(engines: FakeEngines) -> None:
    template = "{{ .System }}\n{{ .Prompt }} =>{{ .Response }}"
    modelfile = f'FROM {CHAT}\nTEMPLATE """{template}"""'
    assert (await post(engines, {"model": "arrow", "modelfile": modelfile}, "/api/create")).status_code == 200
    assert (await post(engines, {"model": "arrow2", "from": "arrow"}, "/api/create")).status_code == 200
    for name in ("arrow", "arrow2"):
        shown = (await post(engines, {"model": name}, "/api/show")).json()
        assert shown["template"] == template
        assert f'TEMPLATE """{template}"""' in shown["modelfile"]
        for path in ("/v1/chat/completions", "/api/chat"):
            await post(engines, {"model": name, "messages": [{"role": "user", "content": "hi"}]}, path)
            assert engines.asked[-1].template == to_jinja(template)
    await post(engines, {"model": CHAT, "messages": [{"role": "user", "content": "hi"}]})
    assert engines.asked[-1].template is None
    refused = await post(
        engines, {"model": "x", "from": CHAT, "template": "{{ .Prompt }}{{ .Weather }}"}, "/api/create"
    )
    assert refused.status_code == 400
    assert ".Weather is not supported" in refused.json()["error"]


def test_made_models_outlive_a_restart(tmp_path: Path) -> None:
    MadeModels(tmp_path / "made.json").add(Made(name="Pirate:latest", base=CHAT, system="Arr."))
    found = MadeModels(tmp_path / "made.json").get("PIRATE")
    assert found is not None
    assert (found.name, found.base, found.system) == ("pirate", CHAT, "Arr.")


@pytest.mark.parametrize(
    ("suffix", "folder"),
    [("+files", None), ("+files:notes", "/home/u/notes"), ("+files:My Papers", "/home/u/My Papers")],
)
async def test_a_suffix_asks_the_files_and_sources_are_text_and_field(
    engines: FakeEngines, suffix: str, folder: str | None
) -> None:
    body = {"model": CHAT + suffix, "messages": [{"role": "user", "content": "When?"}]}
    reply = (await post(engines, body)).json()
    expected = "In May [1].\n\nSources:\n[1] /home/u/notes/boiler.md:3-9"
    assert reply["choices"][0]["message"]["content"] == expected
    assert reply["sources"][0]["path"] == "/home/u/notes/boiler.md"
    asked, where = engines.parts["grounded"].asked[0]
    assert where == (Path(folder) if folder else None)
    assert asked.sampling.temperature == 0, "facts need no chance, unless a client asks for it"
    last = (await post(engines, body, "/api/chat")).text.splitlines()[-1]
    assert '"sources":[{' in last
    message = (await post(engines, body | {"max_tokens": 9}, "/v1/messages")).json()
    assert message["content"][0]["text"] == expected
    assert message["sources"][0]["line_start"] == 3
    shaped = await post(engines, body | {"response_format": {"type": "json_object"}})
    assert shaped.json()["choices"][0]["message"]["content"] == "In May [1].", "a form is not written under"


async def test_file_search_cites_in_annotations(engines: FakeEngines) -> None:
    tool = {"type": "file_search", "vector_store_ids": ["notes"]}
    body = {"model": CHAT, "input": "When?", "tools": [tool], "include": ["file_search_call.results"]}
    output = (await post(engines, body, "/v1/responses")).json()["output"]
    assert [item["type"] for item in output] == ["file_search_call", "message"]
    assert (output[0]["queries"], output[0]["results"][0]["filename"]) == (["When?"], "boiler.md")
    (part,) = output[1]["content"]
    assert part["text"] == "In May [1]."
    assert [(each["type"], each["filename"]) for each in part["annotations"]] == [("file_citation", "boiler.md")]


async def test_a_folder_that_is_not_watched_is_a_404_that_names_the_others(engines: FakeEngines) -> None:
    body = {"model": f"{CHAT}+files:nowhere", "messages": [{"role": "user", "content": "x"}]}
    reply = await post(engines, body)
    assert reply.status_code == 404
    assert "notes, my-papers" in reply.json()["error"]["message"]


class FakeStoreThatForgets:
    def __init__(self) -> None:
        self.removed: list[str] = []

    def remove(self, name: str) -> None:
        self.removed.append(name)


@pytest.mark.parametrize("name", ["best", "BEST", "default", "gpt-4o", "claude-x", f"{CHAT}+files", "unknown"])
async def test_what_only_means_a_model_to_be_asked_deletes_none(engines: FakeEngines, name: str) -> None:
    store = engines.parts["store"] = FakeStoreThatForgets()
    for path, body in (("/api/delete", {"model": name}), (f"/localmind/v1/models?name={name}", {})):
        reply = await post(engines, body, path, method="DELETE")
        assert reply.status_code in (400, 404), (path, reply.text)
    assert store.removed == []
    await post(engines, {"model": CHAT}, "/api/delete", method="DELETE")
    assert store.removed == [CHAT]
