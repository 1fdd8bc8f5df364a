"""Draws are functions of their key: the same in every process, apart for every other key."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from semiseg.core.rng import Key


def test_parts_can_be_given_at_once_or_one_below_the_other() -> None:
    whole = Key.of(0, "view", 7)
    assert Key.of(0).child("view").child(7) == whole
    assert Key.of().child(0, "view", 7) == whole
    assert Key.of(0).child("view", 7).digest() == whole.digest()


def test_keys_differ_in_every_part_its_type_and_its_place() -> None:
    keys = [
        Key.of(),
        Key.of(""),
        Key.of(0),
        Key.of("0"),
        Key.of(1),
        Key.of("1"),
        Key.of(-1),
        Key.of(11),
        Key.of(1, 1),
        Key.of(1, "1"),
        Key.of("1", 1),
        Key.of("a", "bc"),
        Key.of("ab", "c"),
        Key.of("abstr:c"),
        Key.of("bc", "a"),
        Key.of("abc"),
    ]
    assert len({key.digest() for key in keys}) == len(keys)
    draws = {tuple(key.numpy().integers(2**32, size=2).tolist()) for key in keys}
    assert len(draws) == len(keys)


def test_neighboring_keys_draw_independently() -> None:
    """Steps 0, 1, 2, ... must not give numbers that rise or repeat together."""
    draws = np.array([Key.of(0, step).numpy().uniform(size=2) for step in range(2000)])
    assert abs(draws.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.08
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.08


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_gives_the_same_digest(hash_seed: str) -> None:
    """Also where Python hashes strings otherwise, as it does in each new process."""
    code = "from semiseg.core.rng import Key; print(Key.of(3, 'order', 'bild-ä').digest())"
    source = Path(sys.modules["semiseg"].__file__ or "").parents[1]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(source)}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert int(answer.stdout) == Key.of(3, "order", "bild-ä").digest()


def test_a_generator_starts_anew_each_time_and_leaves_others_alone() -> None:
    key = Key.of(5, "noise")
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global generator must not matter
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first = key.torch()
    numbers = torch.rand(4, generator=first)
    torch.rand(4, generator=first)  # drawing on does not change the next generator
    assert torch.equal(torch.rand(4, generator=key.torch()), numbers)
    assert np.array_equal(key.numpy().standard_normal(4), key.numpy().standard_normal(4))
    assert not torch.equal(torch.rand(4, generator=key.child(1).torch()), numbers)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002


def test_seeded_globals_repeat_for_the_same_key_only() -> None:
    def draw(key: Key) -> tuple[float, float, float]:
        key.seed_globals()
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    first, other = draw(Key.of(0, "step", 1)), draw(Key.of(0, "step", 2))
    assert draw(Key.of(0, "step", 1)) == first
    assert all(a != b for a, b in zip(first, other, strict=True))
