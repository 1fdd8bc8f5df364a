"""Text for people: numbers with their nouns, percentages, durations, tables and wrapped lines."""

from __future__ import annotations

import html
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence

WIDTH = 100
"""Columns of the terminal that wrapped text fills."""


def plural(count: int, one: str, several: str | None = None) -> str:
    """A count with its noun.

    Args:
        count: how many there are.
        one: the noun in the singular.
        several: the noun in the plural; `one` with an `s` by default.

    Example:
        >>> plural(1, "mask"), plural(2000, "mask"), plural(2, "class", "classes")
        ('1 mask', '2,000 masks', '2 classes')
    """
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def percent(value: float | None) -> str:
    """A percentage with one decimal, or a dash where there is none.

    Example:
        >>> percent(81.26), percent(None)
        ('81.3', '-')
    """
    return "-" if value is None else f"{value:.1f}"


def duration(seconds: float) -> str:
    """A time as people say it.

    Example:
        >>> duration(40), duration(720), duration(4320), duration(183_600)
        ('40 s', '12 min', '1 h 12 min', '2 d 3 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def parts_of_time(parts: Mapping[str, float]) -> str:
    """What takes how long, the longest first.

    What takes less than a second is left out, unless all parts do; then the longest one stands.

    Example:
        >>> parts_of_time({"the steps": 40.0, "the start": 0.2, "5 validations": 120.0})
        '5 validations 2 min, the steps 40 s'
        >>> parts_of_time({"the steps": 0.4, "the start": 0.2})
        'the steps 0 s'
    """
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    named = [part for part in ordered if part[1] >= 1] or ordered[:1]
    return ", ".join(f"{name} {duration(seconds)}" for name, seconds in named)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns of text: the first aligned to the left, the others to the right.

    Example:
        >>> print(table(["class", "IoU"], [["crop", "81.3"]]))
        class   IoU
        -----  ----
        crop   81.3
    """
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in lines
    )


def columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns of text, all aligned to the left. On a terminal the last one wraps.

    Example:
        >>> print(columns(["setting", "why"], [["lr", "the default of adamw"]]))
        setting  why
        lr       the default of adamw
    """
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)][:-1]
    indent = sum(widths) + 2 * len(widths)
    terminal = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    room = max(terminal - indent, 20) if terminal else sys.maxsize
    text = []
    for *cells, last in lines:
        first = "".join(cell.ljust(width + 2) for cell, width in zip(cells, widths, strict=True))
        wrapped = textwrap.wrap(last, room) or [""]
        text += [f"{first}{wrapped[0]}".rstrip(), *(" " * indent + more for more in wrapped[1:])]
    return "\n".join(text)


def wrap(text: str, label: str = "") -> str:
    """A paragraph in lines of at most `WIDTH` columns, indented by the width of its label.

    Long words stay whole, so that paths can be copied.
    """
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )


def printable(text: str) -> str:
    """The text with a `?` for each character that a terminal cannot show.

    These are control codes, and the bytes of file names that are not UTF-8.
    """
    return "".join(c if c.isprintable() else "?" for c in text)


def escape_markdown(text: object) -> str:
    """Text from outside for Markdown: one line without any markup, in a table or not."""
    escaped = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", escaped)


def markdown_table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    r"""A table in Markdown, whose cells are escaped.

    Example:
        >>> print(markdown_table(["class", "IoU"], [["a|b", "81.3"]]))
        | class | IoU |
        | --- | --- |
        | a\|b | 81.3 |
    """
    lines = [[escape_markdown(cell) for cell in row] for row in (head, *rows)]
    lines.insert(1, ["---"] * len(head))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
