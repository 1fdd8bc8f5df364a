"""The network, the method and the Lightning module of a training."""

from __future__ import annotations

from pathlib import Path

import torch

from semiseg.config.settings import decided
from semiseg.config.train import TrainConfig
from semiseg.core.rng import Key
from semiseg.methods import build_method
from semiseg.model.encoder_training import save_memory, train_part
from semiseg.model.network import Network
from semiseg.model.release import load_release
from semiseg.model.weights import record_run
from semiseg.training.class_balance import set_loss
from semiseg.training.data import TrainingData
from semiseg.training.module import TrainingModule


def build(config: TrainConfig, data: TrainingData, pretrained: bool = True) -> TrainingModule:
    """Build the student, the method with its losses, and the module that trains them.

    Args:
        config: the settings, as planned.
        data: the images.
        pretrained: load the encoder's pretrained weights; not needed where a checkpoint or a
            finished run replaces them.

    Raises:
        ConfigError: the encoder, the decoder or the weights cannot be used.
    """
    classes = data.folder.classes.names
    Key.of(config.schedule.seed, "weights").seed_globals()
    network, reading = config.network, config.data.reading
    student = Network(
        len(classes),
        network.encoder,
        network.decoder,
        network.weights if pretrained else "none",
        heads=network.heads,
        output_stride=network.output_stride,
        atrous_rates=network.atrous_rates,
        drop_path=decided(network.drop_path),
        channels=reading.channels,
        colors=reading.color_channels,
    )
    train_part(student, network.trained_part, network.lora_rank)
    if network.gradient_checkpointing:
        save_memory(student)
    student.set_crop(decided(config.views.crop))
    method = build_method(config.method, student, config.settings)
    module = TrainingModule(
        method,
        classes,
        decided(config.schedule.steps),
        Key.of(config.schedule.seed),
        config.optimizer,
    )
    module.to(memory_format=torch.channels_last)
    set_loss(method, config.balance, data.pixels)
    return module


def go_on_from(run: Path, module: TrainingModule) -> None:
    """Load the released weights of the stage before, without their logit adjustment.

    Args:
        run: the run folder of that stage.
        module: the module of the next stage. Where the weights of its encoder came from at first
            stays noted.

    Raises:
        RunError: the folder holds no model that can be read.
    """
    module.method.start_from(load_release(run), module.names)


def start_from_run(config: TrainConfig, module: TrainingModule) -> str:
    """Load the weights of the finished run that the settings name.

    Returns:
        A sentence that says what differs from that run.

    Raises:
        RunError: the folder holds no model that can be read.
        ConfigError: the run has another encoder, decoder or number of channels, or the settings
            name no run.
    """
    run = config.network.start_from
    if run is None:
        raise ValueError("the settings name no run to start from")
    release = load_release(run)
    new_classes = module.method.start_from(release, module.names)
    student = module.method.student
    student.weights_record = record_run(student.encoder, run, release.metadata.weights)
    sentence = f"starting from {run}"
    if new_classes:
        sentence += f"; new classes: {', '.join(new_classes)}"
    size, old_size = decided(config.views.size), release.metadata.first_size
    if old_size != size:
        sentence += (
            f"; it was trained at size {old_size}, this run is at {size} (--size {old_size} keeps "
            "it)"
        )
    before, now = release.metadata.reading, config.data.reading
    old, new = before.value_range or (0, 65535), now.value_range or (0, 65535)
    if tuple(old) != tuple(new):
        sentence += (
            f"; its images of 16 bits were read with the range {old[0]:g},{old[1]:g}, those of "
            f"this run are read with {new[0]:g},{new[1]:g} (--range={old[0]:g},{old[1]:g} keeps it)"
        )
    if before.ranges and before.ranges != now.ranges and before.channels == now.channels:
        ranges = ",".join(f"{end:g}" for ends in before.ranges for end in ends)
        sentence += (
            f"; its bands were read with other ranges than those of this run (--range={ranges} "
            "keeps them)"
        )
    if before.bands != now.bands:
        bands = ",".join(map(str, before.bands or ()))
        sentence += f"; it read the bands {bands} (--bands {bands} keeps them)" if bands else ""
    return sentence
