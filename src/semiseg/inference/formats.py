"""The formats that `export` writes and `load` reads. A new format adds one entry to `FORMATS`.

The code of a format is named by a string, since it imports torch or onnxruntime: the help must not
wait for that.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from semiseg.config.settings import AUTO, Auto
from semiseg.core.files import is_on_hub

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from semiseg.data.formats.band_image import AnyImage
    from semiseg.inference.predictor import Predictor
    from semiseg.model.release import Release


@dataclass(frozen=True)
class Format:
    """A format of exported models.

    Attributes:
        purpose: what it is for, as the end of a sentence of the help that begins with its name.
        suffix: the suffix of its file, such as `.onnx`, by which `load` knows it. Empty for a
            folder that `load` reads as a run folder.
        writer: `module:function`. The function takes the release and the path to write.
        reader: `module:function`. The function takes the path, the accelerator and the CPU
            threads, and gives the model. None for a format that only other programs read.
        scorer: `module:function`, for a format without a reader. The function takes the release,
            the path and an image, and gives the probabilities `(C, H, W)` of both.
        folder_files: the names of the files in the folder, for a format without a suffix.
    """

    purpose: str
    suffix: str
    writer: str
    reader: str | None = None
    scorer: str | None = None
    folder_files: tuple[str, ...] = ()

    def target(self, out: Path) -> Path:
        """The path to write for `--out`: a file, also where `out` is a folder for it."""
        return out if out.suffix.lower() == self.suffix or not self.suffix else out / self.file

    def files(self, target: Path) -> tuple[Path, ...]:
        """The files that are written for `target`, or that stand for all of them in a folder."""
        return (target,) if self.suffix else tuple(target / name for name in self.folder_files)

    @property
    def file(self) -> str:
        """The name of the file in a folder."""
        return f"model{self.suffix}"

    def write(self, release: Release, path: Path) -> None:
        """Write a trained model.

        Raises:
            ConfigError: the format cannot express the network, or a package is missing.
        """
        _imported(self.writer)(release, path)

    def read(self, path: Path, accelerator: str, threads: int | Auto = AUTO) -> Predictor:
        """Read a model.

        Raises:
            RunError: the model cannot be read.
            ConfigError: a package is missing, or this machine has no such accelerator.
        """
        assert self.reader is not None  # nosec B101 - see `format_of`
        return cast("Predictor", _imported(self.reader)(path, accelerator, threads))

    def scores(
        self, release: Release, path: Path, image: AnyImage
    ) -> tuple[NDArray[np.float32], ...]:
        """The probabilities `(C, H, W)` that a model and its file give for an image."""
        assert self.scorer is not None  # nosec B101 - asked of formats without a reader
        scores = _imported(self.scorer)(release, path, image)
        return cast("tuple[NDArray[np.float32], ...]", scores)


FORMATS = {
    "onnx": Format(
        purpose="for onnxruntime and other programs, without torch",
        suffix=".onnx",
        writer="semiseg.inference.onnx_graph:write_onnx",
        reader="semiseg.inference.onnx_model:OnnxModel",
    ),
    "hub": Format(
        purpose="a folder for the Hugging Face hub and for semiseg, with a model card",
        suffix="",
        writer="semiseg.inference.torch_model:write_model",
        reader="semiseg.inference.torch_model:read_model",
        folder_files=("model.safetensors", "model.json", "README.md", "config.json"),
    ),
    "qgis": Format(
        purpose="for the plugin Deepness of QGIS and for GeoDeep",
        suffix=".onnx",
        writer="semiseg.inference.qgis:write_qgis",
        scorer="semiseg.inference.qgis:tile_scores",
    ),
}
"""The formats by name, in the order of the help."""


def format_of(path: Path) -> Format:
    """The format of a model, by its suffix.

    A run folder, and a model on the hub, have the format of an exported folder.
    """
    if is_on_hub(path):
        return FORMATS["hub"]
    suffixes = {form.suffix: form for form in FORMATS.values() if form.reader}
    return suffixes.get(path.suffix.lower(), suffixes[""])


def _imported(name: str) -> Callable[..., object]:
    module, _, attribute = name.partition(":")
    function: Callable[..., object] = getattr(importlib.import_module(module), attribute)
    return function
