"""Images a second of the training data on one core, beside torchvision's plain pipeline.

Both decode images (and the masks of half of them), show a random view, flip it, and change its
colors: all four jitters and a blur where it is unlabeled, no hue and no blur where it is
labeled. Times are those of the processor, so that a busy machine does not count. From the root of
the repository:

    taskset -c 0 python benchmarks/loader.py
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch
from torchvision import tv_tensors
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2

from semiseg.core.rng import Key
from semiseg.core.types import Sample
from semiseg.data.dataset import Dataset
from semiseg.data.formats.images import image_size
from semiseg.data.pixel_cache import reduce_size
from semiseg.data.reader import load_dataset
from semiseg.scenes.draw import write_scenes
from semiseg.training.batches import TrainingBatches, TrainingImages, Views

CAMVID = Path(__file__).parents[2] / "shared" / "data" / "camvid"
BATCH = 4
SCALE = (0.75, 1.5)  # `TrainingBatches`' own


class Plain:
    """The same with torchvision's transforms, on tensors of bytes, decoding every time."""

    def __init__(self, samples: Sequence[Sample], size: int, crop: int) -> None:
        self.samples = samples
        width, height = reduce_size(image_size(samples[0].image), size)
        sides = [min(crop / f, width, height) for f in (SCALE[1], SCALE[0])]
        area = tuple(s**2 / (width * height) for s in sides)
        self.view = v2.Compose(
            [v2.RandomResizedCrop(crop, area, (1, 1)), v2.RandomHorizontalFlip()]
        )
        weak, strong = v2.ColorJitter(0.25, 0.25, 0.25), v2.ColorJitter(0.25, 0.25, 0.25, 0.25)
        blur = v2.GaussianBlur(7, (0.15, 1.15))
        self.labeled = v2.RandomApply([weak], 0.8)
        self.unlabeled = v2.Compose([v2.RandomApply([strong], 0.8), v2.RandomApply([blur], 0.5)])

    def __getitem__(self, index: int) -> list[torch.Tensor]:
        """A batch of labeled images, one of masks, and two views of unlabeled images."""
        views = []
        for i in range(index * BATCH, (index + 1) * BATCH):
            sample = self.samples[i % len(self.samples)]
            image = decode_image(str(sample.image), ImageReadMode.RGB)
            mask = decode_image(str(sample.mask), ImageReadMode.UNCHANGED)[:1]
            pixels, truth = self.view(tv_tensors.Image(image), tv_tensors.Mask(mask))
            other = self.samples[(i + len(self.samples) // 2) % len(self.samples)]
            weak = self.view(tv_tensors.Image(decode_image(str(other.image), ImageReadMode.RGB)))
            views.append((self.labeled(pixels), truth.long(), weak, self.unlabeled(weak)))
        return [torch.stack(values) for values in zip(*views, strict=True)]


def seconds(batch: Callable[[int], object], numbers: range) -> float:
    """Seconds of the processor that an image takes."""
    start = time.process_time()
    for number in numbers:
        batch(number)
    return (time.process_time() - start) / (len(numbers) * 2 * BATCH)


def compare(folder: Dataset, size: int, crop: int, repeats: int) -> float:
    """Measure, print, and give the ratio once everything is decoded."""
    samples = [sample for sample in folder.train if sample.mask is not None]
    images = TrainingImages(samples, samples, folder.classes)
    ours = TrainingBatches(images, Views(size, crop), BATCH, Key.of(0, "benchmark"))
    plain = Plain(samples, size, crop)
    batches = -(-len(samples) // BATCH)
    first = seconds(ours.__getitem__, range(batches))
    for number in range(batches, 4 * batches):  # nearly all was seen once
        ours[number]
    times: dict[str, list[float]] = {"plain": [], "kept": []}
    for i in range(repeats):
        numbers = range(10 * i, 10 * (i + 1))
        times["plain"].append(seconds(plain.__getitem__, numbers))
        times["kept"].append(seconds(ours.__getitem__, numbers))
    each = {name: median(values) for name, values in times.items()}
    print(f"images of {image_size(samples[0].image)}, size {size}, crop {crop}")
    print(f"torchvision   {1 / each['plain']:6.0f} images a second")
    print(f"first pass    {1 / first:6.0f}")
    print(f"later passes  {1 / each['kept']:6.0f}")
    return each["plain"] / each["kept"]


def main() -> None:
    """Compare on CamVid if it is there, otherwise on drawn scenes of its size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=240)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--data", type=Path, default=CAMVID, help="a data folder with masks")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["SEMISEG_CACHE"] = str(Path(temporary) / "cache")
        root = args.data
        if not root.is_dir():
            root = Path(temporary) / "scenes"
            write_scenes(root, labeled=60, unlabeled=0, val=2, size=(360, 480))
            then = time.time() - 60  # files of this moment are not kept
            for path in root.rglob("*.*"):
                os.utime(path, (then, then))
        ratio = compare(load_dataset(root), args.size, args.crop, args.repeats)
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
