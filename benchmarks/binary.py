"""A data folder of some classes against all others, made from one of many classes.

What most users have is an object and its background. The masks hold 1 for pixels of the named
classes, 0 for the others, and 255 where the truth is unknown; images are copied. From the root of
the repository:

    python benchmarks/binary.py ../shared/data/camvid --classes 8 --out data/vehicle
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.masks import read_mask
from semiseg.data.reader import load_dataset


def main() -> None:
    """Write the folder, and say how large a share the named classes have."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--classes", required=True, help="names, with commas between them")
    parser.add_argument("--out", type=Path, required=True)
    a = parser.parse_args()
    folder, class_names = load_dataset(a.data), a.classes.split(",")
    if strange := set(class_names) - set(folder.classes.names):
        parser.error(f"no class {', '.join(strange)}; there are {', '.join(folder.classes.names)}")
    indices = [folder.classes.names.index(name) for name in class_names]
    counts = np.zeros(256, int)
    for part, samples in (("train", folder.train), ("val", folder.val)):
        for kind in ("images", "masks"):
            (a.out / part / kind).mkdir(parents=True, exist_ok=True)
        for sample in samples:
            target = a.out / part / "images" / sample.image.name
            shutil.copyfile(sample.image, target)
            if sample.mask is not None:
                truth = np.asarray(read_mask(sample.mask, folder.classes))
                mask = np.where(truth == IGNORE_INDEX, truth, np.isin(truth, indices))
                mask = mask.astype(np.uint8)
                Image.fromarray(mask).save(a.out / part / "masks" / f"{target.stem}.png")
                counts += np.bincount(mask.ravel(), minlength=256)
    print(f"{a.out}: {100 * counts[1] / (counts[0] + counts[1]):.1f} % of the pixels")


if __name__ == "__main__":
    main()
