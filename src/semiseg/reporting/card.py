"""The model card: what somebody who is handed a model should know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from semiseg.core.text import percent
from semiseg.training.tables import markdown, which_network

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
mask = model.predict("image.jpg").mask  # (H, W) class indices, of the image's own size
```

```bash
semiseg predict THIS_FOLDER IMAGES --out masks --overlay
```

`model.json` holds all of the above for programs; `model.safetensors` holds the weights.
"""


def card(about: Mapping[str, Any]) -> str:
    """The card, in Markdown, filled from `model.json`.

    Args:
        about: its contents. What a model was not told of its training is left out.
    """
    classes, network = about["classes"], about["network"]
    names = classes["names"]
    parts = [
        _HEAD.format(count=len(names), method=markdown(about.get("method", "an unknown method")))
    ]
    parts.append(_training(about))
    if about.get("per_class"):
        parts.append(_scores(about))
    listed = "".join(
        f"| {i} | {markdown(name)} | `#{r:02x}{g:02x}{b:02x}` |\n"
        for i, (name, (r, g, b)) in enumerate(zip(names, classes["colors"], strict=True))
    )
    parts.append(f"## Classes\n\n| index | name | color |\n|---|---|---|\n{listed}")
    extent = about["range"]
    parts.append(
        "## Input\n\n"
        f"RGB images of any size; the short side is scaled to {about['size']} pixels. Values in "
        f"0..1 are normalized by the mean {_triple(network['mean'])} and the deviation "
        f"{_triple(network['std'])}; that is part of the model.\n"
        + (f"Deep gray images: {extent[0]:g} is black, {extent[1]:g} white.\n" if extent else "")
    )
    return "\n".join(parts) + _USE


def _training(about: Mapping[str, Any]) -> str:
    network, split = about["network"], about.get("split", {})
    images = split.get("images", {})
    rows = {
        "Method": _told(about.get("method")),
        "Network": markdown(f"{network['encoder']}, {network['decoder']}"),
        "Steps": _told(about.get("steps")),
        "Labeled images": _listed(images.get("labeled"), split.get("labeled")),
        "Unlabeled images": _listed(images.get("unlabeled"), split.get("unlabeled")),
        "Validation images": _listed(images.get("val"), split.get("val")),
        "Released": _told(_released(about)),
        "semiseg": _told(about.get("semiseg")),
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items() if value is not None]
    note = "\n\nA hash is that of the sorted names of the images.\n" if images else "\n"
    return "## Training\n\n| | |\n|---|---|\n" + "\n".join(lines) + note


def _released(about: Mapping[str, Any]) -> str | None:
    if "which" not in about:
        return None
    return which_network(about["which"], about.get("adjustment", {}).get("strength", 0.0))


def _listed(count: int | None, digest: str | None) -> str | None:
    shown = "".join(c for c in str(digest) if c.isalnum())
    return None if count is None else f"{markdown(count)} (`{shown}`)"


def _told(value: object) -> str | None:
    return None if value is None else markdown(value)


def _scores(about: Mapping[str, Any]) -> str:
    rows = "".join(
        f"| {markdown(name)} | {percent(values['iou'])} | {percent(values['precision'])} "
        f"| {percent(values['recall'])} |\n"
        for name, values in about["per_class"].items()
    )
    adjusted = ", and how it was adjusted," if "adjustment" in about else ""
    return (
        f"## Scores on the validation images\n\nmIoU {percent(about['miou']['released'])} %. Which "
        f"of student and teacher was released{adjusted} was chosen on these images.\n\n"
        f"| class | IoU, % | precision, % | recall, % |\n|---|---|---|---|\n{rows}"
    )


def _triple(values: list[float]) -> str:
    return ", ".join(f"{v:g}" for v in values)
