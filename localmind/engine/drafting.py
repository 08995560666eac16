"""Which tokens a step tries beyond the next one: those that must come, or else guesses.

What must come (a prompt that is to be scored, text that a grammar forces) is tried for everybody; guesses only while
so few sequences decode that they cost nobody else. It lives on the loop's thread, but for making speculators.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence

from localmind.engine.backend import Backend
from localmind.engine.generation import Generation
from localmind.engine.sequence import Sequence as TokenSequence
from localmind.engine.sequence import State
from localmind.engine.speculate import MAX_RUNNING, Cost, Speculator, interpolated


class Drafting:
    def __init__(
        self, backend: Backend, speculator: Callable[["array[int]", Cost], Speculator], *, speculate: bool
    ) -> None:
        """`speculator` makes one for a prompt. Nobody guesses for a memory that cannot give up cells again."""
        self._make = speculator
        self._n_outputs = backend.n_outputs
        self._cuts = backend.kind == "any_prefix"
        self._cost: Cost = interpolated(backend.decode_costs) if backend.decode_costs else float
        self.speculates = speculate and self._cuts and bool(backend.decode_costs)
        """For requests from now on."""

    def speculator(self, prompt: "array[int]") -> Speculator | None:
        """Made by who submits: a long prompt takes milliseconds to index."""
        return self._make(prompt, self._cost) if self.speculates else None

    def draft(self, running: Sequence[TokenSequence], generations: Mapping[int, Generation]) -> None:
        """Give each of those that decode what the next step tries for it."""
        decoding = [sequence for sequence in running if sequence.state is State.DECODE]
        guess = self.speculates and len(decoding) <= MAX_RUNNING and len(decoding) == len(running)
        for sequence in decoding:
            generation = generations[sequence.number]
            room = max(0, min(sequence.limit - len(sequence.tokens) - 1, self._n_outputs - len(decoding)))
            # Text that is forced may yet be cut short for want of tokens, a prompt never.
            must = generation.ahead if self._cuts or generation.to_score else ()
            generation.guesses = not must
            if must:
                sequence.draft = must[:room]
            elif guess and generation.speculator is not None:
                sequence.draft = generation.speculator.propose(sequence.tokens, room, len(decoding) - 1)
