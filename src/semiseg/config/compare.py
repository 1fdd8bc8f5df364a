"""`CompareConfig`: all settings of a comparison in one typed object."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semiseg.config.durations import parse_duration
from semiseg.config.grid import LISTS, GridConfig
from semiseg.config.methods import METHODS, MethodSettings, default_settings
from semiseg.config.settings import AUTO, Mismatch, Positive, PositiveInt, Value, convert, flag
from semiseg.config.train import FREE, MOVABLE, Origin, TrainConfig, group_of
from semiseg.core.errors import ConfigError, RunError, SettingError, UnknownSettingError, nearest

_GRID = frozenset(field.name for field in dataclasses.fields(GridConfig))
_MEASURED = frozenset({"row_steps", "run_seconds"})
_OWN = _GRID | {"seed", "split_seed", "budget", "start_from"}


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """All settings of a comparison.

    Raises:
        ConfigError: a value is not allowed, or two settings contradict each other.
    """

    grid: GridConfig = field(default_factory=GridConfig)
    """Which runs to make."""
    shared: TrainConfig
    """The settings that all runs share. Its method, labels, seed, steps and folder do not count."""
    settings: Mapping[str, MethodSettings] = field(default_factory=dict)
    """The own settings of each method, by the method's name."""
    row_steps: Mapping[str, int] = field(default_factory=dict)
    """The steps of the rows whose time is fixed, by the name of the row. They are measured once."""
    run_seconds: float | None = None
    """The time of these rows, in seconds; None until it is known."""

    def __post_init__(self) -> None:
        """Fill in the settings of the methods, and refuse several devices."""
        settings = {m: self.settings.get(m, default_settings(m)) for m in self.grid.methods}
        object.__setattr__(self, "settings", settings)
        if self.shared.machine.world > 1:
            # Each further process would run the whole comparison again.
            raise ConfigError(
                "compare trains on one device. For several, start each training by itself: semiseg "
                "train DATA --method METHOD --seed SEED --split-seed SEED --devices N --out "
                f"{self.grid.out}/METHOD-LABELS-SEED."
            )

    @classmethod
    def from_values(cls, values: Mapping[str, object], source: str = "") -> CompareConfig:
        """The configuration with settings by name.

        Args:
            values: the settings of the grid, settings that all runs share, and for the settings of
                one method a mapping below the method's name. `methods`, `labels` and `seeds` may
                be text with commas.
            source: the file that holds the values, for messages.

        Raises:
            UnknownSettingError: there is no such setting, or a comparison cannot share it.
            SettingError: a value is not allowed.
            ConfigError: two settings contradict each other, or `data` is missing.
        """
        grid: dict[str, object] = {}
        methods: dict[str, Mapping[str, object]] = {}
        shared: dict[str, object] = {}
        names = {_key(method): method for method in METHODS}
        for name, value in values.items():
            if name in _GRID:
                grid[name] = _listed(value) if name in LISTS else value
                if name == "split_seeds" and isinstance(value, int):
                    grid[name] = (value,)
            elif isinstance(value, Mapping) and _key(name) in names:
                methods[names[_key(name)]] = value
            elif name not in _MEASURED:
                shared[name] = value
        if "seeds" in grid:
            grid["seeds"] = tuple(map(_number, _listed(grid["seeds"])))
        try:
            grid_config = GridConfig(**grid)  # type: ignore[arg-type]
            for name in shared:
                if name not in (*shared_settings(), "data"):
                    raise UnknownSettingError(
                        name, hint=_hint(name, grid_config.methods), source=source
                    )
            return cls(
                grid=grid_config,
                shared=TrainConfig.from_values({"method": "supervised", **shared}),
                settings={
                    m: _method_settings(m, v, grid_config.methods) for m, v in methods.items()
                },
                row_steps=_row_steps(values.get("row_steps", {})),
                run_seconds=_measured("run_seconds", values.get("run_seconds"), Positive | None),
            )
        except SettingError as error:
            error.source = source
            raise

    def values(self) -> dict[str, Value | dict[str, Value]]:
        """All settings but those of `FREE` as plain values; `from_values` reads them."""
        methods: dict[str, Value | dict[str, Value]] = {
            method: settings.values() for method, settings in self.settings.items()
        }
        return {
            **self.common_values(),
            "row_steps": dict(self.row_steps),
            "run_seconds": self.run_seconds,
            **methods,
        }

    def common_values(self) -> dict[str, Value]:
        """The settings of the grid and those that all runs share, but those of `FREE`."""
        grid, shared = self.grid.values(), self.shared.values()
        values = {**grid, **{name: shared[name] for name in shared_settings()}}
        return {name: value for name, value in values.items() if name not in FREE}

    @property
    def equal_seconds(self) -> float | None:
        """The seconds that each run should take; None with equal steps, or if it is unknown."""
        if self.grid.equal == "steps":
            return None
        return (
            self.run_seconds if self.grid.time is None else parse_duration(self.grid.time, "time")
        )

    def changes(self) -> dict[str, Value]:
        """The settings that differ from their defaults; those of a method as `css.anchors`."""
        default = CompareConfig.from_values({"data": self.shared.data.data}).common_values()
        common = self.common_values()
        changes = {name: value for name, value in common.items() if value != default[name]}
        for method, settings in self.settings.items():
            own = settings.changes(default_settings(method))
            changes |= {f"{method}.{name}": value for name, value in own.items()}
        return changes

    def _flat(self) -> dict[str, Value]:
        """All settings but those of `FREE`, those of a method as `css.anchors`."""
        values = self.common_values()
        for method, settings in self.settings.items():
            values |= {f"{method}.{name}": value for name, value in settings.values().items()}
        return values

    def run(
        self, method: str, labels: str, seed: int, out: Path, steps: int | None = None
    ) -> TrainConfig:
        """The configuration of one run.

        Args:
            method: its method.
            labels: its `--labels`.
            seed: its seed, one of those of the grid; it decides the split seed too.
            out: its folder.
            steps: its steps, or None for those of the grid.
        """
        shared = self.shared
        split_seed = self.grid.split_seed_of[seed]
        chosen = ["out", "seed", "split_seed"]
        if self.grid.steps == GridConfig.steps:
            chosen.append("steps")
        if self.grid.methods == GridConfig.methods or method not in self.grid.methods:
            chosen.append("method")
        origins = {name: Origin("comparison", "chosen by compare") for name in chosen}
        origins |= shared.origins
        if steps is not None and (self.grid.equal == "time" or steps != self.grid.steps):
            origins["steps"] = Origin("comparison", "equal time")
            if self.grid.budget is not None:
                text = f"its share of --budget {self.grid.budget}"
                origins["steps"] = Origin("comparison", text)
        steps = self.grid.steps if steps is None else steps
        return dataclasses.replace(
            shared,
            origins=origins,
            method=method,
            settings=self.settings.get(method, default_settings(method)),
            data=dataclasses.replace(shared.data, labels=labels, split_seed=split_seed),
            schedule=dataclasses.replace(shared.schedule, seed=seed, steps=steps),
            run=dataclasses.replace(shared.run, out=out),
        )

    def extended(self, call: CompareConfig) -> CompareConfig:
        """The comparison of a folder, with the runs of a further call added.

        As in a resumed training, a setting of the call counts only if it differs from its default.
        The settings of `FREE` are those of the call, and so are those of `MOVABLE` that it gives.

        Raises:
            RunError: a setting of the call contradicts the comparison.
            ConfigError: a seed of the call has another split seed in the comparison.
        """
        values = self._flat()
        for name, value in call.changes().items():
            adds_runs = name in (*LISTS, "split_seeds", "same_time")
            adds_runs |= name.rpartition(".")[0] not in ("", *self.settings)
            if name in MOVABLE:
                continue
            if not adds_runs and value != values[name]:
                raise RunError(
                    f"{_flag(name)} {value} contradicts the comparison in {self.grid.out}, which "
                    f"has {'none' if values[name] is None else values[name]}. Leave it out to "
                    "continue that comparison, or start another one with another --out."
                )
        shared = self.shared
        if call.shared.network.encoder == AUTO:
            shared = shared.with_origin("encoder", "as in the earlier runs of the comparison")
        free = {name: value for name, value in call.shared.values().items() if name in FREE}
        free |= {name: value for name, value in call.changes().items() if name in MOVABLE}
        return dataclasses.replace(
            self,
            grid=self.grid.union(call.grid),
            shared=shared.replaced(**free),
            settings={**call.settings, **self.settings},
        )


def shared_settings() -> tuple[str, ...]:
    """The names of the settings of a training that all runs of a comparison share."""
    return tuple(name for name in group_of() if name not in _OWN and name != "data")


def _key(name: str) -> str:
    """The name of a method as a Python parameter, such as `css_paper` for `css-paper`."""
    return name.replace("-", "_")


def _flag(name: str) -> str:
    """The flag of a setting, such as `--css.hard-threshold` for `css.hard_threshold`."""
    method, dot, setting = name.rpartition(".")
    return f"--{method}{dot}{flag(setting).removeprefix('--')}"


def _listed(value: object) -> tuple[object, ...]:
    """The parts of a list or of text with commas, each once."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    words = (part.strip() if isinstance(part, str) else part for part in parts)
    return tuple(dict.fromkeys(word for word in words if word != ""))


def _number(value: object) -> object:
    """A whole number that is written as text; other values stay as they are."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _method_settings(
    method: str, values: Mapping[str, object], compared: Sequence[str]
) -> MethodSettings:
    """The settings of a method with some values given.

    Raises:
        ConfigError: the method is not compared, has no such setting, or a value is not allowed.
    """
    defaults = default_settings(method)
    names = defaults.values()
    for name in values:
        if name not in names:
            raise UnknownSettingError(f"{method}.{name}", hint=nearest(name, names))
        if method not in compared:
            setting = _flag(f"{method}.{name}")
            raise ConfigError(
                f"{setting} has no effect, since {method} is not compared. Add it to --methods, or "
                "leave the setting out."
            )
    try:
        return dataclasses.replace(defaults, **values)
    except SettingError as error:
        error.flag = _flag(f"{method}.{error.setting}")
        raise


def _row_steps(value: object) -> dict[str, int]:
    """The steps by the name of the row.

    Raises:
        SettingError: it is something else.
    """
    if not isinstance(value, Mapping):
        raise SettingError("row_steps", value, allowed="steps by row", flag="row_steps")
    steps = {str(row): _measured("row_steps", steps, PositiveInt) for row, steps in value.items()}
    return {row: int(count) for row, count in steps.items() if count is not None}


def _measured(name: str, value: object, hint: object) -> float | None:
    """A number that an earlier call measured.

    Raises:
        SettingError: it is something else.
    """
    try:
        number = convert(value, hint)
    except Mismatch as error:
        raise SettingError(name, value, allowed=str(error), flag=name) from None
    return number if isinstance(number, (int, float)) else None


def _hint(name: str, compared: Sequence[str]) -> str:
    """What to do about a setting that the runs cannot share, as a sentence."""
    if name == "split_seed":
        return "Each seed of a comparison has its own; see --split-seeds."
    if name in group_of() or name == "method":
        return "The runs of a comparison cannot share it; use `semiseg train`."
    owners = [method for method in METHODS if name in default_settings(method).values()]
    if owners:
        method = next((m for m in compared if m in owners), owners[0])
        setting = _flag(f"{method}.{name}")
        return f"A setting of one method has the method's name before it, as in {setting}."
    return nearest(name, [*_GRID, *shared_settings(), *map(_key, METHODS)])
