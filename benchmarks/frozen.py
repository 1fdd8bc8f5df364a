"""How often class scores in closed form on the features of a frozen encoder are right.

The judge is that of `css-stored --agreement frozen`; see `semiseg.training.labeling.frozen`. The
script compares two judgments with the true masks: that of the labeled images, each judged without
itself, and that of the unlabeled images. From the root of the repository:

    python benchmarks/frozen.py runs/supervised ../shared/data/camvid \
        --encoder vit_small_patch14_dinov2 --weights dinov2_vits14.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import semiseg
from semiseg.core.text import markdown_table
from semiseg.data.classes.labels import read_labels
from semiseg.data.image_lists import read_list
from semiseg.data.reader import load_dataset
from semiseg.evaluation.metrics import confusion_matrix, scores
from semiseg.training.labeling.frozen import FrozenJudge

SIZE = 240
"""The short side in pixels of the images that the encoder sees."""


def main() -> None:
    """Fit the judge and print how often it is right."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("run", type=Path, help="a finished run, for its split and its classes")
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoder", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--every", type=int, default=1, help="take every so many unlabeled images")
    a = parser.parse_args()
    model, folder = semiseg.load(a.run), load_dataset(a.data)
    labeled, hidden = (
        read_list(a.run / "split" / f"{part}.txt", folder.train)
        for part in ("labeled", "unlabeled")
    )
    classes = model.classes
    judge = FrozenJudge(a.encoder, a.weights, labeled, classes, model.reading, SIZE)
    confusion = torch.zeros_like(judge.confusion)
    for sample in hidden[:: a.every]:
        truth = np.array(read_labels(sample, classes, model.reading))
        label = judge.probabilities(sample, truth.shape).argmax(axis=0)
        pair = torch.from_numpy(label), torch.from_numpy(truth)
        confusion += confusion_matrix(*pair, len(classes))
    print(f"strength {judge.strength:g}, temperature {judge.temperature:.3f}\n")
    rows = []
    for name, counts in (("labeled, left out", judge.confusion), ("unlabeled", confusion)):
        result = scores(counts, classes.names)
        rows.append([name, *(f"{result[key] or 0:.1f}" for key in ("accuracy", "miou"))])
    print(markdown_table(["images", "accuracy", "mIoU"], rows))


if __name__ == "__main__":
    main()
