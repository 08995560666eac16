"""A model as the picker and the first run show it: what it is, whether it fits, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from localmind.clean import clean_line
from localmind_tui import format
from localmind_tui.room import Room

Fits = Literal["yes", "slow", "no"]
OVERHEAD = 1.25
"""Memory that a model takes, in sizes of its file, where nobody has computed it."""


@dataclass(slots=True, frozen=True)
class Model:
    """One line of the picker."""

    name: str
    role: str
    family: str
    licence: str
    description: str
    size: int
    installed: bool
    loaded: bool
    fits: Fits
    why: str
    recommended: bool
    host: str = ""
    """Where it runs, when that is not this machine."""
    sees: bool = False


def elsewhere(listed: Sequence[Mapping[str, Any]]) -> list[Model]:
    """Models of the servers in the settings that can answer. Nothing of them is measured here."""
    return [
        Model(
            name=clean_line(str(data["name"])),
            role="chat",
            family="",
            licence="",
            description=f"Runs at {clean_line(str(data['host']))}: what you ask it leaves this machine.",
            size=0,
            installed=False,
            loaded=False,
            fits="yes",
            why="It sees images." if data.get("sees") else "",
            recommended=False,
            host=clean_line(str(data["host"])),
            sees=bool(data.get("sees")),
        )
        for data in listed
        if data.get("role") == "chat"
    ]


def sentence(words: str) -> str:
    """With a capital and a full stop, since it stands on a line of its own."""
    return words[:1].upper() + words[1:] + ("." if words and words[-1] not in ".!?" else "")


def models_of(
    listed: Sequence[Mapping[str, Any]], machine: Mapping[str, Any], status: Mapping[str, Any], room: Room
) -> list[Model]:
    """The catalog's models: those that chat first, the installed ones at the top of them."""
    said: dict[str, Mapping[str, Any]] = {}
    for pick in machine.get("picks") or ():
        if pick.get("use") == "chat" or str(pick["name"]) not in said:
            said[str(pick["name"])] = pick
    loaded = {str(each["model"]) for each in status.get("models") or () if each.get("state") == "loaded"}
    found = [_model(data, said.get(str(data["name"])), str(data["name"]) in loaded, room) for data in listed]
    return sorted(
        found, key=lambda model: (model.role != "chat", not model.installed, not model.recommended, -model.size)
    )


def best(models: Sequence[Model]) -> Model | None:
    """The chat model to begin with: the recommended one, else one that is here, else the largest that fits."""
    chat = [model for model in models if model.role == "chat"]
    for wanted in (
        [model for model in chat if model.recommended],
        [model for model in chat if model.installed],
        sorted((model for model in chat if model.fits == "yes"), key=lambda model: -model.size),
        sorted(chat, key=lambda model: model.size),
    ):
        if wanted:
            return wanted[0]
    return None


def embedder_to_fetch(models: Sequence[Model], machine: Mapping[str, Any]) -> str | None:
    """What finds passages by their meaning on this machine, where nothing here does yet."""
    embedders = [model for model in models if model.role == "embed"]
    if any(model.installed for model in embedders):
        return None
    recommended = {str(pick["name"]) for pick in machine.get("picks") or () if pick.get("use") == "embed"}
    embedders.sort(key=lambda model: model.name not in recommended)
    return embedders[0].name if embedders else None


def _model(data: Mapping[str, Any], said: Mapping[str, Any] | None, loaded: bool, room: Room) -> Model:
    size = int(data.get("size") or 0)
    here = bool(data.get("installed"))
    fits, why = _judged(said) if said is not None else _by_memory(size, room, here=here, loaded=loaded)
    return Model(
        name=clean_line(str(data["name"])),
        role=str(data.get("role") or "chat"),
        family=clean_line(str(data.get("family") or "")),
        licence=clean_line(str(data.get("licence") or "")),
        description=clean_line(str(data.get("description") or "")),
        size=size,
        installed=here,
        loaded=loaded,
        fits=fits,
        why=why,
        recommended=bool(said and said.get("use") == "chat"),
    )


def _judged(said: Mapping[str, Any]) -> tuple[Fits, str]:
    """What the daemon's recommendation says of a model."""
    words = [str(said.get("why") or "")]
    if said.get("tokens_per_second") and "tokens a second" not in words[0]:
        words.append(f"about {float(said['tokens_per_second']):.0f} tokens/s here")
    if said.get("better"):
        words.append(str(said["better"]))
    return "yes", clean_line("; ".join(word for word in words if word))


def _by_memory(size: int, memory: Room, *, here: bool, loaded: bool) -> tuple[Fits, str]:
    need = size * OVERHEAD
    if loaded:
        return "yes", "it is in memory"
    if here and need <= memory.available:
        return "yes", f"takes about {format.size(need)} of memory while it is used"
    words = f"needs about {format.size(need)} of memory"
    if need > memory.total * 0.9:
        return "no", f"{words}; this machine has {format.size(memory.total)}"
    if need > memory.available:
        return "slow", f"{words}, and {format.size(memory.available)} are free now"
    return "yes", f"{words}; {format.size(memory.available)} are free"
