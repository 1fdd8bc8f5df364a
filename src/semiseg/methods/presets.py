"""Presets: a method under another name, with other defaults."""

from __future__ import annotations

import functools
import inspect
from typing import Any, TypeVar

from semiseg.methods.base import Method
from semiseg.model.network import Network

M = TypeVar("M", bound=Method)


def preset(name: str, method: type[M], **defaults: object) -> type[M]:
    """The method under another name, whose constructor has other defaults.

    Its signature, which flags, help and `config.yaml` are made of, shows them.

    Args:
        name: its name in `METHODS`.
        method: the class.
        defaults: settings of the class, with the values they have if none are given.
    """
    own = inspect.signature(method.__init__)
    shown = [p.replace(default=defaults.get(p.name, p.default)) for p in own.parameters.values()]

    def init(self: Method, student: Network, **settings: object) -> None:
        method.__init__(self, student, **{**defaults, **settings})

    constructor: Any = functools.wraps(method.__init__)(init)
    constructor.__signature__ = own.replace(parameters=shown)
    title = "".join(part.capitalize() for part in name.split("-"))
    members = {"name": name, "__init__": constructor, "__doc__": method.__doc__}
    return type(title, (method,), {**members, "__module__": __name__})
