"""The settings that all runs of a comparison share, kept in `compare.yaml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from semiseg._version import __version__
from semiseg.config.methods import default_settings
from semiseg.config.settings import plain
from semiseg.config.sizing import STEPS
from semiseg.config.train import TrainConfig, group_of
from semiseg.core.errors import ConfigError, RunError, nearest
from semiseg.core.files import read_yaml
from semiseg.training.run_folder import FREE

FILE = "compare.yaml"
EQUAL = ("steps", "time")
OWN = frozenset({"data", "method", "labels", "out", "seed", "budget", "start_from"})
"""Parameters of `train` that a comparison sets itself, or that its runs could not share."""


@dataclass
class Shared:
    """What is the same for all runs, or for all of one method.

    Attributes:
        equal: what the runs have in common, `steps` or `time`.
        supervised_steps: the steps that `supervised` gets, where they are not those of the others.
        train: settings of `train`.
        methods: the methods so far, each with those of its own settings that are not its defaults.
    """

    equal: str = "steps"
    supervised_steps: int | None = None
    train: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)

    def save(self, out: Path) -> None:
        """Write `compare.yaml`."""
        from semiseg.core.files import write_text

        body = yaml.safe_dump(asdict(self), sort_keys=False, allow_unicode=True)
        write_text(out / FILE, f"# semiseg {__version__}\n{body}")


def train_defaults() -> dict[str, Any]:
    """The settings of `train` that a comparison passes on, with their defaults."""
    values = TrainConfig.from_values({"data": "data"}).values()
    shared = {k: v for k, v in values.items() if k in group_of() and k not in OWN}
    return {**shared, "steps": STEPS}  # runs that are compared have a number of them in common


def settle(out: Path, equal: str, methods: Sequence[str], given: Mapping[str, Any]) -> Shared:
    """The settings of this call, joined with those that the folder's runs were begun with.

    Args:
        out: the folder of the comparison.
        equal: `steps` or `time`.
        methods: the methods of this call.
        given: settings of `train`, and for settings of one method a mapping by its name.

    Returns:
        The settings. As in a resumed training, what differs from its default was meant, and what
        does not is taken from the folder.

    Raises:
        ConfigError: there is no such setting, or one of several devices.
        RunError: the folder is no comparison, or its settings are others.
    """
    if equal not in EQUAL:
        raise ConfigError(f"There is no --equal {equal}. {nearest(equal, EQUAL)}")
    defaults = train_defaults()
    settings, own = _sorted_out(given, methods, defaults)
    if any(settings.get(name, 1) != 1 for name in ("devices", "num_nodes")):
        # Each further process would run the whole comparison anew, beside the first one.
        raise ConfigError(
            "compare trains on one device. For several, run each training by itself: semiseg train "
            f"DATA --method METHOD --devices N --out {out}/METHOD-LABELS-SEED."
        )
    stored = read(out)
    if stored is None:
        return Shared(equal, None, settings, own)
    if equal not in ("steps", stored.equal):
        raise _contradiction(out, "equal", equal, stored.equal)
    for name, value in settings.items():
        known = stored.train.get(name, defaults[name])
        if value not in (defaults[name], known):
            raise _contradiction(out, name, value, known)
        stored.train[name] = known
    for method, options in own.items():
        before = stored.methods.setdefault(method, options)
        for name, value in options.items():
            if before.get(name) != value:
                told = before.get(name, "its default")
                raise _contradiction(out, f"{method}.{name}", value, told)
    return stored


def _contradiction(out: Path, name: str, value: object, known: object) -> RunError:
    return RunError(
        f"--{name.replace('_', '-')} {value} contradicts the comparison in {out}, which has "
        f"{known}. Go on without it, or start another comparison with another --out."
    )


def _sorted_out(
    given: Mapping[str, Any], methods: Sequence[str], defaults: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The settings of `train`, all of them, and those of each method that are not its defaults."""
    own: dict[str, dict[str, Any]] = {name: {} for name in methods}
    by_key = {name.replace("-", "_"): name for name in methods}
    settings = {k: plain(v) for k, v in defaults.items() if k not in FREE}
    for name, value in given.items():
        if name in by_key and isinstance(value, Mapping):
            own[by_key[name]] = _options(by_key[name], value)
        elif name in defaults:
            if name not in FREE:
                settings[name] = plain(value)
        else:
            raise ConfigError(
                f"There is no setting '{name}' that all runs could share. A setting of one method "
                f"is written with its name, such as --css.{name.replace('_', '-')}. "
                f"{nearest(name, [*defaults, *by_key])}"
            )
    return settings, own


def _options(method: str, value: Mapping[str, Any]) -> dict[str, Any]:
    known = default_settings(method).values()
    for name in value:
        if name not in known:
            raise ConfigError(f"The method has no setting '{name}'. {nearest(name, known)}")
    return {k: plain(v) for k, v in value.items() if v != known[k]}


def read(out: Path) -> Shared | None:
    """The settings kept in a folder, or None if it is empty or not there.

    Raises:
        RunError: it holds something else, or the file cannot be read.
    """
    file = out / FILE
    if not file.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise RunError(
                f"{out} exists and is no comparison (it has no {FILE}), so it is left alone. "
                "Choose another --out."
            )
        return None
    try:
        content: Any = read_yaml(file)
        return Shared(**content)
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"{file} cannot be read ({error}). Restore it, or start another comparison with "
            "another --out."
        ) from error
