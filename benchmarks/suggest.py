"""What masks chosen by `semiseg suggest` are worth, beside as many chosen at random.

For each seed: a model is trained on the first masks; `suggest` chooses further images by it, from
those whose masks were hidden, and chance chooses as many; a new model is trained from scratch with
each of the two lists. Finished runs in the output folder are kept, so that the same command goes
on where it was stopped. From the root of the repository:

    python benchmarks/suggest.py ../shared/data/camvid --out runs/suggest-camvid
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import semiseg
from semiseg.comparison.intervals import mean_interval
from semiseg.core.rng import Key
from semiseg.data.reader import load_dataset


class Trial:
    """The runs of one seed, in a folder of their own.

    Args:
        data: the data folder.
        folder: where the runs and lists go.
        seed: of the first masks, the random ones and the trainings.
        first: masks that the first model has.
        more: masks that are added.
        settings: of all trainings.
    """

    def __init__(
        self, data: Path, folder: Path, seed: int, first: int, more: int, settings: dict[str, Any]
    ) -> None:
        self.data, self.folder, self.seed, self.more = data, folder, seed, more
        self.settings = {"method": "css", **settings, "seed": seed, "split_seed": seed}
        self.begun = folder / "first"
        self.train("first", str(first))

    def train(self, name: str, labels: str) -> float:
        """The mIoU on `val`, in per cent, of a run that is trained if it is not finished."""
        run = self.folder / name
        if not (run / "scores.json").is_file():
            semiseg.train(self.data, labels=labels, out=run, resume=True, **self.settings)
        scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
        return float(scores["miou"]["released"])

    def names(self, part: str) -> list[str]:
        """The names in a part of the first run's split."""
        text = (self.begun / "split" / f"{part}.txt").read_text(encoding="utf-8")
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    def suggested(self) -> list[str]:
        """Further images as the first model suggests them."""
        out, images = self.folder / "suggested", self.folder / "images.txt"
        files = {s.name: s.image for s in load_dataset(self.data).train}
        paths = {str(files[name].resolve()): name for name in self.names("unlabeled")}
        images.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
        images_to_label = semiseg.suggest(
            self.begun, images, out=out, n=self.more, overwrite=True
        ).images
        return [paths[str(suggestion.image.resolve())] for suggestion in images_to_label]

    def random(self) -> list[str]:
        """Further images by chance."""
        names = sorted(self.names("unlabeled"))
        order = Key.of(self.seed, "random").numpy().permutation(len(names))
        return [names[i] for i in order[: self.more]]

    def score(self, name: str) -> float:
        """The mIoU of a model trained from scratch with the first and the further masks."""
        labels = self.folder / f"{name}.txt"
        if not labels.is_file():
            further = self.suggested() if name == "suggested" else self.random()
            lines = sorted([*self.names("labeled"), *further])
            labels.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return self.train(f"{name}-run", str(labels))


def main() -> None:
    """Print a table with a row a seed, and the difference with its interval."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, default=8)
    parser.add_argument("--more", type=int, default=8)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--size", type=int, default=None)
    parser.add_argument("--threads", type=int, default=None)
    a = parser.parse_args()
    settings = {"steps": a.steps, "size": a.size, "threads": a.threads, "diagnostics": False}
    rows = []
    for seed in map(int, a.seeds.split(",")):
        trial = Trial(a.data, a.out / f"seed{seed}", seed, a.first, a.more, settings)
        rows.append([seed, *map(trial.score, ("suggested", "random"))])
        rows[-1].insert(1, trial.train("first", str(a.first)))
    print(f"| seed | {a.first} masks | {a.more} more, suggested | {a.more} more, at random |")
    print("|---|---|---|---|")
    for row in rows:
        print(f"| {row[0]} | " + " | ".join(f"{value:.1f}" for value in row[1:]) + " |")
    gain = mean_interval([row[2] - row[3] for row in rows])
    reach = "" if gain.low is None else f" (95 % interval {gain.low:+.1f} to {gain.high:+.1f})"
    print(f"suggested - random: {gain.estimate:+.1f}{reach}")


if __name__ == "__main__":
    main()
