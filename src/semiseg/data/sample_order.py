"""The order of the samples in a training, as a function of the position alone."""

from __future__ import annotations

from collections.abc import Sequence

from semiseg.core.rng import Key
from semiseg.core.types import Sample


class SampleOrder:
    """An endless order of samples, in which each pass over the list is another permutation.

    The same position gives the same sample in every process, whatever was read before. So a list
    that is shorter than another one is oversampled, never truncated.

    Args:
        samples: the list, not empty.
        key: the key of the permutations.
    """

    def __init__(self, samples: Sequence[Sample], key: Key) -> None:
        self.samples = samples
        self.key = key
        self._permutations: dict[int, list[int]] = {}

    def __len__(self) -> int:
        """The number of samples; the order has no end."""
        return len(self.samples)

    def __getitem__(self, position: int) -> Sample:
        """The sample at a position, counted from 0 over all passes."""
        number, place = divmod(position, len(self.samples))
        if number not in self._permutations:
            # A batch reaches into two passes at most, so only the last ones stay.
            self._permutations = {n: p for n, p in self._permutations.items() if n >= number - 1}
            permutation = self.key.child(number).numpy().permutation(len(self.samples))
            self._permutations[number] = permutation.tolist()
        return self.samples[self._permutations[number][place]]

    def where(self, position: int) -> str:
        """The file of the sample at a position, for messages."""
        return str(self[position].image)
