"""The methods by name; a new one is a file of its own and a name in `METHODS`."""

from __future__ import annotations

from semiseg.errors import ConfigError, nearest
from semiseg.methods.base import Method
from semiseg.methods.css import CSS
from semiseg.methods.supervised import Supervised

METHODS: dict[str, type[Method]] = {method.name: method for method in (Supervised, CSS)}


def method_class(name: str) -> type[Method]:
    """The method of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in METHODS:
        raise ConfigError(f"There is no method '{name}'. {nearest(name, METHODS)}")
    return METHODS[name]
