"""Joins the ledgers of all shards: one table with a row for each image, and a summary."""

from __future__ import annotations

import csv
import heapq
import io
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from semiseg.config.background import foreground
from semiseg.config.shard import Shard, describe_numbers, hash_name
from semiseg.core.errors import DataError, RunError
from semiseg.core.files import atomic_write
from semiseg.core.text import plural, table
from semiseg.core.types import UNLIKE_LIMIT
from semiseg.inference.figures import MAX_LISTED, Failures, Record, State, Unusual
from semiseg.inference.image_sources import Selection
from semiseg.inference.ledger import describe_settings, other_place
from semiseg.inference.ledger_file import (
    FOLDER,
    End,
    Header,
    find_ledgers,
    has_map,
    read_end,
    read_header,
    read_lines,
)

logger = logging.getLogger(__name__)

TABLE = "predictions.csv"
"""The name of the table in the folder of the masks."""
_LOWEST = 10  # images of which the summary names the confidence


@dataclass(frozen=True)
class Predictions:
    """The table of a prediction, and what it says in all.

    Attributes:
        file: the table.
        states: the number of images of each state.
        shares: the mean share of each class over the images whose shares are known.
        lowest: the images of the lowest mean confidence, the lowest first.
        failures: why images cannot be read.
        versions: the versions of semiseg that wrote the masks.
        objects: the number of objects of each class that is not the background, in all images whose
            objects are known.
        uncounted: the number of masks whose objects are not known.
        unusual: the images that are unlike those of the training.
    """

    file: Path
    states: Mapping[State, int]
    shares: Mapping[str, float]
    lowest: Sequence[Record]
    failures: Failures
    versions: Sequence[str] = ()
    objects: Mapping[str, int] = field(default_factory=dict)
    uncounted: int = 0
    unusual: Unusual = field(default_factory=Unusual)

    @property
    def images(self) -> int:
        """The number of images."""
        return sum(self.states.values())

    @property
    def status(self) -> int:
        """The exit status of the command line: 2 if an image could not be read."""
        return 2 if self.failures.count else 0

    def text(self) -> str:
        """The counts, the classes, the lowest confidences and the failures."""
        counts = ", ".join(f"{count:,} {state}" for state, count in self.states.items())
        parts = [f"{plural(self.images, 'image')} in {self.file}: {counts}"]
        if self.shares:
            numbers = {name: f"{count:,}" for name, count in self.objects.items()}
            rows = [
                [name, f"{100 * share:.1f}", numbers.get(name, "")]
                for name, share in self.shares.items()
            ]
            parts.append(table(["class", "mean share, %", "objects"], rows))
        if self.uncounted:
            parts.append(
                f"The objects in {plural(self.uncounted, 'mask')} are not counted: an earlier "
                "version of semiseg wrote their lines, or they are no PNG files or GeoTIFFs. Run "
                "the command that wrote the masks again: it counts PNG files and GeoTIFFs, and "
                "keeps all masks."
            )
        if self.lowest:
            rows = [[one.name, f"{one.confidence:.3f}"] for one in self.lowest]
            parts.append(table(["lowest confidence", "mean"], rows))
        if len(self.versions) > 1:
            parts.append(f"Several versions of semiseg wrote masks: {', '.join(self.versions)}.")
        if self.failures.count:
            parts.append(self.failures.describe(self.images))
        return "\n\n".join(parts)


def join_ledgers(
    out: Path,
    model: str,
    call: str,
    selected: Callable[[], Selection],
    min_area: float | None = None,
    unlike_limit: float = UNLIKE_LIMIT,
) -> Predictions:
    """Check that all shards are finished, and write their table.

    Args:
        out: the folder of the masks.
        model: the hash of the model that wrote them.
        call: the command that segments the images, without `--shard` and settings, for messages.
        selected: the images as they are now; is asked when all shards are finished.
        min_area: the smallest area of an object that was counted; None for any, if all shards have
            the same one.
        unlike_limit: images with a higher number are unlike those of the training.

    Raises:
        DataError: a shard is missing or not finished, has another model or other images than the
            others, counted objects of another smallest area, or a mask does not exist. The message
            gives the commands that remedy it.
        RunError: a ledger is damaged, or the table cannot be written.
    """
    ledgers = find_ledgers(out)
    if not ledgers:
        raise DataError(f"{out} holds no ledgers. Segment the images first: {call} --shard 1/1")
    counts = sorted({shard.count for shard in ledgers})
    if len(counts) > 1:
        raise DataError(
            f"{out / FOLDER} holds the ledgers of {' and of '.join(map(str, counts))} shards. "
            "Delete those of an earlier prediction."
        )
    read = {shard: read_header(file) for shard, file in ledgers.items()}
    headers = {shard: header for shard, header in read.items() if header is not None}
    if headers and all(header.model != model for header in headers.values()):
        raise DataError(
            f"The masks in {out} are those of another model. Name the run that wrote them in "
            "front of the images."
        )
    problems = _unfinished(out, ledgers, headers, model, selected)
    if problems:
        raise _incomplete(out, problems, headers, call)
    try:
        with atomic_write(out / TABLE) as stream:
            text = io.TextIOWrapper(stream, "utf-8", "surrogateescape", newline="")
            classes = headers[Shard(1, counts[0])].classes
            joined = _Joined(
                *(out, classes, text, any(map(has_map, ledgers.values())), min_area),
                unusual=Unusual(unlike_limit),
            )
            for record in heapq.merge(*map(_records, ledgers.items()), key=lambda one: one.name):
                joined.add(record, counts[0])
            if joined.problems:
                raise _incomplete(out, joined.problems, headers, call + joined.flags)
            text.flush()
            text.detach()
    except OSError as error:
        raise RunError(f"{out / TABLE} cannot be written ({error}).") from error
    versions = sorted({header.semiseg for header in headers.values()})
    return joined.predictions(versions)


def _unfinished(
    out: Path,
    ledgers: Mapping[Shard, Path],
    headers: Mapping[Shard, Header],
    model: str,
    selected: Callable[[], Selection],
) -> dict[Shard, str]:
    """What is wrong with shards, as predicates. Images that lie elsewhere are warned of.

    Raises:
        DataError: the images cannot be listed.
    """
    problems: dict[Shard, str] = {}
    ends: dict[Shard, End] = {}
    count = next(iter(ledgers)).count
    pools = {shard: header.pool for shard, header in headers.items()}
    for shard in (Shard(number, count) for number in range(1, count + 1)):
        if shard not in ledgers:
            problems[shard] = "has not begun"
        elif (end := read_end(ledgers[shard])) is None:
            problems[shard] = "is not finished"
        else:
            ends[shard] = end
    if ends:
        (usual, _), *_ = Counter(ends.values()).most_common(1)
        # A shard that has to be run anyhow sees the list as it is now.
        right, others = usual, "the others"
        if not problems:
            now = selected()
            right, others = End(now.images, now.names), "there are now"
            problems = {
                shard: f"saw another pool ({pool}, and {now.fingerprint} now): add --overwrite"
                for shard, pool in pools.items()
                if pool and now.fingerprint and pool != now.fingerprint
            }
            warnings = {other_place(header, now.place, out) for header in headers.values()}
            for warning in sorted(warnings - {""}):
                logger.warning("%s", warning)
        for shard, end in ends.items():
            if end != right:
                counted = f"({end.images:,}, and {others} {right.images:,})"
                counted = counted if end.images != right.images else "(some have other names)"
                problems[shard] = f"saw another list of images {counted}"
    settings = _usual_settings(headers)
    for shard, header in headers.items():
        if header.model != model:
            problems[shard] = "was written with another model: add --overwrite"
        elif describe_settings(header.settings) != settings:
            problems[shard] = "was written with other settings: add --overwrite"
    return dict(sorted(problems.items()))


def _incomplete(
    out: Path, problems: Mapping[Shard, str], headers: Mapping[Shard, Header], call: str
) -> DataError:
    """The error of shards that have to be run again, with the commands for them."""
    flags = _usual_settings(headers)
    lines = []
    for shard, problem in list(problems.items())[:MAX_LISTED]:
        overwrite = " --overwrite" if problem.endswith("--overwrite") else ""
        words = " ".join(filter(None, (call, flags, f"--shard {shard}")))
        lines.append(f"shard {shard} {problem}: {words}{overwrite}")
    if more := len(problems) - len(lines):
        lines.append(f"and {plural(more, 'shard')} more")
    count = next(iter(problems)).count
    numbers = describe_numbers([shard.number for shard in problems])
    return DataError(
        f"{len(problems)} of {plural(count, 'shard')} in {out} have to be run, or run again: "
        f"{numbers}\n" + "\n".join(lines)
    )


def _usual_settings(headers: Mapping[Shard, Header]) -> str:
    """The flags of most ledgers."""
    flags = Counter(describe_settings(header.settings) for header in headers.values())
    return max(flags, key=lambda text: flags[text], default="")


def _records(ledger: tuple[Shard, Path]) -> Iterator[Record]:
    """The records of a finished ledger, in the order of their names.

    Raises:
        RunError: it is damaged.
    """
    shard, file = ledger
    before = None
    for value, _ in read_lines(file):
        if not isinstance(value, Record):
            continue
        if not shard.holds(hash_name(value.name)) or (before is not None and value.name <= before):
            raise RunError(
                f"{file} names {value.name} out of place, or twice. Delete the file and run shard "
                f"{shard} again: masks that exist are kept."
            )
        before = value.name
        yield value


@dataclass
class _Joined:
    """The table while it is written.

    Attributes:
        out: the folder of the masks.
        classes: their names.
        stream: the table.
        has_areas: whether an image lies on a map, so that areas have its units.
        min_area: as for `join_ledgers`.
        states: as in `Predictions`.
        failures: as in `Predictions`.
        problems: shards whose masks do not exist, or that counted other objects.
        objects: the objects of each class.
        uncounted: as in `Predictions`.
        unusual: as in `Predictions`.
    """

    out: Path
    classes: Sequence[str]
    stream: io.TextIOWrapper
    has_areas: bool = False
    min_area: float | None = None
    states: Counter[State] = field(default_factory=Counter)
    failures: Failures = field(default_factory=Failures)
    problems: dict[Shard, str] = field(default_factory=dict)
    uncounted: int = 0
    unusual: Unusual = field(default_factory=Unusual)

    def __post_init__(self) -> None:
        self._writer = csv.writer(self.stream)
        self._foreground = foreground(self.classes)
        self._is_counted = False
        self.objects = np.zeros(len(self.classes), np.int64)
        columns = [f"share_{name}" for name in self.classes]
        columns += [f"objects_{self.classes[index]}" for index in self._foreground]
        columns += [f"pixels_{name}" for name in self.classes]
        if self.has_areas:
            columns += [f"area_{name}" for name in self.classes]
        self._writer.writerow(["name", "state", "mask", "confidence", "unlike", *columns, "reason"])
        self._lowest: list[tuple[float, str, Record]] = []
        self._sums, self._counted = np.zeros(len(self.classes)), 0

    def add(self, record: Record, count: int) -> None:
        """Write the row of an image.

        Args:
            record: of the image.
            count: the number of shards.
        """
        if record.mask is not None and not (self.out / record.mask).is_file():
            shard = Shard(hash_name(record.name) % count + 1, count)
            self.problems.setdefault(shard, f"lacks masks, such as {self.out / record.mask}")
        self.states[record.state] += 1
        if record.state == "failed":
            self.failures.add(record.reason)
        self.unusual.add(record)
        self._count(record, count)
        if record.shares is not None:
            self._sums += record.shares
            self._counted += 1
        if record.confidence is not None:
            self._lowest.append((record.confidence, record.name, record))
            if len(self._lowest) > 100 * _LOWEST:
                self._lowest = heapq.nsmallest(_LOWEST, self._lowest)
        nothing = [None] * len(self.classes)
        objects, pixels = record.objects or nothing, record.pixels or nothing
        cells = [record.confidence, record.unlike, *(record.shares or nothing)]
        row = [record.name, record.state, record.mask or "", *map(_cell, cells)]
        row += [_whole(objects[index]) for index in self._foreground]
        row += map(_whole, pixels)
        if self.has_areas:
            size = record.pixel_area
            row += [_cell(None if size is None or n is None else size * n) for n in pixels]
        self._writer.writerow([*row, record.reason])

    def _count(self, record: Record, count: int) -> None:
        """Add the objects of an image, and compare the area from which on they count."""
        if record.objects is None:
            self.uncounted += record.mask is not None
            return
        if not self._is_counted and self.min_area is None:
            self.min_area = record.min_area
        self._is_counted = True
        self.objects += record.objects
        if record.min_area != self.min_area:
            shard = Shard(hash_name(record.name) % count + 1, count)
            others = "all objects" if record.min_area is None else f"--min-area {record.min_area:g}"
            self.problems.setdefault(shard, f"counted objects with another area ({others})")

    @property
    def flags(self) -> str:
        """The smallest area as a flag, with a space in front of it; empty without one."""
        return "" if self.min_area is None else f" --min-area {self.min_area:g}"

    def predictions(self, versions: Sequence[str]) -> Predictions:
        """What the table says in all."""
        means = (self._sums / max(1, self._counted)).tolist() if self._counted else []
        return Predictions(
            self.out / TABLE,
            dict(sorted(self.states.items())),
            dict(zip(self.classes, means, strict=bool(means))),
            [record for _, _, record in heapq.nsmallest(_LOWEST, self._lowest)],
            self.failures,
            versions,
            {self.classes[i]: int(self.objects[i]) for i in self._foreground if self._is_counted},
            self.uncounted,
            self.unusual,
        )


def _cell(number: float | None) -> str:
    return "" if number is None else f"{number:g}"


def _whole(number: int | None) -> str:
    return "" if number is None else str(number)
