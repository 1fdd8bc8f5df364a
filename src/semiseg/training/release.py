"""The end of a training: the chosen model is released, and the scores written."""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import NamedTuple

from semiseg._version import __version__
from semiseg.config.background import foreground
from semiseg.config.settings import decided
from semiseg.config.stages import Between, images_between
from semiseg.config.train import TrainConfig
from semiseg.core.choices import Candidate
from semiseg.core.errors import RunError
from semiseg.core.files import read_text, write_text
from semiseg.core.reading import RGB_CHANNELS
from semiseg.core.scores import (
    Adjustment,
    ClassScores,
    MeanIou,
    Scores,
    ShapeScores,
    SplitRecord,
    Timing,
)
from semiseg.data.band_names import names_of_bands
from semiseg.data.formats.ground import common_resolution
from semiseg.data.references import References, read_references
from semiseg.data.splits import Split
from semiseg.evaluation.choice import cross_fit
from semiseg.evaluation.logit_adjustment import offset
from semiseg.evaluation.shapes import shape_scores
from semiseg.model.encoder_training import merge
from semiseg.model.metadata import ModelMetadata
from semiseg.model.release import LOGIT_OFFSETS, Release, load_release, save_release
from semiseg.training.data import TrainingData
from semiseg.training.module import TrainingModule
from semiseg.training.pair import judge_pair
from semiseg.training.pool_images import PoolImages
from semiseg.training.run_folder import CONFUSION, SCORES
from semiseg.training.stage import run_of_stage
from semiseg.training.val_counts import read_counts, write_counts
from semiseg.training.validation import Outcome

_PACKAGES = ("torch", "torchvision", "lightning", "segmentation-models-pytorch", "timm")
_MAX_HEADERS = 500  # images that are asked for their ground resolution


class _Chosen(NamedTuple):
    """The chosen model with what describes it, all but its scores.

    Attributes:
        release: the model, with the metadata of its training.
        adjustment: how its logits were adjusted.
        shapes: its areas, boundaries and objects on all of val.
        confusion: the content of its `confusion.csv`.
    """

    release: Release
    adjustment: Adjustment
    shapes: ShapeScores | None
    confusion: str


def release(
    config: TrainConfig,
    data: TrainingData,
    module: TrainingModule,
    earlier: Sequence[Scores] = (),
    labeling: float = 0.0,
    others: float = 0.0,
    first_stage: Path | None = None,
    second: Path | None = None,
) -> Scores:
    """Release the model that the rule of `evaluation.choice` chooses, and write `scores.json`.

    The candidates are the networks of the method after the last step, each with each strength of
    the logit adjustment, and with `second_released` the mean of one of them and the second network;
    see `training.pair`. The released network of the module is changed.

    Args:
        config: the settings, as planned.
        data: the images.
        module: the trained module.
        earlier: the scores of the earlier stages, whose steps and seconds count too.
        labeling: the seconds of the labeling between the stages.
        others: those of the training of a second network.
        first_stage: the run folder of a first stage on labeled images, whose model is a candidate;
            None without one.
        second: the run folder of a second network that labeled images too; None without one.

    Raises:
        RunError: the files of the first stage or of the second network cannot be read, or the
            model not written.
    """
    outcome = module.outcome
    if outcome is None:
        raise ValueError("the last validation is missing")
    names, images = module.names, [sample.name for sample in data.split.val]
    is_stage = run_of_stage(config.out) is not None
    if is_stage:
        write_counts(config.out, images, outcome.counts)
    counts = outcome.counts.in_stage(len(earlier) + 1)
    first, pair = None, None
    if first_stage is not None:
        first = read_counts(first_stage, images, len(names))
    if second is not None and config.settings.releases_second and not is_stage:
        pair = judge_pair(config, data, module, counts, first, second)
        others += pair.seconds
    if pair is None:
        choice, sums = cross_fit(counts if first is None else first.joined(counts), images)
    else:
        choice, sums = pair.choice, pair.sums
    reported = sums.scores(names)
    if first_stage is not None and choice.is_first_stage:
        model = _model_of_first_stage(first_stage, earlier[0])
    elif pair is not None and choice.is_pair:
        single = _own_model(config, data, module, outcome, pair.own, earlier, second)
        model = _Chosen(
            pair.joined(single.release),
            pair.adjustment(),
            shapes=shape_scores(pair.shapes, names, foreground(names)),
            confusion=_confusion_csv(names, pair.confusion.tolist()),
        )
    else:
        model = _own_model(config, data, module, outcome, choice.chosen, earlier, second)
    mean_ious = [one["miou"] for v in module.validations for one in v["networks"].values()]
    scores = Scores(
        method=config.method,
        miou=MeanIou(
            last=module.validations[-1]["networks"]["student"]["miou"],
            best=max((m for m in (*mean_ious, choice.best_miou) if m is not None), default=None),
            released=reported["miou"],
        ),
        per_class={name: ClassScores(**v) for name, v in reported["per_class"].items()},
        which=choice.chosen.network,
        adjustment=model.adjustment,
        choice=choice,
        labels=len(data.split.labeled),
        steps=module.steps + sum(stage.steps for stage in earlier),
        skipped_steps=module.guard.skipped + sum(stage.skipped_steps for stage in earlier),
        seconds=round(
            module.seconds + labeling + others + sum(stage.seconds for stage in earlier), 1
        ),
        timing=_mean_timing(config, data, module, earlier, Between(others, labeling)),
        split=_split_record(config, data.split),
        versions={
            "semiseg": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        shapes=model.shapes,
    )
    own = model.release
    metadata = replace(
        own.metadata, miou=scores.miou, per_class=scores.per_class, choice=scores.choice
    )
    save_release(config.out, own._replace(metadata=metadata))
    write_text(config.out / CONFUSION, model.confusion)
    # Last, since this file makes the run a finished one.
    write_text(config.out / SCORES, json.dumps(scores.to_dict(), indent=2) + "\n")
    return scores


def _own_model(
    config: TrainConfig,
    data: TrainingData,
    module: TrainingModule,
    outcome: Outcome,
    candidate: Candidate,
    earlier: Sequence[Scores],
    second: Path | None,
) -> _Chosen:
    """The chosen network of the module, with its adjusted logits."""
    network, names = module.method.networks()[candidate.network], module.names
    added = offset(module.method.class_weights, network.classes, candidate.strength)
    network.add_to_logits(added)
    adjustment = Adjustment(
        candidate.strength, module.validations[-1]["networks"][candidate.network]["miou"]
    )
    images = [sample.image for sample in data.split.labeled]
    metadata = ModelMetadata(
        network=network.spec,
        classes=data.folder.classes,
        size=decided(config.views.size),
        reading=config.data.reading,
        side=median(min(data.folder.images[image].size) for image in images),
        ground_resolution=common_resolution(images[:_MAX_HEADERS]),
        method=config.method,
        which=candidate.network,
        adjustment=adjustment,
        labels=len(images),
        steps=module.steps + sum(stage.steps for stage in earlier),
        split=_split_record(config, data.split),
        weights=module.method.student.weights_record,
        band_names=names_of_bands(config.data.reading, images[:_MAX_HEADERS]),
        references=_references(config, data),
        second_weights=None if second is None else load_release(second).metadata.weights,
    )
    tensors = {**module.method.released_tensors(candidate.strength), LOGIT_OFFSETS: added}
    return _Chosen(
        Release(merge(network), tensors, metadata),
        adjustment,
        shape_scores(outcome.shapes, names, foreground(names)),
        _confusion_csv(names, outcome.confusion.tolist()),
    )


def _references(config: TrainConfig, data: TrainingData) -> References | None:
    """What the model remembers of its images; of a pool, those that lie in the data folder."""
    if config.data.reading.channels != RGB_CHANNELS:
        return None
    unlabeled = data.unlabeled
    files = unlabeled.files if isinstance(unlabeled, PoolImages) else unlabeled
    labeled, others = ([s.image for s in part] for part in (data.split.labeled, files))
    return read_references(labeled, others, config.data.reading)


def _model_of_first_stage(folder: Path, scores: Scores) -> _Chosen:
    """The released model of the first stage.

    Args:
        folder: the run folder of the stage.
        scores: its scores.

    Raises:
        RunError: a file cannot be read.
    """
    file = folder / CONFUSION
    try:
        confusion = read_text(file)
    except (OSError, ValueError) as error:
        raise RunError(f"{file} cannot be read ({error}). Start the run again.") from error
    return _Chosen(load_release(folder), scores.adjustment, scores.shapes, confusion)


def _mean_timing(
    config: TrainConfig,
    data: TrainingData,
    module: TrainingModule,
    earlier: Sequence[Scores],
    between: Between,
) -> Timing:
    """The seconds of a step as the mean over all stages, and of a validation of the last one.

    Args:
        config: the settings, as planned.
        data: the images.
        module: the trained module.
        earlier: the scores of the earlier stages.
        between: the seconds of the second network, and those of the labeling of this run.
    """
    own = module.timing()
    stages = [(stage.steps, stage.timing.step) for stage in earlier] + [(module.steps, own.step)]
    seconds = sum(steps * step for steps, step in stages) / sum(steps for steps, _ in stages)
    others = between.fixed + sum(max(0.0, s.seconds - s.steps * s.timing.step) for s in earlier)
    draws, val = config.schedule.step_images, len(data.split.val)
    images = images_between(config.settings, len(data.unlabeled), val, draws)
    labeled = images.labeling_at(sum(steps for steps, _ in stages))
    label = between.labeling / labeled if labeled else 0.0
    return replace(
        own,
        step=round(seconds, 4),
        between=round(others, 3),
        labeling=round(label * images.labeling, 3),
        labeling_of_step=round(label * images.labeling_of_step, 4),
    )


def _split_record(config: TrainConfig, split: Split) -> SplitRecord:
    return SplitRecord(
        seed=config.data.split_seed,
        **split.hashes(),
        images=split.counts(),
        source=dict(split.source),
    )


def _confusion_csv(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """The pixels by true class (rows) and predicted class (columns)."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["true \\ predicted", *names])
    writer.writerows([name, *row] for name, row in zip(names, counts, strict=True))
    return file.getvalue()
