"""`css` in a plain PyTorch loop: your tensors, your optimizer, without the trainer of semiseg.

python examples/css_in_your_loop.py
"""

from __future__ import annotations

import torch

from semiseg.core.rng import Key
from semiseg.core.types import Labeled, Step, Unlabeled
from semiseg.methods import build_method
from semiseg.model.network import Network

CLASSES = 3


def main(steps: int = 20, size: int = 64, encoder: str = "lcnet_035") -> list[float]:
    """Train on drawn images, and return the loss of each step."""
    torch.manual_seed(0)
    masks = torch.randint(CLASSES, (8, 4, 4)).repeat_interleave(size // 4, 1)
    masks = masks.repeat_interleave(size // 4, 2)
    images = torch.eye(CLASSES)[masks].permute(0, 3, 1, 2)  # (8, 3, size, size) in 0..1
    method = build_method("css", Network(CLASSES, encoder, weights="none")).train()
    optimizer = torch.optim.AdamW(method.trained_parameters(), lr=1e-3)
    history = []
    for number in range(steps):
        step = Step(number, steps, Key.of(0, "step", number))
        step.key.seed_globals()  # dropout draws from the global generators
        labeled = Labeled(images[:2], masks[:2])  # 255 in a mask is ignored
        weak = images[2 + 2 * (number % 3) :][:2]
        strong = (weak * (0.7 + 0.6 * torch.rand(2, 1, 1, 1))).clamp(0, 1)
        valid = torch.ones(2, size, size, dtype=torch.bool)  # False at padding
        losses = method.compute(labeled, Unlabeled(weak, strong, valid), step)
        optimizer.zero_grad()
        losses.total.backward()
        method.commit(losses)  # the prototypes
        optimizer.step()
        method.after_step(number, steps)  # the teacher
        history.append(losses.total.item())
    return history


if __name__ == "__main__":
    losses = main()
    print(f"The loss fell from {losses[0]:.2f} to {losses[-1]:.2f}.")
