"""Reading an answer aloud, through the voice that is installed: nothing is read unless the user asks for it.

One answer at a time; the key that began it ends it, and so does Esc. What is read are the words: code is left out, and
marks of Markdown and numbers of sources with it.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from localmind.errors import LocalmindError

if TYPE_CHECKING:
    from localmind.microphone.loudspeaker import Player

Sound = Callable[[str, dict[str, Any]], Iterator[bytes]]
"""`localmind.client.Client.sound`: POST, and the bytes of the answer as they come. Blocking. Raises LocalmindError."""

_CITATION = re.compile(r"\s*\[\d+\??\]")
_CODE = ("fence", "code_block", "html_block")


def no_sound(path: str, body: dict[str, Any]) -> Iterator[bytes]:
    raise LocalmindError("nothing can be read aloud here", hint="localmind say TEXT")


class Aloud:
    def __init__(self, sound: Sound, player: "Callable[[], Player] | None" = None) -> None:
        self._sound = sound
        self._make_player = player or _loudspeaker
        self._player: Player | None = None

    @property
    def reading(self) -> bool:
        return self._player is not None

    async def read(self, markdown: str) -> None:
        """Return when it was heard, or was stopped. Raises LocalmindError."""
        words = await asyncio.to_thread(spoken, markdown)
        if not words:
            raise LocalmindError("there is nothing to read aloud in it")
        self.stop()
        player = self._player = self._make_player()
        try:
            await asyncio.to_thread(self._play, player, words)
        finally:
            player.stop()  # who waited may have gone
            if self._player is player:
                self._player = None

    def stop(self) -> None:
        """Silence at once."""
        if self._player is not None:
            self._player.stop()
            self._player = None

    def _play(self, player: "Player", words: str) -> None:
        from localmind.microphone.loudspeaker import whole

        player.play(whole(self._sound("/speak", {"input": words, "response_format": "pcm"})))


def spoken(markdown: str) -> str:
    """The words of an answer, a paragraph a line. Blocking: the parser is loaded when somebody listens."""
    from markdown_it import MarkdownIt

    lines = []
    for token in MarkdownIt().parse(markdown):
        if token.type in _CODE or not token.children:
            continue
        parts = (
            " " if "break" in child.type else child.content for child in token.children if "html" not in child.type
        )
        lines.append(_CITATION.sub("", "".join(parts)).strip())
    return "\n".join(line for line in lines if line)


def _loudspeaker() -> "Player":
    from localmind.microphone.loudspeaker import Loudspeaker

    return Loudspeaker()
