"""The choice among the rows of a pool: as among vectors in memory, whatever the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from semiseg.core.errors import RunError
from semiseg.suggestion import feature_rows, pool_choice
from semiseg.suggestion.coverage import choose_first
from semiseg.suggestion.feature_rows import (
    COMPUTED,
    FAILED,
    MISSING,
    Description,
    PoolRows,
    open_rows,
)
from semiseg.suggestion.pool_choice import choose_first_numbers, choose_next
from semiseg.suggestion.ranking import Candidate, Suggestion, choose

WIDTH = 8


def halves(seed, count):
    """Features as the rows hold them, with a near-duplicate of every third image."""
    draws = np.random.default_rng(seed)
    vectors = draws.normal(size=(count, WIDTH)) + 2
    vectors[1::3] = vectors[: len(vectors[1::3]) * 3 : 3] + 1e-3
    scale = np.abs(vectors).max(axis=1, keepdims=True).astype(np.float32)
    return (vectors / scale).astype(np.float16) * scale


@pytest.fixture
def rows(tmp_path):
    """Writes rows into one or several files, and opens them."""

    def write(vectors, doubts, files=1, disagreements=None, broken=()):
        paths = []
        for part, numbers in enumerate(np.array_split(np.arange(len(vectors)), files)):
            paths.append(tmp_path / f"{files}-{part}.npy")
            file = open_rows(paths[-1], len(numbers), WIDTH)
            for place, number in enumerate(numbers.tolist()):
                other = float("nan") if disagreements is None else disagreements[number]
                if number in broken:
                    file.fail(place)
                else:
                    file.write(place, Description(vectors[number], doubts[number], other))
            file.flush()
        return PoolRows(paths)

    return write


def in_memory(vectors, doubts, disagreements, labeled, n, broken=()):
    """What `choose` gives, as numbers, scores and distances."""
    others = [None] * len(vectors) if disagreements is None else disagreements.tolist()
    candidates = [
        Candidate(Suggestion(str(i), Path(), 0.0, float(doubts[i]), others[i], 1.0), vectors[i])
        for i in range(len(vectors))
        if i not in broken
    ]
    return [(int(s.name), s.score, s.distance) for s in choose(candidates, [*labeled], n)]


@pytest.mark.parametrize("labeled", [0, 5])
@pytest.mark.parametrize("has_prototypes", [False, True])
def test_the_choice_among_rows_is_that_among_vectors(rows, labeled, has_prototypes, monkeypatch):
    monkeypatch.setattr(pool_choice, "_REFRESHED", 7)
    monkeypatch.setattr(feature_rows, "BLOCK", 16)
    vectors, others = halves(0, 100), halves(1, labeled)
    draws = np.random.default_rng(2)
    doubts = draws.random(100).astype(np.float32)
    disagreements = draws.random(100).astype(np.float32) if has_prototypes else None
    broken = (4, 50, 99)
    right = in_memory(vectors, doubts, disagreements, others, 30, broken)
    assert len(right) == 30
    empty = np.empty((0, WIDTH), np.float32)
    results = [
        choose_next(rows(vectors, doubts, files, disagreements, broken), others, empty, 30)
        for files in (1, 3)
    ]
    assert results[0] == results[1]  # to the bit
    assert [one.number for one in results[0]] == [number for number, *_ in right]
    ours = [(one.score, one.distance) for one in results[0]]
    np.testing.assert_allclose(ours, [values for _, *values in right], rtol=1e-5)
    assert all((one.disagreement is not None) == has_prototypes for one in results[0])


def test_no_two_that_are_alike_and_none_like_an_image_of_val_are_chosen(rows):
    vectors = halves(0, 60)
    scored = vectors[[0, 9]]
    chosen = choose_next(
        rows(vectors, np.full(60, 0.5, np.float32)), np.empty((0, WIDTH), np.float32), scored, 60
    )
    numbers = {one.number for one in chosen}
    pairs = [(i, i + 1) for i in range(0, 60, 3)]
    assert not numbers & {0, 1, 9, 10}
    assert all(len(numbers & set(pair)) == 1 for pair in pairs if pair[0] not in (0, 9))
    first = choose_first_numbers(
        rows(vectors, np.zeros(60)), np.empty((0, WIDTH), np.float32), scored, 60
    )
    assert not {one.number for one in first} & {0, 1, 9, 10}


@pytest.mark.parametrize("labeled", [0, 5])
def test_the_first_choice_among_rows_is_that_among_vectors(rows, labeled, monkeypatch):
    monkeypatch.setattr(feature_rows, "BLOCK", 16)
    vectors, others = halves(0, 60), halves(1, labeled)
    names = {str(i): vectors[i] for i in range(60)}
    paths = {name: Path(name) for name in names}
    right = choose_first(paths, names, {f"l{i}": v for i, v in enumerate(others)}, 10)
    empty = np.empty((0, WIDTH), np.float32)
    for files in (1, 4):
        chosen = choose_first_numbers(rows(vectors, np.zeros(60), files), others, empty, 10)
        assert [one.number for one in chosen] == [int(one.name) for one in right]
        assert [one.stands_for for one in chosen] == [one.stands_for for one in right]
        np.testing.assert_allclose(
            [one.distance for one in chosen], [one.distance for one in right], rtol=1e-5
        )


def test_a_large_pool_is_chosen_from_by_a_sample_and_counted_as_a_whole(rows, monkeypatch):
    monkeypatch.setattr(pool_choice, "SAMPLE", 40)
    draws = np.random.default_rng(0)
    centers = 10 * np.eye(4, WIDTH)
    groups = draws.choice(4, size=300, p=[0.4, 0.3, 0.2, 0.1])
    vectors = (centers[groups] + 0.1 * draws.normal(size=(300, WIDTH))).astype(np.float32)
    empty = np.empty((0, WIDTH), np.float32)
    chosen = choose_first_numbers(rows(vectors, np.zeros(300), broken=(7,)), empty, empty, 4)
    assert {int(groups[one.number]) for one in chosen} == {0, 1, 2, 3}
    sizes = np.bincount(np.delete(groups, 7), minlength=4)
    assert {int(groups[one.number]): one.stands_for for one in chosen} == dict(enumerate(sizes))


def test_rows_stay_and_a_row_that_is_damaged_is_missing(tmp_path):
    file = tmp_path / "1-of-1.npy"
    vectors = halves(0, 4)
    rows = open_rows(file, 4, WIDTH)
    rows.write(0, Description(vectors[0], 0.25, 0.5))
    rows.write(2, Description(vectors[2], 0.75))
    rows.fail(3)
    rows.flush()
    assert open_rows(file, 4, WIDTH).states().tolist() == [COMPUTED, MISSING, COMPUTED, FAILED]
    content = bytearray(file.read_bytes())
    content[-WIDTH * 2 - 20 - 1] ^= 1  # in the features of the third row
    file.write_bytes(content)
    assert open_rows(file, 4, WIDTH).states().tolist() == [COMPUTED, MISSING, MISSING, FAILED]
    read = PoolRows([file])
    np.testing.assert_allclose(read.features(np.array([0])), vectors[:1], rtol=1e-3)
    assert read.column("doubt")[0] == 0.25
    with pytest.raises(RunError, match="does not hold 5 rows of 8 features"):
        open_rows(file, 5, WIDTH)
    file.write_bytes(b"no rows")
    with pytest.raises(RunError, match="cannot be opened as a file of features"):
        open_rows(file, 4, WIDTH)
