"""How likely a prompt was, token by token: its tokens are drafted, all at once, and every draft is right.

Logits exist for the last token of a prompt and for drafted ones. So a prompt that is to be scored begins with its
first token alone; the others are proposed as what follows and taken whatever the model would have chosen. That needs
no second way through the scheduler: such a sequence is parked, shared and cancelled like any other.
"""

from array import array

from localmind.engine.backend import Sampler
from localmind.events import TokenLogprob


class GivenSampler:
    """A Sampler that takes the given tokens first and then chooses as another does."""

    def __init__(self, given: "array[int]", then: Sampler) -> None:
        self._given = given
        self._then = then
        self._taken = 0

    def sample(self, index: int) -> int:
        if self._taken < len(self._given):
            self._taken += 1
            return self._given[self._taken - 1]
        return self._then.sample(index)

    @property
    def ahead(self) -> "array[int]":
        return self._given[self._taken :] or self._then.ahead

    def logprobs(self, index: int, token: int) -> TokenLogprob | None:
        return self._then.logprobs(index, token)

    @property
    def finished(self) -> bool:
        return self._then.finished

    @property
    def hurried(self) -> bool:
        return self._then.hurried

    def close(self) -> None:
        self._then.close()
