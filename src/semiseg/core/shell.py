"""Commands for people to copy into their shell, in the words of that shell."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable

IS_WINDOWS = os.name == "nt"
"""Whether commands are for Windows, whose shells have no `cp`, `mv` and `for` of POSIX."""
_PLAIN = re.compile(r"[\w@%+=:,./\\-]+")


def quote(word: str) -> str:
    """A word as the shell of this system reads it: `cmd` and PowerShell know double quotes only."""
    if not IS_WINDOWS:
        return shlex.quote(word)
    return word if _PLAIN.fullmatch(word) else '"' + word.replace('"', '\\"') + '"'


def join(words: Iterable[str]) -> str:
    """A command as the shell of this system reads it.

    Example:
        >>> join(["semiseg", "check", "DATA"])
        'semiseg check DATA'
    """
    return " ".join(map(quote, words))
