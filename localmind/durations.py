"""How long something is kept, as people and clients write it: "10m", "1h30m", 300, 0, -1.

The forms are Ollama's, since its clients send them to us: a number is seconds, a text is Go's
time.ParseDuration or a number again, below zero means for ever. Pure text and numbers.
"""

import math
import re

FOREVER = math.inf

UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d)")
_FORM = "a duration such as 10m or 1h30m, a number of seconds, 0 for not at all or -1 for ever"
LONGEST_TEXT = 40


def seconds(value: str | float) -> float:
    """`value` in seconds, FOREVER for a negative one. Raises ValueError that says what is allowed."""
    if isinstance(value, bool):
        raise ValueError(f"{value} is not {_FORM}")
    if isinstance(value, int | float):
        return _bounded(float(value), value)
    text = value.strip().lower()
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"{text[:LONGEST_TEXT]!r}… is not {_FORM}")
    negative, unsigned = text.startswith("-"), text[1:] if text[:1] in ("+", "-") else text
    if re.fullmatch(r"\d+(\.\d*)?|\.\d+", unsigned):
        number = float(unsigned)
    elif re.fullmatch(rf"(?:{_PART.pattern})+", unsigned):
        number = sum(float(amount) * UNITS[unit] for amount, unit in _PART.findall(unsigned))
    else:
        raise ValueError(f"{value!r} is not {_FORM}")
    return _bounded(-number if negative else number, value)


def _bounded(number: float, value: str | float) -> float:
    if math.isnan(number):
        raise ValueError(f"{value!r} is not {_FORM}")
    return FOREVER if number < 0 else number


def words(number: float) -> str:
    """For people: "for ever", "45 s", "4 min", "1 h 30 min"."""
    if math.isinf(number):
        return "for ever"
    whole = max(0, round(number))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(hours / 24)} d"
