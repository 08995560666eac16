"""A window goes on looking at the daemon, whatever else it looks for meanwhile."""

from textual import work
from textual.app import App
from textual.screen import Screen
from tui_fakes import wait_until

from localmind_tui.screens.looking import keep_looking


class Window(Screen[None]):
    looked = 0

    def on_mount(self) -> None:
        keep_looking(self, 0.02, self.look)
        self.look()  # as a key does that was waiting: the one before is ended ere it began

    @work(exclusive=True)
    async def look(self) -> None:
        self.looked += 1


async def test_a_look_that_another_one_ended_before_it_began_is_not_waited_for() -> None:
    async with App[None]().run_test() as pilot:
        window = Window()
        await pilot.app.push_screen(window)
        await wait_until(pilot, lambda: window.looked > 3)
