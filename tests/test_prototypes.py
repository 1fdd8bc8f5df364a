"""Prototypes by hand: means, their moving average, similarity, and labels on the coarse grid."""

import pytest
import torch
import torch.nn.functional as F

from semiseg.model.network import STRIDE
from semiseg.model.prototypes import class_means, shrink_labels, similarity, update_prototypes


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_class_means_by_hand():
    """Plain means of vectors as they are, not of their directions."""
    representation = torch.tensor([[1.0, 0], [3, 4], [100, 100], [0, 8], [5, 5]])
    labels = torch.tensor([0, 0, 255, 3, 3])
    means, counts = class_means(representation, labels, 4)
    assert means.tolist() == [[2, 2], [0, 0], [0, 0], [2.5, 6.5]]
    assert counts.tolist() == [2, 0, 0, 2]


@pytest.mark.parametrize("classes", [2, 181])
def test_class_means_of_many_pixels(classes):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(classes + 1, (5000,), generator=generator)
    labels[labels == classes] = 255
    representation = normal(5000, 7)
    means, counts = class_means(representation, labels, classes)
    for c in range(classes):
        own = representation[labels == c]
        assert counts[c] == len(own)
        torch.testing.assert_close(means[c], own.mean(dim=0))


@pytest.mark.parametrize("labels", [[], [255, 255]], ids=["no pixels", "all ignored"])
def test_class_means_of_nothing_are_finite(labels):
    means, counts = class_means(normal(len(labels), 3), torch.tensor(labels).long(), 4)
    assert torch.equal(means, torch.zeros(4, 3))
    assert torch.equal(counts, torch.zeros(4))


@pytest.mark.parametrize("autocast", [False, True], ids=["half maps", "autocast"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_class_means_survive_half_precision(dtype, autocast):
    """A batch of 16 crops of 512 has 262,144 coarse pixels; float16 ends at 65,504."""
    representation = torch.full((70_000, 1), 3.0, dtype=dtype)
    labels = torch.zeros(70_000, dtype=torch.long)
    labels[:1001] = 1
    with torch.autocast("cpu", dtype, enabled=autocast):
        means, counts = class_means(representation, labels, 2)
    torch.testing.assert_close(means.float(), torch.full((2, 1), 3.0), rtol=0.01, atol=0)
    assert counts.tolist() == [68_999, 1001]


def test_update_by_hand():
    """Seen and in the batch: moved. New: the mean as it is. Absent: as before."""
    prototypes = torch.tensor([[1.0, 2], [7, 7], [3, 3], [0, 0]])
    seen = torch.tensor([True, False, True, False])
    means = torch.tensor([[3.0, -2], [5, 6], [0, 0], [0, 0]])
    counts = torch.tensor([4.0, 1, 0, 0])
    before = prototypes.clone(), seen.clone()
    updated, now_seen = update_prototypes(prototypes, seen, means, counts, 0.75)
    assert updated.tolist() == [[1.5, 1], [5, 6], [3, 3], [0, 0]]
    assert now_seen.tolist() == [True, True, True, False]
    assert torch.equal(prototypes, before[0])
    assert torch.equal(seen, before[1])


def test_prototypes_over_several_batches():
    """`0.99 (0.99 m1 + 0.01 m2) + 0.01 m3`, with an empty batch in between."""
    batches = normal(3, 1, 5).double()
    prototypes, seen = torch.zeros(1, 5, dtype=torch.float64), torch.zeros(1) > 0
    for means, count in ((batches[0], 2), (batches[1], 9), (batches[1] * 0, 0), (batches[2], 1)):
        counts = torch.tensor([float(count)])
        prototypes, seen = update_prototypes(prototypes, seen, means, counts, 0.99)
    expected = 0.99 * (0.99 * batches[0] + 0.01 * batches[1]) + 0.01 * batches[2]
    torch.testing.assert_close(prototypes, expected, rtol=1e-12, atol=0)
    assert seen.tolist() == [True]


@pytest.mark.parametrize("autocast", [False, True], ids=["half maps", "autocast"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_similarity_in_half_precision(dtype, autocast):
    """Divided by `tau_r` it is an exponent: 0.01 more or less is a tenth of an indicator."""
    representation, prototypes = normal(2, 32, 4, 3).to(dtype), normal(5, 32, seed=1)
    seen = torch.tensor([True, True, False, True, True])
    with torch.autocast("cpu", dtype, enabled=autocast):
        ours = similarity(representation, prototypes, seen)
    expected = similarity(representation.float(), prototypes, seen)
    torch.testing.assert_close(ours.float(), expected, rtol=0, atol=1e-3)
    with torch.autocast("cpu", dtype, enabled=autocast):
        unseen = similarity(representation, prototypes, torch.zeros(5) > 0)
        scaled = unseen / 0.1
        share = (scaled[:, 0] - scaled.logsumexp(dim=1)).exp()
    torch.testing.assert_close(share.float(), torch.full((2, 4, 3), 0.2), rtol=0.01, atol=0)


def test_similarity_is_the_cosine():
    representation, prototypes = normal(2, 6, 4, 3).double() * 9, normal(5, 6, seed=1).double()
    seen = torch.tensor([True, True, False, True, False])
    ours = similarity(representation, prototypes, seen)
    assert ours.shape == (2, 5, 4, 3)
    for c in range(5):
        expected = F.cosine_similarity(representation, prototypes[c].view(1, -1, 1, 1), dim=1)
        if seen[c]:
            torch.testing.assert_close(ours[:, c], expected, rtol=1e-10, atol=1e-12)
        else:
            assert (ours[:, c] == -1000).all()


def test_a_class_without_a_prototype_is_never_nearest():
    """Not even where all others point the other way: zero is no similarity of its own."""
    representation = torch.ones(1, 2, 1, 1)
    prototypes = torch.tensor([[-1.0, -1], [0, 0], [1, 1]])
    seen = torch.tensor([True, False, False])
    ours = similarity(representation, prototypes, seen)
    assert ours.argmax(dim=1).item() == 0
    assert (ours / 0.1).softmax(dim=1).flatten().tolist() == [1, 0, 0]


def test_similarity_of_a_zero_pixel_is_zero():
    ours = similarity(torch.zeros(1, 4, 2, 2), normal(3, 4), torch.ones(3) > 0)
    assert torch.equal(ours, torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize("side", [32, 64, 240])
def test_shrunk_labels_are_those_at_the_centers_of_the_cells(side):
    """Cell `i` covers the pixels `4i` to `4i + 3`; its center lies between the middle two."""
    place = torch.arange(side * side).view(1, side, side)
    small = shrink_labels(place, side // STRIDE, side // STRIDE)
    cells = torch.arange(side // STRIDE)
    assert small.dtype == torch.int64
    for axis in (small[0] // side, (small[0] % side).t()):
        assert (axis == axis[:, :1]).all()
        assert ((axis[:, 0] - (STRIDE * cells + 1.5)).abs() < 1).all()


@pytest.mark.parametrize("side", [33, 50, 75, 101])
def test_shrunk_labels_lie_in_their_cells_where_the_side_is_no_multiple_of_the_stride(side):
    """A network's last cell then reaches beyond the picture, and its cells stay 4 pixels wide."""
    cells = -(-side // STRIDE)
    columns = torch.arange(side).expand(1, side, side)
    inside = shrink_labels(columns, cells, cells)[0, 0] // STRIDE
    assert inside.tolist() == list(range(cells))


def test_shrunk_labels_keep_batch_type_and_the_two_axes_apart():
    labels = torch.zeros(3, 16, 24, dtype=torch.bool)
    labels[1, :8] = True
    labels[2, :, 12:] = True
    small = shrink_labels(labels, 4, 6)
    assert small.dtype == torch.bool
    assert small.shape == (3, 4, 6)
    assert not small[0].any()
    assert small[1].all(dim=1).tolist() == [True, True, False, False]
    assert small[2].all(dim=0).tolist() == [False] * 3 + [True] * 3
