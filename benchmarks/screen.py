"""Which settings are better, with enough runs to tell: the screen behind semiseg's defaults.

No image of `val` takes part. The training images of each data set are divided by name into ten
contiguous blocks, so that a sequence stays together: six are the pool, from which the labeled
images come, and four are the test of the screen. At 128 pixels each variant is trained with four
seeds on three data sets. Runs with the same seed have the same labeled images and the same draws.
All variants take about the same time: `--units` counts it in steps of `supervised`, and `VARIANTS`
says what the steps of each cost. The score is the mean IoU of the averaged model (of the
student, where there is no average) without logit adjustment, its mean over the last three of ten
validations, and no choice between these is made. Beside a variant that releases two networks, it is
the cross-fitted score of what each run released. But these images are the `val` of the runs, so
methods with stages choose on them which model labels the images of the next stage. The table
shows the paired gain over `supervised` with its interval over all runs, and the share of the gap
to `all masks` that it is.

A finished run is a line of the file `--rows`, found by its settings, so that it is never repeated.
Each line names the commit that trained it, and the kind of processor. They are no part of the key,
since most commits change no bit; the table says so if its rows are of several. Two processes may
share the file and the folder `--out` if they have other variants or other seeds. From the root of
the repository:

    taskset -c 0 python benchmarks/screen.py ../shared/data --out runs/screen
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, TypeAlias

import torch

import semiseg
from semiseg.comparison.intervals import Interval, mean_interval, ratio_interval


class Variant(NamedTuple):
    """What is screened.

    Attributes:
        settings: the settings of `train`.
        cost: the processor time of a step relative to a step of `supervised`, at 128 pixels. With
            stages, the mean over their steps, and the labeling counts too.
    """

    settings: dict[str, Any]
    cost: float


SETS = "camvid:23,peanut:15,nuclei:12"
"""The data sets, and the number of labeled images of each."""
DINOV2 = "vit_small_patch14_dinov2"
_STORED = {"method": "css-stored", "confidence_threshold": 0.8}
_CUTMIX = {"stage_shares": [49.0, 27.0, 24.0], "confidence_threshold": 0.95}
BASELINE, BEST = "supervised", "all masks"
VARIANTS = {
    BASELINE: Variant({"method": "supervised"}, 1.0),
    BEST: Variant({"method": "supervised", "labels": "all"}, 1.0),
    "supervised longer": Variant({"method": "supervised"}, 0.87),
    "css": Variant({"method": "css"}, 2.33),
    "cutmix": Variant({"method": "cutmix"}, 1.98),
    # A step takes 1.07 supervised ones in stage 1 and 1.90 in the others, 1.49 in the mean of the
    # default `stage_shares`. Labeling 220 images twice takes as long as 180 of the 1500 steps, and
    # as 221 with the judge (0.098 and 0.117 s an image of peanut, 0.24 s a supervised step).
    "css-stored": Variant({"method": "css-stored"}, 1.70),
    "css-stored 0.8": Variant(_STORED, 1.70),
    "css-stored frozen": Variant({**_STORED, "agreement": "frozen"}, 1.75),
    "css-stored both": Variant({**_STORED, "agreement": "both"}, 1.75),
    # A step of the frozen DINOv2-S from cached features takes 0.36 supervised ones, and half as
    # many are taken. The features of 32 views of 23 images take 162, its labels 161 (0.19 s an
    # image and its mirror image), and loading and validating it about 40: so 573 steps in 1500.
    # Since 2026-12-01 it labels the image alone. The costs of all variants with two networks are
    # older, and too high by that; with other costs, the finished runs would be of other steps.
    "css-stored two encoders": Variant({**_STORED, "second_encoder": DINOV2}, 2.62),
    # As many patches as at the default size. The cost is an estimate of that there, not measured.
    "css-stored two encoders, large": Variant(
        {"method": "css-stored", "second_encoder": DINOV2, "second_scale": 1.875}, 2.62
    ),
    # The same, and both networks are released as one model. The features of 9 views take less.
    "css-stored, both": Variant(
        {
            "method": "css-stored",
            "second_encoder": DINOV2,
            "second_scale": 1.875,
            "second_released": True,
        },
        2.62,
    ),
    # The second network labels the images early, so that stage 1 can be short.
    "css-stored early": Variant(
        {
            **_STORED,
            "second_encoder": DINOV2,
            "second_scale": 1.875,
            "stage_shares": [10.0, 45.0, 45.0],
        },
        2.94,
    ),
    # CutMix with stored labels: 0.49 steps of supervised and 0.51 that take 1.81, and the labeling.
    "st going on": Variant({"method": "st", "restart": False, **_CUTMIX}, 1.60),
    # A step of css without unlabeled images takes 1.3 supervised ones.
    "css from 40 %": Variant({"method": "css", "supervised_warmup": 0.4}, 1.92),
    "css from 60 %": Variant({"method": "css", "supervised_warmup": 0.6}, 1.71),
}
ROWS = Path(__file__).with_name("log") / "screen.jsonl"
SIZE, UNITS, VALIDATIONS, LAST = 128, 1500, 10, 3
BLOCKS = 10
_TEST_BLOCKS = (1, 4, 6, 9)
_MAX_TEST = 80  # images: a validation of more would take as long as the training


class Row(NamedTuple):
    """A finished run.

    Attributes:
        key: the hash of the data set, the seed and the settings.
        name: the data set.
        seed: the seed of the draws, and of the choice of labeled images.
        settings: the settings of `train`.
        score: the score, in percent. A pair of networks is scored once, so it is `released`.
        released: the cross-fitted mean IoU of the release, in percent; None where no class occurs.
        seconds: the processor time, with validations; of a resumed run only since then.
        commit: the commit of the code.
        cpu: the instructions that torch uses. On another processor the same run has other bits,
            and after some hundred steps another model. Rows before 2026-12-01 do not say it.
    """

    key: str
    name: str
    seed: int
    settings: dict[str, Any]
    score: float
    released: float | None
    seconds: float
    commit: str
    cpu: str = "unknown"


Runs: TypeAlias = dict[tuple[str, int], Row]
"""The finished runs of a variant, by data set and seed."""


def blocks(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide the names of images into the pool and the test of the screen.

    Args:
        names: the names, in any order.

    Returns:
        60 % and 40 % of the names in their order: contiguous blocks, and of the test every so many
        images, at most 80.
    """
    ordered = sorted(names)
    ends = [len(ordered) * block // BLOCKS for block in range(BLOCKS + 1)]
    pool: list[str] = []
    test: list[str] = []
    for block in range(BLOCKS):
        part = test if block in _TEST_BLOCKS else pool
        part += ordered[ends[block] : ends[block + 1]]
    stride = -(-len(test) // _MAX_TEST)
    return pool, test[::stride]


def write_data(source: Path, target: Path) -> Path:
    """Copy the training images of a data set as the pool (`train`) and the test (`val`)."""
    if target.exists():
        return target
    temporary = target.with_name(f"{target.name}.{time.monotonic_ns()}")
    images = {path.stem: path for path in (source / "train" / "images").iterdir()}
    masks = {path.stem: path for path in (source / "train" / "masks").iterdir()}
    for split, names in zip(("train", "val"), blocks(list(images)), strict=True):
        for kind, files in (("images", images), ("masks", masks)):
            folder = temporary / split / kind
            folder.mkdir(parents=True)
            for name in names:
                shutil.copy(files[name], folder)
    try:
        temporary.rename(target)
    except OSError:  # the other process was faster
        shutil.rmtree(temporary)
    return target


def key_of(name: str, seed: int, settings: dict[str, Any]) -> str:
    """The hash of what decides about the bits of a run, all but the code."""
    text = json.dumps([name, seed, settings], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_rows(file: Path) -> dict[str, Row]:
    """The finished runs by their key."""
    if not file.is_file():
        return {}
    rows = (Row(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines())
    return {row.key: row for row in rows}


def append_row(file: Path, row: Row) -> None:
    """Add a finished run to the file of rows."""
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(row._asdict()) + "\n")


def read_sets(text: str) -> dict[str, int]:
    """The number of labeled images of each data set, from words such as `camvid:23,peanut:15`."""
    return {name: int(labels) for name, labels in (one.split(":") for one in text.split(","))}


def settings_of(variant: Variant, name: str, a: argparse.Namespace) -> dict[str, Any]:
    """The settings of a variant's runs on a data set, with the steps that its time allows."""
    return {
        "labels": str(a.sets[name]),
        **variant.settings,
        "size": a.size,
        "steps": max(1, round(a.units / variant.cost)),
        "validations": min(VALIDATIONS, max(1, round(a.units / variant.cost))),
    }


def run(a: argparse.Namespace, name: str, seed: int, settings: dict[str, Any]) -> Row:
    """Train once, or go on with a run that was killed."""
    data = write_data(a.data / name, a.out / name)
    words = {**settings, "split_seed": seed}
    if a.dinov2 is not None and settings.get("second_encoder") == DINOV2:
        words["second_weights"] = str(a.dinov2)
    return train_row(data, a.out, seed, settings, words)


def train_row(
    data: Path, out: Path, seed: int, settings: dict[str, Any], words: dict[str, Any]
) -> Row:
    """Train once, or go on with a run that was killed; its folder is removed afterwards.

    Args:
        data: the pool and the test; its name is that of the data set.
        out: the folder for unfinished runs.
        seed: of the training.
        settings: what decides about the run besides its data and its seed.
        words: the settings of `train`.
    """
    key = key_of(data.name, seed, settings)
    folder = out / "runs" / key
    folder.parent.mkdir(exist_ok=True)
    began = time.process_time()
    result = semiseg.train(
        data,
        out=folder,
        resume=True,
        seed=seed,
        threads=1,
        workers=0,
        diagnostics=False,
        **words,
    )
    scores = validation_scores(folder / "metrics.csv")
    seconds = time.process_time() - began
    released = result.scores.miou.released
    score = released if result.scores.choice.is_pair else fmean(scores[-LAST:])
    if score is None:
        raise SystemExit(f"{folder}: no class of val was scored")
    shutil.rmtree(folder)
    cpu = torch.backends.cpu.get_cpu_capability()
    return Row(key, data.name, seed, settings, score, released, seconds, commit(), cpu)


def commit() -> str:
    """The commit of the code, with `-dirty` if files differ from it; `unknown` without git."""
    words = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        result = subprocess.run(
            words, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return result.stdout.strip()


def validation_scores(file: Path) -> list[float]:
    """The mean IoU of the average at each validation, or of the student where there is none."""
    with file.open(encoding="utf-8", newline="") as lines:
        records = list(csv.DictReader(lines))
    networks = [f"val/miou_{network}" for network in ("teacher", "student")]
    column = next(name for name in networks if any(record.get(name) for record in records))
    return [float(record[column]) for record in records if record.get(column)]


def table(names: Sequence[str], a: argparse.Namespace) -> Iterator[str]:
    """The table of the screen, and from which commits and processors its rows are."""
    rows = read_rows(a.rows)
    finished: dict[str, Runs] = {
        variant: {
            (name, seed): rows[key]
            for name in a.sets
            for seed in a.seeds
            if (key := key_of(name, seed, settings_of(VARIANTS[variant], name, a))) in rows
        }
        for variant in dict.fromkeys([BASELINE, BEST, *names])
    }
    # A pair of networks is scored once, with its adjustment. Beside it, the others are too.
    has_pairs = any(VARIANTS[name].settings.get("second_released") for name in names)
    score = released_of if has_pairs else score_of
    yield from lines_of(names, finished, a.sets, BASELINE, BEST, score)
    shown = [row for variant in names for row in finished[variant].values()]
    commits = {row.commit for row in shown}
    if len(commits) > 1:
        yield f"\nThe runs are of several commits: {', '.join(sorted(commits))}."
    if len(kinds := {row.cpu for row in shown}) > 1:
        yield f"\nThe runs are of several processors ({', '.join(sorted(kinds))}): no pairs there."


def score_of(row: Row) -> float:
    """The score of a run, in percent."""
    return row.score


def released_of(row: Row) -> float:
    """The cross-fitted score of what a run released, in percent."""
    if row.released is None:
        raise SystemExit(f"{row.name}, seed {row.seed}: no class of val was scored")
    return row.released


def lines_of(
    names: Sequence[str],
    finished: dict[str, Runs],
    sets: Iterable[str],
    baseline: str,
    best: str,
    score: Callable[[Row], float],
) -> Iterator[str]:
    """The mean scores, the gains over the baseline, and the share of its gap to all masks.

    Args:
        names: the variants, one for each line.
        finished: the runs of these variants, of the baseline, and of all masks.
        sets: the data sets, one for each column.
        baseline: the variant with few masks.
        best: the variant with all masks.
        score: the score of a run, in percent.
    """
    yield f"| variant | {' | '.join(sets)} | gain | share of the gap | runs | seconds a run |"
    yield f"|---|{'---:|' * (len(list(sets)) + 4)}"
    few, most = (
        {pair: score(row) for pair, row in finished[one].items()} for one in (baseline, best)
    )
    for variant in names:
        own = {pair: score(row) for pair, row in finished[variant].items()}
        means = [[value for (name, _), value in own.items() if name == one] for one in sets]
        cells = [f"{fmean(values):.1f}" if values else "" for values in means]
        gains = {pair: own[pair] - few[pair] for pair in own if pair in few and variant != baseline}
        cells.append(describe(mean_interval(list(gains.values()))) if gains else "")
        complete = [pair for pair in gains if pair in most and variant != best]
        cells.append(
            share_of_gap(
                [gains[pair] for pair in complete], [most[pair] - few[pair] for pair in complete]
            )
        )
        seconds = [row.seconds for row in finished[variant].values()]
        cells += [str(len(own)), f"{fmean(seconds):.0f}" if seconds else ""]
        yield f"| {variant} | {' | '.join(cells)} |"


def share_of_gap(gains: Sequence[float], gaps: Sequence[float]) -> str:
    """The share of the gap between few and all masks that a variant closes, pooled.

    Args:
        gains: the gains over few masks, one for each data set and seed.
        gaps: the gains of all masks, in the same order.

    Returns:
        In percent, with its interval; empty where all masks are no better.
    """
    if not gaps or fmean(gaps) <= 0:
        return ""
    share = ratio_interval(gains, gaps)
    ends = [None if end is None else 100 * end for end in share[:3]]
    return describe(Interval(*ends, share.seeds)) + " %"


def describe(interval: Interval) -> str:
    """A difference with its interval."""
    if interval.low is None or interval.high is None:
        return f"{interval.estimate:+.1f}"
    return f"{interval.estimate:+.1f} ({interval.low:+.1f} to {interval.high:+.1f})"


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path, help="the folder that holds camvid, peanut and nuclei")
    parser.add_argument("--variants", default="; ".join(VARIANTS), help="with ; between them")
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--seeds", default="0,1,2,3")
    parser.add_argument("--out", type=Path, required=True, help="for the data and unfinished runs")
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--units", type=int, default=UNITS, help="steps of supervised")
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--dinov2", type=Path, help="a file with the weights of DINOv2-S")
    a = parser.parse_args()
    a.sets = read_sets(a.sets)
    a.seeds = [int(seed) for seed in a.seeds.split(",")]
    names = [name.strip() for name in a.variants.split(";")]
    a.out.mkdir(parents=True, exist_ok=True)
    a.rows.parent.mkdir(parents=True, exist_ok=True)
    for seed in a.seeds:  # the first seeds of all variants first
        for name in a.sets:
            for variant in names:
                settings = settings_of(VARIANTS[variant], name, a)
                if key_of(name, seed, settings) in read_rows(a.rows):
                    continue
                row = run(a, name, seed, settings)
                append_row(a.rows, row)
                print(f"{variant}, {name}, seed {seed}: {row.score:.1f}", flush=True)
    print("\n".join(table(names, a)))


if __name__ == "__main__":
    main()
