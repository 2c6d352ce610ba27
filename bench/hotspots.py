"""Hotspots and recommendations on the simulated city: `python bench/hotspots.py [SEED …]`.

For each city (by default those of docs/hotspots.md): hours said to be crowded one hour ahead against the truth, and
crowded passenger-minutes of a week in which recommendations are followed against the same week in which they are not.
"""

from __future__ import annotations

import sys
import time

from orchestration.evaluation.hotspots import evaluate
from orchestration.evaluation.tables import tables

CITIES = [7, 11, 23, 31]


def main(seeds: list[int]) -> None:
    """Evaluate each city and print its tables."""
    for seed in seeds or CITIES:
        started = time.monotonic()
        evaluation = evaluate(seed, say=lambda text: print(text, file=sys.stderr, flush=True))
        print(f"\n### City {seed}\n\n{tables(evaluation)}\n\n{time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]])
