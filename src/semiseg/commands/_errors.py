"""The errors of the command line in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from semiseg.core.errors import nearest


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
            flags = [flag for argument in arguments for flag in argument.names]
            close = difflib.get_close_matches(name, flags, n=1, cutoff=0.7)
            return f"There is no setting {name}." + (f" Did you mean {close[0]}?" if close else "")
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
        case UnusedCliTokensError(unused_tokens=[word, *_]):
            return f"'{word}' is one argument too many."
        case CoercionError(token=token) if token is not None:
            return f"{token.keyword} does not allow the value {token.value}."
    return f"{error}"
