"""The commands: what `/name` in the question does, and the same name in the palette.

Each `run_NAME` takes the rest of the line. What goes wrong is raised as a LocalmindError, and told in one place.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import on, work

from localmind.clean import clean, clean_line
from localmind.errors import InvalidRequest, LocalmindError
from localmind.paths import typed_path
from localmind_tui.screens.acting import Acting
from localmind_tui.widgets.composer import Composer
from localmind_tui.widgets.header import Header

if TYPE_CHECKING:
    from localmind_tui.commands import Command

OPTIONS: dict[str, Callable[[str], Any]] = {
    "temperature": float,
    "top_p": float,
    "max_tokens": int,
    "thinking": lambda word: {"on": True, "true": True, "off": False, "false": False}[word.lower()],
}


class ChatScreen(Acting):
    """The conversation with its keys and commands."""

    @on(Composer.Sent)
    @work(group="asking")
    async def _sent(self, event: Composer.Sent) -> None:
        from localmind_tui.commands import BY_NAME

        if event.text.startswith("/") and (name := event.text[1:].split(None, 1)[0] if event.text[1:].strip() else ""):
            command = BY_NAME.get(name)
            if command is not None:
                self.composer.take_command()
                done = await self.run_named(command.name, event.text[1 + len(name) :].strip())
                if not done and not self.composer.text:
                    self.composer.put(clean(event.text))  # to be corrected
                return
            if "/" not in name:
                self.notify(f"There is no command /{clean_line(name)}. Ctrl+P lists them.", markup=False)
                return
        if self.answering or (self.desk.link.starting and not self._opening):
            self.queued = event.text
            self._show_composer()
            if not self.answering:
                self._send_queued()
            return
        await self.submit(event.text)

    async def run_named(self, name: str, rest: str) -> bool:
        """Run a command; what goes wrong is told. False when it was not done."""
        from localmind_tui.commands import BY_NAME

        run: Callable[[str], Awaitable[None]] = getattr(self, BY_NAME[name].method)
        try:
            await run(rest)
        except LocalmindError as problem:
            self.complain(problem)
            return False
        return True

    async def run_from_palette(self, command: "Command") -> None:
        """What cannot be without more words is begun in the question, where there is room for it."""
        if command.takes and not command.takes.startswith("[") and not self.composer.text:
            self.composer.put(f"/{command.name} ")
            self.composer.focus()
        else:
            await self.run_named(command.name, "")

    async def run_again(self, rest: str) -> None:
        if (turn := self.last_turn) is not None:
            turn.action_again()

    async def run_copy(self, rest: str) -> None:
        if (turn := self.last_turn) is not None:
            await self.copy(turn.answer)

    async def run_stop(self, rest: str) -> None:
        await self.action_stop()

    async def run_new(self, rest: str) -> None:
        await self.action_new()

    async def run_speak(self, rest: str) -> None:
        self.action_speak()

    async def run_sources(self, rest: str) -> None:
        await self.action_sources_panel()

    async def run_mode(self, rest: str) -> None:
        if rest in ("files", "chat"):
            self.searching, self.mode = rest == "files", rest
            self._show_composer()
        else:
            self.action_switch_mode()

    async def run_file(self, rest: str) -> None:
        from localmind_tui.completion import reference_to

        self.composer.insert(reference_to(rest))
        self.composer.focus()

    async def run_folder(self, rest: str) -> None:
        if not rest:
            self.folder = None
        else:
            named = next((root for root in self._roots if Path(root).name == rest), None)
            self.folder = named or str(typed_path(rest, self.desk.here))
        self.desk.link.ask()

    async def run_folders(self, rest: str) -> None:
        self.app.action_folders()  # type: ignore[attr-defined]

    async def run_models(self, rest: str) -> None:
        self.app.action_models()  # type: ignore[attr-defined]

    async def run_threads(self, rest: str) -> None:
        self.app.action_threads()  # type: ignore[attr-defined]

    async def run_model(self, rest: str) -> None:
        if not rest:
            self.app.action_models()  # type: ignore[attr-defined]
            return
        elsewhere = (await self.desk.daemon.get("/models")).get("remote") or ()
        if rest not in [model["name"] for model in elsewhere]:
            await self.desk.daemon.get("/models/show", name=rest)
        self.use_model(rest)

    def use_model(self, name: str) -> None:
        """Answer with this model from now on."""
        self.model = name
        self.desk.memory.now.model = name
        if self.here:
            self.query_one(Header).model = clean_line(name)

    async def _ask(self, what: str, before: str) -> str | None:
        from localmind_tui.screens.asking import Prompt

        answer: str | None = await self.app.push_screen_wait(Prompt(what, before))
        return answer

    async def run_rename(self, rest: str) -> None:
        if self.thread is None:
            raise InvalidRequest("there is nothing to rename before the first question")
        title: str | None = rest or None
        if title is None:
            title = await self._ask("Title", str(self.thread["title"]))
        if title is not None:
            await self._change_thread({"title": title})
            self.desk.link.ask()

    async def run_delete(self, rest: str) -> None:
        if self.thread is not None and await self.confirm("Delete this thread for good? No copy stays."):
            key = self._key
            await self.desk.daemon.delete(f"/threads/{key}")
            if self._key == key:
                await self.open(None)

    async def run_export(self, rest: str) -> None:
        if self.thread is None:
            raise InvalidRequest("there is nothing to export before the first question")
        from localmind_tui.exporting import export

        self.notify(
            f"Written to {clean_line(str(await export(self.desk.daemon, self.thread, rest, self.desk.here)))}",
            markup=False,
        )

    async def run_system(self, rest: str) -> None:
        words: str | None = rest
        if not rest:
            words = await self._ask("Instructions for plain chat", str(self.options.get("system") or ""))
        if words is not None:
            await self._change_options(system=words.strip() or None)
            told = "Instructions set for plain chat." if words.strip() else "No instructions for plain chat."
            self.notify(told, markup=False)

    async def run_set(self, rest: str) -> None:
        name, _, value = rest.partition(" ")
        if not name:
            self.notify("\n".join(f"{each}: {self._option(each)}" for each in OPTIONS), markup=False, timeout=8)
            return
        if name not in OPTIONS:
            raise InvalidRequest(f"/set takes {', '.join(OPTIONS)}", hint="/set temperature 0.2")
        try:
            given = OPTIONS[name](value.strip()) if value.strip() else None
        except (ValueError, KeyError):
            raise InvalidRequest(
                f"{clean_line(value)} is no value of {name}",
                hint=f"/set {name} 0.2" if OPTIONS[name] is float else f"/set {name} …",
            ) from None
        await self._change_options(**{name: given})
        self.notify(f"{name}: {self._option(name)}", markup=False)

    def _option(self, name: str) -> str:
        value = self.options.get(name)
        if value is None:
            return "as the model likes"
        return str(value) if not isinstance(value, bool) else "on" if value else "off"

    async def _change_options(self, **change: Any) -> None:
        """Of a thread that has not begun they are kept until its first question."""
        options = self.options | change
        if self.thread is None:
            self.first_options = options
        else:
            await self._change_thread({"options": options})

    async def _change_thread(self, change: dict[str, Any]) -> None:
        """The thread that is open now, which may be another one when the daemon answers."""
        key = self._key
        changed = (await self.desk.daemon.patch(f"/threads/{key}", change))["thread"]
        if self._key == key and self.here:
            self.thread = changed
            self.query_one(Header).thread = clean_line(str(changed["title"]))

    async def run_template(self, rest: str) -> None:
        from localmind import templates

        name, _, given = rest.partition(" ")
        if not name:
            names = await asyncio.to_thread(templates.names, self.desk.templates)
            known = ", ".join(names) or f"none yet, in {self.desk.templates}"
            self.notify(f"Templates: {clean_line(known)}", markup=False)
            return
        template = await asyncio.to_thread(templates.read, self.desk.templates, name)
        values = dict(part.split("=", 1) for part in given.split() if "=" in part)
        values.setdefault("input", " ".join(part for part in given.split() if "=" not in part))
        if not values["input"]:
            del values["input"]
        for missing in template.fill(values)[1]:
            answer = await self._ask(f"{name}: {missing}", "")
            if answer is None:
                self.composer.insert(clean(f"/template {rest}"))
                return
            values[missing] = answer
        self.composer.insert(clean(template.fill(values)[0]))
        self.composer.focus()

    async def run_theme(self, rest: str) -> None:
        if rest and rest not in self.app.available_themes:
            raise InvalidRequest(f"no theme {clean_line(rest)!r}", hint="/theme lists them")
        if rest:
            self.app.theme = rest
        else:
            self.app.action_themes()  # type: ignore[attr-defined]

    async def run_vim(self, rest: str) -> None:
        self.composer.use_vim(self.composer.vim is None)
        self.notify("Vim keys are on: Esc for normal mode." if self.composer.vim else "Vim keys are off.", markup=False)

    async def run_help(self, rest: str) -> None:
        self.app.action_help()  # type: ignore[attr-defined]

    run_keys = run_help

    async def run_jump(self, rest: str) -> None:
        self.action_jump()

    async def run_quit(self, rest: str) -> None:
        self.app.action_leave()  # type: ignore[attr-defined]
