"""`load`: a trained model as an object that segments images."""

from __future__ import annotations

from pathlib import Path

from semiseg.inference.predictor import Predictor


def load(run: Path | str, accelerator: str = "auto") -> Predictor:
    """Load the model of a finished run, or one that was exported.

    Args:
        run: the run folder, or a file that ends in `.onnx`.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.

    Returns:
        The model, ready to predict: a `Model`, or for a `.onnx` file one that needs no torch.

    Raises:
        RunError: there is no model that can be read.
        ConfigError: there is no such accelerator here.
    """
    path = Path(run)
    if path.suffix.lower() == ".onnx":
        from semiseg.inference.onnx_model import OnnxModel

        return OnnxModel(path, accelerator)
    from semiseg.inference.device import torch_device
    from semiseg.inference.torch_model import Model
    from semiseg.model.release import load_release

    return Model(load_release(path), torch_device(accelerator))
