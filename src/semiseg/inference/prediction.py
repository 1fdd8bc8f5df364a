"""Segments the images of one process, and keeps its ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from semiseg.core.console import progress
from semiseg.core.types import UNLIKE_LIMIT
from semiseg.data.formats.masks import Classes
from semiseg.inference.figures import Failures, Record, State, Unusual
from semiseg.inference.geotiff import place_of
from semiseg.inference.image_sources import Selection
from semiseg.inference.ledger import Ledger
from semiseg.inference.ledger_file import End
from semiseg.inference.mask_figures import figures_in
from semiseg.inference.objects import pixels_of


@dataclass
class Outcome:
    """What became of the images.

    Attributes:
        masks: the masks that were written, as paths below the output.
        failures: why images cannot be read.
        states: the number of images of each state.
        unusual: the images that are unlike those of the training.
    """

    masks: list[str] = field(default_factory=list)
    failures: Failures = field(default_factory=Failures)
    states: Counter[State] = field(default_factory=Counter)
    unusual: Unusual = field(default_factory=Unusual)

    def add(self, record: Record) -> None:
        """Count an image."""
        self.states[record.state] += 1
        self.unusual.add(record)
        if record.state == "written" and record.mask is not None:
            self.masks.append(record.mask)
        elif record.state == "failed":
            self.failures.add(record.reason)


class Engine(Protocol):
    """Segments the images of a selection and writes their files; see `predict_images`."""

    def __call__(self, report: Callable[[Record], None], progress: Callable[[float], None]) -> None:
        """Segment them.

        Args:
            report: takes the record of each image.
            progress: takes the completed share of an image that is segmented part by part.
        """


def predict_selection(
    engine: Engine,
    selection: Selection,
    keep: Callable[[Record], None] = lambda record: None,
    unlike_limit: float = UNLIKE_LIMIT,
) -> Outcome:
    """Segment the images of a shard.

    Args:
        engine: does it.
        selection: the images.
        keep: takes the record of each image, such as `LedgerWriter`.
        unlike_limit: images with a higher number are unlike those of the training.

    Raises:
        RunError: a file cannot be written.
    """
    outcome, total = Outcome(unusual=Unusual(unlike_limit)), len(selection.sources)

    def report(record: Record) -> None:
        keep(record)
        outcome.add(record)
        bar.update(outcome.states.total(), total)

    with progress("predict", lines=True) as bar:
        engine(report, lambda share: bar.update(outcome.states.total() + share, total))
    return outcome


@dataclass(frozen=True)
class LedgerWriter:
    """Notes in the ledger of a shard what became of each image.

    Attributes:
        ledger: of the shard.
        out: the folder of the masks.
        classes: of the model.
        min_area: objects of a smaller area do not count; see `pixels_of`.
    """

    ledger: Ledger
    out: Path
    classes: Classes
    min_area: float | None = None

    def __call__(self, record: Record) -> None:
        """Append the line of an image, if it has none that says what is asked for."""
        if line := self._line_of(record):
            self.ledger.add(line)

    def finish(self, selection: Selection) -> None:
        """Close the ledger of a shard whose images are all finished."""
        names = [source.name for source in selection.sources]
        self.ledger.finish(names, End(selection.images, selection.names))

    def _line_of(self, record: Record) -> Record | None:
        """The record to append; None for an image that is finished and has its line.

        A mask without counts, which an earlier call wrote or a person corrected, is counted in its
        file; its confidence is not known. So is one whose line holds no objects, because an earlier
        version of semiseg wrote it, or those of another smallest area.
        """
        before = self.ledger.records.get(record.name)
        if record.state != "existed" or before is None or before.state == "failed":
            return self._counted(record)
        if before.objects is not None and before.min_area == self.min_area:
            return None
        counted = self._counted(replace(before, pixels=None, objects=None))
        return None if counted.objects is None else counted

    def _counted(self, record: Record) -> Record:
        """A record with the counts of its mask, if they can be counted in its file."""
        if record.mask is None or record.objects is not None:
            return record
        mask = self.out / record.mask
        place = place_of(mask)
        pixel_area = None if place is None else place.pixel_area
        figures = figures_in(mask, self.classes, pixels_of(self.min_area, pixel_area))
        return replace(
            record,
            shares=figures.shares if record.shares is None else record.shares,
            pixels=figures.pixels,
            objects=figures.objects,
            min_area=self.min_area,
            pixel_area=pixel_area,
        )
