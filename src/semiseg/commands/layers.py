"""Where the settings of a training come from: the command line, a YAML file and a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from semiseg.config.recipes import names, recipe
from semiseg.config.train import Layer, TrainConfig
from semiseg.core.addresses import without_secrets
from semiseg.core.errors import ConfigError
from semiseg.core.files import read_yaml


@dataclass(frozen=True)
class ConfigText:
    """All settings of a training as text.

    Attributes:
        config: the settings.
    """

    config: TrainConfig

    def text(self) -> str:
        """The settings in YAML, as `--config` reads them; the address of a pool has no password."""
        values = self.config.values()
        if self.config.data.unlabeled is not None:
            values["unlabeled"] = without_secrets(self.config.data.unlabeled)
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip()


def train_config(given: Mapping[str, object]) -> TrainConfig:
    """The configuration of a training. Flags win over the file, the file over the recipe.

    Args:
        given: the settings on the command line, `config` (a YAML file) and `recipe` among them.

    Raises:
        ConfigError: the file, the recipe or a setting cannot be used.
    """
    flags = {name: value for name, value in given.items() if name not in ("config", "recipe")}
    if flags.get("start_from") is not None:
        # The hash in the file is that of the weights which the run of the file began with.
        flags = {"weights_sha256": None, **flags}
    layers = [Layer(flags)]
    if (file := given.get("config")) is not None:
        layers.insert(0, Layer(read_config(Path(str(file))), str(file)))
    if (name := given.get("recipe")) is not None:
        values = {key: value for layer in layers for key, value in layer.values.items()}
        method = values.get("method")
        settings = recipe(str(name), None if method is None else str(method))
        if values.get("budget") is not None:
            settings.pop("steps", None)  # the budget decides on them
        layers.insert(0, Layer(settings, f"the recipe {name}", str(name)))
    return TrainConfig.from_layers(*layers)


def configuration(data: Path | str | TrainConfig, settings: dict[str, object]) -> TrainConfig:
    """The configuration of a call from Python.

    Args:
        data: the data folder, or a configuration.
        settings: settings by name; none beside a configuration.

    Raises:
        ConfigError: a setting cannot be used.
    """
    if not isinstance(data, TrainConfig):
        return TrainConfig.from_values({"data": data, **settings})
    if settings:
        names = ", ".join(settings)
        raise ConfigError(
            f"A TrainConfig holds all settings, but {names} was given beside it. Use "
            "TrainConfig.replaced."
        )
    return data


def read_config(file: Path) -> dict[str, object]:
    """The settings of a YAML file.

    Raises:
        ConfigError: it cannot be read, or it does not hold settings.
    """
    try:
        content = read_yaml(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read as YAML ({error}).") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file} does not hold settings. Write one on each line: steps: 1000.")
    return {str(name): value for name, value in content.items()}


def chosen_method(words: Sequence[str]) -> str:
    """The method that the words of a command line name, for the help; empty if they name none."""
    method = last_value(words, "--method")
    if not method and (file := last_value(words, "--config")) and Path(file).is_file():
        method = str(read_config(Path(file)).get("method") or "")
    if not method and (name := last_value(words, "--recipe")) in names():
        method = str(recipe(name)["method"])
    return method or ("distill" if last_value(words, "--teacher") else "")


def last_value(words: Sequence[str], name: str) -> str:
    """The last value of a flag, as `--flag value` or `--flag=value`; empty without one."""
    value = ""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        head, equals, tail = word.partition("=")
        if head == name:
            value = tail if equals else following
    return value
