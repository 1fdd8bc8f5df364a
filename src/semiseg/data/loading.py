"""Which samples a step sees, as a function of the step alone."""

from __future__ import annotations

from collections.abc import Sequence

from semiseg.draws import Key
from semiseg.types import Sample


class Order:
    """An endless order of samples in which each pass over the list is a permutation of its own.

    The position is all that counts: the same position gives the same sample in every process,
    whatever was asked before. A list shorter than another is thereby oversampled, never truncated.

    Args:
        samples: the list, not empty.
        key: the key of the permutations.
    """

    def __init__(self, samples: Sequence[Sample], key: Key) -> None:
        self.samples = samples
        self.key = key
        self._passes: dict[int, list[int]] = {}

    def __getitem__(self, position: int) -> Sample:
        """The sample at a position, counted from 0 over all passes."""
        number, place = divmod(position, len(self.samples))
        if number not in self._passes:
            # A batch reaches into two passes at most: keep the last ones only.
            self._passes = {n: p for n, p in self._passes.items() if n >= number - 1}
            order = self.key.child(number).numpy().permutation(len(self.samples))
            self._passes[number] = order.tolist()
        return self.samples[self._passes[number][place]]
