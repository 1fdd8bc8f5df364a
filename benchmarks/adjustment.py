"""What it is worth to take class weights out of a model's logits again, by how much of them.

For each run the mIoU on `val` with each share of the weights taken out, at the masks' own size; an
adjustment that the run has already is undone first. Then, to see whether a choice on few images
holds on others: the share is chosen on so many images of `val`, drawn at random, and the gain over
no adjustment is that on all others; the mean over two hundred draws, and the least. From the root
of the repository:

    python benchmarks/adjustment.py ../shared/data/camvid runs/css runs/supervised
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import semiseg
from semiseg.data.image_lists import read_list
from semiseg.data.reader import load_dataset
from semiseg.evaluation.logit_adjustment import STRENGTHS, offsets
from semiseg.evaluation.metrics import confusion_matrix
from semiseg.inference.scenes import Scenes
from semiseg.model.release import LOGIT_OFFSETS
from semiseg.training.class_balance import WEIGHTS
from semiseg.training.data import count_pixels
from semiseg.training.run_data import config_of, dataset_of, scored_samples

CHOSEN_ON = (5, 20, 50)  # images
DRAWS = 200


def miou(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean IoU in per cent of each of `(..., C, C)`."""
    hit = np.diagonal(confusion, axis1=-2, axis2=-1)
    union = confusion.sum(-1) + confusion.sum(-2) - hit
    iou = np.where(union > 0, hit / np.maximum(union, 1), np.nan)
    return 100 * np.nanmean(iou, axis=-1)


def tables(run: Path, data: Path) -> NDArray[np.int64]:
    """Confusion matrices `(images, strengths, C, C)` of a run on `val`."""
    model, config = semiseg.load(run), config_of(run)
    if config is None:
        raise SystemExit(f"the settings of {run} cannot be read")
    count, weigh = len(model.classes), WEIGHTS[config.balance.class_weights]
    if weigh is None:
        raise SystemExit(f"{run} was trained without class weights")
    dataset = dataset_of(run)
    folder = load_dataset(data, config.data.classes, dataset=dataset)
    labeled = read_list(run / "split" / "labeled.txt", folder.train)
    candidates = offsets(weigh(count_pixels(labeled, folder.pixels, count)), count)
    adjustment = model.release.tensors.get(LOGIT_OFFSETS, torch.zeros(count))
    changes = (torch.stack(list(candidates.values())) - adjustment).numpy()
    segment, predictions = model.segment, []
    samples = scored_samples(run, data, "val", dataset)
    for image, truth in Scenes(samples, model.classes, segment.size, model.reading):
        labels = segment.labels(image.numpy(), (len(truth), truth.shape[1]), changes)
        predictions.append(
            [confusion_matrix(torch.from_numpy(k), truth, count).numpy() for k in labels]
        )
    return np.array(predictions)


def gain_elsewhere(counts: NDArray[np.int64], images: int) -> str:
    """The gain elsewhere of the share that is best on so many images: mean and least."""
    rng, gains = np.random.default_rng(0), []
    for _ in range(DRAWS):
        sample = np.isin(np.arange(len(counts)), rng.permutation(len(counts))[:images])
        best = miou(counts[sample].sum(0)).argmax()
        others = miou(counts[~sample].sum(0))
        gains.append(others[best] - others[0])
    return f"{np.mean(gains):+.1f} ({min(gains):+.1f})"


def main() -> None:
    """Score the runs, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    a = parser.parse_args()
    columns = [*(f"{s:g}" for s in STRENGTHS), *(f"on {n} images" for n in CHOSEN_ON)]
    print(f"| run | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for run in a.runs:
        counts = tables(run, a.data)
        cells = [f"{score:.2f}" for score in miou(counts.sum(0))]
        cells += [gain_elsewhere(counts, n) if 2 * n <= len(counts) else "" for n in CHOSEN_ON]
        print(f"| {run.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
