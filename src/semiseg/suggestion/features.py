"""What a model thinks of images that it might be given masks of, and how it sees them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from semiseg.core.errors import DataError
from semiseg.suggestion.suggest import Suggestion

if TYPE_CHECKING:
    from rich.console import Console

    from semiseg.inference.torch_model import Model
    from semiseg.suggestion.suggest import Features


def look(
    model: Model, named: dict[str, Path], console: Console
) -> tuple[list[tuple[Suggestion, Features]], list[str]]:
    """What the model makes of each image, with the encoder's mean features; what is broken."""
    import numpy as np
    from rich.progress import track

    from semiseg.data.read_ahead import read_ahead
    from semiseg.inference.sources import read_or_error

    captured: list[Features] = []
    handle = model.network.encoder.register_forward_hook(
        lambda _module, _inputs, maps: captured.append(maps[-1][0].mean((1, 2)).cpu().numpy())
    )
    seen: list[tuple[Suggestion, Features]] = []
    broken: list[str] = []
    pictures = read_ahead(lambda file: read_or_error(file, model.value_range), named.values())
    pairs = zip(named.items(), pictures, strict=True)
    hidden = not console.is_terminal
    try:
        for (name, file), picture in track(
            pairs, "looking", len(named), console=console, disable=hidden
        ):
            if isinstance(picture, DataError):
                broken.append(str(picture))
                continue
            captured.clear()
            found = model.predict(picture)
            doubt = float(1 - found.confidence.mean())
            apart = None if found.nearest is None else float((found.nearest != found.mask).mean())
            vector = np.mean(captured, axis=0)  # over the windows of a large image
            seen.append((Suggestion(name, file, 0.0, doubt, apart, 1.0), vector))
    finally:
        handle.remove()
    return seen, broken
