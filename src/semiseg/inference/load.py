"""`load`: a trained model as an object that segments images."""

from __future__ import annotations

from pathlib import Path

from semiseg.inference.onnx_model import OnnxModel
from semiseg.inference.predictor import Predictor


def load(run: Path | str, accelerator: str = "auto") -> Predictor:
    """Load the model of a finished run, or an exported model.

    Args:
        run: the run folder, or a file that ends in `.onnx`.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.

    Returns:
        The model: a `Model`, or for a `.onnx` file a model that needs no torch.

    Raises:
        RunError: the model cannot be read.
        ConfigError: this machine has no such accelerator.
    """
    path = Path(run)
    if path.suffix.lower() == ".onnx":
        return OnnxModel(path, accelerator)
    # An exported model works without torch, so torch is imported here.
    from semiseg.inference.device import torch_device
    from semiseg.inference.torch_model import Model
    from semiseg.model.release import load_release

    return Model(load_release(path), torch_device(accelerator))
