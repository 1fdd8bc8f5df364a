"""The settings that all trainings share, in groups: steps, views, rates, scores, the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from semiseg.config.durations import parse_duration
from semiseg.config.methods.base import Photometry
from semiseg.config.settings import (
    AUTO,
    Auto,
    Bounds,
    Count,
    NonNegative,
    PositiveInt,
    Settings,
    Share,
    decided,
)
from semiseg.core.errors import ConfigError, SettingError

MIN_SIDE = 32
"""The smallest working size and crop, in pixels."""

Side: TypeAlias = Annotated[int, Bounds(MIN_SIDE)]

Optimizer: TypeAlias = Literal["adamw", "sgd"]

ClassWeights: TypeAlias = Literal["none", "sqrt", "inverse", "effective"]

Precision: TypeAlias = Literal["32-true", "bf16-mixed", "16-mixed"]

Logger: TypeAlias = Literal["csv", "tensorboard", "wandb", "mlflow"]


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(Settings):
    """How long the training is and how many images one step sees."""

    steps: PositiveInt | Auto = AUTO
    """The number of optimizer steps. `auto` means 1000 on a CPU (400 if a vision transformer is
    trained there), and on a GPU 1000 at size 240 and more with the square of the size; 1.5 times as
    many for css-stored, whose steps are shorter. If the plan chooses `supervised` itself, it takes
    2.7 times as many, which last as long as those of css."""
    budget: str | None = None
    """The time for the whole training, such as `10m`, `2h`, `1h30m` or `1d`. semiseg measures a few
    steps and chooses the image size, the number of steps and, on a GPU, the batch size that fit.
    Settings that you give stay as they are."""
    seed: Count = 0
    """The seed of all random draws except the choice of labeled images."""
    batch: PositiveInt | Auto = AUTO
    """The number of labeled images in one batch, summed over all devices. Each batch has the same
    number of unlabeled images. `auto` means 4, or two for each device where that is more; on a GPU,
    a `--budget` may choose 8 or 16."""
    accumulate: PositiveInt = 1
    """The number of batches in one optimizer step. They need the memory of one batch."""

    @property
    def step_images(self) -> int:
        """The labeled images of an optimizer step, on all devices; it draws as many unlabeled ones.

        Only for settings as planned.
        """
        return self.accumulate * decided(self.batch)

    @property
    def drawn_images(self) -> int:
        """The labeled images that all steps draw, and as many unlabeled ones; see `step_images`."""
        return decided(self.steps) * self.step_images

    def check(self) -> None:
        """Batch norm needs two images, and a budget must be a time."""
        if self.batch == 1:
            raise SettingError(
                "batch",
                1,
                allowed="2 or more, since batch norm needs two images; a smaller --crop saves "
                "memory",
                flag="--batch",
            )
        if self.budget is not None:
            parse_duration(self.budget)


@dataclass(frozen=True, kw_only=True)
class ViewConfig(Settings):
    """Which part of an image a step sees, and how its colors change."""

    size: Side | Auto = AUTO
    """The short side, in pixels, that images are scaled to. `auto` means that of the images, but at
    most 240 on a CPU and 512 on a GPU; with a `--budget`, at most 512 and 768."""
    crop: Side | Auto = AUTO
    """The side of the square training crops, in pixels. With `auto`, it is the largest multiple of
    32 within the size; for a vision transformer, of its patch and 4."""
    scale: tuple[float, float] = (0.75, 1.5)
    """The range of the random factor on the size. The paper begins at 0.5; at the small crops of a
    CPU, three quarters of such a view would be padding."""
    photometry: Photometry | Auto = AUTO
    """The color changes of unlabeled images: `mild`; those of the program of the CSS `paper`; the
    `strong` ones of ST++ and UniMatch, which may also turn an image gray; or one to three changes
    of `random` kind and intensity (AugSeg). `auto` means those of the method, `mild` for most."""

    def check(self) -> None:
        """Both scale factors are above 0, the smaller one first."""
        if not 0 < self.scale[0] <= self.scale[1]:
            raise SettingError(
                "scale",
                self.scale,
                allowed="two factors above 0, the smaller one first",
                flag="--scale",
            )


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Settings):
    """The optimizer and its learning rates."""

    optimizer: Optimizer = "adamw"
    """`adamw`, or `sgd` with Nesterov momentum."""
    lr: NonNegative | Auto = AUTO
    """The learning rate of the decoder and the heads. `auto` means 0.006 with AdamW, 0.002 beside a
    vision transformer, and 0.01 with SGD."""
    encoder_lr: NonNegative | Auto = AUTO
    """The learning rate of the encoder. `auto` means 0.001. For a vision transformer with AdamW, it
    means 0.00005; with `--encoder-training last-N` 0.0001, and with `norms` or `lora` 0.001."""
    layer_decay: Annotated[float, Bounds(0, 1, low_open=True)] | Auto = AUTO
    """The factor on the encoder's learning rate from each block of a vision transformer, or stage
    of another encoder, to the one before; the last one has `--encoder-lr`. `auto` means 0.9 if a
    whole vision transformer is trained, and otherwise 1, the same rate everywhere."""
    weight_decay: NonNegative = 1e-2
    """The weight decay. It does not apply to biases and norms, nor to the positions and the extra
    tokens of a vision transformer."""
    lr_warmup: Annotated[float, Bounds(0, 1, high_open=True)] = 0.05
    """The share of the steps over which the learning rates rise from 0."""


@dataclass(frozen=True, kw_only=True)
class BalanceConfig(Settings):
    """What the training does about classes of unequal size."""

    class_weights: ClassWeights = "sqrt"
    """How much a pixel counts, by the frequency of its class in the labeled images: `none` (all
    equal), `inverse` frequency, its square root (`sqrt`), or the `effective` number of pixels.
    After the training, semiseg subtracts a share of these weights from the logits: the share with
    the best mIoU on val."""
    ohem: Share = 0.0
    """Online hard example mining: the loss on labeled images uses only pixels whose true class has
    a probability of at most 0.7, but at least this share of the batch. 0 uses all pixels."""
    dice: NonNegative = 0.0
    """The weight of a Dice term that is added to the loss on labeled images."""
    rare_crops: Share = 0.0
    """The share of labeled crops that are centered on a pixel of a rare class (class-aware
    sampling). The class is drawn with a probability inverse to its number of pixels."""

    def check(self) -> None:
        """OHEM and class weights both choose what counts."""
        if self.ohem and self.class_weights != "none":
            raise ConfigError(
                "--ohem and --class-weights both choose which labeled pixels count, so only one of "
                "them can be used. Add --class-weights none, or leave --ohem out."
            )


@dataclass(frozen=True, kw_only=True)
class ValidationConfig(Settings):
    """When the training is validated, and what is recorded then."""

    validations: PositiveInt | Auto = AUTO
    """The number of validations, evenly spread; the last one comes after the last step. `auto`
    means 5."""
    diagnostics: bool = True
    """At each validation, measure the quality of the pseudo-labels of some unlabeled images, and
    draw them at the end. If their masks are only hidden, semiseg compares with these masks."""


@dataclass(frozen=True, kw_only=True)
class MachineConfig(Settings):
    """Where the training runs."""

    workers: Count | Auto = AUTO
    """The number of processes that load images. `auto` means 1 on a CPU and 8 on a GPU, but at most
    one fewer than there are cores."""
    threads: PositiveInt | Auto = AUTO
    """CPU threads of the network. With `auto`, it is PyTorch's own number: that of the cores."""
    accelerator: str = AUTO
    """The device: `cpu`, `gpu`, `mps` or any accelerator of Lightning. `auto` takes a GPU if there
    is one."""
    devices: PositiveInt = 1
    """The number of devices of this machine that train together and share each batch."""
    num_nodes: PositiveInt = 1
    """The number of machines that train together, each with the same number of devices."""
    precision: Precision | Auto = AUTO
    """The precision of the computation. `auto` means `bf16-mixed` on a GPU that computes with
    bfloat16, and `32-true` elsewhere."""

    @property
    def world(self) -> int:
        """The number of devices that train together (world size)."""
        return self.devices * self.num_nodes


@dataclass(frozen=True, kw_only=True)
class RunConfig(Settings):
    """Where the results go."""

    out: Path | Auto = AUTO
    """The run folder to write. `auto` means `runs/METHOD`, so `runs/auto` without `--method`."""
    logger: tuple[Logger, ...] = ("csv",)
    """Where losses and scores are logged: `csv`, `tensorboard`, `wandb`, `mlflow`, or several with
    commas between them. All but `csv` need an extra of the same name."""
