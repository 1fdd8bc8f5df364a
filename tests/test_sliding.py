"""Windows, their seams, enlarging and averaging, with models that are formulas."""

import numpy as np
import pytest
import torch
from PIL import Image

from semiseg.inference.reading import NUMPY, Arithmetic, Maps, enlargement, read
from semiseg.inference.sliding import Segmenter
from semiseg.inference.views import to_array
from semiseg.model.network import upsample

TORCH = Arithmetic(torch, lambda a: a.max(0), torch.from_numpy, lambda found: found.numpy())


def noise(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def local(images):
    """A model that sees one cell at a time: the mean of each channel in it."""
    padded = np.pad(images, ((0, 0), (0, 0), *((0, -n % 4) for n in images.shape[-2:])), "edge")
    batch, _, height, width = padded.shape
    cells = padded.reshape(batch, 3, height // 4, 4, width // 4, 4).mean(axis=(3, 5))
    return Maps(cells.astype(np.float32) / 64, (cells / 255).astype(np.float32))


def counting(calls):
    def forward(images):
        calls.append(images.shape)
        return local(images)

    return forward


@pytest.mark.parametrize("size", [(60, 500), (500, 60), (301, 277), (128, 129)])
def test_windows_of_a_local_model_give_what_it_says_of_the_whole(size):
    calls = []
    images = np.asarray(noise(*size)).transpose(2, 0, 1)[None]
    tiled = Segmenter(counting(calls), min(size), crop=64).maps(images)
    assert len(calls) > 1
    assert max(max(shape[-2:]) for shape in calls) <= 128
    whole = local(images)
    np.testing.assert_allclose(tiled.logits, whole.logits, rtol=1e-5)
    np.testing.assert_allclose(tiled.similarity, whole.similarity, rtol=1e-5)


def test_an_image_of_two_crops_is_segmented_in_one_piece():
    calls = []
    Segmenter(counting(calls), 128, crop=64).maps(np.zeros((2, 3, 128, 128), np.uint8))
    assert calls == [(2, 3, 128, 128)]
    Segmenter(counting(calls), 128, crop=None).maps(np.zeros((1, 3, 128, 900), np.uint8))
    assert calls[1:] == [(1, 3, 128, 900)]


def test_a_window_s_fault_at_its_edge_fades_out():
    """A model that is wrong along its image's borders: within the picture little of it is left."""

    def forward(images):
        height, width = (-(-n // 4) for n in images.shape[-2:])
        logits = np.zeros((1, 2, height, width), np.float32)
        logits[..., 0] = logits[..., -1] = 1
        return Maps(logits, None)

    tiled = Segmenter(forward, 64, crop=64).maps(np.zeros((1, 3, 64, 600), np.uint8)).logits
    assert tiled[..., 0].min() == tiled[..., -1].min() == 1
    assert tiled[..., 2:-2].max() < 0.1


@pytest.mark.parametrize(("source", "target"), [((48, 64), (48, 64)), ((48, 64), (90, 121))])
def test_enlarging_agrees_with_the_training_s(source, target):
    maps = np.random.default_rng(0).normal(size=(1, 3, 12, 16)).astype(np.float32)
    ours = enlargement(12, source[0], target[0]) @ maps @ enlargement(16, source[1], target[1]).T
    theirs = upsample(torch.from_numpy(maps), source, target).numpy()
    np.testing.assert_allclose(ours, theirs, atol=0.02 if source != target else 1e-5)


@pytest.mark.parametrize("width", [61, 400_000])  # the second in strips of a row
def test_numpy_and_torch_read_the_same_and_probabilities_add_up(width):
    rng = np.random.default_rng(1)
    maps = Maps(*(rng.normal(size=(1, 4, 3, 5)).astype(np.float32) for _ in range(2)))
    ours, theirs = (read(maps, 0, (12, 20), (7, width), a, True) for a in (NUMPY, TORCH))
    assert (ours.mask != theirs.mask).mean() < 1e-5
    assert (ours.nearest != theirs.nearest).mean() < 1e-5
    for name in ("confidence", "similarity", "probabilities"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-3)
    assert ours.probabilities.dtype == np.float16
    np.testing.assert_allclose(ours.probabilities.astype(float).sum(axis=0), 1, atol=2e-3)
    best = ours.probabilities.astype(np.float32).max(axis=0)
    np.testing.assert_allclose(best, ours.confidence, atol=1e-3)


def test_a_class_without_prototype_is_never_the_nearest():
    logits = np.zeros((1, 2, 2, 2), np.float32)
    similarity = np.full_like(logits, 0.5)
    similarity[:, 1] = -1000
    reading = read(Maps(logits, similarity), 0, (8, 8), (8, 8))
    assert not reading.nearest.any()
    np.testing.assert_allclose(reading.similarity, 1)
    np.testing.assert_allclose(reading.confidence, 0.5)


@pytest.mark.parametrize("size", [(64, 96), (61, 90)])
def test_views_of_a_local_model_agree(size):
    """Scales and mirror images come back to their place: on a smooth picture all say the same."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    values = np.stack([255 * x / width, 255 * y / height, 0 * x + 100], axis=-1)
    picture = Image.fromarray(values.astype(np.uint8))
    segment = Segmenter(local, height, crop=None)
    plain, augmented = next(segment([picture])), next(segment([picture], tta=True))
    assert (plain.mask == augmented.mask).mean() > 0.97
    np.testing.assert_allclose(plain.confidence, augmented.confidence, atol=0.03)
    np.testing.assert_allclose(plain.similarity, augmented.similarity, atol=0.03)


def test_pictures_of_one_size_go_through_together_and_come_back_in_order():
    calls = []
    segment = Segmenter(counting(calls), 16, crop=None)
    pictures = [noise(32, 48, i) for i in range(3)] + [noise(48, 32, 3), noise(16, 24, 4)]
    results = list(segment(pictures))
    assert [shape[0] for shape in calls] == [3, 1, 1]
    for picture, prediction in zip(pictures, results, strict=True):
        assert prediction.mask.shape == picture.size[::-1]
        np.testing.assert_array_equal(prediction.mask, next(segment([picture])).mask)
    assert to_array(pictures[0], 16).shape == (1, 3, 16, 24)
