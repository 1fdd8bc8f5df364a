"""What the finished runs of a comparison say: rows, paired differences, shares of the gap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from semiseg.comparison.intervals import Interval, mean_interval, ratio_interval
from semiseg.core.errors import RunError
from semiseg.core.files import read_yaml
from semiseg.core.scores import Scores, read_scores

BASELINE = "supervised"
ALL = "all"
SCORES = ("last", "best", "released")


class Record(NamedTuple):
    """One finished run.

    Attributes:
        method: its method.
        labels: its `--labels`, as written.
        seed: its seed.
        scores: the contents of its `scores.json`.
    """

    method: str
    labels: str
    seed: int
    scores: Scores

    @property
    def miou(self) -> float:
        """The released model's mean IoU, 0 where no class was scored."""
        return self.scores.miou.released or 0.0


@dataclass(frozen=True)
class Row:
    """The runs of one method with the same labels.

    Attributes:
        method: the method.
        labels: `--labels`, as written.
        records: the runs, by seed.
        gain: the difference to `supervised` with the same labels and seeds, or None.
        closed: the share of the gap to `supervised` with all masks that is closed, or None.
        per_class: mean IoU by class.
        class_gains: mean difference to `supervised` by class, over the same seeds as `gain`.
    """

    method: str
    labels: str
    records: tuple[Record, ...]
    gain: Interval | None
    closed: Interval | None
    per_class: dict[str, float | None]
    class_gains: dict[str, float | None]

    @property
    def images(self) -> int:
        """Labeled images."""
        return self.records[0].scores.labels

    @property
    def seeds(self) -> list[int]:
        """The seeds of the runs."""
        return [r.seed for r in self.records]

    def values(self, score: str) -> list[float]:
        """The mean IoU of each run: `last`, `best` or `released`."""
        return [getattr(r.scores.miou, score) or 0.0 for r in self.records]

    def steps(self) -> int:
        """Steps of each run."""
        return self.records[0].scores.steps

    def seconds(self) -> float:
        """Mean seconds of a run, validations included."""
        return fmean(r.scores.seconds for r in self.records)

    def seconds_a_step(self) -> float:
        """Mean of the runs' seconds from one step to the next."""
        return fmean(r.scores.timing.step for r in self.records)

    def hashes(self, name: str) -> list[str]:
        """The hashes of the list `labeled`, `unlabeled` or `val`; one, unless data changed."""
        return sorted({r.scores.split.hash_of(name) for r in self.records})

    def to_dict(self) -> dict[str, Any]:
        """The row as plain values."""
        return {
            "method": self.method,
            "labels": self.labels,
            "images": self.images,
            "seeds": self.seeds,
            "steps": self.steps(),
            "miou": {score: _spread(self.values(score)) for score in SCORES},
            "seconds": round(self.seconds(), 1),
            "seconds_a_step": round(self.seconds_a_step(), 4),
            "gain": _interval(self.gain),
            "closed": _interval(self.closed),
            "per_class": self.per_class,
            "class_gains": self.class_gains,
            "split": {name: self.hashes(name) for name in ("labeled", "unlabeled", "val")},
        }


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        folder: where it was written: a folder a run, and `comparison.md`, `.csv`, `.json`, `.png`.
        rows: a row for each method and choice of labels, over all runs in the folder.
        failed: what went wrong, by the name of the run.
    """

    folder: Path
    rows: tuple[Row, ...]
    failed: dict[str, str]

    def text(self) -> str:
        """The table, and what may be said of each method against `supervised`."""
        from semiseg.comparison.text import text

        return text(self.rows)


def read_records(folder: Path) -> list[Record]:
    """The finished runs in the folders below a folder.

    Raises:
        RunError: a run's files cannot be read.
    """
    found = []
    for scores in sorted(folder.glob("*/scores.json")):
        try:
            config: Any = read_yaml(scores.parent / "config.yaml")
            told = (str(config["method"]), str(config["labels"]), int(config["seed"]))
            found.append(Record(*told, read_scores(scores)))
        except (OSError, ValueError, LookupError, TypeError, RunError) as error:
            raise RunError(
                f"The run in {scores.parent} cannot be read ({error}). Remove that folder to train "
                "it anew."
            ) from error
    return found


def make_rows(records: Iterable[Record], methods: Sequence[str]) -> list[Row]:
    """The rows, from few labels to many, methods in the order given.

    Args:
        records: the finished runs.
        methods: all methods in their order.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.method, record.labels), []).append(record)
    ceiling = groups.get((BASELINE, ALL), [])
    rows = [
        _row(sorted(group, key=lambda r: r.seed), groups.get((BASELINE, labels), []), ceiling)
        for (_, labels), group in groups.items()
    ]
    place = {name: i for i, name in enumerate(methods)}
    return sorted(rows, key=lambda r: (r.images, r.labels, place.get(r.method, len(place))))


def _row(group: list[Record], baseline: list[Record], ceiling: list[Record]) -> Row:
    """One row, compared with `supervised`; what was split otherwise is not compared."""
    first = group[0]
    base = {_same_images(r): r for r in baseline}
    top = {_same_scenes(r): r for r in ceiling}
    pairs = [
        (r, base[_same_images(r)])
        for r in group
        if r.method != BASELINE and _same_images(r) in base
    ]
    threes = [(r, b, top[_same_scenes(r)]) for r, b in pairs if _same_scenes(r) in top]
    gains = [r.miou - b.miou for r, b in pairs]
    closed = None
    if threes and first.labels != ALL:
        closed = ratio_interval(
            [r.miou - b.miou for r, b, _ in threes], [t.miou - b.miou for _, b, t in threes]
        )
    names = list(first.scores.per_class)
    return Row(
        first.method,
        first.labels,
        tuple(group),
        mean_interval(gains) if gains else None,
        closed,
        {name: _mean(_iou(r, name) for r in group) for name in names},
        {name: _mean(_less(_iou(r, name), _iou(b, name)) for r, b in pairs) for name in names},
    )


def _same_images(record: Record) -> tuple[int, str, str]:
    split = record.scores.split
    return record.seed, split.labeled, split.val


def _same_scenes(record: Record) -> tuple[int, str]:
    return record.seed, record.scores.split.val


def _iou(record: Record, name: str) -> float | None:
    return record.scores.per_class[name].iou


def _less(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return round(fmean(known), 2) if known else None


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and standard deviation; none from one run."""
    return {
        "mean": round(fmean(values), 2),
        "spread": round(stdev(values), 2) if len(values) > 1 else None,
    }


def _interval(found: Interval | None) -> dict[str, Any] | None:
    return None if found is None else {**found._asdict(), "resolved": found.resolved}
