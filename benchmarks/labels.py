"""What a model of css would teach of its unlabeled images, and how much of it would be right.

Both spaces label the hidden images at stride 4, representation space once without (`uniform`) and
once with the class frequencies that logit space has learned (`--class-prior loss`), the logits as
they were trained, before any adjustment; then both with those of the labeled pixels, the weights
of the loss taken out of the logits. The hidden masks are the truth. First, how good each space is,
where they agree, and which is right where they do not. Then, at several thresholds of the
confidence and where both agree, for each class: the pixels with a pseudo-label, as a
share of those that truly are of it, and the share of them that is right. From the root of the
repository:

    python benchmarks/labels.py runs/css ../shared/data/camvid --every 6
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import semiseg
from semiseg.data.formats.images import read_image
from semiseg.data.formats.masks import read_mask
from semiseg.data.image_lists import read_list
from semiseg.data.reader import load_dataset
from semiseg.evaluation.metrics import confusion_matrix, scores
from semiseg.inference.scenes import prior_of
from semiseg.inference.views import to_array
from semiseg.losses.class_balance import root_weights
from semiseg.losses.collaboration import class_prior
from semiseg.model.release import LOGIT_OFFSETS
from semiseg.training.data import count_pixels

TEMPERATURE = 0.1  # the default of --indicator-temperature
THRESHOLDS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)


def percent(values: Tensor) -> float:
    """The share of True values; 0 where there are none."""
    return 100 * values.double().mean().item() if values.numel() else 0.0


def report(names: tuple[str, ...], truth: Tensor, logits: Tensor, similarity: Tensor) -> None:
    """Print both tables for scores `(C, N)` of pixels whose classes are `truth` `(N,)`."""
    trust, label = logits.softmax(dim=0).max(dim=0)
    nearest = similarity.argmax(dim=0)
    agree = label == nearest
    for name, prediction in (("logit space", label), ("representation space", nearest)):
        miou = scores(confusion_matrix(prediction, truth, len(names)), names)["miou"]
        print(f"{name}: accuracy {percent(prediction == truth):.1f}, mIoU {miou:.1f}")
    apart = ~agree
    print(
        f"agree on {percent(agree):.1f} %, accuracy there {percent((label == truth)[agree]):.1f}; "
        f"elsewhere logit space is right on {percent((label == truth)[apart]):.0f} %, "
        f"representation space on {percent((nearest == truth)[apart]):.0f} %"
    )
    print(f"\n| at least | all | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    true = truth.bincount(minlength=len(names)).clamp(min=1)
    for threshold in THRESHOLDS:
        confident = agree & (trust >= threshold)
        label_counts = label[confident].bincount(minlength=len(names))
        right = label[confident & (label == truth)].bincount(minlength=len(names))
        cells = [
            f"{percent(confident):.0f} / {100 * right.sum() / label_counts.sum().clamp(min=1):.1f}"
        ]
        rows = zip(100 * label_counts / true, 100 * right / label_counts.clamp(min=1), strict=True)
        cells += [f"{share:.0f} / {precision:.0f}" for share, precision in rows]
        print(f"| {threshold} | {' | '.join(cells)} |")


def main() -> None:
    """Look at the unlabeled images whose masks are there, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    caption = "of css, with --class-weights sqrt and --indicator-temperature 0.1"
    parser.add_argument("run", type=Path, help=caption)
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take every so many images")
    a = parser.parse_args()
    model = semiseg.load(a.run)
    classes, segment = model.classes, model.segment
    folder = load_dataset(a.data)
    labeled, hidden = (
        read_list(a.run / "split" / f"{part}.txt", folder.train)
        for part in ("labeled", "unlabeled")
    )
    counts = count_pixels(labeled, folder.pixels, len(classes))
    added = model.release.tensors.get(LOGIT_OFFSETS, torch.zeros(len(classes)))
    batches: list[tuple[Tensor, ...]] = []
    for sample in hidden[:: a.every]:
        maps = segment.maps(to_array(read_image(sample.image, model.reading), segment.size))
        height, width = maps.logits.shape[-2:]
        mask = read_mask(sample.mask, classes).resize((width, height), Image.Resampling.NEAREST)
        truth = torch.from_numpy(np.array(mask)).long()
        has_class = truth < len(classes)
        trained = maps.logits - added.view(-1, 1, 1).numpy()
        spaces = (torch.from_numpy(m)[0][:, has_class] for m in (trained, maps.similarity))
        batches.append((truth[has_class], *spaces))
    truth, logits, similarity = (torch.cat(part, dim=-1) for part in zip(*batches, strict=True))
    scaled = (similarity - prior_of(model.release.tensors).view(-1, 1)) / TEMPERATURE
    print(f"{len(batches)} images\n\n--class-prior uniform\n")
    report(classes.names, truth, logits, scaled)
    shares, weights = torch.tensor(counts) / sum(counts), root_weights(counts)
    print("\n--class-prior loss\n")
    report(classes.names, truth, logits, scaled + class_prior(shares, weights)[:, None])
    print("\nboth with the frequencies of the labeled pixels\n")
    plain = logits - torch.where(weights > 0, weights, 1.0).log()[:, None]
    report(classes.names, truth, plain, scaled + class_prior(shares, None)[:, None])


if __name__ == "__main__":
    main()
