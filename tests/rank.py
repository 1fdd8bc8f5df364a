"""One of two processes, started by test_ranks.py: half of a batch, its gradient and its means.

Run as `rank.py RANK FOLDER`; writes `FOLDER/rankRANK.pt`.
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from semiseg.losses.gaussian import gaussian_prototypes
from semiseg.losses.pseudo import balanced_weights, count_labels, pseudo_label_loss
from semiseg.losses.supervised import cross_entropy
from semiseg.model.banks import push_vectors
from semiseg.model.prototypes import class_means, update_prototypes

CLASSES, DIM = 5, 6


class Heads(nn.Module):
    """A representation and logits from it, without batch norm, whose means a batch decides."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.h = nn.Conv2d(3, DIM, 1).double()
        self.g = nn.Conv2d(DIM, CLASSES, 1).double()
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator).double()

    def forward(self, image):
        representation = self.h(image)
        return self.g(representation), representation


def batch():
    """Two labeled and two unlabeled images whose pixels are spread unevenly."""
    generator = torch.Generator().manual_seed(5)
    image = torch.randn(4, 3, 7, 9, generator=generator).double()
    label = torch.randint(CLASSES, (4, 7, 9), generator=generator)
    label[0, 1:] = 255  # the first process has few labeled pixels
    label[1][label[1] == 0] = 1  # and the second alone none of class 0
    label[2][label[2] == 4] = 255
    label[3, 1:] = 255  # nor has it many pseudo-labels
    valid = torch.ones(4, 7, 9, dtype=torch.bool)
    valid[2, :, 4:] = False
    return image, label, valid


def learn(heads, image, label, valid):
    """The loss's gradient, and the prototypes after the batch; labeled images come first."""
    count = len(image) // 2
    logits, representation = heads(image)
    loss = cross_entropy(logits[:count], label[:count])
    shares = torch.tensor([0.4, 0.3, 0.1, 0.1, 0.1])
    label_counts = count_labels(label[count:], CLASSES)
    weights = balanced_weights(shares, label_counts, None)
    loss = loss + pseudo_label_loss(logits[count:], label[count:], valid[count:], weights=weights)
    loss.backward()
    pixels = representation.detach().permute(0, 2, 3, 1).reshape(-1, DIM)
    means, counts = class_means(pixels, label.flatten(), CLASSES)
    old = torch.ones(CLASSES, DIM).double()
    seen = torch.tensor([True, False, True, False, True])
    prototypes, seen = update_prototypes(old, seen, means, counts, 0.9)
    gaussians = torch.cat([pixels, pixels.sigmoid()], dim=1)
    belongs = label.flatten().unsqueeze(1) == torch.arange(CLASSES)
    banks = torch.zeros(CLASSES, 9, DIM).double()
    banks, pushed = push_vectors(banks, torch.arange(CLASSES), pixels, belongs)
    grads = [p.grad.clone() for p in heads.parameters()]
    return {
        "grads": grads,
        "prototypes": prototypes,
        "seen": seen,
        "counts": counts,
        "label_counts": label_counts,
        "gaussians": gaussian_prototypes(gaussians, label.flatten(), CLASSES, "sum"),
        "pixels": pixels,
        "banks": banks,
        "pushed": pushed,
    }


def main(rank, folder):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    image, label, valid = (part[[rank, rank + 2]] for part in batch())
    result = learn(DistributedDataParallel(Heads()), image, label, valid)
    torch.save(result, folder / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
