"""`TrainConfig`: all settings of a training in one typed object."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeAlias

from semiseg.config.bands import BandSettings, names_of
from semiseg.config.label_list import label_list
from semiseg.config.methods import (
    AutoSettings,
    MethodSettings,
    default_settings,
    method_hint,
    method_of_auto,
)
from semiseg.config.methods.base import Photometry
from semiseg.config.network import NetworkConfig
from semiseg.config.settings import (
    AUTO,
    Auto,
    Bounds,
    Count,
    NonNegative,
    PositiveInt,
    Settings,
    Share,
    Value,
    flag,
)
from semiseg.core.addresses import is_url
from semiseg.core.errors import ConfigError, SettingError, UnknownSettingError
from semiseg.core.files import is_file, relative_folder
from semiseg.core.types import Arrangement

MIN_SIDE = 32
"""The smallest working size and crop, in pixels."""

FREE = frozenset({"data", "out", "workers", "logger", "feature_disk"})
"""The settings that may change when a training is resumed; the result has the same bits."""
MOVABLE = frozenset({"unlabeled"})
"""The settings that may name another place when a training is resumed. Their images are compared
with those that the run began with."""

Side: TypeAlias = Annotated[int, Bounds(MIN_SIDE)]
Optimizer: TypeAlias = Literal["adamw", "sgd"]
ClassWeights: TypeAlias = Literal["none", "sqrt", "inverse", "effective"]
Precision: TypeAlias = Literal["32-true", "bf16-mixed", "16-mixed"]
Exif: TypeAlias = Literal["auto", "apply", "ignore"]
Outside: TypeAlias = Literal["auto", "background", "ignore"]
Logger: TypeAlias = Literal["csv", "tensorboard", "wandb", "mlflow"]


@dataclass(frozen=True, kw_only=True)
class ArrangedData(Settings):
    """Where the images and masks of a data folder lie, where a person says so."""

    images: Path | None = None
    """The folder of the images, where semiseg does not recognize it: relative to the data folder,
    or any path. It may hold the folders `train`, `val` and `test`. Needs --masks."""
    masks: Path | None = None
    """The folder of the masks, relative to the data folder, or any path. Name the folder of
    --images again if masks lie beside their images. Needs --images."""
    unlabeled: str | None = None
    """Further images without masks, instead of `unlabeled` in the data folder: a folder, or a pool
    of tar files in a folder or at an address such as `s3://bucket/pool`."""
    group: str | None = None
    """A regular expression that finds the patient, plot, drive or video in the name of an image,
    such as `^(.*?)_`. semiseg keeps the images of one group in one split."""

    exif: Exif = AUTO
    """How masks fit photographs that their EXIF data turn. With `apply`, the masks show the turned
    photographs. With `ignore`, they show the stored pixels, and semiseg turns the masks too. With
    `auto`, semiseg finds it out from the sizes and the areas of the masks."""

    tile: Count | Auto = AUTO
    """The side in pixels of the tiles in which semiseg reads large rasters; 0 reads each raster as
    one image. `auto` means 512 for maps of at least 1536 pixels along their short side, and no
    tiles for other images."""
    class_attribute: str | None = None
    """The attribute of polygons (GeoPackage, GeoJSON) that holds their classes, where semiseg does
    not recognize it."""
    outside: Outside = AUTO
    """The meaning of pixels that no polygon of a vector file covers: `background`, or `ignore`.
    `auto` means `background`, or `ignore` if polygons are drawn around the background."""

    @property
    def arrangement(self) -> Arrangement:
        """These settings as the reader takes them."""
        return Arrangement(
            self.images,
            self.masks,
            self.unlabeled,
            self.group,
            None if self.exif == "auto" else self.exif,
            None if self.tile == "auto" else self.tile,
            self.class_attribute,
            None if self.outside == "auto" else self.outside,
        )

    def check(self) -> None:
        """Refer to folders from the data folder, so that a run can be read from anywhere."""
        root = getattr(self, "data", None)
        if root is not None:
            for name in ("images", "masks"):
                folder = getattr(self, name)
                if folder is not None:
                    object.__setattr__(self, name, relative_folder(folder, root))
            if self.unlabeled is not None and not is_url(self.unlabeled):
                object.__setattr__(self, "unlabeled", _relative_place(self.unlabeled, root))
        if self.group is not None:
            check_group(self.group)


def _relative_place(place: str, root: Path) -> str:
    """How a folder, a tar, a pattern of tars or a list of them is written down.

    As `relative_folder`: what does not lie in the data folder is relative to the working folder.
    """
    path = Path(place)
    suffix = path.suffix.lower()
    if suffix not in (".tar", ".txt"):
        return str(relative_folder(path, root))
    # A pattern of tars is no file itself.
    files = path.name if is_file(root / path) or suffix == ".txt" else "*.tar"
    if not path.is_absolute() and not any((root / path.parent).glob(files)):
        path = Path(os.path.normpath(path.absolute()))
    return str(path)


def check_group(pattern: str) -> None:
    """Refuse what is no regular expression.

    Raises:
        SettingError: the pattern cannot be compiled.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise SettingError(
            "group",
            pattern,
            allowed=f"a regular expression such as ^(.*?)_ ({error})",
            flag=flag("group"),
        ) from error


@dataclass(frozen=True, kw_only=True)
class ReadData(BandSettings, ArrangedData):
    """Where the files of a data folder lie, and how the images among them are read."""

    @property
    def arrangement(self) -> Arrangement:
        """Where the files lie, and the bands that have names."""
        flags = super().arrangement
        return flags._replace(bands=names_of(self.bands), rgb=names_of(self.rgb))


@dataclass(frozen=True, kw_only=True)
class DataConfig(ReadData):
    """Which images and masks are used."""

    data: Path
    """The data folder, as `semiseg check` reads it: images with masks or annotations beside them or
    in folders of their own."""
    dataset: str = AUTO
    """The published data set in its official tree, such as `voc-blender` or `cityscapes`; `folder`
    for your own data. With `auto`, semiseg recognizes the tree."""
    labels: str = "all"
    """The masks to use; the others are hidden. `all`, a number, a share (`0.1`, `10%`, `1/8`), or a
    file with one image name on each line. A mask behind the image on its line is the mask that is
    used, as in the lists of UniMatch."""
    split_seed: Count = 0
    """The seed for choosing labeled images and for holding out validation images."""
    classes: Path | None = None
    """A YAML file that names the classes. It replaces `classes.yaml` in the data folder."""
    corrected: tuple[Path, ...] = ()
    """Folders of corrected masks, which `semiseg suggest`, `correct` and `convert` write; several
    have commas between them. Their images and masks are added to those of the data folder, which
    stays as it is. Of masks that you saw in the browser, only the accepted ones are added. They
    never become validation images, and `--labels` does not count them."""
    reserved: Path | None = None
    """A list of images that take no part in the training, with masks or without: one name on each
    line, such as `reserved.txt` of `semiseg split --test`. Those with masks are images of `test`,
    which `semiseg evaluate RUN DATA --split test` scores."""

    @property
    def arrangement(self) -> Arrangement:
        """Where the files lie, with the corrected ones, and what lists say."""
        return super().arrangement._replace(
            corrected=self.corrected, label_list=label_list(self.labels), reserved=self.reserved
        )

    def check(self) -> None:
        """Name the corrected folders and the list so that a run can be read from anywhere."""
        super().check()
        if self.reserved is not None:
            reserved = Path(os.path.normpath(self.reserved.absolute()))
            object.__setattr__(self, "reserved", reserved)
        folders = (Path(os.path.normpath(folder.absolute())) for folder in self.corrected)
        object.__setattr__(self, "corrected", tuple(dict.fromkeys(folders)))


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(Settings):
    """How long the training is and how many images one step sees."""

    steps: PositiveInt | Auto = AUTO
    """The number of optimizer steps. `auto` means 1000 on a CPU (400 if a vision transformer is
    trained there), and on a GPU 1000 at size 240 and more with the square of the size. If the plan
    chooses `supervised` itself, it takes 2.7 times as many, which last as long as those of css."""
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


class Layer(NamedTuple):
    """Settings from one place.

    Attributes:
        values: the values by name.
        source: the file or recipe in words; empty for the command line and Python.
        recipe: the name of the recipe; empty for all others.
    """

    values: Mapping[str, object]
    source: str = ""
    recipe: str = ""


class Origin(NamedTuple):
    """Who gave a setting that the user did not write.

    Attributes:
        source: a recipe, or a comparison that makes several runs.
        text: the same in words, for the plan: `from the recipe voc-classic`, `equal time`.
        recipe: the name of the recipe; empty for a comparison.
    """

    source: Literal["recipe", "comparison"]
    text: str
    recipe: str = ""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """All settings of a training.

    Raises:
        ConfigError: a value is not allowed, or two settings contradict each other.
    """

    method: str = AUTO
    """The training method, such as `supervised`, `cutmix` or `css`. With `auto`, the plan chooses
    css-stored, css for a pool or very many images, or supervised where it can see that unlabeled
    images will not pay."""
    settings: MethodSettings = field(default_factory=MethodSettings)
    """The method's own settings. With `auto`, there are none, or those of css-stored or css, which
    then is the method."""
    data: DataConfig
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    balance: BalanceConfig = field(default_factory=BalanceConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    machine: MachineConfig = field(default_factory=MachineConfig)
    run: RunConfig = field(default_factory=RunConfig)
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False, repr=False)
    """Who gave the settings that the user did not write, by setting. Only the plan shows it; no
    file holds it."""

    def __post_init__(self) -> None:
        """Fill in the method's settings and the run folder, and check what spans groups."""
        if type(self.settings) is MethodSettings:
            settings = AutoSettings() if self.method == AUTO else default_settings(self.method)
            object.__setattr__(self, "settings", settings)
        expected = type(self._default_settings())
        if type(self.settings) is not expected:
            raise ConfigError(
                f"The method {self.method} has the settings {expected.__name__}, but "
                f"{type(self.settings).__name__} was given."
            )
        if self.run.out == AUTO:
            out = Path("runs", self.method)
            object.__setattr__(self, "run", dataclasses.replace(self.run, out=out))
        self._check_across()

    def _default_settings(self) -> MethodSettings:
        """The defaults of the method's own settings."""
        method = self.named_method
        return self.settings if method == AUTO else default_settings(method)

    def _check_across(self) -> None:
        start, out = self.network.start_from, self.out
        if start is not None and start.resolve() == out.resolve():
            raise ConfigError(
                "--start-from and --out name the same folder. Choose another folder for --out."
            )
        self.settings.check_folders(out)
        changing, views = self.settings.pixel_setting, self.network.feature_views
        if changing is not None and views not in (AUTO, 0):
            raise ConfigError(
                f"--feature-views {views} caches the features of images, but {flag(changing)} "
                "changes these images in each step. Leave one of the two out."
            )
        frozen = self.network.trained_part.part == "head"
        if frozen and self.optimizer.layer_decay not in (AUTO, 1):
            raise ConfigError(
                "--layer-decay has no effect with --encoder-training head, which trains nothing of "
                "the encoder. Leave --layer-decay out."
            )
        if self.schedule.budget is None:
            return
        sides = [n for n in ("size", "crop") if getattr(self.views, n) != AUTO]
        if self.schedule.steps != AUTO and sides:
            raise ConfigError(
                f"--budget, --steps and --{sides[0]} contradict one another: the budget decides "
                "the number of steps and their size. Leave one of the three out."
            )
        if self.machine.world > 1:
            raise ConfigError(
                "--budget works on one device only, since semiseg does not measure the speed of "
                "several. Give --steps and --size instead."
            )

    @property
    def named_method(self) -> str:
        """The method that the settings name, or mean with one of its own; `auto` if it is open."""
        if self.method != AUTO or isinstance(self.settings, AutoSettings):
            return self.method
        return method_of_auto(self.settings.values())

    @property
    def out(self) -> Path:
        """The run folder."""
        return Path(self.run.out)

    @classmethod
    def from_values(cls, values: Mapping[str, object], source: str = "") -> TrainConfig:
        """The configuration with flat settings by name; see `from_layers`."""
        return cls.from_layers(Layer(values, source))

    @classmethod
    def from_layers(cls, *layers: Layer) -> TrainConfig:
        """The configuration with settings from several places; a later place wins.

        Args:
            layers: flat settings by name, the method's own settings among them.

        Raises:
            UnknownSettingError: there is no such setting.
            SettingError: a value is not allowed; it names the place that holds the value.
            ConfigError: two settings contradict each other, or `data` is missing.
        """
        values = {name: value for layer in layers for name, value in layer.values.items()}
        sources = {name: layer.source for layer in layers for name in layer.values}
        recipes = {name: layer.recipe for layer in layers for name in layer.values}
        origins = {
            name: Origin("recipe", f"from the recipe {recipe}", recipe)
            for name, recipe in recipes.items()
            if recipe
        }
        method = str(values.pop("method", AUTO))
        if method == AUTO and values.get("teacher") is not None:
            method = "distill"
        defaults = default_settings(method_of_auto(values) if method == AUTO else method)
        own = {f.name for f in dataclasses.fields(defaults)}
        names = {*group_of(), *own, "method"}
        for name in values:
            if name not in names:
                raise UnknownSettingError(
                    name, hint=method_hint(name, method, names), source=sources[name]
                )
        if "data" not in values:
            raise ConfigError(
                "The data folder is missing. Name it first, as in semiseg train DATA, or write "
                "data: DATA into the file of --config."
            )
        parts: dict[str, dict[str, object]] = {group: {} for group in GROUPS}
        for name, value in values.items():
            if name not in own:
                parts[group_of()[name]][name] = value
        own_values = {name: value for name, value in values.items() if name in own}
        if method == AUTO and not own_values:
            defaults = AutoSettings()
        try:
            return cls(
                method=method,
                settings=dataclasses.replace(defaults, **own_values),
                origins=origins,
                **{name: GROUPS[name](**part) for name, part in parts.items()},  # type: ignore[arg-type]
            )
        except SettingError as error:
            error.source = sources.get(error.setting, "")
            raise

    def values(self) -> dict[str, Value]:
        """All settings as flat plain values, for `config.yaml`; `from_values` reads them."""
        values: dict[str, Value] = {"method": self.method}
        for group in self.groups():
            values |= group.values()
        return values | self.settings.values()

    def groups(self) -> Iterator[Settings]:
        """The groups of settings that all methods share."""
        return (getattr(self, name) for name in GROUPS)

    def replaced(self, **values: object) -> TrainConfig:
        """The same configuration with other values of some flat settings."""
        other = self.from_values({**self.values(), **values})
        return dataclasses.replace(other, origins=self.origins)

    def with_origin(self, name: str, text: str) -> TrainConfig:
        """The same configuration, where a comparison gave a setting; `text` says why."""
        origins = {**self.origins, name: Origin("comparison", text)}
        return dataclasses.replace(self, origins=origins)

    def given(self) -> dict[str, Value]:
        """The flat settings that differ from their defaults; `data` and `method` are left out."""
        changes = self.settings.changes(self._default_settings())
        default = self.from_values({"data": self.data.data, "method": self.method})
        for group, other in zip(self.groups(), default.groups(), strict=True):
            changes |= group.changes(other)
        return changes

    def open_settings(self) -> list[str]:
        """The settings that are still `auto`; a plan leaves none but those of the data set."""
        return [name for name, value in self.values().items() if value == AUTO]


GROUPS: dict[str, type[Settings]] = {
    "data": DataConfig,
    "schedule": ScheduleConfig,
    "views": ViewConfig,
    "network": NetworkConfig,
    "optimizer": OptimizerConfig,
    "balance": BalanceConfig,
    "validation": ValidationConfig,
    "machine": MachineConfig,
    "run": RunConfig,
}
"""The groups of `TrainConfig` by the name of their field, in the order of the help."""


@functools.cache
def group_of() -> dict[str, str]:
    """The group of each setting that all methods share, by the setting's name."""
    return {f.name: name for name, group in GROUPS.items() for f in dataclasses.fields(group)}


_UNITS = {  # as people write them, and their seconds
    "d(?:ays?)?": 86_400,
    "h(?:ours?)?": 3_600,
    "m(?:in(?:ute)?s?)?": 60,
    "s(?:ec(?:ond)?s?)?": 1,
}


def parse_duration(text: str, setting: str = "budget") -> float:
    """Seconds of a time such as `10m`, `2h`, `1h30m` or `1.5d`.

    Args:
        text: the time.
        setting: the setting that holds it, for the error.

    Raises:
        SettingError: it is not a time.
    """
    pattern = "".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in _UNITS)
    match = re.fullmatch(pattern, re.sub(r"\s", "", text.lower()))
    parts = match.groups(default="0") if match else ()
    seconds = sum(float(p) * unit for p, unit in zip(parts, _UNITS.values(), strict=False))
    if not seconds:
        raise SettingError(
            setting,
            text,
            allowed="a time such as 90s, 10m, 2h, 1d or 1h30m",
            flag=flag(setting),
        )
    return seconds
