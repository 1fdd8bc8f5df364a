"""Other ways to run the same network: what each would save of a bare step.

Each way is a pair of functions that do the same work; they are called in turn, and the median of
their ratios is printed, of the processor's time. From the root of the repository:

    OMP_NUM_THREADS=1 python benchmarks/network.py [--ways linear denormals ...]
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from semiseg.model.network import Network, upsample
from semiseg.training.devices import keep_memory

Work = Callable[[], object]


class Pointwise(nn.Module):
    """A 1x1 convolution as a linear layer on channels-last pixels."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, x: Tensor) -> Tensor:
        flat = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return flat.permute(0, 3, 1, 2)


class Dilated(nn.Module):
    """A dilated depthwise 3x3 convolution as a dense one on `rate^2` interleaved images."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.rate, self.groups = conv.weight, conv.dilation[0], conv.groups

    def forward(self, x: Tensor) -> Tensor:
        r, (b, c, h, w) = self.rate, x.shape
        x = F.pad(x, (0, -w % r, 0, -h % r))
        rows, columns = x.shape[-2] // r, x.shape[-1] // r
        x = x.view(b, c, rows, r, columns, r).permute(3, 5, 0, 1, 2, 4)
        x = x.reshape(-1, c, rows, columns).contiguous(memory_format=torch.channels_last)
        x = F.conv2d(x, self.weight, padding=1, groups=self.groups)
        x = x.view(r, r, b, c, rows, columns).permute(2, 3, 4, 0, 5, 1)
        x = x.reshape(b, c, rows * r, columns * r)[..., :h, :w]
        return x.contiguous(memory_format=torch.channels_last)


def replaced(network: Network, replacement: Callable[[nn.Conv2d], nn.Module | None]) -> Network:
    """A copy in which convolutions give way to what is made of them."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Conv2d and (new := replacement(child)) is not None:
                setattr(module, name, new)
    return network


def pointwise(conv: nn.Conv2d) -> nn.Module | None:
    plain = conv.kernel_size == (1, 1) and conv.stride == (1, 1) and conv.groups == 1
    return Pointwise(conv) if plain else None


def dilated(conv: nn.Conv2d) -> nn.Module | None:
    wide = conv.groups == conv.in_channels > 1 and conv.dilation[0] > 1
    return Dilated(conv) if wide and conv.kernel_size == (3, 3) else None


class Bench:
    """The work to compare: a student's step and a teacher's forward pass."""

    def __init__(self, classes: int, crop: int, batch: int) -> None:
        torch.manual_seed(0)
        self.network = Network(classes)
        self.network.add_representation_head(64)
        self.network = self.network.to(memory_format=torch.channels_last)
        self.images = torch.rand(2 * batch, 3, crop, crop).to(memory_format=torch.channels_last)
        self.mask = torch.randint(0, classes, (2 * batch, crop, crop))

    def learn(self, network: nn.Module, parts: int = 1, fused: bool = True) -> Work:
        optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=fused, foreach=not fused)
        size = self.mask.shape[-2:]

        def work() -> None:
            for images, mask in zip(self.images.chunk(parts), self.mask.chunk(parts), strict=True):
                output = network(images)
                logits = upsample(output.logits, size, size)
                loss = F.cross_entropy(logits, mask) + output.representation.square().mean()
                (loss / parts).backward()
            optimizer.step()
            optimizer.zero_grad()

        return work

    def look(self, network: nn.Module, parts: int = 1, mode: bool = True) -> Work:
        network = copy.deepcopy(network).eval().requires_grad_(False)

        def work() -> None:
            with torch.inference_mode() if mode else torch.no_grad():
                for images in self.images.chunk(parts):
                    network(images)

        return work

    def student(self) -> Network:
        return copy.deepcopy(self.network)


def within(context: Callable[[], object], work: Work) -> Work:
    def inside() -> None:
        with context():
            work()

    return inside


class Flushed:
    """Numbers too small for 24 bits are 0."""

    def __enter__(self) -> None:
        torch.set_flush_denormal(True)

    def __exit__(self, *_: object) -> None:
        torch.set_flush_denormal(False)


def average(network: Network, foreach: bool) -> Work:
    own = [p.detach().clone() for p in network.parameters()]
    theirs = [p.detach() for p in network.parameters()]

    def work() -> None:
        if foreach:
            torch._foreach_lerp_(own, theirs, 0.03)
        else:
            for a, b in zip(own, theirs, strict=True):
                a.lerp_(b, 0.03)

    return work


WAYS: dict[str, Callable[[Bench], tuple[Work, Work]]] = {
    "linear": lambda b: (b.learn(b.student()), b.learn(replaced(b.student(), pointwise))),
    "linear-look": lambda b: (b.look(b.network), b.look(replaced(b.network, pointwise))),
    "dilated": lambda b: (b.learn(b.student()), b.learn(replaced(b.student(), dilated))),
    "denormals": lambda b: (
        b.learn(student := b.student()),
        within(Flushed, b.learn(student)),
    ),
    "two-forwards": lambda b: (b.learn(b.student()), b.learn(b.student(), parts=2)),
    "look-in-two": lambda b: (b.look(b.network), b.look(b.network, parts=2)),
    "look-one-by-one": lambda b: (b.look(b.network), b.look(b.network, parts=8)),
    "no-grad-look": lambda b: (b.look(b.network), b.look(b.network, mode=False)),
    "native": lambda b: (
        b.learn(student := b.student()),
        within(lambda: torch.backends.mkldnn.flags(enabled=False), b.learn(student)),
    ),
    "bf16": lambda b: (
        b.learn(student := b.student()),
        within(lambda: torch.autocast("cpu", torch.bfloat16), b.learn(student)),
    ),
    "foreach-optimizer": lambda b: (b.learn(b.student()), b.learn(b.student(), fused=False)),
    "average-one-by-one": lambda b: (average(b.network, True), average(b.network, False)),
    "contiguous": lambda b: (
        b.learn(b.student()),
        b.learn(b.student().to(memory_format=torch.contiguous_format)),
    ),
    "compile-look": lambda b: (b.look(b.network), b.look(torch.compile(b.network))),
    "compile": lambda b: (b.learn(b.student()), b.learn(torch.compile(b.student()))),
}


def compare(works: tuple[Work, Work], repeats: int) -> tuple[float, float, float]:
    """Milliseconds of the first work, of the second, and the median ratio."""
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + 1):
        for work, durations in zip(works, times, strict=True):
            start = time.process_time()
            work()
            if repeat:
                durations.append(1e3 * (time.process_time() - start))
    ratio = median(b / a for a, b in zip(*times, strict=True))
    return median(times[0]), median(times[1]), ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--classes", type=int, default=11)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4, help="labeled, and as many unlabeled")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    keep_memory()
    print("| way | ms as it is | ms that way | ratio |\n|---|---:|---:|---:|")
    for name in arguments.ways:
        bench = Bench(arguments.classes, arguments.crop, arguments.batch)
        first, second, ratio = compare(WAYS[name](bench), arguments.repeats)
        print(f"| {name} | {first:.0f} | {second:.0f} | {ratio:.3f} |", flush=True)


if __name__ == "__main__":
    main()
