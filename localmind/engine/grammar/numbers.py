"""Numbers between bounds, digit by digit.

A grammar sees characters, not values, so a range becomes the digits that may follow each other:
17 to 342 is `1[7-9] | [2-9][0-9] | [12][0-9][0-9] | 3([0-3][0-9] | 4[0-2])`. Sizes grow with the square of
the digits. Without bounds a number is held to a length that a double and a 64-bit integer can have,
because a weak model otherwise writes digits until its tokens are spent.
"""

from dataclasses import dataclass
from decimal import Decimal

DIGITS = 16
"""Digits of an integer without bounds: all of them survive in a double."""

FRACTION = 16
"""Digits after the point."""

LARGEST = Decimal(10) ** 19
"""Bounds beyond it are outside of every 64-bit integer."""

SMALLEST_STEP = -20
"""Exponent of the finest bound that is compared digit by digit."""

ANY_INTEGER = f'"-"? ("0" | [1-9] [0-9]{{0,{DIGITS - 1}}})'
ANY_NUMBER = f'{ANY_INTEGER} ("." [0-9]{{1,{FRACTION}}})? ([eE] [-+]? [0-9]{{1,2}})?'


@dataclass(slots=True, frozen=True)
class Bounds:
    """The two ends, None where open; `strict_low` and `strict_high` say that the end itself is outside."""

    low: Decimal | None = None
    high: Decimal | None = None
    strict_low: bool = False
    strict_high: bool = False

    @property
    def empty(self) -> bool:
        if self.low is None or self.high is None:
            return False
        return self.low > self.high or (self.low == self.high and (self.strict_low or self.strict_high))

    def holds(self, value: Decimal) -> bool:
        above = self.low is None or value > self.low or (value == self.low and not self.strict_low)
        below = self.high is None or value < self.high or (value == self.high and not self.strict_high)
        return above and below


def integer(bounds: Bounds) -> str | None:
    """GBNF for the integers inside, None when there is none."""
    if bounds.low is None and bounds.high is None:
        return ANY_INTEGER
    low = _whole(bounds.low, up=True, strict=bounds.strict_low)
    high = _whole(bounds.high, up=False, strict=bounds.strict_high)
    widest = 10 ** max(DIGITS, *(len(str(abs(end))) for end in (low, high) if end is not None)) - 1
    low = -widest if low is None else low
    high = widest if high is None else high
    options = []
    if low < 0 and low <= min(high, -1):
        options.append(f'"-" ({_naturals(max(1, -high), -low)})')
    if high >= 0 and max(low, 0) <= high:
        options.append(_naturals(max(low, 0), high))
    return " | ".join(options) or None


def number(bounds: Bounds) -> str | None:
    """GBNF for decimal numbers inside, without exponents when there are bounds; None when there is none."""
    if bounds.low is None and bounds.high is None:
        return ANY_NUMBER
    if bounds.empty:
        return None
    widest = Decimal(10) ** max(
        DIGITS, *(len(str(int(abs(end)))) for end in (bounds.low, bounds.high) if end is not None)
    )
    low = -widest if bounds.low is None else bounds.low
    high = widest if bounds.high is None else bounds.high
    options = []
    if low < 0:
        ends = Bounds(max(-high, Decimal(0)), -low, bounds.strict_high and high <= 0, bounds.strict_low)
        options += [f'"-" ({option})' for option in _decimals(ends)]
    if high >= 0:
        ends = Bounds(max(low, Decimal(0)), high, bounds.strict_low and low >= 0, bounds.strict_high)
        options += _decimals(ends)
    return " | ".join(options) or None


def _whole(end: Decimal | None, *, up: bool, strict: bool) -> int | None:
    if end is None:
        return None
    floor = int(end.to_integral_value("ROUND_FLOOR"))
    exact = floor == end
    if up:
        return floor + 1 if not exact or strict else floor
    return floor - 1 if exact and strict else floor


def _naturals(low: int, high: int) -> str:
    """All integers from low to high, 0 <= low <= high, by number of digits."""
    options = []
    while len(str(low)) < len(str(high)):
        last = 10 ** len(str(low)) - 1
        options.append(_between(str(low), str(last)))
        low = last + 1
    options.append(_between(str(low), str(high)))
    return " | ".join(options)


def _between(low: str, high: str) -> str:
    """Digit strings of one length from low to high."""
    length = len(low)
    if low == "0" * length and high == "9" * length:
        return _digits(0, 9) + (f"{{{length}}}" if length > 1 else "") if length else '""'
    if length == 1:
        return _digits(int(low), int(high))
    first, last = int(low[0]), int(high[0])
    if first == last:
        return f'"{first}" ({_between(low[1:], high[1:])})'
    options = []
    if low[1:] != "0" * (length - 1):
        options.append(f'"{first}" ({_between(low[1:], "9" * (length - 1))})')
        first += 1
    tail = None
    if high[1:] != "9" * (length - 1):
        tail = f'"{last}" ({_between("0" * (length - 1), high[1:])})'
        last -= 1
    if first <= last:
        options.append(f"{_digits(first, last)} {_between('0' * (length - 1), '9' * (length - 1))}")
    return " | ".join([*options, tail] if tail else options)


def _decimals(ends: Bounds) -> list[str]:
    """Decimal numbers from 0 <= low to high, as alternatives that do not overlap."""
    assert ends.low is not None
    assert ends.high is not None
    if ends.empty:
        return []
    (first, low), (last, high) = _split(ends.low), _split(ends.high)
    if first == last:
        inside = _inside(low, high, ends.strict_low, ends.strict_high)
        return [f'"{first}" {inside}'] if inside else []
    options = [f'"{first}" {_above(low, ends.strict_low)}']
    if first + 1 <= last - 1:
        options.append(f'({_naturals(first + 1, last - 1)}) ("." {_more(1)})?')
    if high or not ends.strict_high:
        options.append(f'"{last}" {_below(high, ends.strict_high)}')
    return options


def _split(end: Decimal) -> tuple[int, str]:
    """Integer part, and the digits of the fraction without trailing zeros."""
    whole, _, fraction = f"{end:f}".partition(".")
    return int(whole), fraction.rstrip("0")


def _more(least: int) -> str:
    return f"[0-9]{{{least},{FRACTION}}}"


def _above(low: str, strict: bool) -> str:
    """What follows the integer part for a fraction of at least `low` (above it when strict)."""
    if not low and not strict:
        return f'("." {_more(1)})?'
    return f'"." ({_above_digits(low, strict)})'


def _above_digits(low: str, strict: bool) -> str:
    if not low:
        return f'"0"{{0,{FRACTION}}} [1-9] {_more(0)}' if strict else _more(0)
    digit = int(low[0])
    options = [f'"{digit}" ({_above_digits(low[1:], strict)})']
    if digit < 9:
        options.append(f"{_digits(digit + 1, 9)} {_more(0)}")
    return " | ".join(options)


def _below(high: str, strict: bool) -> str:
    """What follows the integer part for a fraction of at most `high`, never called for 0 when strict."""
    return f'("." ({_below_digits(high, strict)}))?' if high else f'("." "0"{{1,{FRACTION}}})?'


def _below_digits(high: str, strict: bool) -> str:
    digit, rest = int(high[0]), high[1:]
    options = [f"{_digits(0, digit - 1)} {_more(0)}"] if digit else []
    if rest:
        options.append(f'"{digit}" ({_below_digits(rest, strict)})?')
    elif not strict:
        options.append(f'"{digit}" "0"{{0,{FRACTION}}}')
    return " | ".join(options)


def _inside(low: str, high: str, strict_low: bool, strict_high: bool) -> str | None:
    """What follows an integer part that both ends share."""
    bare = not low and not strict_low
    if not high:
        return f'("." "0"{{1,{FRACTION}}})?' if bare else None
    options = _inside_digits(low, high, strict_low, strict_high)
    if not options:
        return '""' if bare else None
    return f'("." ({options}))?' if bare else f'"." ({options})'


def _inside_digits(low: str, high: str, strict_low: bool, strict_high: bool) -> str:
    first, last = int(low[0]) if low else 0, int(high[0])
    if first == last:
        if not high[1:]:
            # The ends are equal here: `empty` has made sure that both belong.
            return f'"{first}" "0"{{0,{FRACTION}}}'
        deeper = _inside_digits(low[1:], high[1:], strict_low, strict_high)
        stop = not low[1:] and not strict_low
        return f'"{first}" ({deeper}){"?" if stop else ""}'
    options = [f'"{first}" ({_above_digits(low[1:], strict_low)})']
    if first + 1 <= last - 1:
        options.append(f"{_digits(first + 1, last - 1)} {_more(0)}")
    if high[1:]:
        options.append(f'"{last}" ({_below_digits(high[1:], strict_high)})?')
    elif not strict_high:
        options.append(f'"{last}" "0"{{0,{FRACTION}}}')
    return " | ".join(options)


def _digits(first: int, last: int) -> str:
    return f'"{first}"' if first == last else f"[{first}-{last}]"
