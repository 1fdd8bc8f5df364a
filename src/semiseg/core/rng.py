"""Keyed draws: each random number is a function of named parts, not of what was drawn before.

A sequential generator makes a training depend on the order of its draws: another number of loader
workers, a validation more or a resumed run gives other numbers. Here the parts of a key
(`seed`, step, sample, rank, purpose) are hashed, and the hash seeds a fresh generator. So a draw
can be repeated from its key alone, and a resumed run needs no generator's state.
"""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch


class Key(NamedTuple):
    """A path of names and numbers that random draws are derived from.

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
        """The key that consists of `parts`."""
        return cls(parts)

    def child(self, *parts: int | str) -> Key:
        """The key below this one."""
        return Key(self.parts + parts)

    def digest(self) -> int:
        """128 bits, the same on every machine and in every process."""
        text = "\x1f".join(f"{type(p).__name__}:{p}" for p in self.parts)
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")

    def numpy(self) -> np.random.Generator:
        """A fresh numpy generator."""
        return np.random.Generator(np.random.Philox(key=self.digest()))

    def torch(self) -> torch.Generator:
        """A fresh torch generator on the CPU: a draw is then the same on every device."""
        import torch

        return torch.Generator().manual_seed(self.digest() & (2**63 - 1))

    def seed_globals(self) -> None:
        """Seed the global generators of Python, numpy and torch (all devices).

        Dropout and drop-path draw from them and cannot be given a generator of their own.
        """
        import torch

        seed = self.digest()
        random.seed(seed)
        np.random.seed(seed & (2**32 - 1))  # noqa: NPY002 - libraries still draw from it
        torch.manual_seed(seed & (2**63 - 1))
