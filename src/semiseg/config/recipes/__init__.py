"""Recipes: the settings of published and of small experiments by name, one YAML file each."""

from __future__ import annotations

from importlib import resources

import yaml

from semiseg.config.methods import default_settings
from semiseg.config.settings import AUTO, Value
from semiseg.config.train import TrainConfig, group_of
from semiseg.core.errors import ConfigError, nearest


def names() -> list[str]:
    """The names of the recipes."""
    files = (file.name for file in resources.files(__name__).iterdir())
    return sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml"))


def recipe(name: str, method: str | None = None) -> dict[str, Value]:
    """The settings of a recipe, for `train(DATA, **recipe("voc-classic"))`.

    Args:
        name: the recipe, such as `voc-classic` or `camvid-cpu`.
        method: a method to use in place of the recipe's, or `auto`. The recipe's settings of its
            own method are then left out, unless the other method has them too.

    Raises:
        ConfigError: there is no such recipe or method.
    """
    if name not in names():
        raise ConfigError(f"There is no recipe '{name}'. {nearest(name, names())}")
    text = resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    settings: dict[str, Value] = yaml.safe_load(text)
    if method is None or method == settings["method"]:
        return settings
    own = set() if method == AUTO else default_settings(method).values().keys()
    accepted = {k: v for k, v in settings.items() if k in group_of() or k in own}
    return {**accepted, "method": method}


def mixed_papers(config: TrainConfig) -> list[str]:
    """A warning of a method of one paper in the training of another, without its full stop.

    Empty where the method is that of the recipe, or where one of them is of no paper.

    Args:
        config: the settings with the recipe's among them.
    """
    kept = {k: origin.recipe for k, origin in config.origins.items() if origin.recipe}
    if not kept or "method" in kept:
        return []
    name = next(iter(kept.values()))
    own, method = str(recipe(name)["method"]), config.named_method
    if not _paper_of(own) or not _paper_of(method) or _paper_of(own) == _paper_of(method):
        return []
    settings = ", ".join(setting for setting in kept if setting != "dataset")
    return [
        f"{method} keeps these settings of the recipe {name}, which is a training of {own}: "
        f"{settings}. The result will be that of neither paper. To repeat {own}, leave --method "
        f"out. To repeat {method}, leave --recipe out and give the settings of its paper"
    ]


def _paper_of(method: str) -> str:
    """The method that a paper or its program describes, such as `css` for `css-paper`.

    Empty for a method with semiseg's own settings.
    """
    name = method.removesuffix("-paper").removesuffix("-program")
    return name if name != method else ""
