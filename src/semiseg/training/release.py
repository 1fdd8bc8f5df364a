"""The end of a training: the better network is adjusted and released, and the scores written."""

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

import numpy as np

from semiseg._version import __version__
from semiseg.config.background import foreground
from semiseg.config.settings import decided
from semiseg.config.train import TrainConfig
from semiseg.core.errors import RunError
from semiseg.core.files import write_text
from semiseg.core.scores import (
    Adjustment,
    ClassScores,
    MeanIou,
    Scores,
    SplitRecord,
    Timing,
    read_scores,
)
from semiseg.data.formats.ground import common_resolution
from semiseg.data.image_lists import list_hash
from semiseg.data.splits import Split
from semiseg.evaluation.logit_adjustment import describe_strength, offset
from semiseg.evaluation.shapes import ShapeCounts, shape_scores
from semiseg.model.encoder_training import merge
from semiseg.model.metadata import ModelMetadata
from semiseg.model.release import LOGIT_OFFSETS, Release, save_release
from semiseg.training.data import TrainingData
from semiseg.training.module import TrainingModule, choose_network
from semiseg.training.run_folder import CONFUSION, SCORES

_PACKAGES = ("torch", "torchvision", "lightning", "segmentation-models-pytorch", "timm")
_MAX_HEADERS = 500  # images that are asked for their ground resolution


def release(
    config: TrainConfig,
    data: TrainingData,
    module: TrainingModule,
    earlier: Sequence[Scores] = (),
    labeling: float = 0.0,
) -> Scores:
    """Release the best network of the method after the last step, and write `scores.json`.

    The logits of each are adjusted by the strength that is best on `val`, see
    `evaluation.logit_adjustment`. The released network of the module is changed.

    Args:
        config: the settings, as planned.
        data: the images.
        module: the trained module.
        earlier: the scores of the earlier stages, whose steps and seconds count too.
        labeling: the seconds of the labeling between the stages.
    """
    networks = module.method.networks()
    final, rows = module.validations[-1]["networks"], module.validations[-1]["shapes"]
    names = module.names
    which, released = choose_network(final)
    network, strength = networks[which], released["strength"]
    added = offset(module.method.class_weights, network.classes, strength)
    network.add_to_logits(added)
    mean_ious = [v["networks"][name]["miou"] for v in module.validations for name in networks]
    best_scores = [score for score in (*mean_ious, released["miou"]) if score is not None]
    scores = Scores(
        method=config.method,
        miou=MeanIou(final["student"]["miou"], max(best_scores, default=None), released["miou"]),
        per_class={name: ClassScores(**v) for name, v in released["per_class"].items()},
        which=which,
        adjustment=Adjustment(strength, final[which]["miou"]),
        labels=len(data.split.labeled),
        steps=module.steps + sum(stage.steps for stage in earlier),
        skipped_steps=module.guard.skipped + sum(stage.skipped_steps for stage in earlier),
        seconds=round(module.seconds + labeling + sum(stage.seconds for stage in earlier), 1),
        timing=_mean_timing(module, earlier, labeling),
        split=_split_record(config, data.split),
        versions={
            "semiseg": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        shapes=None
        if rows is None
        else shape_scores(ShapeCounts(*np.array(rows)), names, foreground(names)),
    )
    images = [sample.image for sample in data.split.labeled]
    metadata = ModelMetadata(
        network=network.spec,
        classes=data.folder.classes,
        size=decided(config.views.size),
        reading=config.data.reading,
        side=median(min(data.folder.images[image].size) for image in images),
        ground_resolution=common_resolution(images[:_MAX_HEADERS]),
        method=scores.method,
        which=scores.which,
        adjustment=scores.adjustment,
        miou=scores.miou,
        per_class=scores.per_class,
        labels=scores.labels,
        steps=scores.steps,
        split=scores.split,
        weights=module.method.student.weights_record,
    )
    tensors = {**module.method.released_tensors(strength), LOGIT_OFFSETS: added}
    save_release(config.out, Release(merge(network), tensors, metadata))
    table = _confusion_csv(names, released["confusion"])
    write_text(config.out / CONFUSION, table)
    # Last, since this file makes the run a finished one.
    write_text(config.out / SCORES, json.dumps(scores.to_dict(), indent=2) + "\n")
    return scores


def describe_adjustment(scores: Scores) -> str:
    """What the logit adjustment changed, as a sentence; empty if it changed nothing."""
    adjustment, reached = scores.adjustment, scores.miou.released
    if not adjustment.strength or f"{reached:.1f}" == f"{adjustment.without:.1f}":
        return ""
    share = describe_strength(adjustment.strength)
    return (
        f"the released model is the {scores.which} with {share} subtracted from its logits, "
        "because the weights favor rare classes: mIoU "
        f"{reached:.1f} instead of {adjustment.without:.1f} on val, which was used to choose the "
        "share"
    )


def compare_with_start(start_from: Path, scores: Scores) -> str:
    """How good the model was that the training started from, as a sentence.

    Args:
        start_from: the run folder of that model.
        scores: the scores of the new model.

    Returns:
        The sentence; empty if the two cannot be compared, since the validation images or the
        classes differ, or scores are missing.
    """
    try:
        before = read_scores(start_from / SCORES)
    except RunError:
        return ""
    new, old = scores.miou.released, before.miou.released
    if (
        new is None
        or old is None
        or scores.split.val != before.split.val
        or scores.per_class.keys() != before.per_class.keys()
    ):
        return ""
    sentence = (
        f"{start_from}, where the training started, has mIoU {old:.1f} on the same images of val"
    )
    if old > new:
        sentence += ": it is better than the new model. Use it, or train longer (--steps, --budget)"
    return sentence


def _mean_timing(module: TrainingModule, earlier: Sequence[Scores], labeling: float) -> Timing:
    """The seconds of a step as the mean over all stages, and of a validation of the last one."""
    own = module.timing()
    stages = [(stage.steps, stage.timing.step) for stage in earlier] + [(module.steps, own.step)]
    seconds = sum(steps * step for steps, step in stages) / sum(steps for steps, _ in stages)
    others = sum(max(0.0, s.seconds - s.steps * s.timing.step) for s in earlier)
    return replace(own, step=round(seconds, 4), between=round(labeling + others, 3))


def _split_record(config: TrainConfig, split: Split) -> SplitRecord:
    lists = split.lists()
    return SplitRecord(
        seed=config.data.split_seed,
        **{name: list_hash(samples) for name, samples in lists.items()},
        images={name: len(samples) for name, samples in lists.items()},
        source=dict(split.source),
    )


def _confusion_csv(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """The pixels by true class (rows) and predicted class (columns)."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["true \\ predicted", *names])
    writer.writerows([name, *row] for name, row in zip(names, counts, strict=True))
    return file.getvalue()
