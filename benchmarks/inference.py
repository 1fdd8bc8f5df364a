"""Images a second of evaluate and predict against a plain loop; a large picture; the seams.

python benchmarks/inference.py RUN DATA [--images 100] [--repeats 3]

The plain loop is what one writes first: open, scale, network, enlarge all class scores, argmax, and
a confusion matrix or a PNG. All run in one process, interleaved; medians are printed.
Seconds are those of the CPU, which do not change with what else the machine does; use one thread.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

import semiseg
from semiseg.core.types import Sample
from semiseg.data.formats.masks import Classes, read_mask
from semiseg.data.reader import read_samples
from semiseg.evaluation.metrics import confusion_matrix
from semiseg.inference.scenes import segmenter, to_input, to_working_size
from semiseg.inference.views import to_array
from semiseg.model.metadata import ModelMetadata
from semiseg.model.network import Network, upsample
from semiseg.model.release import Release, load_release, save_release


def plain(release: Release, samples: list[Sample], out: Path | None) -> None:
    count = len(release.metadata.classes)
    total = torch.zeros(count, count, dtype=torch.long)
    for sample in samples:
        with Image.open(sample.image) as file:
            picture = file.convert("RGB")
        scaled = to_working_size(picture, release.metadata.size)
        with torch.no_grad():
            logits = release.network(to_input(scaled)).logits
        size = picture.height, picture.width
        label = upsample(logits, scaled.shape[-2:], size)[0].argmax(dim=0)
        if out is not None:
            mask = release.metadata.classes.to_image(label.numpy().astype(np.uint8))
            mask.save(out / f"{sample.image.stem}.png")
        else:
            truth = torch.from_numpy(
                np.array(read_mask(sample.mask, release.metadata.classes))
            ).long()
            total += confusion_matrix(label, truth, count)


def rates(run: Path, data: Path, images: int, repeats: int) -> None:
    release = load_release(run)
    samples = read_samples(data, "val")[:images]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("images", "masks"):
            (folder / "data" / "val" / kind).mkdir(parents=True)
        for s in samples:
            (folder / "data/val/images" / s.image.name).symlink_to(s.image.resolve())
            (folder / "data/val/masks" / s.mask.name).symlink_to(s.mask.resolve())
        (folder / "plain").mkdir()
        pictures, out = folder / "data/val/images", folder / "out"
        ways: dict[str, Callable[[], object]] = {
            "evaluate, plain loop": lambda: plain(release, samples, None),
            "evaluate": lambda: semiseg.evaluate(run, folder / "data", accelerator="cpu"),
            "predict, plain loop": lambda: plain(release, samples, folder / "plain"),
            "predict": lambda: semiseg.predict(
                run, pictures, out=out, overwrite=True, accelerator="cpu"
            ),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, way in ways.items():
                start = time.process_time()
                way()
                seconds[name].append(time.process_time() - start)
    print(f"| {len(samples)} images | CPU seconds | images a CPU second |\n|---|---|---|")
    for name, times in seconds.items():
        print(f"| {name} | {median(times):.1f} | {len(samples) / median(times):.1f} |", flush=True)


def large(classes: int = 21, size: tuple[int, int] = (4000, 3000)) -> None:
    network = Network(classes, weights="none")
    network.set_crop(224)
    names = tuple(f"c{i}" for i in range(classes))
    colors = tuple((i, i, i) for i in range(classes))
    class_table = Classes(names, colors, "ids", tuple(range(classes)))
    picture = Image.effect_noise(size, 50).convert("RGB")
    with tempfile.TemporaryDirectory() as folder:
        metadata = ModelMetadata(network=network.spec, classes=class_table, size=240)
        save_release(Path(folder), Release(network, {}, metadata))
        model = semiseg.load(folder, accelerator="cpu")
    model.predict(picture.resize((400, 300)))
    before = peak()
    start = time.process_time()
    model.predict(picture)
    seconds = time.process_time() - start
    print(
        f"\n{size[0]} x {size[1]}, {classes} classes: {seconds:.1f} CPU s, "
        f"{peak() - before:.0f} MiB above the {before:.0f} MiB of the process (all scores at once: "
        f"{classes * size[0] * size[1] * 4 / 2**20:.0f} MiB)",
        flush=True,
    )


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def seams(run: Path, data: Path, images: int = 10) -> None:
    """Tiles of 160 pixels of pictures that fit, against the pictures in one piece."""
    release = load_release(run)
    whole, tiled = (segmenter(release.network, release.metadata.size) for _ in range(2))
    tiled.window = 160
    edges = []  # where windows of 160 pixels begin and end within 240 x 320
    for length in (240, 320):
        step, last = 96, -(-(length - 160) // 32) * 32
        starts = [*range(0, last, step), last]
        edges.append([e for s in starts for e in (s, s + 160) if 0 < e < length])
    far = [
        np.min([abs(np.arange(n) + 0.5 - e) for e in es], axis=0)
        for n, es in zip((240, 320), edges, strict=True)
    ]
    distance = np.minimum(far[0][:, None], far[1][None])
    bands = {"0-8": (0, 8), "8-16": (8, 16), "16-32": (16, 32), "32 and more": (32, 999)}
    changed = np.zeros((240, 320))
    for sample in read_samples(data, "val")[:images]:
        with Image.open(sample.image) as file:
            image = to_array(file.convert("RGB"), release.metadata.size)
        a, b = (s.read(s.maps(image), 0, image, (240, 320)).mask for s in (whole, tiled))
        changed += a != b
    print("\n| pixels from a window's border | labels that differ, % |\n|---|---|")
    for name, (low, high) in bands.items():
        inside = (distance >= low) & (distance < high)
        print(f"| {name} | {100 * changed[inside].mean() / images:.2f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--large", nargs=2, type=int, default=(4000, 3000), help="width, height")
    arguments = parser.parse_args()
    large(size=tuple(arguments.large))
    rates(arguments.run, arguments.data, arguments.images, arguments.repeats)
    seams(arguments.run, arguments.data)
