"""What a person is told when something is wrong: what was found, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SemisegError(Exception):
    """Base of all errors that a user can mend; the command line prints them and exits with 2."""


class DataError(SemisegError):
    """Something is wrong with the images, the masks or a list of them."""


class SmearedMask(DataError):
    """A mask went through lossy compression or interpolation: its values are no annotation."""


class ConfigError(SemisegError):
    """A setting, a name or a combination of settings cannot be used."""


class HubError(ConfigError):
    """Pretrained weights could not be fetched."""


class RunError(SemisegError):
    """A run folder cannot be written, read or continued."""


class Interrupted(SemisegError):
    """The user stopped a training; it can be resumed."""

    status = 130  # as a shell has it: 128 and the number of the signal


class Terminated(Interrupted):
    """A training was asked to end by SIGTERM, as batch systems do; it can be resumed."""

    status = 143


def nearest(name: str, known: Iterable[str]) -> str:
    """A phrase that suggests the known name most like `name`, and lists the others if few.

    Args:
        name: what the user wrote.
        known: the names that would have been accepted.

    Returns:
        For example ``Did you mean 'css'? Known: css, supervised.``
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    listed = f"Known: {', '.join(names)}." if len(names) <= 20 else f"{len(names)} are known."
    return hint + listed
