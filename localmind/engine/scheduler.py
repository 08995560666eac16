"""Decides who is evaluated next: admission by cells, and one step at a time.

Pure Python over counts, so that it is tested without a model. Admission counts what a request is
*expected* to need, not the worst it could; when that was too optimistic the youngest sequence is
parked in main memory and goes on later where it was, so llama_decode never runs out of cells, no
request is cut short because of another, and the oldest always moves. When more want to run than
there are places or cells for, they take turns: who comes newly gets the place of who has said most,
and that one comes back when its turn is. It knows no clock and touches no native memory: what must
be copied, shared and cleared is part of the step; what a step evaluates is decided in rows.py.
"""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable

from localmind.engine.pool import Kind, Pool, Reuse
from localmind.engine.rows import LEAST_CHECKPOINT, Rows
from localmind.engine.sequence import Row, Sequence, State, Step
from localmind.engine.waiting import WaitingLine

EXPECTED_TOKENS = 512
"""Answer length that admission sets cells aside for when the request allows more. Most answers end before."""

LITTLE_SHARED = 128
"""Cells shared with others that may be lost: a sequence that is copied away and back has all its cells for itself."""

RESUME_TOKENS = 64
"""Cells beyond its own length that a parked sequence comes back for, so that it is not parked again at once."""

LEAST_TURN = 4
"""Tokens that an answer may say in its turn before it makes way for one that has not begun: fifty answers that nobody
reads must not keep a newcomer waiting until they end."""

TURN = 64
"""Tokens that it may say before it makes way for others that have begun. Copying its cells away and back costs about
as much as evaluating a fiftieth of them."""


class Scheduler:
    def __init__(
        self,
        *,
        n_cells: int,
        n_slots: int,
        n_batch: int,
        n_outputs: int = 16,
        max_running: int = 16,
        kind: Kind = "any_prefix",
        ram_cells: int = 0,
        idle_cells: int = 512,
        window: int = 0,
        prefill_budget: Callable[[int], int] = lambda decoding: 1 << 30,
        expected_tokens: int = EXPECTED_TOKENS,
        turns: tuple[int, int] = (LEAST_TURN, TURN),
    ) -> None:
        """`prefill_budget` as for Rows; `turns`: tokens before one makes way for a newcomer, and for others."""
        if n_batch <= max_running:
            raise ValueError(f"a batch of {n_batch} leaves no room for a prompt beside {max_running} decode rows")
        self.pool = Pool(
            n_cells=n_cells, n_slots=n_slots, kind=kind, ram_cells=ram_cells, idle_cells=idle_cells, window=window
        )
        self.steps = 0
        self.parkings = 0
        self._n_ctx = n_cells
        self._expected_tokens = expected_tokens
        self._max_running = min(max_running, n_slots, n_outputs)
        self._turns = turns
        self._rows = Rows(self.pool, n_batch=n_batch, n_outputs=n_outputs, prefill_budget=prefill_budget)
        self._line = WaitingLine()
        self._running: list[Sequence] = []  # by number, oldest first
        self._parked: list[Sequence] = []  # for want of cells; by number
        self._away: list[Sequence] = []  # parked because it was others' turn
        self._admissions = 0

    @property
    def n_cells(self) -> int:
        return self.pool.cells.capacity

    @property
    def queued(self) -> int:
        return len(self._line)

    @property
    def away(self) -> int:
        """Requests that have begun and wait for their next turn. May be asked from any thread."""
        return len(self._away)

    @property
    def active(self) -> tuple[Sequence, ...]:
        """Running and parked."""
        return (*self._running, *self._parked, *self._away)

    @property
    def running(self) -> tuple[Sequence, ...]:
        return tuple(self._running)

    @property
    def waiting(self) -> tuple[Sequence, ...]:
        return tuple(self._line)

    @property
    def cells_used(self) -> int:
        return self.pool.cells.used

    @property
    def idle(self) -> bool:
        """Nothing to evaluate and nothing to do to the memory."""
        return not (self._line or self._running or self._parked or self._away or self.pool.actions)

    def submit(self, sequence: Sequence) -> None:
        """Queue a new sequence. Its prompt and one token more must fit the context: the caller has checked."""
        # Not against `n_cells`: when the memory proved smaller than it said, whoever needs it all learns so by trying.
        if not 0 < sequence.prompt_length == len(sequence.tokens) < sequence.limit <= self._n_ctx:
            raise ValueError(f"prompt {len(sequence.tokens)}, limit {sequence.limit}, cells {self._n_ctx}")
        sequence.used_at = self.steps
        self._line.add(sequence)

    def finish(self, sequence: Sequence, *, keep: bool = True) -> None:
        """End a sequence in any state. Its beginning stays known unless its cells are not to be trusted."""
        match sequence.state:
            case State.QUEUED:
                self._line.remove(sequence)
            case State.PREFILL | State.DECODE:
                self._running.remove(sequence)
                if keep:
                    self.pool.keep(sequence)
                else:
                    self.pool.release(sequence)
            case State.PARKED:
                (self._away if sequence in self._away else self._parked).remove(sequence)
                self.pool.release(sequence)
        if sequence.state is not State.CACHED:
            sequence.state = State.FREE

    def step(self) -> Step:
        """The next step; without rows when nobody has anything to evaluate."""
        self.steps += 1
        self._make_room()
        self._resume()
        self._admit()
        for sequence in self._running:
            self._settle(sequence)
        if self._running:
            self.pool.thin(self._running)
        rows = self._rows.of(self._running)
        actions, self.pool.actions = tuple(self.pool.actions), []
        return Step(actions, rows, self._rows.group)

    def evaluated(self, rows: Iterable[Row]) -> None:
        """The native call went well: the rows' tokens are in memory now, drafted ones too."""
        for row in rows:
            sequence = row.sequence
            self.pool.cells.grow(sequence.slot, row.n_tokens)
            sequence.stored = row.start + row.count
            sequence.used_at = self.steps
            if self.pool.kind == "whole" and LEAST_CHECKPOINT <= sequence.stored == sequence.prompt_length - 1:
                self.pool.checkpoint(sequence)

    def append(self, sequence: Sequence, token: int) -> bool:
        """Take a sampled token. True when the sequence has reached its limit and must be finished."""
        sequence.tokens.append(token)
        sequence.state = State.DECODE
        return len(sequence.tokens) >= sequence.limit

    def accepted(self, sequence: Sequence, count: int) -> None:
        """The first `count` drafted tokens of the last step were right; the cells of the others are given up."""
        sequence.stored += count
        sequence.draft = sequence.tokens[:0]
        if sequence.slot >= 0 and self.pool.cells.length(sequence.slot) > sequence.stored:
            self.pool.trim(sequence)

    def interrupted(self, sequence: Sequence) -> None:
        """A step with it was given up in its midst: only what had been stored before it can be trusted."""
        if self.pool.cuts_anywhere:
            self.pool.trim(sequence)
        else:
            self.lost(sequence)

    def lost(self, sequence: Sequence) -> None:
        """The native memory does not hold what we thought: the sequence is evaluated again from its tokens."""
        self.pool.lost(sequence)
        sequence.state = State.PREFILL

    def out_of_cells(self, rows: Iterable[Row]) -> bool:
        """The native memory had less room than our ledger: believe it, and let fewer in from now on.

        False when a single token of the only running sequence found no cell, so that nothing is left to give up.
        """
        tokens = sum(row.n_tokens for row in rows)
        if tokens == 1 and len(self._running) == 1 and not any(each.slot >= 0 for each in self.pool.idle):
            return False
        self.pool.cells.capacity = self.cells_used + tokens // 2
        return True

    # --- who runs

    def _make_room(self) -> None:
        """See to it that every decode row finds its cell, and that at least somebody moves."""
        while self._running:
            need = sum(1 for sequence in self._running if sequence.state is State.DECODE) or 1
            if self.pool.free_up(need) or len(self._running) == 1:
                return
            self._park(self._victim())

    def _victim(self) -> Sequence:
        """The youngest, background before interactive."""
        return max(self._running, key=lambda sequence: (sequence.background, sequence.number))

    def _park(self, sequence: Sequence) -> None:
        self._stop(sequence)
        insort(self._parked, sequence, key=lambda each: each.number)

    def _stop(self, sequence: Sequence) -> None:
        self._running.remove(sequence)
        self.pool.park(sequence)
        sequence.state = State.PARKED
        self.parkings += 1

    def _resume(self) -> None:
        """Bring parked sequences back, the oldest first, while their length and a little more fits."""
        while self._parked and len(self._running) < self._max_running:
            sequence = min(self._parked, key=lambda each: (each.background, each.number))
            head = self._next()
            others = self._away if head is None else [*self._away, head]
            if sequence.background and not all(each.background for each in others):
                return
            if not self._come_back(sequence):
                return
            self._parked.remove(sequence)

    def _come_back(self, sequence: Sequence) -> bool:
        sequence.claim = min(sequence.limit, len(sequence.tokens) + RESUME_TOKENS)
        if self._running and self._committed() + sequence.claim > self.n_cells:
            return False
        if not self.pool.free_up(sequence.stored) and not self._running:
            self.pool.unsaved(sequence)  # it no longer fits whole: evaluate it again, piece by piece
        if self.pool.cells.free < sequence.stored or not self.pool.unpark(sequence):
            return False
        decoding = sequence.generated > 0 and sequence.pending == 1
        self._start(sequence, State.DECODE if decoding else State.PREFILL)
        return True

    def _next(self) -> Sequence | None:
        return self._line.next(Counter(sequence.client for sequence in self._running)) if len(self._line) else None

    def _admit(self) -> None:
        """Let in who has not begun and who gave its place up, the longest waiting first, until nobody can be."""
        while True:
            least = min(self._away, key=lambda each: (each.background, each.used_at), default=None)
            waiting = [each for each in (least, self._next()) if each is not None]
            waiting.sort(key=lambda each: (each.background, each.used_at))
            # Background does not come in while somebody interactive waits: it would have to leave again at once.
            if not any(self._let_in(each) for each in waiting if each.background == waiting[0].background):
                return

    def _let_in(self, sequence: Sequence) -> bool:
        """True when something has changed: it runs now, or somebody has made way."""
        if any(parked.background <= sequence.background for parked in self._parked):
            return False
        if len(self._running) < self._max_running and self._enter(sequence):
            return True
        victim = self._victim() if self._running else None
        if victim is not None and victim.background and not sequence.background:
            self._park(victim)  # who is interactive does not wait for who is not
            return True
        victim = self._makes_way(sequence)
        if victim is None:
            return False
        self._stop(victim)
        self._away.append(victim)
        self._enter(sequence)
        return True

    def _enter(self, sequence: Sequence) -> bool:
        if sequence.state is State.QUEUED:
            return self._try(sequence)
        if not self._come_back(sequence):
            return False
        self._away.remove(sequence)
        return True

    def _makes_way(self, sequence: Sequence) -> Sequence | None:
        """Who leaves room enough and had its turn: of the client with most running, the one that said most in it."""
        running = Counter(each.client for each in self._running)
        newcomer = sequence.state is State.QUEUED
        expected, turn = (self._expected_tokens, self._turns[0]) if newcomer else (RESUME_TOKENS, self._turns[1])
        room = self.n_cells - self._committed() - min(sequence.limit, len(sequence.tokens) + expected)
        own = self.pool.cells.own
        able = (
            each
            for each in self._running
            if each.state is State.DECODE
            and each.said_in_turn >= turn
            and each.background >= sequence.background
            and running[each.client] >= running[sequence.client]
            and room + own(each.slot) + each.growth >= 0
            and each.stored - own(each.slot) <= max(own(each.slot), LITTLE_SHARED)
            and self.pool.fits_ram(each.stored)
        )
        return max(able, key=lambda each: (running[each.client], each.said_in_turn), default=None)

    def _try(self, head: Sequence) -> bool:
        self._admissions += 1
        head.admitted = self._admissions
        head.used_at = self.steps
        reuse = self.pool.find(head)
        claim = min(head.limit, len(head.tokens) + self._expected_tokens)
        if self._running and self._committed() + claim - self._already_counted(reuse) > self.n_cells:
            return False
        if not self.pool.attach(head, reuse, self._running):
            return False
        self._line.remove(head)
        head.claim = claim
        head.waits_for, head.waits_until = reuse.waits_for, reuse.waits_until
        self._start(head, State.PREFILL)
        return True

    def _start(self, sequence: Sequence, state: State) -> None:
        sequence.state = state
        sequence.turn_began = len(sequence.tokens)
        insort(self._running, sequence, key=lambda each: each.number)

    def _committed(self) -> int:
        """Cells that the running sequences hold and are expected to need."""
        held = self.pool.cells.held(sequence.slot for sequence in self._running)
        return held + sum(sequence.growth for sequence in self._running)

    def _already_counted(self, reuse: Reuse) -> int:
        """Cells of a newcomer's beginning that `_committed` counts for somebody else."""
        shared = reuse.tokens if reuse.holder in self._running else 0
        return max(shared, reuse.waits_until)

    def _settle(self, sequence: Sequence) -> None:
        """Stop waiting for a shared beginning when it is there, or will not come."""
        other = sequence.waits_for
        if other is None:
            return
        if other.state is State.PREFILL and other.stored < sequence.waits_until:
            return
        sequence.waits_for, sequence.waits_until = None, 0
        self.pool.improve(sequence)
