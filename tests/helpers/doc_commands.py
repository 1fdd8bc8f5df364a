"""The commands in the bash fences of a page, and what a shell would see of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from semiseg import cli


def commands(page: Path) -> list[list[str]]:
    """The words of each line of the bash fences that calls semiseg, without its name."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lists = []
    for fence in re.findall(r"^ *```bash\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        for line in fence.splitlines():
            for part in re.split(r"&&|;|\|", line):
                words = shlex.split(part, comments=True)
                if words[:1] == ["semiseg"]:
                    lists.append(words[1:])
    return lists


def exit_status(words: Sequence[str]) -> int:
    """What the shell would see."""
    try:
        cli.main(words)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
