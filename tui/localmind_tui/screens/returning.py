"""Coming back: to the thread that was asked for on the command line, to answers that came meanwhile, to the one before.

An app that is opened again begins with an empty thread, which says what is new and which key goes there. What was
being answered, or not looked at, when the last window was closed is in the memory; the list of threads knows the rest.
"""

from textual import work

from localmind.errors import LocalmindError
from localmind_tui.desk import Desk
from localmind_tui.screens.conversation import Conversation


class Returning(Conversation):
    """The conversation, and where it goes on. `goes_on`: with the thread that was used last."""

    def __init__(self, desk: Desk, *, folder: str | None, model: str | None, thread: str | None, goes_on: bool) -> None:
        super().__init__(desk, folder=folder, model=model)
        self._first_thread, self._goes_on = thread, goes_on
        self._trail = [desk.memory.now.thread] if desk.memory.now.thread else []

    def on_mount(self) -> None:
        self.sidebar.recall(self.desk.memory.now.unread)
        if self._first_thread or self._goes_on:
            self._open_first()
        else:
            self.call_later(self.open, None)

    @work(group="first")
    async def _open_first(self) -> None:
        """Once there is a daemon to give it. What was typed until then goes along."""
        await self.desk.link.back()
        thread = self._first_thread
        if not thread:
            try:
                newest = (await self.desk.daemon.get("/threads", limit=1))["threads"]
            except LocalmindError as problem:
                self.complain(problem)
                newest = []
            thread = newest[0]["id"] if newest else None
        if self.thread is None:  # else somebody was quicker
            await self.open(thread)

    async def action_back(self) -> None:
        """To the newest answer that was not looked at, else to one that is being written, else to the thread before."""
        if (wanted := self.waiting[0] if self.waiting else self.before) is not None:
            await self.open(wanted)
        else:
            self.notify("There is no other thread to go to.", markup=False)
