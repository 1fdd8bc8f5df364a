"""`load`: a trained model as an object that segments images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from semiseg.types import Prediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from semiseg.data.masks import Classes
    from semiseg.model.release import Release


class Model:
    """A trained model.

    Args:
        release: what was read from the run folder.
        device: where to run, as torch names it.
    """

    def __init__(self, release: Release, device: str) -> None:
        self.release = release
        self.device = device
        self.network = release.network.to(device)

    @property
    def classes(self) -> Classes:
        """Names, colours and codes of the classes."""
        return self.release.classes

    @property
    def about(self) -> dict[str, Any]:
        """The contents of `model.json`: method, scores, split and network."""
        return self.release.about

    def predict(self, image: Path | str | Image.Image | NDArray[np.uint8]) -> Prediction:
        """Segment one image.

        Args:
            image: a file, a Pillow image, or `(H, W, 3)` uint8 in RGB; of any size.

        Returns:
            Class indices and their confidence, of the image's own size.

        Raises:
            DataError: the file cannot be read.
        """
        from PIL import Image

        from semiseg.data.images import read_image
        from semiseg.evaluation.inference import segment, to_working_size

        if isinstance(image, (str, Path)):
            picture = read_image(Path(image), self.release.value_range)
        elif isinstance(image, Image.Image):
            picture = image.convert("RGB")
        else:
            picture = Image.fromarray(image).convert("RGB")
        scaled = to_working_size(picture, self.release.size).to(self.device)
        logits = segment(self.network, scaled, (picture.height, picture.width))
        top, label = logits.max(dim=0)
        confidence = (top - logits.logsumexp(dim=0)).exp()
        return Prediction(
            label.to("cpu").numpy().astype("uint8"), confidence.to("cpu").float().numpy()
        )


def load(run: Path | str, accelerator: str = "auto") -> Model:
    """Load the model of a finished run.

    Args:
        run: the run folder.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.

    Returns:
        The model, ready to predict.

    Raises:
        RunError: the folder holds no model that can be read.
        ConfigError: there is no such accelerator here.
    """
    from semiseg.model.device import torch_device
    from semiseg.model.release import load_release

    return Model(load_release(Path(run)), torch_device(accelerator))
