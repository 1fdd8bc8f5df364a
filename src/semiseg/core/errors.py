"""The errors of semiseg. A message says what is wrong, in which file, and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from semiseg.core.addresses import without_secrets


class SemisegError(Exception):
    """The base of all errors that a user can correct. The command line exits with status 2."""


class DataError(SemisegError):
    """Something is wrong with the images, the masks or a list of them.

    Attributes:
        message: what is wrong, and in which file.
        remedy: what to do about it; empty if the message already says it.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message, self.remedy = message, remedy
        super().__init__(f"{message} {remedy}".rstrip())


class LossyMask(DataError):
    """Lossy compression or interpolation changed the values of a mask.

    Attributes:
        values: the number of different values in the mask.
    """

    values = 0

    @classmethod
    def of(cls, path: object, values: int) -> LossyMask:
        """The error for a mask file with so many different values."""
        # No constructor of its own: torch builds the error of a loader process from its message.
        error = cls(
            f"{path} holds {values} different values: JPEG compression or resizing with "
            "interpolation has changed it.",
            "Save the original mask as PNG.",
        )
        error.values = values
        return error


class ConfigError(SemisegError):
    """A setting, a name or a combination of settings cannot be used."""


class SettingError(ConfigError):
    """A setting has a value that is not allowed.

    Attributes:
        setting: the name of the setting, such as `confidence_threshold`.
        value: the value.
        allowed: the allowed values in words, such as `a number from 0 to 1`.
        flag: the setting's flag on the command line.
        source: the file or recipe that holds the value; empty for the command line and Python.
    """

    def __init__(
        self, setting: str, value: object, *, allowed: str, flag: str, source: str = ""
    ) -> None:
        self.setting, self.value, self.allowed = setting, value, allowed
        self.flag, self.source = flag, source
        super().__init__(str(self))

    def __str__(self) -> str:
        """One sentence: the setting, the value, where it stands, and the allowed values."""
        value = (
            ",".join(map(str, self.value)) if isinstance(self.value, (tuple, list)) else self.value
        )
        value = "''" if value == "" else without_secrets(str(value))
        place = f" in {self.source}" if self.source else ""
        stop = "" if self.allowed.endswith("?") else "."
        return f"{self.flag} {value}{place} is not allowed. Allowed: {self.allowed}{stop}"


class UnknownSettingError(ConfigError):
    """There is no setting of that name.

    Attributes:
        setting: the name.
        hint: the nearest name, or the method that has such a setting, as a sentence.
        source: the file or recipe that names it; empty for the command line and Python.
    """

    def __init__(self, setting: str, *, hint: str = "", source: str = "") -> None:
        self.setting, self.hint, self.source = setting, hint, source
        place = f" in {source}" if source else ""
        super().__init__(f"There is no setting '{setting}'{place}. {hint}".rstrip())


class BudgetError(ConfigError):
    """The time of a training is too short.

    Attributes:
        problem: what does not fit, as a sentence.
        ways: what fits, each as a flag with its value; empty where nobody computed it.
    """

    def __init__(self, problem: str, ways: tuple[str, ...] = ()) -> None:
        self.problem, self.ways = problem, ways
        *others, last = ways or ("",)
        choice = f"{', '.join(others)} or {last}" if others else last
        verb = "Any of these fits" if others else "This fits"
        super().__init__(f"{problem} {verb}: {choice}." if ways else problem)


class HubError(ConfigError):
    """semiseg could not download pretrained weights."""


class RunError(SemisegError):
    """semiseg cannot write, read or continue a run folder."""


class Interrupted(SemisegError):
    """The user stopped a training; it can be resumed."""

    status = 130  # as a shell has it: 128 and the number of the signal


class Terminated(Interrupted):
    """SIGTERM stopped a training, as batch systems send it; it can be resumed."""

    status = 143


def nearest(name: str, known: Iterable[str], title: str = "Known") -> str:
    """A phrase that suggests the known name most like `name`, and lists the others if few.

    Args:
        name: the name that the user wrote.
        known: the names that are allowed.
        title: what the list of names is called.

    Returns:
        For example ``Did you mean 'css'? Known: css, supervised.``
    """
    names = sorted(set(known))
    close = closest(name, names)
    hint = "" if close is None else f"Did you mean '{close}'? "
    listed = ", ".join(names) if len(names) <= 20 else f"{len(names)} names"
    return f"{hint}{title}: {listed}."


def closest(name: str, known: Iterable[str], likeness: float = 0.5) -> str | None:
    """The known name most like `name`; case, spaces, dashes and underscores do not matter.

    Args:
        name: the name that the user wrote.
        known: the names that are allowed.
        likeness: how much alike they must be, from 0 to 1.

    Example:
        >>> closest("UniMatch_V2", ["unimatch", "unimatch-v2"])
        'unimatch-v2'
        >>> closest("ST++", ["st", "st-plus-plus"])
        'st-plus-plus'
    """
    names = {_plain(other): other for other in known}
    close = difflib.get_close_matches(_plain(name), names, n=1, cutoff=likeness)
    return names[close[0]] if close else None


def _plain(name: str) -> str:
    """A name without what people write in different ways."""
    return re.sub(r"[\s_-]+", "-", name.strip().replace("+", "-plus")).casefold()
