"""Segments the images of one process, and keeps its ledger."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from semiseg.core.console import progress
from semiseg.data.formats.masks import Classes
from semiseg.inference.figures import MAX_LISTED, Record, State, shares_in
from semiseg.inference.image_job import ImageOptions, predict_images
from semiseg.inference.image_sources import Selection
from semiseg.inference.ledger import End, Ledger
from semiseg.inference.predictor import Predictor


@dataclass
class Outcome:
    """What became of the images.

    Attributes:
        masks: the masks that were written.
        reasons: why images cannot be read; of many, only some.
        states: the number of images of each state.
    """

    masks: list[Path] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    states: Counter[State] = field(default_factory=Counter)

    def add(self, record: Record, out: Path) -> None:
        """Count an image.

        Args:
            record: of the image.
            out: the folder of the masks.
        """
        self.states[record.state] += 1
        if record.state == "written" and record.mask is not None:
            self.masks.append(out / record.mask)
        elif record.state == "failed" and len(self.reasons) < MAX_LISTED:
            self.reasons.append(record.reason)


def predict_selection(
    model: Predictor,
    selection: Selection,
    out: Path,
    options: ImageOptions,
    ledger: Ledger | None = None,
) -> Outcome:
    """Segment the images of a shard, and note in its ledger what became of each.

    Args:
        model: the model.
        selection: the images.
        out: the folder of the masks.
        options: how they are segmented.
        ledger: of the shard; None for none.

    Raises:
        RunError: a file cannot be written.
    """
    outcome, total = Outcome(), len(selection.sources)

    def report(record: Record) -> None:
        if ledger is not None and (line := _line_of(record, ledger, out, model.classes)):
            ledger.add(line)
        outcome.add(record, out)
        bar.update(outcome.states.total(), total)

    with progress("predict") as bar:
        predict_images(
            model,
            selection.sources,
            out,
            options,
            report,
            lambda share: bar.update(outcome.states.total() + share, total),
        )
    if ledger is not None:
        names = [source.name for source in selection.sources]
        ledger.finish(names, End(selection.images, selection.names))
    return outcome


def _line_of(record: Record, ledger: Ledger, out: Path, classes: Classes) -> Record | None:
    """The record to append; None for an image that is finished and has its line.

    The figures of a mask without a line, which an earlier call wrote or a person corrected, are
    counted in its file; its confidence is not known.
    """
    before = ledger.records.get(record.name)
    if record.state == "existed" and before is not None and before.state != "failed":
        return None
    if record.mask is not None and record.shares is None:
        return replace(record, shares=shares_in(out / record.mask, classes))
    return record
