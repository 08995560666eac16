"""Whether a key that somebody wrote down can be pressed, and what it is called where keys are bound.

A terminal's program tells keys by names: `ctrl+x`, `f7`, `alt+up`, `question_mark`. What people write for the same,
as the help has it or as a key cap does (`Ctrl+X`, `Esc`, `shift+ctrl+up`, `ctrl+/`), is turned into that; what no
keyboard sends is refused. Which action a key belongs to is not known here.
"""

from functools import cache

from textual.binding import Binding

MODIFIERS = frozenset(("alt", "ctrl", "hyper", "meta", "shift", "super"))
NAMED = frozenset(
    (
        *("escape", "enter", "tab", "backspace", "space", "insert", "delete", "home", "end", "pageup", "pagedown"),
        *("left", "right", "up", "down", "menu", "pause", "print_screen", "caps_lock", "scroll_lock", "num_lock"),
        *("decimal", "divide", "multiply", "subtract", "add", "equal", "separator", "kp_begin"),
        *("lower_volume", "raise_volume", "mute_volume"),
        *(f"media_{what}" for what in ("play", "pause", "play_pause", "reverse", "stop", "fast_forward", "rewind")),
        *(f"media_{what}" for what in ("track_next", "track_previous", "record")),
        *(f"f{number}" for number in range(1, 36)),
    )
)
"""Keys that write no letter."""
CALLED = {
    "esc": "escape",
    "return": "enter",
    "pgup": "pageup",
    "pgdn": "pagedown",
    "del": "delete",
    "ins": "insert",
    "control": "ctrl",
    "↑": "up",
    "↓": "down",
    "←": "left",
    "→": "right",
}
"""What the help and key caps call them."""
NUL = "ctrl+@"
"""What Ctrl+Space is to terminals that know no better; Textual leaves it its old name."""
OF_KEYBOARDS = "\u2300"
"""Where the signs begin that stand on no keyboard, bananas among them. Letters may come from anywhere."""


def pressable(written: str) -> str | None:
    """The name of the key, or of the keys that are held together; None when nobody can press that."""
    if written == NUL:
        return NUL
    if written == "+" or written.endswith("++"):  # the sign itself
        written = f"{written[:-1]}plus"
    *held, last = (part.strip() for part in written.split("+"))
    modifiers = [CALLED.get(part.lower(), part.lower()) for part in held]
    if not MODIFIERS.issuperset(modifiers) or len(set(modifiers)) < len(modifiers):
        return None
    name = CALLED.get(last.lower(), last.lower())
    if name not in NAMED:
        if (letter := _character(last)) is None:
            return None
        if modifiers == ["shift"]:  # it comes as the letter that it makes
            return letter.upper() if letter.isalpha() and len(letter.upper()) == 1 else None
        name = _named(letter.lower() if modifiers and len(letter.lower()) == 1 else letter)
    return "+".join((*sorted(modifiers), name))


def _character(written: str) -> str | None:
    """The letter or sign; `question_mark` and `slash` are names of signs, a letter has no other name."""
    if len(written) == 1:
        return written if _typed(written) else None
    return _signs().get(written.lower())


def _typed(character: str) -> bool:
    return character.isprintable() and not character.isspace() and (character.isalnum() or character < OF_KEYBOARDS)


@cache
def _signs() -> dict[str, str]:
    """By their names. Textual finds none whose name has a hyphen."""
    signs = (sign for sign in map(chr, range(ord(OF_KEYBOARDS))) if _typed(sign) and not sign.isalnum())
    return {name: sign for sign in signs if len(name := _named(sign)) > 1}


def _named(character: str) -> str:
    if character == ",":  # which parts keys from each other
        return "comma"
    return next(iter(Binding.make_bindings([Binding(character, "")]))).key
