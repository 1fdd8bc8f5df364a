"""Time and memory of the contrastive loss against a straightforward one with loops.

    python benchmarks/contrastive.py            # the table of docs/performance.md
    python benchmarks/contrastive.py --quick    # the target's case and the check alone

Each case runs in a process of its own on one thread: forward and backward of `draw_pixels` and
`contrastive_loss` on `(4, 256, side, side)` representations, 256 anchors and 512 negatives a class.
Memory is what the first call adds at its peak to a process that holds the inputs (Linux: the peak
is reset before the call); the gradient, as large as the representations, is part of it. Time is the
processor's, the least of several calls, so that it hardly depends on what else the machine does.
Then both losses are drawn many times on a small case, and the differences of their means are set
against their standard errors.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.losses.contrastive import contrastive_loss, draw_pixels

BATCH, DIM, TAU = 4, 256, 0.5
CLASSES, SIDES = (2, 21, 60, 181), (32, 64, 128, 256)
TARGET = (21, 64)
REFERENCE = ((2, 32), (2, 64), (21, 64))  # elsewhere it is skipped: a call takes up to minutes
HARD = 0.5  # share of the pixels

Loss = Callable[[Tensor, Tensor, Tensor, Tensor, int, int, torch.Generator], Tensor]


def ours(
    representation: Tensor,
    labels: Tensor,
    hard: Tensor,
    prototypes: Tensor,
    anchors: int,
    negatives: int,
    generator: torch.Generator,
) -> Tensor:
    draw = draw_pixels(labels, hard, prototypes, TAU, anchors, negatives, generator)
    return contrastive_loss(representation, prototypes, draw, TAU)


def reference(
    representation: Tensor,
    labels: Tensor,
    hard: Tensor,
    prototypes: Tensor,
    anchors: int,
    negatives: int,
    generator: torch.Generator,
) -> Tensor:
    """Eq. 9 as it is read: for each class, for each anchor, draw its negatives and compare."""
    present = labels[labels != 255].unique().tolist()
    pixels = {c: (labels == c).nonzero().squeeze(1) for c in present}
    total = representation.sum() * 0
    if len(present) < 2:
        return total
    for c in present:
        mine = ((labels == c) & hard).nonzero().squeeze(1)
        if len(mine) == 0:
            continue
        others = [o for o in present if o != c]
        near = F.cosine_similarity(prototypes[c], prototypes[others], dim=1)
        weights = (near / TAU).softmax(dim=0)
        losses = []
        for _ in range(anchors):
            anchor = representation[mine[_below(len(mine), generator)]]
            indices = torch.multinomial(weights, negatives, replacement=True, generator=generator)
            samples = torch.cat(
                [
                    pixels[other][torch.randint(len(pixels[other]), (n,), generator=generator)]
                    for other, n in zip(
                        others, indices.bincount(minlength=len(others)), strict=True
                    )
                ]
            )
            against = torch.cat([prototypes[c : c + 1], representation.detach()[samples]])
            logits = F.normalize(against, dim=1) @ F.normalize(anchor, dim=0) / TAU
            losses.append(logits.logsumexp(dim=0) - logits[0])
        total = total + torch.stack(losses).mean()
    return total / len(present)


def _below(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))


LOSSES: dict[str, Loss] = {"ours": ours, "reference": reference}


def inputs(
    classes: int, pixels: int, dim: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Representations, labels with a tenth ignored, hard pixels, prototypes."""
    generator = torch.Generator().manual_seed(0)
    representation = torch.randn(pixels, dim, generator=generator, dtype=dtype)
    labels = torch.randint(classes, (pixels,), generator=generator)
    labels[torch.rand(pixels, generator=generator) < 0.1] = 255
    hard = torch.rand(pixels, generator=generator) < HARD
    prototypes = torch.randn(classes, dim, generator=generator, dtype=dtype)
    return representation.requires_grad_(), labels, hard, prototypes


def measure(name: str, classes: int, side: int, anchors: int) -> dict[str, float]:
    """Seconds and megabytes of one case, in this process."""
    torch.set_num_threads(1)
    loss, generator = LOSSES[name], torch.Generator().manual_seed(1)
    representation, *others = inputs(classes, BATCH * side * side, DIM)

    def call() -> float:
        representation.grad = None
        begin = time.process_time()
        loss(representation, *others, anchors, 2 * anchors, generator).backward()
        return time.process_time() - begin

    before = _memory_now()
    first = call()
    megabytes = (_memory_peak() - before) / 2**10
    repeats = 0 if first > 2 else 7
    return {"seconds": min([first, *(call() for _ in range(repeats))]), "megabytes": megabytes}


def _memory_now() -> int:
    """The memory in use in KiB; the record of the peak begins here."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _memory_peak() -> int:
    return _status("VmHWM")


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def in_child(name: str, classes: int, side: int, anchors: int) -> dict[str, float]:
    """The same in a process of its own, which has loaded everything but holds no inputs yet."""
    with get_context("fork").Pool(1) as pool:
        return pool.apply(measure, (name, classes, side, anchors))


def compare(draws: int) -> str:
    """The two expectations on a small case: 4 classes, 300 pixels, 8 anchors, 8 negatives."""
    torch.set_num_threads(1)
    data = inputs(4, 300, 8, torch.float64)
    means, variances = [], []
    for name, loss in LOSSES.items():
        generator = torch.Generator().manual_seed(len(name))
        values = []
        for _ in range(draws):
            value = loss(*data, 8, 8, generator)
            (grad,) = torch.autograd.grad(value, data[0])
            values.append(torch.cat([value.detach().view(1), grad.flatten()]))
        all_values = torch.stack(values)
        means.append(all_values.mean(dim=0))
        variances.append(all_values.var(dim=0) / draws)
    error = (variances[0] + variances[1]).sqrt()
    has_gradient = error > 0  # pixels that are never anchors have no gradient in either
    apart = ((means[0] - means[1]) / error.clamp(min=1e-300))[has_gradient]
    if not torch.equal(means[0][~has_gradient], means[1][~has_gradient]):
        raise SystemExit("The reference and ours differ where nothing is drawn.")
    loss, spread = float(apart[0].abs()), float(apart[1:].square().mean().sqrt())
    if loss > 3 or spread > 1.1:
        raise SystemExit(f"The expectations differ: loss {loss:.1f}, gradient {spread:.2f}.")
    return (
        f"Over {draws} draws of each the mean losses are {means[0][0]:.4f} (ours) and "
        f"{means[1][0]:.4f} (reference), {loss:.1f} standard errors apart; the {len(apart) - 1} "
        f"entries of the mean gradients are {spread:.2f} standard errors apart (root mean square; "
        "1 is expected of equal expectations)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the target's case and the check")
    parser.add_argument("--draws", type=int, default=3000, help="draws of each for the check")
    parser.add_argument("--anchors", type=int, default=256, help="twice as many negatives")
    parser.add_argument("--sides", nargs="+", type=int, default=SIDES, help="sides of the maps")
    words = parser.parse_args()
    print("| classes | map | ours, s | ours, MB | gradient, MB | loops, s | loops, MB |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    cases = [TARGET] if words.quick else [(c, side) for c in CLASSES for side in words.sides]
    for classes, side in cases:
        mine = in_child("ours", classes, side, words.anchors)
        looped = "skipped | skipped"
        if (classes, side) in REFERENCE:
            theirs = in_child("reference", classes, side, words.anchors)
            looped = f"{theirs['seconds']:.1f} | {theirs['megabytes']:.0f}"
        gradient = BATCH * side * side * DIM * 4 / 2**20
        print(
            f"| {classes} | {side} x {side} | {mine['seconds']:.3f} | {mine['megabytes']:.0f} "
            f"| {gradient:.0f} | {looped} |",
            flush=True,
        )
    print(f"\n{compare(words.draws)}")


if __name__ == "__main__":
    main()
