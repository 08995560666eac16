"""What the ledger of memory speaks of: how a model is laid, what is booked for it, and the steps it asks for.

Values without a rule of their own; ledger.py decides with them, and whoever moves models carries the steps out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from localmind.durations import FOREVER
from localmind.machine.amounts import Bytes

Stage = Literal["cold", "loading", "hot", "cooling", "warm", "opening", "leaving"]
"""Cold: nothing is held. Warm: weights without a context. Hot: ready to answer. The others are on their way."""


@dataclass(slots=True, frozen=True)
class Laid:
    """One way to lay a model on the machine: what it takes, and how good that is."""

    weights: Bytes
    context: Bytes
    """What goes when the model is only cooled: KV cells and scratch memory."""
    score: float = 0.0
    """Room that brings a higher one is worth taking from idle models."""
    plan: Any = None


Lay = Callable[[Bytes], Laid]
"""How a model would be laid in so much room; it may need more than that."""


@dataclass(slots=True, frozen=True)
class Admit:
    """So many requests that wait for this model may begin. They count as running already."""

    name: str
    count: int


@dataclass(slots=True, frozen=True)
class Load:
    name: str
    laid: Laid


@dataclass(slots=True, frozen=True)
class Open:
    """Give a warm model its context again."""

    name: str


@dataclass(slots=True, frozen=True)
class Cool:
    """Free a model's context; its weights stay."""

    name: str


@dataclass(slots=True, frozen=True)
class Leave:
    name: str


@dataclass(slots=True, frozen=True)
class Refuse:
    """Nobody need wait for this model: it can never fit. `needs` against `room`, bytes of the scarcest device."""

    name: str
    count: int
    device: str
    needs: int
    room: int
    pinned: tuple[str, ...]
    """Models whose pins are in the way; empty when it would not fit alone either."""


Step = Admit | Load | Open | Cool | Leave | Refuse


@dataclass(slots=True)
class Account:
    """What is booked for one model."""

    name: str
    stage: Stage = "cold"
    held: Bytes = field(default_factory=dict)
    laid: Laid | None = None
    lay: Lay | None = None
    users: int = 0
    waiting: int = 0
    since: float = 0.0
    """When the first of those who wait came."""
    used_at: float = 0.0
    ready_at: float = 0.0
    """When it became hot."""
    pinned: bool = False
    keep_s: float = FOREVER
    departs: bool = False
    """It is to leave as soon as nobody uses it."""

    @property
    def idle(self) -> bool:
        return self.stage in ("hot", "warm") and not self.users

    def expires_at(self) -> float:
        """When it leaves if nobody comes; infinite while it is in use, pinned or not there."""
        return self.used_at + self.keep_s if self.idle and not self.pinned else FOREVER

    def cools_at(self) -> float:
        return self.used_at + self.keep_s / 2 if self.stage == "hot" else FOREVER
