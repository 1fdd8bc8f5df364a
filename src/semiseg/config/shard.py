"""Shards of a prediction: which of several processes segments an image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from semiseg.core.errors import SettingError
from semiseg.core.files import short_hash

_TEXT = re.compile(r"(\d{1,6})/(\d{1,6})")
_HASH_BYTES = 8


@dataclass(frozen=True, order=True)
class Shard:
    """One of several shards of the images.

    Attributes:
        number: from 1 on.
        count: the number of shards.
    """

    number: int
    count: int

    def holds(self, name_hash: int) -> bool:
        """Whether an image belongs to this shard.

        Args:
            name_hash: the hash of its name, see `hash_name`.
        """
        return name_hash % self.count == self.number - 1

    def __str__(self) -> str:
        """For example `3/64`."""
        return f"{self.number}/{self.count}"


ALL = Shard(1, 1)
"""The only shard of a prediction by one process."""


def hash_name(name: str) -> int:
    """The hash of an image's name, from 0 to 2^64 - 1, the same on every machine.

    Example:
        >>> [hash_name(name) % 4 for name in ("a", "b", "cam/c")]
        [3, 1, 3]
    """
    return int(short_hash(name, size=_HASH_BYTES), 16)


def parse_shard(text: str) -> Shard:
    """The shard that a text such as `3/64` stands for.

    Raises:
        SettingError: it stands for none.

    Example:
        >>> parse_shard("3/64")
        Shard(number=3, count=64)
    """
    match = _TEXT.fullmatch(text.strip())
    if match is not None:
        shard = Shard(int(match[1]), int(match[2]))
        if 1 <= shard.number <= shard.count:
            return shard
    allowed = "the number of the shard and the number of all shards, such as 3/64, from 1/64 on"
    raise SettingError("shard", text, allowed=allowed, flag="--shard")


def describe_numbers(numbers: Sequence[int]) -> str:
    """Ascending numbers of shards as SLURM's `--array` takes them.

    Example:
        >>> describe_numbers([3, 7, 8, 9])
        '3,7-9'
    """
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], number
        else:
            ranges.append((number, number))
    return ",".join(f"{a}-{b}" if a < b else str(a) for a, b in ranges)
