"""What a finished run would teach of its unlabeled images, and how much of it would be right.

A judge gives each pixel a label and says how far to trust it. Rules teach the labels above a
threshold. The hidden masks are the truth. The judges are: the run itself, on one view; the mean of
its probabilities over two scales and mirror images, as stored labels are made; the labels on which
both spaces of css agree; the margin between the best two classes, and the same after S4MC's look at
the neighbors. With `--second` and `--frozen`, another run or class scores on frozen features judge
too: alone, where both agree, and by the mean of both probabilities. All logits are as they were
trained, before any adjustment. From the root of the repository:

    python benchmarks/labels.py runs/supervised ../shared/data/camvid --second runs/dinov2 \
        --frozen tf_efficientnet_lite0 \
        --frozen vit_small_patch14_dinov2=dinov2_vits14.safetensors

The first table has a row for each rule. `recall` is the mean over the classes of the taught and
right pixels among the true ones. `IoU` is the mean IoU of the labels where something is taught. A
label can only correct the run where it differs from the run's own: `corrects` and `spoils` are the
shares of all pixels that are taught right where the run is wrong, and wrong where it is right. The
next tables compare the judges at equal shares of the pixels, and at equal precision, so that no
threshold decides. The last one has the classes, at the share that the run itself teaches at 0.95.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from frozen import SIZE
from numpy.typing import NDArray
from thresholds import GRID, Judgment, Look, Teacher

from semiseg.augment.geometric import resize_nearest
from semiseg.augment.working_size import working_size
from semiseg.core.rng import Key
from semiseg.core.text import markdown_table
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.classes.labels import read_labels
from semiseg.data.reader import load_dataset
from semiseg.inference.reading import Floats, enlargement
from semiseg.training.labeling.frozen import FrozenJudge
from semiseg.training.labeling.model import SCALES

THRESHOLDS = (0.0, 0.8, 0.95)
SHARES = (50, 70, 80, 90, 100)
PRECISIONS = (90, 95, 98)
_NEIGHBOR_WEIGHT = np.float32(np.exp(-0.5))  # of the four neighbors, as in S4MC


def margins(look: Look, persistence: Floats) -> tuple[Floats, Floats]:
    """The margin between the best two classes on the grid, without and with the neighbors.

    Args:
        look: at an image.
        persistence: `(C,)`, from `neighbor_persistence`.
    """
    logits = look.maps.logits[0]
    parts = np.exp(logits - logits.max(axis=0))
    own = parts / parts.sum(axis=0)
    sizes = zip(own.shape[-2:], look.images.shape[-2:], look.prediction.mask.shape, strict=True)
    rows, columns = (enlargement(*size) for size in sizes)
    tops = (np.sort(p, axis=0)[-2:] for p in (own, refine(own, persistence)))
    plain, refined = (rows @ (top[1] - top[0]) @ columns.T for top in tops)
    return plain, refined


def refine(own: Floats, persistence: Floats) -> Floats:
    """S4MC's refinement of probabilities `(C, h, w)` by the best of four neighbors."""
    padded = np.pad(own, ((0, 0), (1, 1), (1, 1)))
    best = np.maximum.reduce(
        [padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]]
    )
    expected = own * persistence[:, None, None]
    refined: Floats = own + _NEIGHBOR_WEIGHT * (best - np.maximum(own * best, expected))
    return refined


def neighbor_persistence(teacher: Teacher) -> Floats:
    """`(C,)`: how often the neighbor at stride 4 of a pixel of a class has the class too."""
    count = len(teacher.classes)
    pairs = np.zeros((count, count))
    for sample in teacher.labeled:
        mask = np.array(read_labels(sample, teacher.classes, teacher.reading))
        width, height = working_size(mask.shape[::-1], teacher.segment.size)
        cells = resize_nearest(mask, (-(-width // 4), -(-height // 4)))
        for one, other in ((cells[1:], cells[:-1]), (cells[:, 1:], cells[:, :-1])):
            labeled = (one != IGNORE_INDEX) & (other != IGNORE_INDEX)
            np.add.at(pairs, (one[labeled], other[labeled]), 1)
    both = pairs + pairs.T
    result: Floats = (both.diagonal() / both.sum(axis=0).clip(min=1)).astype(np.float32)
    return result


class Audit:
    """The judgments of all judges about the unlabeled images.

    Args:
        first: the run.
        second: another run, or None.
        frozen: further judges by name.
        samples: the images.

    Attributes:
        truth: `(N,)` the true classes of all labeled cells of the grid.
        judgments: of the same cells, by the name of the judge; the first is the run on one view.
    """

    def __init__(
        self,
        first: Teacher,
        second: Teacher | None,
        frozen: dict[str, FrozenJudge],
        samples: Sequence[Sample],
    ) -> None:
        self.first, self.second, self.frozen = first, second, frozen
        self.persistence = neighbor_persistence(first)
        truths: list[NDArray[np.uint8]] = []
        parts: dict[str, list[Judgment]] = {}
        for sample in samples:
            truth = first.truth(sample, GRID)
            labeled = truth != IGNORE_INDEX
            truths.append(truth[labeled])
            for name, (label, trust) in self._judge(sample, (len(truth), truth.shape[1])):
                parts.setdefault(name, []).append(Judgment(label[labeled], trust[labeled]))
        self.truth = np.concatenate(truths)
        self.judgments = {
            name: Judgment(*(np.concatenate(arrays) for arrays in zip(*part, strict=True)))
            for name, part in parts.items()
        }

    def _judge(self, sample: Sample, target: tuple[int, int]) -> Iterator[tuple[str, Judgment]]:
        look = self.first.look(sample, target)
        own, own_probabilities = look.judgment, look.probabilities
        yield "one view", own
        views = self.first.segment.averaged(look.picture, SCALES, target)
        yield "four views", Judgment(views.mask, views.confidence)
        if look.prediction.nearest is not None and views.nearest is not None:
            yield "both spaces", own.only_where(look.prediction.nearest)
            four = Judgment(views.mask, views.confidence).only_where(views.nearest)
            yield "both spaces, four views", four
        plain, refined = margins(look, self.persistence)
        yield "margin", Judgment(own.label, plain)
        yield "margin, neighbors", Judgment(own.label, refined)
        others: dict[str, Floats] = {}
        if self.second is not None:
            others["second run"] = self.second.look(sample, target).probabilities
        for name, judge in self.frozen.items():
            others[f"frozen {name}"] = judge.probabilities(sample, target)
        for name, other in others.items():
            alone = best_of(other)
            yield name, alone
            yield f"agreement with {name}", own.only_where(alone.label)
            yield f"mean with {name}", best_of((own_probabilities + other) / 2)


def best_of(probabilities: Floats) -> Judgment:
    """The best class of each pixel, trusted by its probability."""
    return Judgment(probabilities.argmax(axis=0).astype(np.uint8), probabilities.max(axis=0))


class Quality:
    """What is right among the labels that are taught.

    Args:
        truth: `(N,)` true classes.
        label: `(N,)` labels.
        taught: the pixels that are taught, as `(N,)` bool or as their indices.
        classes: the number of classes.
    """

    def __init__(
        self,
        truth: NDArray[np.uint8],
        label: NDArray[np.uint8],
        taught: NDArray[np.bool_] | NDArray[np.intp],
        classes: int,
    ) -> None:
        cells = truth[taught].astype(np.int64) * classes + label[taught]
        counts = np.bincount(cells, minlength=classes**2).reshape(classes, classes)
        self.share = 100 * float(counts.sum() / truth.size)
        self.right = counts.diagonal()
        self.labels, self.true_taught = counts.sum(axis=0), counts.sum(axis=1)
        self.true = np.bincount(truth, minlength=classes)

    @property
    def precision(self) -> float:
        return 100 * float(self.right.sum() / max(1, self.labels.sum()))

    @property
    def recalls(self) -> NDArray[np.float64]:
        """Of each class; NaN for a class without true pixels."""
        return np.where(self.true > 0, 100 * self.right / self.true.clip(min=1), np.nan)

    @property
    def recall(self) -> float:
        return float(np.nanmean(self.recalls))

    @property
    def iou(self) -> float:
        union = self.labels + self.true_taught - self.right
        values = (self.right / union.clip(min=1))[union > 0]
        return 100 * float(values.mean()) if values.size else 0.0


def ranked(trust: NDArray[np.float32]) -> NDArray[np.intp]:
    """The pixels that may be taught, the most trusted first; ties are broken at random."""
    shuffled = Key.of(0, "ties").numpy().permutation(trust.size)
    order: NDArray[np.intp] = shuffled[np.argsort(-trust[shuffled], kind="stable")]
    return order[: int((trust >= 0).sum())]


def count_right(right: NDArray[np.bool_], wanted: float) -> int:
    """How many labels, the most trusted first, can be taught if a share of them must be right.

    Args:
        right: `(N,)`, in this order.
        wanted: the share in percent.
    """
    reached = 100 * right.cumsum() >= wanted * np.arange(1, right.size + 1)
    return int(right.size - reached[::-1].argmax()) if reached.any() else 0


def print_tables(audit: Audit) -> None:
    names, truth = audit.first.classes.names, audit.truth
    own = audit.judgments["one view"].label
    rows = []
    for name, (label, trust) in audit.judgments.items():
        for threshold in THRESHOLDS:
            taught = trust >= threshold
            quality = Quality(truth, label, taught, len(names))
            values = [quality.share, quality.precision, quality.recall, quality.iou]
            right, was_right = label == truth, own == truth
            changes = (taught & right & ~was_right, taught & ~right & was_right)
            cells = [*(f"{v:.1f}" for v in values), *(f"{100 * c.mean():.2f}" for c in changes)]
            rows.append([name, f"at least {threshold:g}", *cells])
    head = ["labels", "rule", "share", "precision", "recall", "IoU", "corrects", "spoils"]
    print(markdown_table(head, rows))
    counts = [round(share / 100 * truth.size) for share in SHARES]
    reference = int((audit.judgments["one view"].trust >= THRESHOLDS[-1]).sum())
    by_share, by_precision, by_class = [], [], []
    for name, (label, trust) in audit.judgments.items():
        order = ranked(trust)
        right = (label == truth)[order]
        most = [Quality(truth, label, order[:count], len(names)) for count in counts]
        pairs = zip(most, counts, strict=True)
        cells = [f"{q.precision:.1f} / {q.recall:.1f}" if n <= order.size else "" for q, n in pairs]
        by_share.append([name, *cells])
        safe = [
            Quality(truth, label, order[: count_right(right, precision)], len(names))
            for precision in PRECISIONS
        ]
        by_precision.append([name, *(f"{q.share:.1f} / {q.recall:.1f}" for q in safe)])
        if reference > order.size:
            continue
        quality = Quality(truth, label, order[:reference], len(names))
        precisions = 100 * quality.right / quality.labels.clip(min=1)
        values = zip(quality.recalls, precisions, strict=True)
        by_class.append([name, *(f"{recall:.0f} / {precise:.0f}" for recall, precise in values)])
    print("\nPrecision / recall of the most trusted pixels, by their share:\n")
    print(markdown_table(["labels", *(f"{share} %" for share in SHARES)], by_share))
    print("\nShare / recall of the most trusted pixels, by their precision:\n")
    print(markdown_table(["labels", *(f"{p} %" for p in PRECISIONS)], by_precision))
    share = 100 * reference / truth.size
    print(f"\nRecall / precision by class, at {share:.1f} % of the pixels:\n")
    print(markdown_table(["labels", *names], by_class))


def main() -> None:
    """Look at the unlabeled images whose masks are there, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--second", type=Path, help="another run with the same labeled images")
    caption = "an encoder, and `=` and the file of its weights; may be repeated"
    parser.add_argument("--frozen", action="append", default=[], help=caption)
    parser.add_argument("--every", type=int, default=1, help="take every so many images")
    a = parser.parse_args()
    folder = load_dataset(a.data)
    first = Teacher(a.run, folder)
    second = None if a.second is None else Teacher(a.second, folder)
    if second is not None:
        first.check_same_split(second)
    frozen = {}
    for text in a.frozen:
        encoder, _, weights = text.partition("=")
        frozen[encoder] = FrozenJudge(
            encoder, weights or "auto", first.labeled, first.classes, first.reading, SIZE
        )
    samples = first.hidden[:: a.every]
    audit = Audit(first, second, frozen, samples)
    print(f"{len(samples)} images\n")
    print_tables(audit)


if __name__ == "__main__":
    main()
