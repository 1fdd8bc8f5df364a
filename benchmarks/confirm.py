"""What unlabeled images bring at the default size, with seeds that chose no default.

Each variant is trained with the settings of `semiseg train` on a CPU, on three data sets with
three seeds. The screen (`screen.py`) has chosen the defaults on training images alone, with other
seeds; here the score is that of the released model on `val`, cross-fitted: each half of `val` is
scored with what was chosen on the other half. Runs with the same seed have the same labeled images.

`supervised` and `supervised, same time` differ in their steps alone: the first takes as many steps
as the default plan, the second takes as long as `css-stored`. The column of seconds shows how well
that was met. `all masks` takes the same time, and is the most that unlabeled images can bring.

A finished run is a line of the file `--rows`, as in `screen.py`, so it is never repeated. Two
processes may share the file and `--out` if they have other variants or other seeds. From the root
of the repository:

    taskset -c 0 python benchmarks/confirm.py ../shared/data --out runs/confirm
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import screen

VARIANTS: dict[str, tuple[str, float]] = {
    "css-stored": ("css-stored", 1.5),
    "supervised, same time": ("supervised", 2.7),
    "supervised": ("supervised", 1.0),
    "all masks": ("supervised", 2.7),
    "css": ("css", 1.0),
    "cutmix": ("cutmix", 1.0),
}
"""The method of each variant, and its steps as a multiple of `--steps`."""
BASELINE, BEST = "supervised, same time", "all masks"
ROWS = Path(__file__).with_name("log") / "confirm.jsonl"


def settings_of(variant: str, name: str, a: argparse.Namespace) -> dict[str, Any]:
    """The settings of a variant's runs on a data set."""
    method, factor = VARIANTS[variant]
    labels = "all" if variant == BEST else str(a.sets[name])
    settings = {"method": method, "labels": labels, "steps": max(3, round(factor * a.steps))}
    return settings if a.size is None else {**settings, "size": a.size}


def table(names: Sequence[str], a: argparse.Namespace) -> Iterator[str]:
    """The mean scores, the differences from the baseline, and the share of its gap to all masks."""
    rows = screen.read_rows(a.rows)
    finished: dict[str, screen.Runs] = {
        variant: {
            (name, seed): rows[key]
            for name in a.sets
            for seed in a.seeds
            if (key := screen.key_of(name, seed, settings_of(variant, name, a))) in rows
        }
        for variant in dict.fromkeys([BASELINE, BEST, *names])
    }
    yield from screen.lines_of(names, finished, a.sets, BASELINE, BEST, screen.released_of)


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path, help="the folder that holds camvid, peanut and nuclei")
    parser.add_argument("--variants", default="; ".join(VARIANTS), help="with ; between them")
    parser.add_argument("--sets", default=screen.SETS)
    parser.add_argument("--seeds", default="4,5,6")
    parser.add_argument("--out", type=Path, required=True, help="for unfinished runs")
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--steps", type=int, default=1000, help="of the default plan")
    parser.add_argument("--size", type=int, help="default: that of the plan")
    a = parser.parse_args()
    a.sets = screen.read_sets(a.sets)
    a.seeds = [int(seed) for seed in a.seeds.split(",")]
    names = [name.strip() for name in a.variants.split(";")]
    a.out.mkdir(parents=True, exist_ok=True)
    a.rows.parent.mkdir(parents=True, exist_ok=True)
    for seed in a.seeds:  # all variants of one data set and seed, then those of the next one
        for name in a.sets:
            for variant in names:
                settings = settings_of(variant, name, a)
                if screen.key_of(name, seed, settings) in screen.read_rows(a.rows):
                    continue
                words = {**settings, "split_seed": seed}
                row = screen.train_row(a.data / name, a.out, seed, settings, words)
                screen.append_row(a.rows, row)
                print(f"{variant}, {name}, seed {seed}: {row.released}", flush=True)
    print("\n".join(table(names, a)))


if __name__ == "__main__":
    main()
