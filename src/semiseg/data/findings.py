"""Findings: what a person should know about a data folder, with the files and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from semiseg.core.errors import DataError
from semiseg.core.text import printable

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
Kind = Literal[
    "absent-class",
    "all-ignored",
    "ambiguous-mask",
    "animation",
    "axes",
    "band-count",
    "bands",
    "class-names",
    "classes",
    "constant-band",
    "contradicting-masks",
    "dead-link",
    "duplicate-name",
    "foreground",
    "fourth-band",
    "ground-resolution",
    "group",
    "hidden-class",
    "instances",
    "layout",
    "leak",
    "mask-name",
    "mask-no-data",
    "mask-position",
    "mask-transparency",
    "mask-without-image",
    "missing-mask",
    "mixed-foreground",
    "near-duplicate",
    "needs-extra",
    "no-data",
    "no-masks",
    "no-picture",
    "no-val",
    "not-read",
    "one-class",
    "orientation",
    "outside-polygons",
    "palette",
    "pool",
    "repeated-image",
    "several-masks",
    "shared-group",
    "shared-image",
    "size",
    "skipped-shape",
    "smeared-mask",
    "soft-mask",
    "tiles",
    "touching-objects",
    "transparency",
    "unknown-value",
    "unlike-images",
    "unnamed-classes",
    "unreadable-image",
    "unreadable-mask",
    "unscored-class",
    "unseen-class",
    "value-range",
    "void-value",
]
"""The names by which programs tell findings apart; docs/check.md describes them."""
_MAX_NAMED = 5  # files that a sentence names


class Finding(NamedTuple):
    """Something that a person should know before training.

    Attributes:
        kind: a short name for programs, such as `unreadable-image`.
        severity: an `error` would spoil a training, a `warning` may, a `note` is good to know.
        files: the files, as paths below the data folder with `/` between folders.
        message: what was found, without a period.
        remedy: what to do, in whole sentences; empty where nothing needs to be done.
        classes: the names of the classes, where the finding is about classes.
        details: what the text says after each file's name; empty, or one for each file.
    """

    kind: Kind
    severity: Severity
    files: tuple[str, ...]
    message: str
    remedy: str = ""
    classes: tuple[str, ...] = ()
    details: tuple[str, ...] = ()

    @property
    def items(self) -> tuple[str, ...]:
        """What the finding is about: its files, or its classes."""
        return self.files or self.classes

    @property
    def text(self) -> str:
        """The whole finding as text, with the number of files and the first five of them.

        Example:
            >>> Finding("layout", "note", tuple("abcdefg"), "Files", "Count them.").text
            'Files: 7 (a, b, c, d, e, ...). Count them.'
        """
        items = list(self.items[:_MAX_NAMED])
        for i, detail in enumerate(self.details[:_MAX_NAMED]):
            items[i] += detail
        more = ["..."] if len(self.items) > _MAX_NAMED else []
        text = ("; " if self.details else ", ").join(items + more)
        count = f": {len(self.items)} ({text})" if self.items else ""
        return printable(f"{self.message}{count}. {self.remedy}".rstrip())

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; docs/check.md describes the keys."""
        return {
            "severity": self.severity,
            "kind": self.kind,
            "files": [printable(file) for file in self.files],
            "message": printable(self.message),
            "remedy": printable(self.remedy),
            "items": [printable(item) for item in self.items],
            "text": self.text,
        }


def note(message: str, remedy: str = "", severity: Severity = "note") -> Finding:
    """A finding about the folder as a whole, of the kind `layout`."""
    return Finding("layout", severity, (), message, remedy)


def error_of(error: DataError) -> Finding:
    """The finding of the kind `layout` that says what an error says."""
    return note(error.message.rstrip("."), error.remedy, "error")


def on_files(
    kind: Kind, severity: Severity, details: Mapping[str, str], message: str, remedy: str = ""
) -> list[Finding]:
    """One finding on these files, sorted by name; none if there are no files.

    Args:
        kind: as in `Finding`.
        severity: as in `Finding`.
        details: by the file's name, what the text says after it; all may be empty.
        message: as in `Finding`.
        remedy: as in `Finding`.
    """
    if not details:
        return []
    pairs = sorted(details.items())
    texts = tuple(detail for _, detail in pairs) if any(details.values()) else ()
    files = tuple(name for name, _ in pairs)
    return [Finding(kind, severity, files, message, remedy, details=texts)]
