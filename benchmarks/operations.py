"""What the paper's recipes cost: operations, bytes exchanged a step, hours of a GPU.

The networks' operations are counted by torch on tensors without contents, so that neither data nor
a GPU is needed: the teacher's forward on labeled and weak images, the student's forward and
backward on labeled and strong ones; a multiplication and an addition are two. What the losses add
is below a hundredth of that. From the root of the repository:

    python benchmarks/operations.py [--tflops 312 --utilization 0.3]
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from semiseg.config.recipes import recipe
from semiseg.data.datasets import DATASETS
from semiseg.methods import build_method
from semiseg.methods.base import Method
from semiseg.model.network import Network

RECIPES = ("voc-classic", "cityscapes", "ade20k", "cocostuff10k")


class Exchange(NamedTuple):
    """Bytes that one process puts into the collectives of one step."""

    gradients: int
    prototypes: int
    batch_norm: int
    buffers: int
    counts: int


def exchange(method: Method) -> Exchange:
    """Count what processes that train together exchange in a step.

    `gradients` are averaged in single precision; `prototypes` are the classes' sums and counts of
    `class_means`; `batch_norm` is SyncBN's: mean, variance and count forward, two sums backward, of
    the student alone; `buffers` are sent to all by the first process before each forward; `counts`
    are the divisors of the two losses, css's pixels with a pseudo-label of each class, a flag
    for each parameter that says whether it was used, one that says whether the step is finite, and
    three decisions about checkpoints.
    """
    parameters = [p for p in method.parameters() if p.requires_grad]
    norms = [m for m in method.student.modules() if isinstance(m, nn.BatchNorm2d)]
    prototypes = getattr(method, "prototypes", None)
    class_counts = getattr(method, "label_counts", None)
    return Exchange(
        gradients=sum(4 * p.numel() for p in parameters),
        prototypes=0 if prototypes is None else 4 * (prototypes.numel() + len(prototypes)),
        batch_norm=sum(4 * (2 * m.num_features + 1) + 8 * m.num_features for m in norms),
        buffers=sum(b.numel() * b.element_size() for b in method.buffers()),
        counts=2 * 8
        + (0 if class_counts is None else 8 * len(class_counts))
        + 4 * len(parameters)
        + 4 * 4,
    )


def operations(method: Method, batch: int, crop: int) -> int:
    """Floating-point operations of the two networks in a step of `batch` + `batch` images."""
    images = torch.empty(2 * batch, 3, crop, crop, device="meta")
    method.train()
    with FlopCounterMode(display=False) as counter:
        if method.teacher is not None:
            method.teacher(images)
        output = method.student(images)
        total = output.logits.sum()
        if output.representation is not None:
            total = total + output.representation.sum()
        total.backward()
    return int(counter.get_total_flops())


def built(name: str) -> tuple[Method, dict[str, object]]:
    """The recipe's method, with its networks on no device."""
    s = recipe(name)
    classes = len(DATASETS[s["dataset"]].names)
    shape = {k: s[k] for k in ("encoder", "decoder", "heads", "output_stride", "atrous_rates")}
    method = build_method(s["method"], Network(classes, weights="none", **shape))
    return method.to("meta"), s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tflops", type=float, default=312.0, help="of the GPU, by its maker")
    parser.add_argument("--utilization", type=float, default=0.3, help="the share that is reached")
    parser.add_argument("--recipes", nargs="+", default=RECIPES, choices=RECIPES)
    arguments = parser.parse_args()
    print(
        f"| recipe | TFLOP a step | steps | PFLOP in all | hours at {arguments.utilization:.0%} |"
    )
    print("|---|---:|---:|---:|---:|")
    exchanged = {}
    for name in arguments.recipes:
        method, s = built(name)
        step = operations(method, s["batch"], s["crop"])
        hours = step * s["steps"] / (arguments.tflops * 1e12 * arguments.utilization) / 3600
        print(
            f"| `{name}` | {step / 1e12:.1f} | {s['steps']:,} | {step * s['steps'] / 1e15:,.0f} "
            f"| {hours:.1f} |",
            flush=True,
        )
        exchanged[name] = exchange(method)
    exchanged["the default, 21 classes"] = exchange(
        build_method("css", Network(21, weights="none"))
    )
    print("\n| bytes a step | " + " | ".join(f.replace("_", " ") for f in Exchange._fields) + " |")
    print("|---|" + "---:|" * len(Exchange._fields))
    for name, amounts in exchanged.items():
        print(f"| {name} | " + " | ".join(f"{count:,}" for count in amounts) + " |")


if __name__ == "__main__":
    main()
