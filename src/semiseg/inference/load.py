"""`load`: a trained model as an object that segments images."""

from __future__ import annotations

from pathlib import Path

from semiseg.inference.formats import format_of
from semiseg.inference.predictor import Predictor


def load(run: Path | str, accelerator: str = "auto") -> Predictor:
    """Load the model of a finished run, or an exported model.

    Args:
        run: the run folder, or an exported model, such as a file that ends in `.onnx`.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.

    Returns:
        The model: a `Model`, or for a `.onnx` file a model that needs no torch.

    Raises:
        RunError: the model cannot be read.
        ConfigError: this machine has no such accelerator.
    """
    return format_of(Path(run)).read(Path(run), accelerator)
