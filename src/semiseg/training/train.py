"""`train`: from a data folder to a run folder."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from semiseg.core.errors import ConfigError, Interrupted
from semiseg.core.types import Run


def train(
    data: Path,
    *,
    dataset: str | None = None,
    method: str = "css",
    labels: str = "all",
    out: Path | None = None,
    steps: int | None = None,
    budget: str | None = None,
    seed: int = 0,
    split_seed: int = 0,
    classes: Path | None = None,
    range: tuple[float, float] | None = None,
    size: int | None = None,
    crop: int | None = None,
    scale: tuple[float, float] = (0.75, 1.5),
    photometry: Literal["mild", "paper"] = "mild",
    batch: int | None = None,
    accumulate: int = 1,
    encoder: str = "tf_efficientnet_lite0",
    decoder: str = "deeplabv3plus",
    heads: Literal["shared", "paper"] = "shared",
    output_stride: int | None = None,
    atrous_rates: tuple[int, int, int] | None = None,
    weights: str = "auto",
    init: Path | None = None,
    optimizer: Literal["adamw", "sgd"] = "adamw",
    lr: float | None = None,
    encoder_lr: float | None = None,
    weight_decay: float = 1e-2,
    lr_warmup: float = 0.05,
    class_weights: Literal["none", "sqrt", "inverse", "effective"] = "sqrt",
    ohem: float = 0.0,
    dice: float = 0.0,
    rare_crops: float = 0.0,
    looks: int | None = None,
    diagnostics: bool = True,
    workers: int | None = None,
    threads: int | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true",
    overwrite: bool = False,
    resume: bool = False,
    **options: object,
) -> Run:
    """Train a segmentation model from a few labeled and many unlabeled images.

    Args:
        data: the data folder, with `train/images`, `train/masks`, `val/...` and `unlabeled/`.
        dataset: the data set in its official tree, such as `voc-blender` or `cityscapes`; `folder`
            for none. Recognized by its content if not given.
        method: how to train: `supervised`, `mean_teacher`, `cutmix`, `contrastive`, `css`, or
            `css-paper` and `css-program`, which are `css` with other defaults.
        labels: masks to use, the others are hidden. `all`, a number, a share (`0.1`, `10%`, `1/8`)
            or a file with a name a line.
        out: the run folder to write; `runs/METHOD` if not given.
        steps: optimizer steps; 1000 on a CPU if not given, see `semiseg plan`.
        budget: time for the whole training, such as `10m`, `2h`, `1h30m` or `1d`. The size, the
            steps and, on a GPU, the batch that it pays for are found from a few steps that are
            measured first; what is given beside it stays.
        seed: seed of all random draws but the choice of labels.
        split_seed: seed of the choice of labels and of held-out validation images.
        classes: a YAML file with the classes, instead of `classes.yaml` in the data folder.
        range: the values that are black and white in images of more than 8 bits, such as
            `[0, 4095]`; if not given, those that gray images of 16 bits span, or the range of the
            type where that is less than twice as wide.
        size: short side that images are scaled to, in pixels; from the data if not given.
        crop: side of the square training crops, in pixels; from the size if not given.
        scale: range of the random factor on the size. The paper's 0.5 would show a quarter image
            and three quarters padding at laptop crops.
        photometry: color changes of unlabeled images, `mild`, or as in the `paper`'s program.
        batch: labeled images a batch, of all devices together, 4 if not given; as many unlabeled
            ones beside them.
        accumulate: batches a step; memory is that of one batch.
        encoder: an encoder of segmentation-models-pytorch or a model of timm.
        decoder: `deeplabv3plus`, `fpn`, `upernet` or `segformer`.
        heads: `shared`, 1x1 convolutions on the decoder's last one; or `paper`, a 3x3 convolution
            of 256 channels each on DeepLabV3+'s concatenation, as in the paper.
        output_stride: of the encoder in DeepLabV3+, 8 or 16; 16 if not given.
        atrous_rates: the rates of DeepLabV3+'s pyramid, `[6, 12, 18]` if not given.
        weights: encoder weights, `auto` (offline package, else hub), `hub`, `none` or a file.
        init: a finished run to start from, to go on after labeling more; its encoder and decoder
            are needed, its classes are matched by name, and others may be added.
        optimizer: `adamw`, or `sgd` with Nesterov momentum.
        lr: learning rate of decoder and heads; the optimizer's default if not given.
        encoder_lr: learning rate of the encoder; the optimizer's default if not given.
        weight_decay: weight decay, biases and batch norm spared.
        lr_warmup: share of the steps over which the learning rates rise.
        class_weights: weights of the classes, by their pixels in the chosen masks: `none`, by the
            `inverse` or its square root (`sqrt`), or by their `effective` number. As much of them
            as is best on `val` is taken out of the released model's logits again.
        ohem: online hard example mining: this loss keeps pixels whose true class has a probability
            of at most 0.7, and at least this share of the batch; 0 for all pixels.
        dice: weight of a Dice term that is added to this loss.
        rare_crops: share of the labeled crops that are centered on a pixel of a class that is drawn
            by the inverse of its pixels.
        looks: validations, evenly spread, the last one after the last step; 5 if not given.
        diagnostics: at each look, judge the pseudo-labels of some unlabeled images, by their
            masks where these are only hidden; after the last one draw them.
        workers: processes that load images; from the device if not given.
        threads: CPU threads of the network; torch's default if not given.
        accelerator: Lightning's accelerator, `auto`, `cpu`, `gpu` or `mps`.
        devices: devices of this machine that train together; they share the batch.
        num_nodes: machines that train together, each with so many devices.
        precision: Lightning's precision.
        overwrite: replace an existing run folder.
        resume: go on with a training that was stopped or killed, from its newest checkpoint and
            with its settings; the result is that of an uninterrupted training, bit by bit on a CPU.
            Where there is none yet it is started.
        options: settings of the method by name, see its class in `semiseg.methods`.

    Returns:
        The run folder and its scores.

    Raises:
        SemisegError: something is wrong with the data, a setting or the run folder; the message
            says what to do, and an existing run folder is as it was.
        Interrupted: Ctrl-C was pressed or SIGTERM came; the training can be resumed.
    """
    settings = {k: v for k, v in locals().items() if k not in ("options", "overwrite", "resume")}
    # Imported here, so that `semiseg --help` need not wait for torch.
    from semiseg.training import run_folder, session

    settings["out"] = Path(out or f"runs/{method}")
    settings["labels"] = str(labels)
    if resume and overwrite:
        raise ConfigError("--resume and --overwrite contradict each other; choose one of them.")
    if resume and not run_folder.begun(settings["out"]):
        session.say([f"{settings['out']} holds no run to resume: it is started"])
        resume = False
    if resume:
        defaults = {name: p.default for name, p in inspect.signature(train).parameters.items()}
        own = session.method_settings(method)
        meant = {k: v for k, v in options.items() if k not in own or v != own[k]}
        settings["budget"] = None  # it was spent on the plan that the run began with
        settings, options = run_folder.resumed_settings(settings, defaults, meant)
        session.check_kinds(train, settings, options)
    return _train(SimpleNamespace(**settings), options, overwrite, resume)


def settings_of(data: Path, given: Mapping[str, Any]) -> tuple[SimpleNamespace, dict[str, Any]]:
    """All settings of `train` where some are given, and those of the method that are."""
    own = inspect.signature(train).parameters
    s = SimpleNamespace(**{k: given.get(k, p.default) for k, p in own.items() if k != "options"})
    s.data, s.labels, s.out = Path(data), str(s.labels), Path(s.out or f"runs/{s.method}")
    return s, {k: v for k, v in given.items() if k not in own}


def _train(s: SimpleNamespace, options: Mapping[str, Any], overwrite: bool, resume: bool) -> Run:
    """Train with all settings in one place; see `train`."""
    from semiseg.training import run_folder, session
    from semiseg.training.failures import explained
    from semiseg.training.orphan import end_with_parent
    from semiseg.training.parts import build, fit, settle_place

    if resume and (scores := run_folder.finished(s.out)) is not None:
        session.say([f"{s.out} is finished: there is nothing to resume"])
        return Run(s.out, scores)
    place = settle_place(s, options)
    if place.rank > 0:
        end_with_parent()
    scores = None
    with explained(s.data, s.out):
        if not resume and place.rank == 0:
            run_folder.check(s.out, overwrite)
        parts = build(s, options, place, resume)
        if not resume and place.rank == 0:
            settings = {**vars(s), **parts.options}
            run_folder.create(s.out, settings, parts.split, parts.folder.classes, parts.plan)
        # Of a stop all processes know; the first one tells of it.
        with suppress(Interrupted) if place.rank > 0 else nullcontext():
            fit(parts, s)
        if place.rank == 0:
            classes = parts.folder.classes
            scores = run_folder.finish(s.out, parts.module, classes, parts.split, s)
    if scores is None:  # it was started for the training alone
        raise SystemExit(0)
    session.say(run_folder.what_was_adjusted(scores))
    if s.init is not None:
        session.say(run_folder.what_it_began_with(Path(s.init), scores))
    return Run(s.out, scores)
