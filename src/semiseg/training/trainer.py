"""The training from top to bottom: read the data, plan, build, fit, release."""

from __future__ import annotations

import logging
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from semiseg.config.plan import Plan, make_plan
from semiseg.config.settings import AUTO, decided
from semiseg.config.train import TrainConfig
from semiseg.core import console
from semiseg.core.errors import ConfigError, HubError, Interrupted, closest
from semiseg.core.run_names import REPORT
from semiseg.core.scores import Scores, Timing
from semiseg.core.text import duration
from semiseg.model.hub_models import pinned
from semiseg.model.metadata import WeightsRecord
from semiseg.training import run_folder
from semiseg.training.build import build, go_on_from, start_from_run
from semiseg.training.cost import CostEstimate, estimate_stages
from semiseg.training.data import TrainingData, gather_facts, read_data
from semiseg.training.devices import alone, set_device
from semiseg.training.encoder import choose_encoder
from semiseg.training.failures import (
    check_main_module,
    end_with_parent,
    explained,
    explained_trial,
)
from semiseg.training.feature_planning import plan_features
from semiseg.training.fitting import fit
from semiseg.training.loggers import check_loggers
from semiseg.training.module import TrainingModule
from semiseg.training.pace_memory import key_of, memory_file, recall_timing, remember_timing
from semiseg.training.place import Place, part_of
from semiseg.training.planning import prepare
from semiseg.training.profiling import measure_pace, measure_timing
from semiseg.training.release_notes import (
    compare_with_start,
    describe_adjustment,
    describe_first_stage,
)
from semiseg.training.run_lock import lock_run
from semiseg.training.second_stage import load_second, second_stages
from semiseg.training.stage import stages_of
from semiseg.training.stage_labels import images_of, label_for, open_stage_teacher
from semiseg.training.stage_notes import describe_start, log_middle_stages
from semiseg.training.stages import release_run, train_stages
from semiseg.training.start_weights import confirm_weights, note_weights
from semiseg.training.stored_labels import prepare_labels, store_of
from semiseg.training.watching import Watcher

logger = logging.getLogger(__name__)


class Run(NamedTuple):
    """A finished training.

    Attributes:
        folder: the run folder.
        scores: the contents of its `scores.json`.
    """

    folder: Path
    scores: Scores

    def text(self) -> str:
        """The folder, the scores, and the report if there is one."""
        page = self.folder / REPORT
        return f"{self.folder}: {self.scores.summary()}" + f"; see {page}" * page.is_file()


def train(
    config: TrainConfig,
    *,
    overwrite: bool = False,
    resume: bool = False,
    watcher: Watcher | None = None,
) -> Run:
    """Train a segmentation model and write the run folder, all but its report.

    Args:
        config: the settings.
        overwrite: replace an existing run folder.
        resume: continue a training that was stopped or killed, from its newest checkpoint and with
            its settings. On a CPU the result is that of an uninterrupted training, bit by bit.
            Without such a training, a new one starts.
        watcher: is shown each validation.

    Raises:
        SemisegError: the data, a setting or the run folder cannot be used. The message says what
            to do; an existing run folder is unchanged.
        Interrupted: Ctrl-C or SIGTERM stopped the training; it can be resumed.
    """
    check_main_module()
    if resume and overwrite:
        raise ConfigError("--resume and --overwrite contradict each other; choose one of them.")
    run_folder.check_whole(config.out)
    if resume and not run_folder.exists(config.out):
        _describe_new_run(config.out)
        resume = False
    if resume:
        config = run_folder.resumed_config(config)
        if (scores := run_folder.finished(config.out)) is not None:
            logger.info("%s is finished: there is nothing to resume", config.out)
            return Run(config.out, scores)
    elif config.network.start_from is not None:
        config = config.replaced(start_from=pinned(config.network.start_from))
    check_loggers(config.run.logger)
    place = _choose_place(config)
    first = place.rank == 0
    with lock_run(config.out) if first else nullcontext():
        return _train(config, place, overwrite, resume, watcher)


def _train(
    config: TrainConfig, place: Place, overwrite: bool, resume: bool, watcher: Watcher | None
) -> Run:
    """Train in a run folder that no other process trains in; see `train`."""
    first = place.rank == 0
    if not first:
        console.silence()
        end_with_parent()
    with explained(config.data.data, config.out):
        if first and not resume:
            run_folder.check_writable(config.out, overwrite)
        request = config.network
        config, place, data, plan = prepare(config, place, resume, measure_pace)
        checkpoint, start = None, 0
        if resume:
            classes = data.folder.classes
            checkpoint, start = run_folder.find_checkpoint(config.out, data.split, classes)
            if first:
                run_folder.note_pool(config, data.split)
        else:
            _log_plan(plan)
        stages = stages_of(config, unlabeled=bool(data.unlabeled))
        own = images_of(stages[-1], data, place)
        store, make_labels = store_of(config, own), None
        if store is not None and first:
            open_teacher = partial(open_stage_teacher, stages[-1], data) if stages[:-1] else None
            begun = checkpoint is not None
            make_labels = prepare_labels(config, own, store, resume, begun, open_teacher)
        module = _build(stages[-1].config, own, checkpoint)
        if checkpoint is None:  # else it holds the weights
            weights = module.method.student.weights_record
            config = confirm_weights(config, weights)
            plan = note_weights(plan, config, weights)
        judge = second_stages(config, place.kind, bool(data.unlabeled))
        if resume:
            logger.info("%s", describe_start([*judge, *stages]))
        else:
            for stage in judge:
                _log_weights(load_second(stage), "weights of the second encoder")
            config = plan_features(config, request, data, module.method.student)
        if first and not resume:
            run_folder.create(config, plan, data.split, data.folder.classes)
        # The weights and the cached features of all stages are decided by now.
        stages = stages_of(config, unlabeled=bool(data.unlabeled))
        judge = second_stages(config, place.kind, bool(data.unlabeled))
        # All processes know of a stop; the first one reports it.
        with nullcontext() if first else suppress(Interrupted):
            train_stages([*judge, *stages], plan, place, data, resume, watcher)
            module.labels_sha256 = label_for(stages[-1], store, make_labels, data)
            make_labels = None  # it holds the teacher's model
            if checkpoint is None and stages[-1].goes_on:
                go_on_from(stages[-1].before(), module)
            own = own._replace(labels=store)
            fit(stages[-1], place, own, module, checkpoint, start, watcher)
        scores = release_run(stages, data, module) if first else None
    if scores is None:  # this process was started for the training only
        raise SystemExit(0)
    for sentence in (describe_first_stage(scores), describe_adjustment(scores)):
        if sentence:
            logger.info("%s", sentence)
    if module.outcome is not None:
        images = [sample.name for sample in data.split.val]
        log_middle_stages(stages, scores, module.outcome.counts, images)
    start_from = config.network.start_from
    if start_from is not None and (sentence := compare_with_start(start_from, scores)):
        logger.info("%s", sentence)
    return Run(config.out, scores)


def _describe_new_run(out: Path) -> None:
    """Say that there is nothing to resume, and warn if an unfinished run has a similar name."""
    folders = [path.parent for path in out.parent.glob(f"*/{run_folder.CONFIG}")]
    unfinished = [one.name for one in folders if not (one / run_folder.SCORES).is_file()]
    similar = closest(out.name, unfinished, likeness=0.8)
    if similar is None:
        logger.info("%s holds no run to resume, so a new training starts", out)
    else:
        logger.warning(
            "%s holds no run to resume, so a new training starts. Did you mean %s?",
            out,
            out.parent / similar,
        )


def plan_training(config: TrainConfig) -> Plan:
    """What `train` would do, with reasons. Nothing is trained; with a budget a few steps are timed.

    Raises:
        SemisegError: the data or a setting cannot be used.
    """
    place = _choose_place(config)
    with explained_trial():
        return prepare(config, place, measure=measure_pace).plan


def estimate_training(config: TrainConfig) -> CostEstimate:
    """What a training would cost, from a few small steps on one device; nothing is written.

    If the encoder's weights cannot be fetched, random weights are used.

    Raises:
        SemisegError: the data or a setting cannot be used.
    """
    place = set_device(alone(config.machine))
    with explained_trial():
        request = config.network
        # The plan is for all devices, the steps are taken on one.
        config, _, data, plan = prepare(
            config, place._replace(world=config.machine.world), measure=measure_pace
        )
        _log_plan(plan)
        try:
            return estimate_stages(config, request, data, place)
        except HubError as error:
            logger.warning("%s The dry run continues with random weights.", error)
            random = {"weights": "none"}
            if config.settings.second_network is not None:
                random["second_weights"] = "none"
            return estimate_stages(config.replaced(**random), request, data, place)


def with_encoder(config: TrainConfig) -> TrainConfig:
    """The settings with the encoder that suits the device, where they leave it open.

    Raises:
        ConfigError: the device cannot be used, or there is no such encoder.
    """
    return config.replaced(encoder=choose_encoder(config, _choose_place(config)).name)


def time_training(config: TrainConfig) -> Timing:
    """The seconds of a step and of a validation of a training, measured on a few steps.

    What was measured within the last hour counts; see `pace_memory`.

    Raises:
        SemisegError: the data or a setting cannot be used.
    """
    with explained_trial():
        plan, data, place = _plan_quietly(config)
        # Only a second network takes time that depends on the number of steps.
        same = {} if config.settings.second_network is not None else {"steps": 1}
        key = key_of([plan.config.replaced(**same)], data, place, "timing")
        if (remembered := recall_timing(key)) is not None:
            timing, age = remembered
            logger.info(
                "the speed of %s was measured %s ago and counts for an hour. To measure it again, "
                "delete %s",
                *(config.method, duration(age), memory_file()),
            )
            return timing
        timing = measure_timing(plan.config, data, place)
        remember_timing(key, timing)
        return timing


def planned_size(config: TrainConfig) -> int:
    """The working size of the images of a training, as its plan chooses it, in pixels.

    Raises:
        SemisegError: the data or a setting cannot be used.
    """
    with explained_trial():
        return decided(_plan_quietly(config)[0].config.views.size)


def _plan_quietly(config: TrainConfig) -> tuple[Plan, TrainingData, Place]:
    """The plan of one of several trainings, with its images; nothing is logged."""
    place = _choose_place(config)
    encoder = choose_encoder(config, place)
    data = read_data(config).used_by(config.settings)
    return make_plan(config, gather_facts(config, data, place, encoder, resume=True)), data, place


def _choose_place(config: TrainConfig) -> Place:
    """The device and the rank of this process.

    Raises:
        ConfigError: the device cannot be used, or the batch cannot be shared by all devices.
    """
    place = set_device(config.machine)
    if config.schedule.batch != AUTO:
        part_of(config.schedule.batch, place)
    return place


def _log_plan(plan: Plan) -> None:
    for sentence in plan.summary():
        logger.info("%s", sentence)
    for sentence in plan.warnings:
        logger.warning("%s", sentence)


def _build(config: TrainConfig, data: TrainingData, checkpoint: Path | None) -> TrainingModule:
    """The module with the weights to start from, unless a checkpoint holds them."""
    start_from = config.network.start_from
    pretrained = checkpoint is None and start_from is None
    module = build(config, data, pretrained)
    if checkpoint is None:
        if start_from is not None:
            logger.info("%s", start_from_run(config, module))
        _log_weights(module.method.student.weights_record, "weights")
    return module


def _log_weights(weights: WeightsRecord, title: str) -> None:
    """Log where weights come from, with their license."""
    logger.info("%s: %s", title, weights.describe())
    if warning := weights.license_warning():
        logger.warning("%s", warning)
