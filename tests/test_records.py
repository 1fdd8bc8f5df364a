"""Records from plain values: what fits is converted, anything else is refused by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

import pytest

from semiseg.core.records import from_plain


class Share(TypedDict):
    part: float
    whole: float | None


@dataclass(frozen=True)
class Inner:
    kind: Literal["a", "b"]


@dataclass(frozen=True)
class Outer:
    inner: Inner
    sides: tuple[int, ...]
    shares: list[Share]
    table: Mapping[str, Inner]
    rest: dict[str, object]
    name: str | int = "none"


FULL = {
    "inner": {"kind": "a", "unknown": 1},
    "sides": [1, 2],
    "shares": [{"part": 1, "whole": None}],
    "table": {"x": {"kind": "b"}},
    "rest": {"y": [None, {"z": 1}]},
}


def test_values_that_fit_are_converted():
    record = from_plain(Outer, FULL)
    assert record.inner == Inner("a")
    assert record.sides == (1, 2)
    assert record.shares == [{"part": 1, "whole": None}]
    assert record.table == {"x": Inner("b")}
    assert record.rest == FULL["rest"]
    assert record.name == "none"
    assert from_plain(Outer, {**FULL, "name": 3}).name == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inner": None}, "`inner` is None, not a mapping"),
        ({"inner": {"kind": "c"}}, "`inner.kind` is 'c', not one of 'a', 'b'"),
        ({"sides": [1, 2.5]}, r"`sides\[1\]` is 2.5, not an integer"),
        ({"sides": 7}, "`sides` is 7, not a list"),
        ({"shares": [{"part": 1}]}, r"`shares\[0\].whole` is missing"),
        ({"shares": [{"part": True, "whole": 1}]}, r"`shares\[0\].part` is True, not a number"),
        ({"table": {"x": 1}}, "`table.x` is 1, not a mapping"),
        ({"name": 1.5}, "`name` is 1.5"),
    ],
)
def test_anything_else_is_refused_by_its_name(change, message):
    with pytest.raises(ValueError, match=message):
        from_plain(Outer, {**FULL, **change})
    with pytest.raises(ValueError, match="`inner` is missing"):
        from_plain(Outer, {})
