"""The files of a run folder that the report shows."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semiseg.config.settings import decided
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.files import read_json, read_yaml
from semiseg.core.records import from_plain
from semiseg.core.run_names import METRICS
from semiseg.core.scores import Scores, read_scores
from semiseg.data.formats.masks import Classes
from semiseg.evaluation.pseudo_label_summary import PseudoLabelRecord
from semiseg.model.metadata import METADATA_FILE, ModelMetadata, WeightsRecord
from semiseg.training.diagnostics import DIAGNOSTICS
from semiseg.training.run_folder import CONFIG, CONFUSION, PLAN, SCORES
from semiseg.training.stage import Stage, stages_of
from semiseg.training.stage_notes import StageResult, results_of_stages

Curve = list[tuple[int, float]]
"""Steps and values."""


@dataclass(frozen=True)
class PlanEntry:
    """One setting in `plan.yaml`, as `semiseg.config.plan.Entry` describes it."""

    setting: str
    value: object
    source: str
    reason: str


@dataclass(frozen=True)
class RunFiles:
    """The contents of a run folder.

    Attributes:
        folder: the run folder.
        scores: `scores.json`.
        config: `config.yaml`.
        classes: the classes of `model.json`.
        weights: the weights that the encoder started from, or None.
        curves: the columns of `metrics.csv` by name.
        confusion: pixels by true and predicted class, or None.
        diagnostics: the validations in `diagnostics.json`; empty without that file.
        plan: the settings of `plan.yaml`; empty without that file.
        stages: what each stage has reached; empty for a run with one stage.
    """

    folder: Path
    scores: Scores
    config: TrainConfig
    classes: Classes
    weights: WeightsRecord | None
    curves: Mapping[str, Curve]
    confusion: Sequence[Sequence[int]] | None
    diagnostics: Sequence[PseudoLabelRecord]
    plan: Sequence[PlanEntry]
    stages: Sequence[StageResult]


def read_run(folder: Path) -> RunFiles:
    """Read the files of a finished run.

    Raises:
        RunError: the run is not finished, or a file cannot be read.
    """
    if not (folder / SCORES).is_file():
        remedy = "Name the folder of a run or of a comparison."
        if (folder / CONFIG).is_file():
            remedy = f"Continue the run first: semiseg train DATA --out {folder} --resume."
        raise RunError(
            f"{folder} holds neither a finished run ({SCORES}) nor a comparison "
            f"(comparison.json). {remedy}"
        )
    try:
        metadata = ModelMetadata.from_dict(read_json(folder / METADATA_FILE))
        scores = read_scores(folder / SCORES)
        config = TrainConfig.from_values(from_plain(dict[str, object], read_yaml(folder / CONFIG)))
        unlabeled = bool(scores.split.images["unlabeled"])
        # The run may have been moved.
        stages = stages_of(config.replaced(out=folder), unlabeled)
        return RunFiles(
            folder=folder,
            scores=scores,
            config=config,
            classes=metadata.classes,
            weights=metadata.weights,
            curves=read_curves(stages),
            confusion=_read_confusion(folder / CONFUSION),
            diagnostics=_read_diagnostics(folder / DIAGNOSTICS / "diagnostics.json"),
            plan=_read_plan(folder / PLAN),
            stages=results_of_stages(stages, scores),
        )
    except (OSError, ValueError, LookupError, TypeError, csv.Error, ConfigError) as error:
        raise RunError(f"The run in {folder} cannot be read ({error}). Train it again.") from error


@dataclass(frozen=True)
class _Diagnostics:
    """What the report needs of `diagnostics.json`."""

    validations: list[PseudoLabelRecord]


@dataclass(frozen=True)
class _Plan:
    """What the report needs of `plan.yaml`."""

    plan: list[PlanEntry]


def _read_diagnostics(file: Path) -> Sequence[PseudoLabelRecord]:
    """The pseudo-labels at each validation; empty without the file."""
    return from_plain(_Diagnostics, read_json(file)).validations if file.is_file() else ()


def _read_plan(file: Path) -> Sequence[PlanEntry]:
    """The settings with their reasons; empty without the file."""
    return from_plain(_Plan, read_yaml(file)).plan if file.is_file() else ()


def read_curves(stages: Sequence[Stage]) -> dict[str, Curve]:
    """The columns of the metrics of stages, one after the other.

    Args:
        stages: the stages of a run in their order. One without metrics adds no points.

    Returns:
        By column, the points `(step, value)`; the steps count from the start of the first stage.
    """
    curves: dict[str, Curve] = {}
    before = 0
    for stage in stages:
        file = stage.config.out / METRICS
        if file.is_file():
            with file.open(encoding="utf-8", newline="") as lines:
                for row in csv.DictReader(lines):
                    step = before + int(row.pop("step"))
                    for name, value in row.items():
                        if value and math.isfinite(float(value)):
                            curves.setdefault(name, []).append((step, float(value)))
        before += decided(stage.config.schedule.steps)
    return curves


def _read_confusion(file: Path) -> list[list[int]] | None:
    if not file.is_file():
        return None
    with file.open(encoding="utf-8", newline="") as lines:
        return [[int(count) for count in row[1:]] for row in list(csv.reader(lines))[1:]]
