"""Turn raw readings of the hive scale into kilograms.

The amplifier delivers a signed 24-bit count. Two constants belong to each scale: the count with
nothing on it, and the counts for one kilogram. Both were found with bags of sugar on the kitchen
floor; the procedure is in notes/calibration.txt.
"""

from dataclasses import dataclass
from statistics import median

REFERENCE_CELSIUS = 15.0
GRAMS_PER_DEGREE = 21.0
SWARM_LOSS_KG = 1.8  # a sudden loss above this within one hour means that a swarm has left


@dataclass(frozen=True)
class Calibration:
    empty_count: int
    counts_per_kg: float


HIVE_3 = Calibration(empty_count=84_211, counts_per_kg=10_473.0)


def weight_kg(counts: list[int], celsius: float, calibration: Calibration = HIVE_3) -> float:
    """Weight of the hive from one burst of readings, corrected for temperature."""
    if len(counts) < 5:
        raise ValueError("a burst needs at least five readings, or one gust of wind decides the result")
    raw = (median(counts) - calibration.empty_count) / calibration.counts_per_kg
    drift = (celsius - REFERENCE_CELSIUS) * GRAMS_PER_DEGREE / 1000
    return round(raw - drift, 2)


def swarm_left(before_kg: float, after_kg: float) -> bool:
    """True when the loss between two hourly readings is too big for foragers flying out."""
    return before_kg - after_kg > SWARM_LOSS_KG
