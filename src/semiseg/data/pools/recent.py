"""What a process remembers of the shards that it used last."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import Generic, TypeVar

_MAX_SHARDS = 32  # twice a window of a training

T = TypeVar("T")


class Recent(Generic[T]):
    """The values that were used last, by shard."""

    def __init__(self) -> None:
        self._values: OrderedDict[int, T] = OrderedDict()

    def get(self, shard: int) -> T | None:
        """The value of a shard; None if it is not there any more."""
        value = self._values.get(shard)
        if value is not None:
            with suppress(KeyError):  # another thread has just removed it
                self._values.move_to_end(shard)
        return value

    def put(self, shard: int, value: T) -> T:
        """Remember a value, and forget the one that was used least recently."""
        self._values[shard] = value
        if len(self._values) > _MAX_SHARDS:
            self._values.popitem(last=False)
        return value
