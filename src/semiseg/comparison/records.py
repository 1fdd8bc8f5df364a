"""The finished runs of a comparison, and the names of their scores."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

from semiseg.core.errors import RunError
from semiseg.core.files import read_yaml
from semiseg.core.records import from_plain
from semiseg.core.run_names import METRICS
from semiseg.core.scores import Scores, read_scores

BASELINE = "supervised"
"""The method that the others are compared with."""
SAME_TIME = "supervised (same time)"
"""The row of `supervised` with as many steps as fit into the time of the slowest other method."""
SAME_TIME_FOLDER = "supervised_same_time"
"""How the folders of its runs begin."""
ALL = "all"
"""`--labels` of the upper limit: `supervised` with all masks."""

ScoreName = Literal["last", "best", "released"]
SCORE_NAMES: tuple[ScoreName, ...] = ("last", "best", "released")
ShapeName = Literal["foreground_dice", "boundary_iou", "hd95", "object_f1", "share_error"]
SHAPE_NAMES: tuple[ShapeName, ...] = get_args(ShapeName)
SPLIT_LISTS = ("labeled", "unlabeled", "val")


class Record(NamedTuple):
    """One finished run.

    Attributes:
        method: its method, or `SAME_TIME`.
        labels: its `--labels`, as written.
        seed: its seed.
        scores: its scores.
        config: its settings, as `config.yaml` has them; empty if unknown.
        used: the share of the pixels of unlabeled images that it learned from, as the mean over the
            second half of the steps; None for a method that does not count them.
    """

    method: str
    labels: str
    seed: int
    scores: Scores
    config: Mapping[str, object] = MappingProxyType({})
    used: float | None = None

    @property
    def miou(self) -> float:
        """The mean IoU of the released model, 0 where no class was scored."""
        return self.scores.miou.released or 0.0

    @property
    def split_seed(self) -> int:
        """The seed of the choice of its labeled images."""
        return self.scores.split.seed


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
            content = read_yaml(file.parent / "config.yaml")
            run = from_plain(_Settings, content)
            config = from_plain(dict[str, object], content)
            same_time = file.parent.name.startswith(f"{SAME_TIME_FOLDER}-")
            method = SAME_TIME if same_time else run.method
            used = used_share(file.parent / METRICS)
            records.append(Record(method, run.labels, run.seed, read_scores(file), config, used))
        except (OSError, ValueError, RunError) as error:
            raise RunError(
                f"The run in {file.parent} cannot be read ({error}). Remove that folder to train "
                "the run again."
            ) from error
    return records


def used_share(file: Path) -> float | None:
    """The mean of `train/used` over the second half of the lines that have it; None without any.

    Raises:
        OSError: the file cannot be read.
        ValueError: it does not hold numbers.
    """
    if not file.is_file():  # the run has another logger
        return None
    with file.open(encoding="utf-8", newline="") as lines:
        shares = [
            float(line["train/used"]) for line in csv.DictReader(lines) if line.get("train/used")
        ]
    return fmean(shares[len(shares) // 2 :]) if shares else None
