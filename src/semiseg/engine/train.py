"""`train`: from a data folder to a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from semiseg.types import Run


def train(
    data: Path,
    *,
    method: str = "css",
    labels: str = "all",
    out: Path | None = None,
    steps: int = 1000,
    seed: int = 0,
    split_seed: int = 0,
    classes: Path | None = None,
    size: int | None = None,
    crop: int | None = None,
    batch: int = 4,
    accumulate: int = 1,
    encoder: str = "tf_efficientnet_lite0",
    decoder: str = "deeplabv3plus",
    weights: str = "auto",
    optimizer: Literal["adamw", "sgd"] = "adamw",
    lr: float | None = None,
    encoder_lr: float | None = None,
    weight_decay: float = 1e-2,
    lr_warmup: float = 0.05,
    looks: int = 5,
    workers: int | None = None,
    threads: int | None = None,
    accelerator: str = "auto",
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true",
    overwrite: bool = False,
    **options: object,
) -> Run:
    """Train a segmentation model from a few labelled and many unlabelled images.

    Args:
        data: the data folder, with `train/images`, `train/masks`, `val/...` and `unlabeled/`.
        method: how to train, `css` or `supervised`.
        labels: masks to use, the others are hidden. `all`, a number, a share (`0.1`, `10%`, `1/8`)
            or a file with a name a line.
        out: the run folder to write; `runs/METHOD` if not given.
        steps: optimiser steps.
        seed: seed of all random draws but the choice of labels.
        split_seed: seed of the choice of labels and of held-out validation images.
        classes: a YAML file with the classes, instead of `classes.yaml` in the data folder.
        size: short side that images are scaled to, in pixels; from the data if not given.
        crop: side of the square training crops, in pixels; from the size if not given.
        batch: labelled images a batch; as many unlabelled ones beside them.
        accumulate: batches a step; memory is that of one batch.
        encoder: an encoder of segmentation-models-pytorch or a model of timm.
        decoder: `deeplabv3plus`, `fpn`, `upernet` or `segformer`.
        weights: encoder weights, `auto` (offline package, else hub), `hub`, `none` or a file.
        optimizer: `adamw`, or `sgd` with Nesterov momentum.
        lr: learning rate of decoder and heads; the optimiser's default if not given.
        encoder_lr: learning rate of the encoder; the optimiser's default if not given.
        weight_decay: weight decay, biases and batch norm spared.
        lr_warmup: share of the steps over which the learning rates rise.
        looks: validations, evenly spread; the last one after the last step.
        workers: processes that load images; from the device if not given.
        threads: CPU threads of the network; torch's default if not given.
        accelerator: Lightning's accelerator, `auto`, `cpu`, `gpu` or `mps`.
        precision: Lightning's precision.
        overwrite: replace an existing run folder.
        options: settings of the method by name, see its class in `semiseg.methods`.

    Returns:
        The run folder and its scores.

    Raises:
        SemisegError: something is wrong with the data, a setting or the run folder; the message
            says what to do, and an existing run folder is as it was.
    """
    given = {k: v for k, v in locals().items() if k not in ("options", "overwrite")}
    # Imported here, so that `semiseg --help` need not wait for torch.
    from semiseg.data.folder import open_folder
    from semiseg.data.splits import make_split
    from semiseg.engine import run_folder, session
    from semiseg.methods import method_class
    from semiseg.plan import make_plan

    learner = method_class(method)
    session.check(given, learner, options)
    out = Path(out or f"runs/{method}")
    run_folder.check(out, overwrite)
    folder = open_folder(Path(data), None if classes is None else Path(classes))
    split = make_split(folder, str(labels), split_seed)
    device, threads = session.set_device(accelerator, threads)
    plan = make_plan(split.labeled, device == "cpu", size, crop, workers)
    session.say([*folder.notes, *split.notes, *plan.reasons])
    student = session.build_student(len(folder.classes), seed, encoder, decoder, weights)
    module = session.build_module(
        session.build_method(learner, student, options),
        folder.classes.names,
        steps=steps,
        seed=seed,
        optimizer=optimizer,
        lr=lr,
        encoder_lr=encoder_lr,
        weight_decay=weight_decay,
        lr_warmup=lr_warmup,
    )
    resolved = {
        **given,
        "out": out,
        "size": plan.size,
        "crop": plan.crop,
        "workers": plan.workers,
        "threads": threads,
        "lr": module.lr,
        "encoder_lr": module.encoder_lr,
    }
    run_folder.create(out, {**resolved, **options}, split)
    seconds = session.fit(
        module,
        session.training_loader(
            split, folder.classes, plan, batch, steps * accumulate, seed, learner
        ),
        session.validation_loader(split, folder.classes, plan),
        out=out,
        looks=looks,
        accumulate=accumulate,
        accelerator=accelerator,
        precision=precision,
    )
    scores = run_folder.finish(out, module, folder.classes, plan.size, split, split_seed, seconds)
    return Run(out, scores)
