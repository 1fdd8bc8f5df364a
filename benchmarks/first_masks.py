"""What the first masks are worth if `semiseg suggest` chooses their images, beside random images.

No image of `val` takes part: the pool and the test are those of the screen (`screen.py`). For each
seed, half of the pool is offered, so that each seed gives another choice. From these images,
`suggest` without a run chooses some, and chance chooses as many; nobody looks at a mask for it. A
supervised model is trained on the masks of each of the two lists, at 128 pixels, with the same
seed. The score is the mean IoU on the test, its mean over the last three of ten validations.

A finished run is a line of the file `--rows`, so that the same command goes on where it was
stopped. From the root of the repository:

    taskset -c 0 python benchmarks/first_masks.py ../shared/data --out runs/first-masks
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from screen import (
    SETS,
    SIZE,
    VALIDATIONS,
    Row,
    append_row,
    describe,
    key_of,
    read_rows,
    read_sets,
    train_row,
    write_data,
)

import semiseg
from semiseg.comparison.intervals import mean_interval
from semiseg.core.rng import Key

CHOICES = ("suggested", "random")
ROWS = Path(__file__).with_name("log") / "first_masks.jsonl"


def offered(data: Path, seed: int) -> list[Path]:
    """Half of the images of the pool, in the order of their names."""
    images = sorted((data / "train" / "images").iterdir())
    order = Key.of(seed, "first masks", "offered").numpy().permutation(len(images))
    return [images[i] for i in sorted(order[: (len(images) + 1) // 2])]


def choose(data: Path, choice: str, count: int, seed: int, a: argparse.Namespace) -> list[str]:
    """The names of the images to label.

    Args:
        data: the pool and the test.
        choice: one of `CHOICES`.
        count: the number of images.
        seed: of the images that are offered, and of chance.
        a: the options.
    """
    images = offered(data, seed)
    if choice == "random":
        order = Key.of(seed, "first masks", "random").numpy().permutation(len(images))
        return sorted(images[i].stem for i in order[:count])
    folder = a.out / "choices" / f"{data.name}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    names = folder / "offered.txt"
    names.write_text("".join(f"{path.resolve()}\n" for path in images), encoding="utf-8")
    suggestions = semiseg.suggest(
        names, out=folder / "next", n=count, encoder=a.encoder, weights=a.weights, overwrite=True
    )
    return sorted(one.image.stem for one in suggestions.images)


def settings_of(choice: str, count: int, a: argparse.Namespace) -> dict[str, Any]:
    """What decides about a run besides its data and its seed."""
    settings: dict[str, Any] = {"choice": choice, "masks": count, "steps": a.steps, "size": a.size}
    if choice == "suggested":
        settings |= {"encoder": a.encoder, "weights": a.weights}
    return settings


def run(a: argparse.Namespace, name: str, seed: int, settings: dict[str, Any]) -> Row:
    """Train on the masks of one list, or go on with a run that was killed."""
    data = write_data(a.data / name, a.out / name)
    names = choose(data, settings["choice"], settings["masks"], seed, a)
    labels = a.out / f"{key_of(name, seed, settings)}.txt"
    labels.write_text("".join(f"{image}\n" for image in names), encoding="utf-8")
    words = {"method": "supervised", "labels": str(labels), "steps": a.steps, "size": a.size}
    words["validations"] = min(VALIDATIONS, a.steps)
    return train_row(data, a.out, seed, settings, words)


def table(a: argparse.Namespace) -> Iterator[str]:
    """The mean scores of each data set, and the paired differences with their intervals."""
    rows = read_rows(a.rows)
    yield "| data | masks | suggested | random | suggested - random | pairs |"
    yield f"|---|{'---:|' * 5}"
    every = []
    for name, count in a.sets.items():
        keys = [
            [key_of(name, seed, settings_of(choice, count, a)) for choice in CHOICES]
            for seed in a.seeds
        ]
        pairs = [[rows[key].score for key in pair] for pair in keys if set(pair) <= set(rows)]
        if not pairs:
            continue
        differences = [first - second for first, second in pairs]
        every += differences
        means = " | ".join(f"{fmean(scores):.1f}" for scores in zip(*pairs, strict=True))
        difference = describe(mean_interval(differences))
        yield f"| {name} | {count} | {means} | {difference} | {len(pairs)} |"
    if every:
        yield f"| all | | | | {describe(mean_interval(every))} | {len(every)} |"


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path, help="the folder that holds camvid, peanut and nuclei")
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--seeds", default="0,1,2,3")
    parser.add_argument("--out", type=Path, required=True, help="for the data and unfinished runs")
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--encoder", default="auto", help="that compares the images")
    parser.add_argument("--weights", default="auto", help="of this encoder")
    a = parser.parse_args()
    a.sets = read_sets(a.sets)
    a.seeds = [int(seed) for seed in a.seeds.split(",")]
    a.out.mkdir(parents=True, exist_ok=True)
    a.rows.parent.mkdir(parents=True, exist_ok=True)
    for seed in a.seeds:  # the first seeds of all data sets first
        for name, count in a.sets.items():
            for choice in CHOICES:
                settings = settings_of(choice, count, a)
                if key_of(name, seed, settings) in read_rows(a.rows):
                    continue
                row = run(a, name, seed, settings)
                append_row(a.rows, row)
                print(f"{choice}, {name}, seed {seed}: {row.score:.1f}", flush=True)
    print("\n".join(table(a)))


if __name__ == "__main__":
    main()
