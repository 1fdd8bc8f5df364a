"""The runs that a comparison would make: what `compare --dry-run` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from semiseg.config.label_list import labels_name
from semiseg.core.text import columns, duration, plural

State = Literal["finished", "begun", "new"]


class PlannedRun(NamedTuple):
    """One run of a comparison.

    Attributes:
        method: its method.
        labels: its `--labels`.
        seed: its seed.
        split_seed: the seed of the choice of its labeled images; None where a list names them, so
            that all seeds have the same.
        steps: its steps; None where they could not be measured.
        seconds: its seconds: those that it took, or an estimate; None if nothing is known.
        folder: the name of its folder.
        state: whether it is finished, was begun, or is new.
    """

    method: str
    labels: str
    seed: int
    split_seed: int | None
    steps: int | None
    seconds: float | None
    folder: str
    state: State


@dataclass(frozen=True)
class PlannedComparison:
    """The runs of a comparison in their order; nothing is trained.

    Attributes:
        folder: the folder of the comparison.
        runs: the runs.
    """

    folder: Path
    runs: tuple[PlannedRun, ...]

    @property
    def missing(self) -> tuple[PlannedRun, ...]:
        """The runs that must still be trained."""
        return tuple(run for run in self.runs if run.state != "finished")

    @property
    def seconds(self) -> float | None:
        """The expected seconds of all missing runs; None if nothing is known.

        A method that cannot be measured is assumed to be as fast as the others.
        """
        return expected_seconds([run.seconds for run in self.missing])

    def text(self) -> str:
        """A table of the runs, and what they take together."""
        head = ["method", "labels", "seed", "split seed", "steps", "time", "state", "folder"]
        rows = [
            [
                *(run.method, labels_name(run.labels), str(run.seed)),
                "-" if run.split_seed is None else str(run.split_seed),
                "-" if run.steps is None else f"{run.steps:,}",
                "-" if run.seconds is None else duration(run.seconds),
                *(run.state, run.folder),
            ]
            for run in self.runs
        ]
        return f"{columns(head, rows)}\n\n{self.summary()}"

    def summary(self) -> str:
        """How many runs are missing, and how long they take, as sentences."""
        count = len(self.missing)
        if not count:
            return f"All {plural(len(self.runs), 'run')} in {self.folder} are finished."
        done = len(self.runs) - count
        text = f"{plural(count, 'run')} to train in {self.folder}"
        text += f", {done} finished" if done else ""
        text += "" if self.seconds is None else f": about {duration(self.seconds)} in all"
        begun = any(run.state == "begun" for run in self.runs)
        return f"{text}{', less for runs that were begun' if begun else ''}."


def expected_seconds(seconds: Sequence[float | None]) -> float | None:
    """The sum of estimates, where those that are missing count as the mean of the others."""
    measured = [one for one in seconds if one is not None]
    return sum(measured) / len(measured) * len(seconds) if measured else None
