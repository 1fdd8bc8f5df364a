"""An exported model as an object that segments images; neither torch nor Lightning is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semiseg.core.errors import ConfigError, RunError, nearest
from semiseg.inference.predictor import Predictor

if TYPE_CHECKING:
    from semiseg.inference.reading import Maps
    from semiseg.inference.sliding import Images

METADATA = "semiseg"
"""The key of the model's metadata under which the json of the release is kept."""
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxModel(Predictor):
    """A model that was exported as ONNX.

    Args:
        path: the `.onnx` file.
        accelerator: `auto`, `cpu`, `gpu` or `cuda`.

    Raises:
        RunError: there is no such file, or it was not exported by semiseg.
        ConfigError: onnxruntime is not installed, or has no such accelerator here.
    """

    def __init__(self, path: Path, accelerator: str = "auto") -> None:
        from semiseg.inference.reading import Maps
        from semiseg.inference.sliding import Segmenter

        session, about = _open(path, accelerator)
        names = [output.name for output in session.get_outputs()]

        def forward(images: Images) -> Maps:
            try:
                found = dict(zip(names, session.run(names, {"image": images}), strict=True))
            except Exception as error:  # onnxruntime raises many kinds
                size = " x ".join(map(str, images.shape[:1:-1]))
                raise RunError(
                    f"onnxruntime cannot run the model on an image of {size} pixels ({error}). Its "
                    "decoder may not bear another size than it was exported for: use --format "
                    "safetensors, or train with the decoder deeplabv3plus or fpn."
                ) from error
            return Maps(found["logits"], found.get("similarity"))

        segment = Segmenter(forward, about["size"], about["network"].get("crop"), about["stride"])
        super().__init__(about, segment, "similarity" in names)


def _open(path: Path, accelerator: str) -> tuple[Any, dict[str, Any]]:
    """The session of onnxruntime, and what the file says of the model."""
    from semiseg.model.metadata import read_about

    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"{path} needs onnxruntime, which is not installed: pip install 'semiseg[onnx]'."
        ) from error
    if not path.is_file():
        raise RunError(f"There is no model {path}. Make one: semiseg export RUN --out {path}")
    known = onnxruntime.get_available_providers()
    kinds = [kind for kind, provider in _PROVIDERS.items() if provider in known]
    kind = "cuda" if accelerator == "gpu" else accelerator
    if kind != "auto" and kind not in kinds:
        raise ConfigError(
            f"onnxruntime has no accelerator '{accelerator}' here. {nearest(kind, kinds)}"
        )
    chosen = kinds[::-1] if kind == "auto" else [kind]
    try:
        session = onnxruntime.InferenceSession(path, providers=[_PROVIDERS[k] for k in chosen])
        told = session.get_modelmeta().custom_metadata_map.get(METADATA)
        if told is None:
            raise RunError(
                f"{path} was not exported by semiseg: it does not say which classes it knows. "
                "Export the run again."
            )
        about = json.loads(told)
        read_about(about)
        if about["stride"] not in range(1, 1024):
            raise ValueError(f"the stride {about['stride']} is no number of pixels")
    except RunError:
        raise
    except Exception as error:  # onnxruntime raises many kinds
        raise RunError(f"{path} cannot be read ({error}). Export the run again.") from error
    return session, about
