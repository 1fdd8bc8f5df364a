"""What a supervised step costs by the part of the encoder that is trained.

One step of each part in turns, in one process, so that all of them see the same machine; a ratio is
the median over the turns. A step is the network's forward pass on images of `--crop`, its backward
pass and the optimizer. Times are those of the processor (all threads of the process). "Kept" is
what one forward pass keeps for the backward pass, beside the parameters. From the root of the
repository:

    OMP_NUM_THREADS=1 python benchmarks/parts.py --encoder vit_small_patch14_dinov2
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from semiseg.config.encoder_training import parse_encoder_training
from semiseg.config.groups import OptimizerConfig
from semiseg.methods import build_method
from semiseg.model.encoder_training import save_memory, train_part
from semiseg.model.network import Network
from semiseg.training.optimizer import build_optimizer

CHECKPOINTING, CONTIGUOUS = "full, checkpointing", "full, contiguous"
PARTS = ("full", CHECKPOINTING, CONTIGUOUS, "last-4", "last-2", "norms", "lora", "head")
SETTINGS = OptimizerConfig(lr=1e-3, encoder_lr=1e-4, layer_decay=1.0)


class Candidate:
    """A network of which one part is trained, with its optimizer and the seconds of its steps."""

    def __init__(self, encoder: str, part: str) -> None:
        torch.manual_seed(0)
        self.network = Network(11, encoder, weights="none")
        train_part(self.network, parse_encoder_training(part.partition(",")[0]))
        if part == CHECKPOINTING:
            save_memory(self.network)
        self.layout = torch.contiguous_format if part == CONTIGUOUS else torch.channels_last
        self.network.to(memory_format=self.layout)
        self.optimizer = build_optimizer(build_method("supervised", self.network), SETTINGS)
        self.seconds: list[float] = []

    def step(self, images: Tensor) -> None:
        """One step on images of bytes."""
        begun = time.process_time()
        self.optimizer.zero_grad()
        self.network(self.floats(images)).logits.square().mean().backward()
        self.optimizer.step()
        self.seconds.append(time.process_time() - begun)

    def floats(self, images: Tensor) -> Tensor:
        """The images as the network takes them."""
        return images.to(torch.float32, memory_format=self.layout).div_(255)

    def saved_megabytes(self, images: Tensor) -> float:
        """The MiB that are kept for the backward pass."""
        storages = {p.untyped_storage().data_ptr(): 0 for p in self.network.parameters()}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            storages.setdefault(storage.data_ptr(), storage.nbytes())
            return tensor

        with saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = self.network(self.floats(images)).logits.square().mean()
        size = sum(storages.values()) / 2**20
        loss.backward()
        return size

    def trained(self) -> float:
        """The parameters that are trained, in millions."""
        return sum(p.numel() for p in self.network.parameters() if p.requires_grad) / 1e6


def main() -> None:
    """Measure all parts in turns."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", default="tf_efficientnet_lite0")
    parser.add_argument("--parts", nargs="+", default=PARTS, help="the first is compared with")
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    images = torch.randint(0, 256, (arguments.batch, 3, arguments.crop, arguments.crop))
    images = images.to(torch.uint8)
    candidates = {part: Candidate(arguments.encoder, part) for part in arguments.parts}
    megabytes = {part: candidate.saved_megabytes(images) for part, candidate in candidates.items()}
    for turn in range(arguments.repeats + 1):  # the first one fetches memory
        for candidate in [*candidates.values()][:: (-1) ** turn]:
            candidate.step(images)
    first = next(iter(candidates.values())).seconds[1:]
    print("| part | trained, million | kept, MiB | step, ms | ratio |\n|---|---:|---:|---:|---:|")
    for part, candidate in candidates.items():
        seconds = candidate.seconds[1:]
        ratio = median(own / other for own, other in zip(seconds, first, strict=True))
        print(
            f"| {part} | {candidate.trained():.2f} | {megabytes[part]:.0f} "
            f"| {1e3 * median(seconds):.0f} | {ratio:.2f} |"
        )


if __name__ == "__main__":
    main()
