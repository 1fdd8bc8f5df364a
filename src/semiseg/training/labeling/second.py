"""The probabilities of the second network of a run, computed once for each unlabeled image.

```
RUN/stages/second/probabilities/   one file for each image, removed at the end of the run
```

The second network does not change between the stages. So its probabilities are kept, in half
precision and at stride 4, for each labeling that follows, and after a kill.

They are those of one view, at the working size of the second network. It may be larger than that of
the first network, so both are enlarged before they are averaged. The first network has mirrored
views at several scales, which would take too long here: a view of a vision transformer costs more.
"""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from semiseg.core.files import atomic_write, file_sha256, text_sha256
from semiseg.core.types import Sample
from semiseg.data.dataset import name_below
from semiseg.data.formats.band_image import AnyImage
from semiseg.inference.load import load
from semiseg.model.metadata import WEIGHTS_FILE

SECOND_ENCODER = "second encoder"
"""What the manifest of a label store calls the encoder of the second network, if it had a say."""
_FOLDER = "probabilities"


class SecondJudge:
    """What the second network of a run says about images.

    Args:
        run: the run folder of the second network.
        root: the data folder, below which the images lie.
        accelerator: the device, as `load` takes it.

    Attributes:
        encoder: the name of its encoder.
        sha256: the hash of its weights.

    Raises:
        RunError: the network cannot be read.
    """

    def __init__(self, run: Path, root: Path, accelerator: str) -> None:
        predictor = load(run, accelerator)
        self._segment, self._root = predictor.segment, root
        self._folder = run / _FOLDER
        self.encoder = predictor.metadata.network.encoder
        self.sha256 = file_sha256(run / WEIGHTS_FILE)

    def probabilities(
        self, sample: Sample, image: AnyImage, target: tuple[int, int]
    ) -> NDArray[np.floating]:
        """The class probabilities of an image.

        Args:
            sample: the image's file, which names its probabilities.
            image: its pixels, as the training reads them.
            target: height and width `(H, W)` of the result.

        Returns:
            `(C, H, W)`.

        Raises:
            OSError: the file cannot be written.
        """
        name = text_sha256(name_below(self._root, sample.image))
        file = self._folder / f"{name[:32]}.npz"
        values = self._read(file)
        if values is None:
            values = self._segment.probabilities(image).astype(np.float16)
            self._folder.mkdir(exist_ok=True)
            with atomic_write(file) as out:
                np.savez_compressed(out, source=self.sha256, probabilities=values)
        return self._segment.enlarged(values, image, target)

    def _read(self, file: Path) -> NDArray[np.float16] | None:
        """The probabilities in a file; None if it is missing, damaged, or of another network."""
        try:
            with np.load(file, allow_pickle=False) as arrays:
                values: NDArray[np.float16] = arrays["probabilities"]
                return values if arrays["source"] == self.sha256 else None
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
            return None


def remove_probabilities(run: Path) -> None:
    """Remove the probabilities, once no further labeling needs them.

    Args:
        run: the run folder of the second network.
    """
    shutil.rmtree(run / _FOLDER, ignore_errors=True)
