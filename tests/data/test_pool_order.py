"""The order of a pool: each pass is a permutation, and a position alone determines its image."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semiseg.core.rng import Key
from semiseg.data.pools.pool_order import PoolOrder, permuted

KEYS = st.integers(0, 10**6).map(lambda seed: Key.of(seed, "pool"))
COUNTS = st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any)


@given(COUNTS, KEYS, st.integers(1, 15), st.integers(0, 10**9))
@settings(max_examples=60, deadline=None)
def test_each_pass_has_every_image_once(counts, key, window, number):
    order, size = PoolOrder(counts, key, window), sum(counts)
    start = number * size
    assert sorted(order[start + place] for place in range(size)) == list(range(size))


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), KEYS, st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_a_window_has_all_images_of_its_shards_before_the_next_one_begins(counts, key, window):
    order = PoolOrder(counts, key, window)
    shard_of = np.repeat(np.arange(len(counts)), counts)
    shards = [shard_of[order[place]] for place in range(sum(counts))]
    place, seen = 0, set()
    while place < len(shards):  # the shards of a window are those that no earlier one had
        images, members = 0, set()
        for shard in shards[place:]:
            if shard in seen or (len(members) == window and shard not in members):
                break
            members.add(shard)
            images += 1
        assert images == sum(counts[shard] for shard in members)
        seen |= members
        place += images


@given(st.integers(1, 3000), KEYS)
@settings(max_examples=40, deadline=None)
def test_the_permutation_of_any_size_is_a_bijection(size, key):
    assert sorted(permuted(place, size, key) for place in range(size)) == list(range(size))


@given(st.integers(1, 2**62), st.data(), KEYS)
@settings(max_examples=40, deadline=None)
def test_huge_sizes_need_no_array(size, data, key):
    place = data.draw(st.integers(0, size - 1))
    assert 0 <= permuted(place, size, key) < size


def test_all_orders_of_four_images_are_about_equally_frequent():
    keys = [Key.of("fair", number) for number in range(4800)]
    orders = Counter(tuple(permuted(place, 4, key) for place in range(4)) for key in keys)
    assert set(orders) == set(permutations(range(4)))
    assert 130 < min(orders.values()) <= max(orders.values()) < 275  # 200 each; 23 dof, sd 14


def test_positions_and_images_are_not_correlated():
    size = 1000
    images = [permuted(place, size, Key.of("straight")) for place in range(size)]
    assert abs(np.corrcoef(np.arange(size), images)[0, 1]) < 0.1
    steps = np.diff(images) % size
    assert len(np.unique(steps)) > 550  # of 999 random ones, 632 differ


def test_the_same_position_gives_the_same_image_in_any_order_of_asking():
    counts, key = [7, 0, 12, 5, 9], Key.of(3, "pool")
    forward = [PoolOrder(counts, key, 2)[position] for position in range(99)]
    order = PoolOrder(counts, key, 2)
    assert [order[position] for position in reversed(range(99))] == forward[::-1]
    assert forward[:33] != forward[33:66]
    assert forward != [PoolOrder(counts, Key.of(4, "pool"), 2)[p] for p in range(99)]


def test_this_order_stays_in_later_versions():
    order = PoolOrder([3, 2, 4], Key.of(0, "pool"), 2)
    first, second = [8, 3, 6, 5, 7, 4, 2, 0, 1], [2, 5, 0, 7, 1, 6, 8, 4, 3]
    assert [order[position] for position in range(18)] == first + second


@pytest.mark.parametrize(("counts", "window"), [([], 1), ([0, 0], 1), ([3], 0)])
def test_an_order_needs_images_and_a_window(counts, window):
    with pytest.raises(ValueError, match=r"a pool without images|the window is"):
        PoolOrder(counts, Key.of(0), window)
