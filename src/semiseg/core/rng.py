"""Keyed draws: each random number is a function of named parts, not of earlier draws.

With a sequential generator, a training depends on the order of its draws: another number of loader
processes, one more validation or a resumed run gives other numbers. Here the hash of a key (seed,
step, sample, rank, purpose) seeds a new generator. So the key alone repeats a draw, and a resumed
run needs no generator state.
"""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch


class Key(NamedTuple):
    """A path of names and numbers that determines random draws.

    Attributes:
        parts: the names and numbers, outermost first.

    Example:
        >>> Key.of(0, "order").numpy().integers(10, size=3).tolist()
        [7, 6, 7]
        >>> Key.of(0).child("order") == Key.of(0, "order")
        True
    """

    parts: tuple[int | str, ...]

    @classmethod
    def of(cls, *parts: int | str) -> Key:
        """Create the key with these parts."""
        return cls(parts)

    def child(self, *parts: int | str) -> Key:
        """Append parts to this key."""
        return Key(self.parts + parts)

    def digest(self) -> int:
        """Return the hash of the key, 128 bits, equal on every machine and in every process."""
        text = "\x1f".join(f"{type(p).__name__}:{p}" for p in self.parts)
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")

    def numpy(self) -> np.random.Generator:
        """Create a new numpy generator from this key."""
        return np.random.Generator(np.random.Philox(key=self.digest()))

    def torch(self) -> torch.Generator:
        """Create a new torch generator on the CPU, so draws are equal for every device."""
        import torch

        return torch.Generator().manual_seed(self.digest() & (2**63 - 1))

    def seed_globals(self) -> None:
        """Seed the global generators of Python, numpy and torch (all devices).

        Dropout and drop-path draw from the global generators and accept no other one.
        """
        import torch

        seed = self.digest()
        random.seed(seed)
        np.random.seed(seed & (2**32 - 1))  # noqa: NPY002 - libraries still draw from it
        torch.manual_seed(seed & (2**63 - 1))
