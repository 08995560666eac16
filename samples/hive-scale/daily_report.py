"""Write the table for the web page of the beekeeping club.

Reads lines of `date,kilograms` from standard input and prints Markdown. A day with a gain of more
than 1.5 kilograms gets a star: the lime trees by the river are in flower then.
"""

import csv
import sys

GOOD_DAY_KG = 1.5


def rows(lines: list[list[str]]) -> list[str]:
    table = ["| date | weight, kg | gain |", "|---|---|---|"]
    last: float | None = None
    for date, text in lines:
        weight = float(text)
        gain = 0.0 if last is None else weight - last
        star = " *" if gain > GOOD_DAY_KG else ""
        table.append(f"| {date} | {weight:.1f} | {gain:+.1f}{star} |")
        last = weight
    return table


if __name__ == "__main__":
    print("\n".join(rows(list(csv.reader(sys.stdin)))))
