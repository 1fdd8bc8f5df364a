"""The errors of the command line in one sentence."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable
from typing import get_args

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from semiseg.core.errors import closest, nearest

_INSTEAD = {
    ("suggest", "--engine"): "suggest has no setting --engine, which is for `semiseg predict`. To "
    "divide the images of a pool among processes, use --shard 1/64, 2/64 and so on, then --merge."
}
"""What to use instead of a flag that people expect, because another command has it."""


def explain(error: CycloptsError, commands: Iterable[str]) -> str:
    """What is wrong with a command line, the nearest name, and where to read more.

    Args:
        error: the parser's error.
        commands: the names of the commands.
    """
    command = " ".join(error.command_chain or ())
    return f"{_sentence(error, commands)} See: semiseg {command} --help".replace("  ", " ")


def _sentence(error: CycloptsError, commands: Iterable[str]) -> str:
    match error:
        case UnknownCommandError(unused_tokens=[word, *_]):
            return f"There is no command '{word}'. {nearest(word, commands)}"
        case UnknownOptionError(token=token, argument_collection=arguments):
            name = (token.keyword or token.value).partition("=")[0]
            if text := _INSTEAD.get((" ".join(error.command_chain or ()), name)):
                return text
            flags = [flag for argument in arguments for flag in argument.names]
            close = closest(name, flags, likeness=0.7)
            return f"There is no setting {name}." + (f" Did you mean {close}?" if close else "")
        case MissingArgumentError(argument=argument) if argument is not None:
            if error.keyword or argument.tokens:
                return f"{error.keyword or argument.name} needs a value."
            if not argument.field_info.is_positional:
                return f"{argument.name} is missing."
            name = argument.name.lstrip("-").upper()
            beside = " It comes first, also beside --images and --masks." if name == "DATA" else ""
            return f"{name} is missing.{beside}"
        case RepeatArgumentError(token=token):
            return f"{token.keyword} may be given only once."
        case UnusedCliTokensError(unused_tokens=[word, *_] as unused):
            for before, value in itertools.pairwise(error.root_input_tokens or ()):
                if value in unused and before.replace("--no-", "--") in _switches(error.target):
                    return _without_value(before, value)
            return f"'{word}' is one argument too many."
        case CoercionError(token=token, argument=argument) if token is not None:
            if argument is not None and argument.hint is bool:
                return _without_value(token.keyword, token.value)
            return f"{token.keyword} does not allow the value {token.value}."
    return f"{error}"


def _without_value(switch: str | None, value: str) -> str:
    return f"{switch} is on or off and takes no value. Leave out '{value}'."


def _switches(command: Callable[..., object] | None) -> set[str]:
    """The flags of a command that are on or off."""
    parameters = inspect.signature(command).parameters.values() if command else ()
    annotations = [parameter.annotation for parameter in parameters]
    return {
        name
        for annotation in annotations
        if get_args(annotation)[:1] == (bool,)
        for name in annotation.__metadata__[0].name
    }
