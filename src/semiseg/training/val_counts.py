"""The counts of the candidates of an earlier stage; the last stage is compared with the first one.

```
RUN/stages/1/val-counts.npz   the pixels of each class in each image of val, for each candidate
```
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from semiseg.core.choices import Candidate
from semiseg.core.errors import RunError
from semiseg.core.files import atomic_write
from semiseg.evaluation.choice import ImageCounts

_FILE = "val-counts.npz"
_FORMAT = 1  # it grows when an array changes its meaning


def write_counts(folder: Path, names: Sequence[str], counts: ImageCounts) -> None:
    """Write the counts, as a whole or not at all.

    Args:
        folder: the run folder of the stage.
        names: the name of each image.
        counts: the candidates of the stage, with their counts.

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_write(folder / _FILE) as file:
        np.savez_compressed(
            file,
            format=_FORMAT,
            names=np.array(names),
            networks=np.array([candidate.network for candidate in counts.candidates]),
            strengths=np.array([candidate.strength for candidate in counts.candidates]),
            true=counts.true,
            predicted=counts.predicted,
            common=counts.common,
        )


def read_counts(folder: Path, names: Sequence[str], classes: int) -> ImageCounts:
    """Read the counts of a stage.

    Args:
        folder: the run folder of the stage.
        names: the names of the images, which have to be the same.
        classes: the number of classes.

    Raises:
        RunError: the file cannot be read, or belongs to other images.
    """
    file = folder / _FILE
    try:
        with np.load(file, allow_pickle=False) as arrays:
            if arrays["format"] != _FORMAT:
                raise ValueError(f"its format is {arrays['format']}, not {_FORMAT}")
            if arrays["names"].tolist() != list(names):
                raise ValueError("its images are not those of the run")
            candidates = tuple(
                Candidate(1, network, strength)
                for network, strength in zip(
                    arrays["networks"].tolist(), arrays["strengths"].tolist(), strict=True
                )
            )
            counts = ImageCounts(
                candidates, *(arrays[name] for name in ("true", "predicted", "common"))
            )
        shape = (len(names), classes)
        shapes = {counts.true.shape, counts.predicted.shape[1:], counts.common.shape[1:]}
        if shapes != {shape} or {len(counts.predicted), len(counts.common)} != {len(candidates)}:
            raise ValueError(f"its arrays have other shapes than {shape}")
    except Exception as error:  # a damaged file can fail in many ways
        raise RunError(f"{file} cannot be read ({error}). Start the run again.") from error
    return counts
