"""One table of keys: bindings, help and documentation say the same."""

import subprocess
import sys
from pathlib import Path

from localmind_tui.app import LocalmindApp
from localmind_tui.keymap import KEYS, PLACES, bindings
from localmind_tui.screens.asking import Confirm, Prompt
from localmind_tui.screens.chat import ChatScreen
from localmind_tui.screens.first_run import FirstRun
from localmind_tui.screens.folders import FoldersScreen
from localmind_tui.screens.help import HelpScreen
from localmind_tui.screens.models import ModelsScreen
from localmind_tui.screens.themes import ThemesScreen
from localmind_tui.screens.threads import ThreadsScreen
from localmind_tui.widgets.composer import Composer
from localmind_tui.widgets.folder_field import FolderField
from localmind_tui.widgets.pictures import PictureLine
from localmind_tui.widgets.sources import SourcesView
from localmind_tui.widgets.turn import TurnView

ROOT = Path(__file__).parents[2]


def test_ids_and_keys_are_given_once() -> None:
    assert len({key.id for key in KEYS}) == len(KEYS)
    taken = [(key.where, each) for key in KEYS for each in key.keys.split(",")]
    assert len(set(taken)) == len(taken)


def test_every_key_is_bound_somewhere() -> None:
    bound = {getattr(binding, "id", None) for where in PLACES for binding in bindings(where)}
    assert bound == {key.id for key in KEYS}


def test_the_documentation_lists_every_key_as_the_help_does() -> None:
    text = (ROOT / "docs/tui.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{key.id}` | {key.shown()} | {key.help} |" for key in KEYS]


def test_signs_are_shown_as_they_stand_on_the_keys() -> None:
    chosen = {"help": "ctrl+slash,question_mark,ctrl+minus,plus,alt+a,f7"}
    assert KEYS[0].shown(chosen) == "Ctrl+/ or ? or Ctrl+- or + or Alt+A or F7"


def test_importing_the_package_does_not_import_textual() -> None:
    code = "import sys, localmind_tui; sys.exit(any(name.split('.')[0] in {'textual', 'rich'} for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_key_does_something_where_it_is_bound() -> None:
    places: dict[str, tuple[type, ...]] = {
        "app": (LocalmindApp,),
        "chat": (ChatScreen,),
        "composer": (Composer,),
        "picture": (PictureLine,),
        "turn": (TurnView,),
        "sources": (SourcesView,),
        "threads": (ThreadsScreen,),
        "themes": (ThemesScreen,),
        "models": (ModelsScreen,),
        "folders": (FoldersScreen,),
        "folder_field": (FolderField,),
        "list": (ModelsScreen, FoldersScreen, HelpScreen),
        "window": (ThreadsScreen, ThemesScreen, ModelsScreen, FoldersScreen, HelpScreen, FirstRun, Confirm, Prompt),
        "confirm": (Confirm,),
    }
    assert set(places) == set(PLACES)

    idle = [
        f"{key.id}: {kind.__name__} has no {key.action}"
        for key in KEYS
        for kind in places[key.where]
        if not callable(getattr(kind, "action_" + key.action.partition("(")[0], None))
    ]
    assert idle == []
