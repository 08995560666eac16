"""Amounts of memory by device, and their sums. A device that is not named has nothing, and is asked for nothing."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

Bytes = Mapping[str, int]
"""Bytes by the name of a device; main memory is RAM."""

RAM = "RAM"

NOTHING: Bytes = MappingProxyType({})


def plus(one: Bytes, other: Bytes) -> Bytes:
    return {device: one.get(device, 0) + other.get(device, 0) for device in (*one, *other)}


def minus(one: Bytes, other: Bytes) -> Bytes:
    """May go below zero."""
    return {device: one.get(device, 0) - other.get(device, 0) for device in (*one, *other)}


def total(amounts: Iterable[Bytes]) -> Bytes:
    found: dict[str, int] = {}
    for amount in amounts:
        for device, size in amount.items():
            found[device] = found.get(device, 0) + size
    return found


def fits(need: Bytes, room: Bytes) -> bool:
    """On every device that something is needed of."""
    return all(size <= room.get(device, 0) for device, size in need.items() if size > 0)


def overdrawn(room: Bytes) -> bool:
    """Some device has less than nothing left."""
    return any(size < 0 for size in room.values())
