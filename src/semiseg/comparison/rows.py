"""The rows of a comparison: means, paired differences, and shares of the gap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import NamedTuple

from semiseg.comparison.intervals import Interval, mean_intervals, ratio_interval
from semiseg.comparison.records import (
    ALL,
    BASELINE,
    SAME_TIME,
    SCORE_NAMES,
    SHAPE_NAMES,
    SPLIT_LISTS,
    Record,
    ScoreName,
    ShapeName,
)
from semiseg.config.label_list import labels_name


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
        method: the method, or `SAME_TIME`.
        labels: `--labels`, as written.
        records: the runs, by seed.
        per_class: mean IoU by class.
        class_gains: mean difference to `supervised` by class, over the seeds of `gain`.
        class_biases: mean bias of the share of the area by class, in percentage points.
        gain: the difference to `supervised` with the same labels and seeds, or None. If several
            methods are compared, the intervals of all with these labels are corrected together.
        gain_same_time: the same for the difference to `SAME_TIME`.
        closed: the share of the gap to `supervised` with all masks that the method closes, or None;
            its interval has the level of that of `gain`.
    """

    method: str
    labels: str
    records: tuple[Record, ...]
    per_class: Mapping[str, float | None]
    class_gains: Mapping[str, float | None]
    class_biases: Mapping[str, float | None]
    gain: Interval | None = None
    gain_same_time: Interval | None = None
    closed: Interval | None = None

    @property
    def labels_name(self) -> str:
        """The labels as tables show them."""
        return labels_name(self.labels)

    @property
    def images(self) -> int:
        """The number of labeled images."""
        return self.records[0].scores.labels

    @property
    def seeds(self) -> list[int]:
        """The seeds of the runs."""
        return [r.seed for r in self.records]

    @property
    def split_seeds(self) -> list[int]:
        """The seeds of the choice of the labeled images, one for each run."""
        return [r.split_seed for r in self.records]

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

    def shape(self, name: ShapeName) -> Spread | None:
        """How a score of areas, boundaries or objects varies over the runs that have it."""
        shapes = [r.scores.shapes for r in self.records]
        values = [getattr(one, name) for one in shapes if one is not None]
        values = [value for value in values if value is not None]
        if not values:
            return None
        deviation = round(stdev(values), 2) if len(values) > 1 else None
        return Spread(round(fmean(values), 2), deviation)

    def hashes(self, name: str) -> list[str]:
        """The hashes of the list `labeled`, `unlabeled` or `val`; one, unless the data changed."""
        return sorted({r.scores.split.hash_of(name) for r in self.records})

    def intervals(self) -> dict[str, Interval | None]:
        """The estimates that compare the row with others, by name."""
        names = ("gain", "gain_same_time", "closed")
        return {name: getattr(self, name) for name in names}

    def to_dict(self) -> dict[str, object]:
        """The row as plain values."""
        spreads = {name: self.spread(name) for name in SCORE_NAMES}
        return {
            "method": self.method,
            "labels": self.labels,
            "images": self.images,
            "seeds": self.seeds,
            "split_seeds": self.split_seeds,
            "steps": self.steps,
            "miou": {
                name: {"mean": spread.mean, "spread": spread.deviation}
                for name, spread in spreads.items()
            },
            "shapes": {
                name: spread and {"mean": spread.mean, "spread": spread.deviation}
                for name, spread in ((name, self.shape(name)) for name in SHAPE_NAMES)
            },
            "seconds": round(self.seconds, 1),
            "seconds_a_step": round(self.seconds_per_step, 4),
            **{
                name: None if interval is None else interval.to_dict()
                for name, interval in self.intervals().items()
            },
            "per_class": dict(self.per_class),
            "class_gains": dict(self.class_gains),
            "class_biases": dict(self.class_biases),
            "split": {name: self.hashes(name) for name in SPLIT_LISTS},
        }


def make_rows(records: Iterable[Record], methods: Sequence[str]) -> list[Row]:
    """The rows, from few labels to many.

    Args:
        records: the finished runs.
        methods: all methods, in the order of the rows with the same labels; `SAME_TIME` follows
            `supervised`.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda r: r.seed):
        groups.setdefault((record.method, record.labels), []).append(record)
    limit = groups.get((BASELINE, ALL), [])
    rows: list[Row] = []
    for labels in dict.fromkeys(labels for _, labels in groups):
        rows += _make_rows(
            {method: group for (method, of), group in groups.items() if of == labels}, limit
        )
    order = {name: i for i, name in enumerate(methods)}
    order[SAME_TIME] = order.get(BASELINE, 0)

    def place(row: Row) -> tuple[int, str, int, bool]:
        rank = order.get(row.method, len(order))
        return row.images, row.labels, rank, row.method == SAME_TIME

    return sorted(rows, key=place)


@dataclass(frozen=True)
class _Pairs:
    """Runs of a method with the runs that they are compared with.

    Attributes:
        baseline: each run with that of `supervised` on the same images.
        same_time: each run with that of `SAME_TIME` on the same images.
        limit: each pair of `baseline`, with the run of `supervised` with all masks.
    """

    baseline: list[tuple[Record, Record]] = field(default_factory=list)
    same_time: list[tuple[Record, Record]] = field(default_factory=list)
    limit: list[tuple[Record, Record, Record]] = field(default_factory=list)


def _make_rows(groups: Mapping[str, list[Record]], limit: list[Record]) -> list[Row]:
    """The rows with the same labels.

    Args:
        groups: the runs of each row, by method.
        limit: the runs of `supervised` with all masks.
    """
    limits = {_same_validation(r): r for r in limit}
    pairs: dict[str, _Pairs] = {}
    for method, group in groups.items():
        if method in (BASELINE, SAME_TIME):  # the others are compared with these
            pairs[method] = _Pairs()
            continue
        baseline = _pair(group, groups.get(BASELINE, []))
        pairs[method] = _Pairs(
            baseline,
            _pair(group, groups.get(SAME_TIME, [])),
            [(r, b, t) for r, b in baseline if (t := limits.get(_same_validation(r)))],
        )
    gains = _compare({method: own.baseline for method, own in pairs.items()})
    same_time = _compare({method: own.same_time for method, own in pairs.items()})
    rows = []
    for method, group in groups.items():
        gain, closed = gains.get(method), None
        triples = pairs[method].limit
        if gain is not None and triples and group[0].labels != ALL:
            closed = ratio_interval(
                [r.miou - b.miou for r, b, _ in triples],
                [t.miou - b.miou for _, b, t in triples],
                gain.level,
            )
        names = list(group[0].scores.per_class)
        rows.append(
            Row(
                method=method,
                labels=group[0].labels,
                records=tuple(group),
                gain=gain,
                gain_same_time=same_time.get(method),
                closed=closed,
                per_class={name: _mean(_iou(r, name) for r in group) for name in names},
                class_gains={
                    name: _mean(
                        _difference(_iou(r, name), _iou(b, name)) for r, b in pairs[method].baseline
                    )
                    for name in names
                },
                class_biases={name: _mean(_bias(r, name) for r in group) for name in names},
            )
        )
    return rows


def _pair(group: list[Record], others: list[Record]) -> list[tuple[Record, Record]]:
    """Each run with that of the others on the same images, where there is one."""
    by_images = {_same_images(r): r for r in others}
    return [(r, other) for r in group if (other := by_images.get(_same_images(r)))]


def _compare(pairs: Mapping[str, list[tuple[Record, Record]]]) -> dict[str, Interval]:
    """The mean difference of the pairs of each method, corrected together."""
    gains = {method: [r.miou - b.miou for r, b in own] for method, own in pairs.items() if own}
    return dict(zip(gains, mean_intervals(list(gains.values())), strict=True))


def _same_images(record: Record) -> tuple[int, str, str]:
    """What two runs share that used the same labeled and validation images."""
    split = record.scores.split
    return record.seed, split.labeled, split.val


def _same_validation(record: Record) -> tuple[int, str]:
    """What two runs share that used the same validation images."""
    return record.seed, record.scores.split.val


def _iou(record: Record, name: str) -> float | None:
    return record.scores.per_class[name].iou


def _bias(record: Record, name: str) -> float | None:
    shapes = record.scores.shapes
    return None if shapes is None else shapes.per_class[name].share_bias


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _mean(values: Iterable[float | None]) -> float | None:
    scored = [v for v in values if v is not None]
    return round(fmean(scored), 2) if scored else None
