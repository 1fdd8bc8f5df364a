"""`cps` in a plain PyTorch loop: two students teach each other, then they vote.

python examples/two_students.py
"""

from __future__ import annotations

import torch

from semiseg.core.rng import Key
from semiseg.core.types import Labeled, Step, Unlabeled
from semiseg.methods import build_method
from semiseg.model.network import Network

CLASSES = 3


def main(steps: int = 20, size: int = 64, encoder: str = "lcnet_035") -> float:
    """Train on drawn images, and return the share of pixels on which the two students agree."""
    torch.manual_seed(0)
    masks = torch.randint(CLASSES, (8, 4, 4)).repeat_interleave(size // 4, 1)
    masks = masks.repeat_interleave(size // 4, 2)
    images = torch.eye(CLASSES)[masks].permute(0, 3, 1, 2)  # (8, 3, size, size) in 0..1
    method = build_method("cps", Network(CLASSES, encoder, weights="none")).train()
    # One optimizer for each student. One for `method.trained_parameters()` does the same.
    optimizers = [torch.optim.AdamW(s.parameters(), lr=1e-3) for s in method.students()]
    for number in range(steps):
        step = Step(number, steps, Key.of(0, "step", number))
        step.key.seed_globals()  # dropout draws from the global generators
        weak = images[2 + 2 * (number % 3) :][:2]
        strong = (weak * (0.7 + 0.6 * torch.rand(2, 1, 1, 1))).clamp(0, 1)
        valid = torch.ones(2, size, size, dtype=torch.bool)  # False at padding
        labeled = Labeled(images[:2], masks[:2])  # 255 in a mask is ignored
        losses = method.compute(labeled, Unlabeled(weak, strong, valid), step)
        method.zero_grad()
        losses.total.backward()
        method.commit(losses)
        for optimizer in optimizers:
            optimizer.step()
        method.after_step(number, steps)
    method.eval()
    with torch.no_grad():
        first, second = (student(images[2:]).logits for student in method.students())
    agree = first.argmax(dim=1) == second.argmax(dim=1)
    vote = (first.softmax(dim=1) + second.softmax(dim=1)).argmax(dim=1)  # (6, size/4, size/4)
    print(f"The vote has {len(vote.unique())} classes.")
    return float(agree.float().mean())


if __name__ == "__main__":
    print(f"The students agree on {main():.0%} of the pixels.")
