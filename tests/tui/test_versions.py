"""A daemon of another version is told in the same words by the app and by lines of text, and once."""

from pathlib import Path

import pytest
from tui_fakes import STATUS, FakeDaemon

from localmind import __version__
from localmind_tui import plain, versions

TOLD = f"The daemon is 9.9.9, this window {__version__}. Type `localmind stop` in a terminal: it starts again as"


def test_what_is_news_of_a_daemon() -> None:
    assert versions.news("9.9.9", "").startswith(TOLD)
    assert versions.news("9.9.9", __version__).startswith("The daemon is 9.9.9 now; this window is still ")
    for version, before in (("9.9.9", "9.9.9"), (__version__, ""), (__version__, "9.9.9"), ("", __version__)):
        assert versions.news(version, before) == ""
    assert "\x1b" not in versions.news("9\x1b[31m", "")


class FakeReplaced(FakeDaemon):
    """Is another version from its second start on."""

    async def ensure(self) -> None:
        self.ensured += 1
        if self.ensured > 1:
            self.status_answer = STATUS | {"version": "9.9.9"}


@pytest.mark.parametrize("replaced", [False, True])
async def test_lines_of_text_say_it_once(
    replaced: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    typed = ["/threads", "/threads", "/quit"]
    monkeypatch.setattr("builtins.input", lambda prompt="": typed.pop(0))
    kind, told = (FakeReplaced, "The daemon is 9.9.9 now") if replaced else (FakeDaemon, TOLD)
    daemon = kind(tmp_path / "threads.db", status=STATUS if replaced else STATUS | {"version": "9.9.9"})
    assert await plain.converse(daemon, folder=None, model=None, thread=None) == 0
    said = capsys.readouterr().out
    assert told in said
    assert said.count("9.9.9") == 1
    await daemon.stop()
