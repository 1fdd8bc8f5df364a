"""One of two processes, started by test_ranks.py: half of a batch, and half of the images of val.

Run as `rank.py RANK FOLDER`; writes `FOLDER/rankRANK.pt`.
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from semiseg.inference.scenes import Scene
from semiseg.losses.gaussian import gaussian_prototypes
from semiseg.losses.pseudo import balanced_weights, count_labels, pseudo_label_loss
from semiseg.losses.supervised import cross_entropy
from semiseg.model.banks import push_vectors
from semiseg.model.network import Network
from semiseg.model.prototypes import class_means, update_prototypes
from semiseg.training.validation import score_networks

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


class TwoNetworks(nn.Module):
    """What a validation needs of a method."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(7)
            self.student, self.other = (
                Network(3, "lcnet_035", "fpn", weights="none") for _ in "ab"
            )
        self.class_weights = torch.tensor([0.5, 1.0, 40.0])

    def networks(self):
        return {"student": self.student, "teacher": self.other}


def val():
    """Five images of two sizes with masks."""
    generator = torch.Generator().manual_seed(11)
    sizes = [(48, 64), (40, 48), (48, 64), (48, 64), (40, 48)]
    return [
        Scene(
            torch.randint(256, (1, 3, *size), generator=generator).byte(),
            torch.randint(3, size, generator=generator).byte(),
        )
        for size in sizes
    ]


def score(scenes):
    """The outcome of the last validation as tensors, and the scores of the networks."""
    networks, outcome = score_networks(TwoNetworks(), scenes, ("a", "b", "c"), last=True)
    return {**outcome.state(), "networks": networks}


def main(rank, folder):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    image, label, valid = (part[[rank, rank + 2]] for part in batch())
    result = learn(DistributedDataParallel(Heads()), image, label, valid)
    result["scores"] = score(val()[rank::2])
    torch.save(result, folder / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
