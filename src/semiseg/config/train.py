"""`TrainConfig`: all settings of a training in one typed object."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from semiseg.config.data import DataConfig
from semiseg.config.groups import (
    BalanceConfig,
    MachineConfig,
    OptimizerConfig,
    RunConfig,
    ScheduleConfig,
    ValidationConfig,
    ViewConfig,
)
from semiseg.config.methods import (
    AutoSettings,
    MethodSettings,
    default_settings,
    method_hint,
    method_of_auto,
)
from semiseg.config.network import NetworkConfig
from semiseg.config.settings import AUTO, Settings, Value, flag
from semiseg.core.errors import ConfigError, SettingError, UnknownSettingError

FREE = frozenset({"data", "out", "workers", "logger", "feature_disk"})
"""The settings that may change when a training is resumed; the result has the same bits."""

MOVABLE = frozenset({"unlabeled"})
"""The settings that may name another place when a training is resumed. Their images are compared
with those that the run began with."""


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
    css-stored, css for a pool, or supervised where it can see that unlabeled
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
        if self.network.feature_window and self.settings.uses_unlabeled:
            raise ConfigError(
                "--feature-window is for trainings on labeled images alone. Leave it out, or add "
                "--method supervised."
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
