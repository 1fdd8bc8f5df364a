"""The finished runs of a comparison as rows: paired differences, and shares of the gap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Literal, NamedTuple

from semiseg.comparison.intervals import Interval, mean_interval, ratio_interval
from semiseg.core.errors import RunError
from semiseg.core.files import read_yaml
from semiseg.core.records import from_plain
from semiseg.core.scores import Scores, read_scores

BASELINE = "supervised"
"""The method that the others are compared with."""
ALL = "all"
"""`--labels` of the upper limit: `supervised` with all masks."""

ScoreName = Literal["last", "best", "released"]
SCORE_NAMES: tuple[ScoreName, ...] = ("last", "best", "released")
SPLIT_LISTS = ("labeled", "unlabeled", "val")


class Record(NamedTuple):
    """One finished run.

    Attributes:
        method: its method.
        labels: its `--labels`, as written.
        seed: its seed.
        scores: its scores.
    """

    method: str
    labels: str
    seed: int
    scores: Scores

    @property
    def miou(self) -> float:
        """The mean IoU of the released model, 0 where no class was scored."""
        return self.scores.miou.released or 0.0


class Spread(NamedTuple):
    """How a score varies over the seeds.

    Attributes:
        mean: the mean.
        deviation: the standard deviation; None for one seed.
    """

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Row:
    """The runs of one method with the same labels.

    Attributes:
        method: the method.
        labels: `--labels`, as written.
        records: the runs, by seed.
        gain: the difference to `supervised` with the same labels and seeds, or None.
        closed: the share of the gap to `supervised` with all masks that the method closes, or None.
        per_class: mean IoU by class.
        class_gains: mean difference to `supervised` by class, over the seeds of `gain`.
    """

    method: str
    labels: str
    records: tuple[Record, ...]
    gain: Interval | None
    closed: Interval | None
    per_class: Mapping[str, float | None]
    class_gains: Mapping[str, float | None]

    @property
    def images(self) -> int:
        """The number of labeled images."""
        return self.records[0].scores.labels

    @property
    def seeds(self) -> list[int]:
        """The seeds of the runs."""
        return [r.seed for r in self.records]

    @property
    def steps(self) -> int:
        """The steps of each run."""
        return self.records[0].scores.steps

    @property
    def seconds(self) -> float:
        """The mean seconds of a run, validations included."""
        return fmean(r.scores.seconds for r in self.records)

    @property
    def seconds_per_step(self) -> float:
        """The mean over the runs of the seconds from one step to the next."""
        return fmean(r.scores.timing.step for r in self.records)

    def values(self, name: ScoreName) -> list[float]:
        """The mean IoU of each run: `last`, `best` or `released`."""
        return [getattr(r.scores.miou, name) or 0.0 for r in self.records]

    def spread(self, name: ScoreName) -> Spread:
        """How one of the three scores varies over the seeds."""
        values = self.values(name)
        deviation = round(stdev(values), 2) if len(values) > 1 else None
        return Spread(round(fmean(values), 2), deviation)

    def hashes(self, name: str) -> list[str]:
        """The hashes of the list `labeled`, `unlabeled` or `val`; one, unless the data changed."""
        return sorted({r.scores.split.hash_of(name) for r in self.records})

    def to_dict(self) -> dict[str, object]:
        """The row as plain values."""
        spreads = {name: self.spread(name) for name in SCORE_NAMES}
        return {
            "method": self.method,
            "labels": self.labels,
            "images": self.images,
            "seeds": self.seeds,
            "steps": self.steps,
            "miou": {
                name: {"mean": spread.mean, "spread": spread.deviation}
                for name, spread in spreads.items()
            },
            "seconds": round(self.seconds, 1),
            "seconds_a_step": round(self.seconds_per_step, 4),
            "gain": None if self.gain is None else self.gain.to_dict(),
            "closed": None if self.closed is None else self.closed.to_dict(),
            "per_class": dict(self.per_class),
            "class_gains": dict(self.class_gains),
            "split": {name: self.hashes(name) for name in SPLIT_LISTS},
        }


@dataclass(frozen=True)
class _Settings:
    """What a comparison needs of the `config.yaml` of a run."""

    method: str
    labels: str
    seed: int


def read_records(folder: Path) -> list[Record]:
    """The finished runs in the subfolders of a folder.

    Raises:
        RunError: the files of a run cannot be read.
    """
    records = []
    for file in sorted(folder.glob("*/scores.json")):
        try:
            run = from_plain(_Settings, read_yaml(file.parent / "config.yaml"))
            records.append(Record(run.method, run.labels, run.seed, read_scores(file)))
        except (OSError, ValueError, RunError) as error:
            raise RunError(
                f"The run in {file.parent} cannot be read ({error}). Remove that folder to train "
                "the run again."
            ) from error
    return records


def make_rows(records: Iterable[Record], methods: Sequence[str]) -> list[Row]:
    """The rows, from few labels to many.

    Args:
        records: the finished runs.
        methods: all methods, in the order of the rows with the same labels.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.method, record.labels), []).append(record)
    limit = groups.get((BASELINE, ALL), [])
    rows = [
        _make_row(sorted(group, key=lambda r: r.seed), groups.get((BASELINE, labels), []), limit)
        for (_, labels), group in groups.items()
    ]
    order = {name: i for i, name in enumerate(methods)}
    return sorted(rows, key=lambda r: (r.images, r.labels, order.get(r.method, len(order))))


def _make_row(group: list[Record], baseline: list[Record], limit: list[Record]) -> Row:
    """One row. A run is compared with a run of `supervised` on the same images.

    Args:
        group: the runs of the row.
        baseline: the runs of `supervised` with the same labels.
        limit: the runs of `supervised` with all masks.
    """
    first = group[0]
    baselines = {_same_images(r): r for r in baseline}
    limits = {_same_validation(r): r for r in limit}
    pairs = [
        (r, baselines[_same_images(r)])
        for r in group
        if r.method != BASELINE and _same_images(r) in baselines
    ]
    triples = [
        (r, b, limits[_same_validation(r)]) for r, b in pairs if _same_validation(r) in limits
    ]
    gains = [r.miou - b.miou for r, b in pairs]
    closed = None
    if triples and first.labels != ALL:
        closed = ratio_interval(
            [r.miou - b.miou for r, b, _ in triples], [t.miou - b.miou for _, b, t in triples]
        )
    names = list(first.scores.per_class)
    return Row(
        method=first.method,
        labels=first.labels,
        records=tuple(group),
        gain=mean_interval(gains) if gains else None,
        closed=closed,
        per_class={name: _mean(_iou(r, name) for r in group) for name in names},
        class_gains={
            name: _mean(_difference(_iou(r, name), _iou(b, name)) for r, b in pairs)
            for name in names
        },
    )


def _same_images(record: Record) -> tuple[int, str, str]:
    """What two runs share that used the same labeled and validation images."""
    split = record.scores.split
    return record.seed, split.labeled, split.val


def _same_validation(record: Record) -> tuple[int, str]:
    """What two runs share that used the same validation images."""
    return record.seed, record.scores.split.val


def _iou(record: Record, name: str) -> float | None:
    return record.scores.per_class[name].iou


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _mean(values: Iterable[float | None]) -> float | None:
    scored = [v for v in values if v is not None]
    return round(fmean(scored), 2) if scored else None
