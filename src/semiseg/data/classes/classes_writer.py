"""Writes `classes.yaml`, so that the same classes are read from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.labelme import BACKGROUND
from semiseg.data.formats.masks import Classes


def classes_yaml(classes: Classes) -> dict[str, Any]:
    """The content of `classes.yaml`."""
    has_ids = classes.encoding == "ids"
    entries = [
        {"name": name, **({"id": code} if has_ids else {}), "color": list(color)}
        for name, code, color in zip(classes.names, classes.codes, classes.colors, strict=True)
    ]
    for code, index in classes.merged:
        key, value = ("id", code) if has_ids else ("color", f"#{code:06x}")
        entries.append({"name": classes.names[index], key: value})
    ignored: list[object] = []
    if classes.encoding == "colors":
        ignored = [f"#{code:06x}" for code in classes.ignored]
    elif has_ids:
        ignored = [code for code in classes.ignored if code != IGNORE_INDEX]
    elif 0 not in classes.codes:  # a reader would make a class of it
        ignored = [BACKGROUND]
    return {"classes": entries, **({"ignore": ignored} if ignored else {})}


def classes_text(classes: Classes, shares: Mapping[str, str]) -> str:
    """The lines of `classes.yaml` with comments, ready to be edited.

    Args:
        classes: the classes.
        shares: what the comment behind each class says, by its name.
    """
    content = classes_yaml(classes)
    lines = [
        "# The classes and how the masks spell them. Written by `semiseg init`; edit it freely.",
        "# Change a name here, and tables and legends follow. Two lines with one name are one",
        "# class. Values below `ignore` neither train nor score a model.",
        "classes:",
    ]
    for entry in content["classes"]:
        if isinstance(entry.get("color"), list):
            entry["color"] = "#{:02x}{:02x}{:02x}".format(*entry["color"])
        share = shares.get(entry["name"], "")
        lines.append(f"  - {scalar(entry)}" + (f"  # {share}" if share else ""))
    ignored = content.get("ignore", [])
    lines.append(f"ignore: {scalar(ignored)}" if ignored else "# ignore: []")
    return "\n".join(lines) + "\n"


def scalar(value: object) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("\n...").strip()
