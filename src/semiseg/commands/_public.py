"""The public functions: their parameters are the fields of their settings."""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from semiseg.config.settings import Settings, help_texts

Parameters = ParamSpec("Parameters")
S = TypeVar("S", bound=Settings)
Result = TypeVar("Result")


def command(
    settings: Callable[Parameters, S],
) -> Callable[[Callable[[S], Result]], Callable[Parameters, Result]]:
    """Turn a function of its settings into a function of their fields.

    Args:
        settings: the class of the settings. Its help texts become the list of arguments in the
            docstring.
    """

    def decorate(function: Callable[[S], Result]) -> Callable[Parameters, Result]:
        @functools.wraps(function)
        def public(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            return function(settings(*args, **kwargs))

        public.__signature__ = inspect.signature(settings)  # type: ignore[attr-defined]
        assert isinstance(settings, type)  # nosec B101 - a class, typed as what it is called with
        summary, _, rest = (function.__doc__ or "").partition("\n\n")
        texts = (_argument(name, text) for name, text in help_texts(settings).items())
        arguments = "\n".join(("Args:", *texts))
        public.__doc__ = "\n\n".join((summary, arguments, inspect.cleandoc(rest)))
        return public

    return decorate


def _argument(name: str, text: str) -> str:
    """A line of a docstring's list of arguments, with its continuation lines indented."""
    return textwrap.fill(
        f"{name}: {' '.join(text.split())}",
        96,
        initial_indent=" " * 4,
        subsequent_indent=" " * 8,
        break_long_words=False,
        break_on_hyphens=False,
    )
