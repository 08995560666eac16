"""What other threads ask of the loop. It is taken between two steps; a step that nobody needs any longer is given up
in its midst."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from localmind.engine.backend import Backend
from localmind.engine.generation import Generation
from localmind.engine.sequence import Row, Sequence


@dataclass(slots=True)
class Commands:
    """Guarded by the loop's condition."""

    submits: list[Generation] = field(default_factory=list)
    cancels: list[Sequence] = field(default_factory=list)
    endings: list[Sequence] = field(default_factory=list)
    calls: list[Callable[[], None]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.submits or self.cancels or self.endings or self.calls)


class UnderWay:
    """The step that is being evaluated, and whether it was given up. Guarded by the loop's condition too."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._sequences: list[Sequence] = []
        self._given_up = False

    def begin(self, rows: Iterable[Row]) -> None:
        self._sequences = [row.sequence for row in rows]
        self._given_up = False
        self._backend.interrupt(False)

    def end(self) -> bool:
        """True when it was given up."""
        self._sequences = []
        return self._given_up

    def give_up_unless_needed(self, commands: Commands, *, stopping: bool) -> None:
        """Nobody needs a step when all whose tokens are in it are cancelled, or everything ends."""
        numbers = {sequence.number for sequence in self._sequences}
        if numbers and (stopping or numbers <= {sequence.number for sequence in commands.cancels}):
            self._given_up = True
            self._backend.interrupt(True)
