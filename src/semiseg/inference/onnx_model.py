"""An exported model that segments images without torch and Lightning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from semiseg.config.settings import AUTO, Auto, unless_auto
from semiseg.core.errors import ConfigError, DataError, RunError, nearest
from semiseg.core.records import from_plain
from semiseg.inference.predictor import Predictor
from semiseg.inference.reading import Maps
from semiseg.inference.sliding import Segmenter
from semiseg.inference.views import Images
from semiseg.model.metadata import ModelMetadata

METADATA = "semiseg"
"""The key of `model.json` in the metadata of the ONNX file."""
STRIDE_KEY = "stride"
"""The key of the network's stride, which an ONNX file has beside those of `model.json`."""
_MAX_STRIDE = 1024
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxModel(Predictor):
    """A model in an ONNX file.

    Args:
        path: the `.onnx` file.
        accelerator: `auto`, `cpu`, `gpu` or `cuda`.
        threads: the CPU threads; with `auto`, onnxruntime's own number.

    Raises:
        RunError: there is no such file, or semiseg did not write it.
        ConfigError: onnxruntime is not installed, or has no such accelerator on this machine.
    """

    def __init__(self, path: Path, accelerator: str = "auto", threads: int | Auto = AUTO) -> None:
        session, metadata, stride = _open(path, accelerator, threads)
        names = [output.name for output in session.get_outputs()]
        channels = metadata.network.channels

        def forward(images: Images) -> Maps:
            if images.shape[1] != channels:
                raise DataError(
                    f"The image has {images.shape[1]} channels, and the model {path} takes images "
                    f"of {channels}."
                )
            try:
                outputs = dict(zip(names, session.run(names, {"image": images}), strict=True))
            except Exception as error:  # onnxruntime raises many kinds
                size = " x ".join(map(str, images.shape[:1:-1]))
                raise RunError(
                    f"onnxruntime cannot run the model on an image of {size} pixels ({error}). "
                    "Some decoders work only for the size of the export. Export with --format "
                    "hub, or train with the decoder deeplabv3plus or fpn."
                ) from error
            return Maps(outputs["logits"], outputs.get("similarity"))

        segment = Segmenter(forward, metadata.size, metadata.network.crop, stride)
        # The session chose the first of its providers that works on this machine.
        provider = session.get_providers()[0]
        device = next(kind for kind, name in _PROVIDERS.items() if name == provider)
        super().__init__(metadata, segment, "similarity" in names, device)


def _open(path: Path, accelerator: str, threads: int | Auto) -> tuple[Any, ModelMetadata, int]:
    """The session of onnxruntime, the `model.json` in the file, and the stride of the network."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"{path} needs onnxruntime, which is not installed: pip install 'semiseg[onnx]'."
        ) from error
    if not path.is_file():
        raise RunError(f"There is no model {path}. Export one: semiseg export RUN --out {path}")
    providers = onnxruntime.get_available_providers()
    kinds = [kind for kind, provider in _PROVIDERS.items() if provider in providers]
    kind = "cuda" if accelerator == "gpu" else accelerator
    if kind != "auto" and kind not in kinds:
        raise ConfigError(
            f"onnxruntime has no accelerator '{accelerator}' on this machine. "
            f"{nearest(kind, kinds)}"
        )
    candidates = kinds[::-1] if kind == "auto" else [kind]
    try:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = unless_auto(threads, 0)  # 0: its own number
        providers = [_PROVIDERS[kind] for kind in candidates]
        session = onnxruntime.InferenceSession(path, options, providers)
        texts = session.get_modelmeta().custom_metadata_map
        text = texts.get(METADATA)
        if text is None and "model_type" in texts:
            raise RunError(
                f"{path} is for QGIS, and semiseg cannot run it. Export the run again, with "
                "--format onnx."
            )
        if text is None:
            raise RunError(
                f"semiseg did not write {path}: the file does not name its classes. Export the run "
                "again."
            )
        content = json.loads(text)
        metadata = ModelMetadata.from_dict(content)
        stride = from_plain(int, content[STRIDE_KEY], STRIDE_KEY)
        if stride not in range(1, _MAX_STRIDE):
            raise ValueError(f"the stride {stride} is not a number of pixels")
        (image,) = session.get_inputs()
        if image.shape[1] != metadata.network.channels:
            raise ValueError(
                f"its graph takes {image.shape[1]} channels, its metadata name "
                f"{metadata.network.channels}"
            )
    except RunError:
        raise
    except Exception as error:  # onnxruntime raises many kinds
        raise RunError(f"{path} cannot be read ({error}). Export the run again.") from error
    return session, metadata, stride
