"""The model card: what people should know about a model before they use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from semiseg.core.text import escape_markdown, markdown_table, percent
from semiseg.evaluation.logit_adjustment import describe_strength
from semiseg.plots.palette import css_color

_HEAD = """---
library_name: semiseg
pipeline_tag: image-segmentation
tags:
- semantic-segmentation
- semi-supervised
---

# Semantic segmentation of {count} classes, trained with {method}
"""
_USE = """
## Use

```python
import semiseg

model = semiseg.load("THIS_FOLDER")
mask = model.predict("image.jpg").mask  # (H, W) class indices, of the size of the image
```

```bash
semiseg predict THIS_FOLDER IMAGES --out masks --overlay
```

`model.json` holds this information for programs. `model.safetensors` holds the weights.
"""


def model_card(metadata: Mapping[str, Any]) -> str:
    """The card in Markdown.

    Args:
        metadata: the contents of `model.json`. The card omits what they do not contain.
    """
    classes = metadata["classes"]
    method = escape_markdown(metadata.get("method", "an unknown method"))
    parts = [_HEAD.format(count=len(classes["names"]), method=method), _training(metadata)]
    if metadata.get("per_class"):
        parts.append(_scores(metadata))
    rows = [
        [i, name, f"`{css_color(color)}`"]
        for i, (name, color) in enumerate(zip(classes["names"], classes["colors"], strict=True))
    ]
    parts.append(f"## Classes\n\n{_table(['index', 'name', 'color'], rows)}\n")
    parts.append(_input(metadata))
    return "\n".join(parts) + _USE


def describe_release(which: str, strength: float) -> str:
    """The released network, and how its logits were adjusted.

    Args:
        which: `student` or `teacher`.
        strength: the share of the log class weights that was subtracted from its logits.
    """
    return f"the {which}" + (
        f", its logits adjusted by {describe_strength(strength)}" if strength else ""
    )


def _training(metadata: Mapping[str, Any]) -> str:
    network, split = metadata["network"], metadata.get("split", {})
    counts = split.get("images", {})
    strength = metadata.get("adjustment", {}).get("strength", 0.0)
    released = describe_release(metadata["which"], strength) if "which" in metadata else None
    facts = {
        "Method": metadata.get("method"),
        "Network": f"{network['encoder']}, {network['decoder']}",
        "Steps": metadata.get("steps"),
        "Labeled images": _count(counts.get("labeled"), split.get("labeled")),
        "Unlabeled images": _count(counts.get("unlabeled"), split.get("unlabeled")),
        "Validation images": _count(counts.get("val"), split.get("val")),
        "Released network": released,
        "semiseg": metadata.get("semiseg"),
    }
    rows = [
        f"| {name} | {value if name.endswith('images') else escape_markdown(value)} |"
        for name, value in facts.items()
        if value is not None
    ]
    note = "\n\nThe hashes are those of the sorted image names.\n" if counts else "\n"
    return "## Training\n\n| | |\n|---|---|\n" + "\n".join(rows) + note


def _count(count: int | None, digest: str | None) -> str | None:
    """A number of images with the hash of their names, in Markdown."""
    if count is None:
        return None
    return f"{escape_markdown(count)} (`{''.join(c for c in str(digest) if c.isalnum())}`)"


def _scores(metadata: Mapping[str, Any]) -> str:
    rows = [
        [name, *(percent(scores[key]) for key in ("iou", "precision", "recall"))]
        for name, scores in metadata["per_class"].items()
    ]
    network = "the released network" + (
        " and the strength of its logit adjustment" if "adjustment" in metadata else ""
    )
    return (
        f"## Scores on the validation images\n\nmIoU {percent(metadata['miou']['released'])} %. "
        f"The training used the same images to choose {network}.\n\n"
        f"{markdown_table(['class', 'IoU, %', 'precision, %', 'recall, %'], rows)}\n"
    )


def _input(metadata: Mapping[str, Any]) -> str:
    network, value_range = metadata["network"], metadata["range"]
    text = (
        "## Input\n\nRGB images of any size. The model scales their short side to "
        f"{metadata['size']} pixels, and normalizes values in 0..1 with the mean "
        f"{_numbers(network['mean'])} and the standard deviation {_numbers(network['std'])}.\n"
    )
    if value_range:
        black, white = value_range
        text += f"In gray images of more than 8 bits, {black:g} is black and {white:g} is white.\n"
    return text


def _table(head: list[str], rows: list[list[object]]) -> str:
    """A table whose last column is Markdown already."""
    lines = [[*map(escape_markdown, row[:-1]), str(row[-1])] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{v:g}" for v in values)
