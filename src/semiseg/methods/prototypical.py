"""What the methods with class prototypes share: a representation head, and where classes live."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from semiseg.methods.base import require
from semiseg.methods.semi_supervised import SemiSupervised
from semiseg.model.network import Network, flatten
from semiseg.model.prototypes import class_means, update_prototypes
from semiseg.model.release import Release, match_classes


class Prototypical(SemiSupervised):
    """A student with a representation head, its teacher, and a prototype of each class.

    Args:
        student: the network that learns; it is given a representation head.
        representation_dim: channels `D` of the representation head.
        prototype_momentum: `a` of Eq. 3.
        teacher_memory: see `SemiSupervised`.
        supervised_warmup: see `SemiSupervised`.
        masked: whether classes without a prototype are left out, or have one of zeros.

    Attributes:
        prototypes: `(C, D)`.
        seen: `(C,)` bool, whether a class has a prototype yet.

    Raises:
        ConfigError: a setting is out of its range.
    """

    prototypes: Tensor
    seen: Tensor

    def __init__(
        self,
        student: Network,
        representation_dim: int,
        prototype_momentum: float,
        teacher_memory: float,
        supervised_warmup: float,
        *,
        masked: bool,
    ) -> None:
        require(representation_dim >= 1, "representation_dim", representation_dim)
        require(0 <= prototype_momentum <= 1, "prototype_momentum", prototype_momentum)
        student.add_representation_head(representation_dim)
        super().__init__(student, teacher_memory, supervised_warmup)
        self.prototype_momentum, self.masked = prototype_momentum, masked
        self.register_buffer("prototypes", torch.zeros(student.classes, representation_dim))
        self.register_buffer("seen", torch.zeros(student.classes, dtype=torch.bool))

    @property
    def known(self) -> Tensor:
        """`(C,)` bool, the classes on which representation space has an opinion."""
        return self.seen if self.masked else torch.ones_like(self.seen)

    def new_prototypes(self, representation: Tensor | None, labels: Tensor) -> dict[str, Tensor]:
        """The prototypes after a batch (Eq. 2, 3).

        Args:
            representation: `(B, D, h, w)`.
            labels: `(B, h, w)` int64, 255 for pixels of no class.

        Returns:
            The new values of the buffers, for `Losses.state`.
        """
        pixels = flatten(present(representation).detach())
        means, counts = class_means(pixels, labels.flatten(), len(self.prototypes))
        prototypes, seen = update_prototypes(
            self.prototypes, self.seen, means, counts, self.prototype_momentum
        )
        return {"prototypes": prototypes, "seen": seen}

    @torch.no_grad()
    def start_from(self, release: Release, names: Sequence[str]) -> tuple[str, ...]:
        """See `Method.start_from`; prototypes are taken over where their width is the same."""
        added = super().start_from(release, names)
        theirs = release.tensors.get("prototypes")
        if theirs is not None and theirs.shape[1] == self.prototypes.shape[1]:
            new, old = match_classes(names, release.classes.names)
            self.prototypes[new] = theirs[old]
            self.seen[new] = release.tensors["seen"][old]
        return added

    def released_tensors(self, strength: float = 0.0) -> dict[str, Tensor]:
        """The prototypes, and which classes have one; see `Method.released_tensors`."""
        return {"prototypes": self.prototypes, "seen": self.seen}


def present(representation: Tensor | None) -> Tensor:
    """The representations, which a network with such a head gives."""
    if representation is None:
        raise TypeError("the network has no representation head")
    return representation
