"""Recipes: settings of `train` under a name, one YAML file each; `read` gives them."""

from __future__ import annotations

import inspect
from importlib import resources
from typing import Any

from semiseg.core.errors import ConfigError, nearest


def names() -> list[str]:
    """The recipes that there are."""
    files = (f.name for f in resources.files(__name__).iterdir())
    return sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml"))


def recipe(name: str, method: str | None = None) -> dict[str, Any]:
    """The settings of a recipe, for `train(DATA, **recipe("voc-classic"))`.

    Args:
        name: the recipe, such as `voc-classic` or `camvid-cpu`.
        method: a method other than the recipe's; the recipe's settings of its own method are then
            left out unless the other has them too.

    Raises:
        ConfigError: there is no such recipe or method.
    """
    import yaml

    known = names()
    if name not in known:
        raise ConfigError(f"There is no recipe '{name}'. {nearest(name, known)}")
    text = resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    settings: dict[str, Any] = yaml.safe_load(text)
    if method is None or method == settings["method"]:
        return settings
    from semiseg.methods import method_class
    from semiseg.training.train import train

    kept = {
        *inspect.signature(train).parameters,
        *inspect.signature(method_class(method)).parameters,
    }
    return {**{k: v for k, v in settings.items() if k in kept}, "method": method}
