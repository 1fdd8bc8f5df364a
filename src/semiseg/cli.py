"""The command line: read the words, run one command, print its result."""

from __future__ import annotations

import errno
import inspect
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from cyclopts import App, CycloptsError

from semiseg import __version__
from semiseg.commands._errors import explain
from semiseg.commands._flags import signature
from semiseg.commands.verbs import VERBS, JsonResult, Verb
from semiseg.core import console
from semiseg.core.errors import Interrupted, SemisegError

HELP_FLAGS = ("--help", "-h", "--help-all")
COMPLETION = "--install-completion"
START = f"""\
semiseg {__version__}: segment images, from few labeled and many unlabeled ones.

Try it, without data:    semiseg demo

Your own images, in a folder DATA:
  see how they are read  semiseg check DATA
  train a model          semiseg train DATA --out runs/first
  watch it, see results  semiseg open runs/first
  segment more images    semiseg predict runs/first IMAGES --out masks --overlay

No masks yet?            semiseg suggest DATA
Something is missing?    semiseg doctor
All commands:            semiseg --help
One command:             semiseg train --help"""
"""What `semiseg` alone prints."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. An error of the user is one line on stderr, and the exit status is 2.

    Args:
        arguments: the words after the program's name; by default those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _escape_what_cannot_be_printed()
    if not words:
        print(START)
        return
    try:
        status = app(words)(words)
        sys.stdout.flush()  # here, so that a reader that is gone raises BrokenPipeError below
    except Interrupted as stop:
        _exit(str(stop), stop.status)
    except SemisegError as error:
        _exit(str(error), 2)
    except CycloptsError as error:
        _exit(explain(error, VERBS), 2)
    except KeyboardInterrupt:
        _exit("interrupted.", 130)
    except OSError as error:
        if not _is_closed_pipe(error):  # of `semiseg check DATA | head`
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    if status:
        sys.exit(status)


def app(words: Sequence[str]) -> App:
    """The commands.

    Args:
        words: the command line. The flags are built for the command that it names only, and its
            help depends on `--help-all` and `--method`.
    """
    root = App(
        name="semiseg",
        help="Train a segmentation model from a few labeled and many unlabeled images.",
        help_epilogue="`semiseg COMMAND --help` explains a command.",
        help_format="plaintext",
        help_flags=HELP_FLAGS,
        version=f"semiseg {__version__}",
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    root.register_install_completion_command(COMPLETION, help="Install shell completion.")
    complete = COMPLETION in words
    for order, (name, verb) in enumerate(VERBS.items()):
        if complete:
            sections = verb.sections(("--help-all",))
        else:
            sections = verb.sections(words) if name in words[:1] else []
        hidden = any(section.shown is not None for section in sections)
        root.command(
            _function(verb, signature(sections)),
            name=name,
            sort_key=order,
            help=verb.summary,
            help_epilogue=f"`semiseg {name} --help-all` lists all settings." if hidden else "",
        )
    return root


def run(verb: Verb, given: dict[str, object]) -> int:
    """Run a command and print its result.

    Args:
        verb: the command.
        given: the settings on the command line, by name.

    Returns:
        The exit status.
    """
    as_json, quiet = given.pop("json", False), given.pop("quiet", False)
    with console.attached(logging.WARNING if quiet else logging.INFO):
        result = verb.run(given)
    if as_json and isinstance(result, JsonResult):
        print(json.dumps(result.to_dict(), indent=2))
    else:
        print(result.text())
    return int(getattr(result, "status", 0))


def _function(verb: Verb, parameters: inspect.Signature) -> Callable[..., int]:
    """A function with these parameters that runs the command."""

    def function(*args: object, **kwargs: object) -> int:
        return run(verb, parameters.bind(*args, **kwargs).arguments)

    function.__signature__ = parameters  # type: ignore[attr-defined]
    function.__annotations__ = {n: p.annotation for n, p in parameters.parameters.items()}
    return function


def _escape_what_cannot_be_printed() -> None:
    """Print a class name that the encoding of the output lacks as escapes, instead of failing.

    On Windows, an output that goes to a file or a pipe has an encoding of 256 letters.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _is_closed_pipe(error: OSError) -> bool:
    """Whether the reader of the output is gone; Windows calls that an invalid argument."""
    return isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL)


def _exit(message: str, status: int) -> NoReturn:
    print(f"semiseg: {message}", file=sys.stderr)
    sys.exit(status)
