"""Trains the earlier stages of a run, with labels between them; see `training.stage`.

A killed run goes on in the stage that it was in: a finished stage has its `scores.json`, and labels
and reliabilities are files that are written once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from semiseg.config.plan import Entry, Plan
from semiseg.core.scores import Scores, read_scores
from semiseg.training import run_folder
from semiseg.training.build import build, go_on_from, start_from_run
from semiseg.training.data import TrainingData
from semiseg.training.fitting import fit
from semiseg.training.labeling.second import remove_probabilities
from semiseg.training.module import TrainingModule
from semiseg.training.place import Place
from semiseg.training.release import release
from semiseg.training.second_stage import as_begun, settle
from semiseg.training.stage import Stage
from semiseg.training.stage_labels import images_of, label_for, labeling_seconds, open_stage_teacher
from semiseg.training.stored_labels import prepare_labels, store_of
from semiseg.training.watching import Watcher

logger = logging.getLogger(__name__)


def train_stages(
    stages: Sequence[Stage],
    plan: Plan,
    place: Place,
    data: TrainingData,
    resume: bool,
    watcher: Watcher | None = None,
) -> None:
    """Train the earlier stages of a run, all but those that are finished.

    Args:
        stages: all stages of the run; the last one is left to the caller.
        plan: the plan of the run.
        place: the device, and the rank of this process.
        data: the images of the run.
        resume: the run continues.
        watcher: is shown each validation.

    Raises:
        SemisegError: an image could not be read, or a file not written.
        Interrupted: the user stopped the training.
    """
    for stage in stages[:-1]:
        if resume and run_folder.finished(stage.config.out) is not None:
            logger.info("%s is finished", stage.title)
        else:
            _train_stage(stage, plan, place, data, resume, watcher)
    if stages[:-1]:
        logger.info("%s", stages[-1])


def _train_stage(
    stage: Stage,
    plan: Plan,
    place: Place,
    data: TrainingData,
    resume: bool,
    watcher: Watcher | None,
) -> None:
    """Train one stage in its own run folder; its settings follow from those of the run."""
    logger.info("%s", stage)
    resume = resume and run_folder.exists(stage.config.out)
    if stage.is_second and resume:
        stage = as_begun(stage)
    config, first = stage.config, place.rank == 0
    checkpoint, start = None, 0
    if resume:
        classes = data.folder.classes
        checkpoint, start = run_folder.find_checkpoint(config.out, data.split, classes)
    own = images_of(stage, data, place)
    store, make_labels = store_of(config, own), None
    if store is not None and first:
        open_teacher = partial(open_stage_teacher, stage, data)
        make_labels = prepare_labels(
            config, own, store, resume, checkpoint is not None, open_teacher
        )
    start_from = config.network.start_from
    module = build(config, own, pretrained=checkpoint is None and start_from is None)
    if checkpoint is None and start_from is not None:
        start_from_run(config, module)
    if stage.is_second and checkpoint is None:
        stage = settle(stage, own, module, begun=resume)
        config = stage.config
    if first and not resume:
        run_folder.create(config, _plan_of(stage, plan), data.split, data.folder.classes)
    module.labels_sha256 = label_for(stage, store, make_labels, data)
    if checkpoint is None and stage.goes_on:
        go_on_from(stage.before(), module)
    fit(stage, place, own._replace(labels=store), module, checkpoint, start, watcher)
    if first:
        release(config, own, module, second=stage.second_folder)


def _plan_of(stage: Stage, plan: Plan) -> Plan:
    """The plan of a stage: the entries of the run's plan that the stage has, with its values."""
    values = stage.config.values()
    run_values = stage.run.values()
    entries = tuple(
        Entry(e.setting, values[e.setting], e.source, e.reason)
        if values[e.setting] == run_values[e.setting]
        else Entry(e.setting, values[e.setting], "default", f"for {stage.title}")
        for e in plan.entries
        if e.setting in values and e.setting != "steps"
    )
    steps = Entry("steps", values["steps"], "default", f"{stage.title} of the run {stage.run.out}")
    return Plan(stage.config, (*entries, steps), plan.warnings, None)


def release_run(stages: Sequence[Stage], data: TrainingData, module: TrainingModule) -> Scores:
    """Release the model of the last stage, or of a first one on labeled images.

    It has to be better on `val` by more than one standard error, see `evaluation.choice`. The
    scores count the steps and seconds of all stages.

    Args:
        stages: all stages of the run.
        data: the images.
        module: the trained module of the last stage.

    Raises:
        RunError: the files of an earlier stage cannot be read.
    """
    config, first, second = stages[-1].run, stages[0], stages[-1].second_folder
    earlier = [read_scores(stage.config.out / run_folder.SCORES) for stage in stages[:-1]]
    between = 0.0
    if second is not None:
        between = read_scores(second / run_folder.SCORES).seconds
        remove_probabilities(second)
    return release(
        config,
        data,
        module,
        earlier,
        labeling_seconds(config.out),
        between,
        first.config.out if first.labeled_only else None,
        second,
    )
