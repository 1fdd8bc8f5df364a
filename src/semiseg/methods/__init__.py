"""The training methods. `config.methods.METHODS` lists them with their settings."""

from __future__ import annotations

import importlib

from semiseg.config.methods import MethodSettings, default_settings
from semiseg.methods.base import Method
from semiseg.model.network import Network

__all__ = ["Method", "build_method", "method_class"]


def method_class(name: str) -> type[Method]:
    """The class of a method, imported from the module that the method's settings name.

    Args:
        name: the name in `config.methods.METHODS`, such as `css` or `css-paper`.

    Raises:
        ConfigError: there is no such method.
    """
    module, _, class_name = default_settings(name).implementation.partition(":")
    implementation: type[Method] = getattr(importlib.import_module(module), class_name)
    return implementation


def build_method(name: str, student: Network, settings: MethodSettings | None = None) -> Method:
    """Build a method around a student.

    Args:
        name: the name in `config.methods.METHODS`, such as `css` or `css-paper`.
        student: the network that learns.
        settings: the method's own settings, or None for the defaults under that name.

    Raises:
        ConfigError: there is no such method.

    Example:
        >>> from semiseg.config.methods import CssSettings
        >>> method = build_method("css", Network(3, weights="none"), CssSettings(anchors=16))
        >>> method.settings.anchors
        16
    """
    return method_class(name)(student, default_settings(name) if settings is None else settings)
