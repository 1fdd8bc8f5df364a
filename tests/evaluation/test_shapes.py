"""Boundaries, surfaces, objects and shares: by hand on tiny masks, and against SciPy's results."""

import math

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter
from scipy.ndimage import label as connected
from scipy.spatial.distance import cdist

from semiseg import score_masks
from semiseg.config.background import find_background, foreground
from semiseg.core.errors import ConfigError, DataError
from semiseg.evaluation.shapes import (
    BOUNDARY_SHARE,
    ShapeCounts,
    boundary,
    count_shapes,
    match_objects,
    shape_scores,
    surface,
)

SQUARE = np.ones((3, 3), dtype=bool)


def drawn(seed, shape=(61, 83), classes=4, smooth=3.0, ignored=0.1):
    """A truth with connected areas and ignored pixels, and a prediction that resembles it."""
    generator = np.random.default_rng(seed)
    fields = [gaussian_filter(generator.normal(size=shape), smooth) for _ in range(classes)]
    changed = [f + 0.5 * gaussian_filter(generator.normal(size=shape), smooth) for f in fields]
    truth, prediction = (np.argmax(maps, axis=0).astype(np.uint8) for maps in (fields, changed))
    hidden = gaussian_filter(generator.normal(size=shape), smooth)
    truth[hidden < np.quantile(hidden, ignored)] = 255
    return prediction, truth


def scored(prediction, truth, names):
    """The scores of one mask."""
    counts = count_shapes(prediction, truth, len(names))
    return shape_scores(counts, names, foreground(names)).per_class


def array(*rows):
    """A mask written as text: a digit for each class, a dot for ignored pixels."""
    return np.array([[255 if c == "." else int(c) for c in row] for row in rows], np.uint8)


# --- boundaries


@pytest.mark.parametrize("width", [1, 2, 7, 200])
def test_a_boundary_is_the_class_without_its_erosion(width):
    _, truth = drawn(0)
    found = boundary(truth, width)
    for index in range(4):
        mask = truth == index
        eroded = binary_erosion(mask, SQUARE, iterations=width)  # the edge of the image erodes too
        assert np.array_equal(found & mask, mask & ~eroded)
    assert not found[truth == 255].any()


@pytest.mark.parametrize("shape", [(61, 83), (1, 40), (300, 200)])
def test_boundary_iou_is_that_of_eroded_masks_summed_over_images(shape):
    names = ["a", "b", "c", "d"]
    width = max(1, round(BOUNDARY_SHARE * math.hypot(*shape)))
    assert width == {(61, 83): 2, (1, 40): 1, (300, 200): 7}[shape]
    counts, sums = ShapeCounts.zeros(4), np.zeros((4, 2))
    for seed in range(3):
        prediction, truth = drawn(seed, shape)
        counts = counts.plus(count_shapes(prediction, truth, 4))
        valid = truth != 255
        for index in range(4):
            masks = (truth == index, (prediction == index) & valid)
            a, b = (m & ~binary_erosion(m, SQUARE, iterations=width) for m in masks)
            sums[index] += (a & b).sum(), (a | b).sum()
    result = shape_scores(counts, names, range(4))
    expected = 100 * sums[:, 0] / sums[:, 1]
    assert [result.per_class[n].boundary_iou for n in names] == pytest.approx(expected)
    assert result.boundary_iou == pytest.approx(expected.mean())


def test_boundary_iou_by_hand():
    """A block of 4 x 4 that is predicted one column too wide, in an image with a width of 1."""
    truth, prediction = np.zeros((2, 12, 12), np.uint8)
    truth[4:8, 4:8] = 1
    prediction[4:8, 4:9] = 1
    # Rings of 12 and 14 pixels share the top and the bottom row (8) and the left column (2).
    assert scored(prediction, truth, ["soil", "crop"])["crop"].boundary_iou == pytest.approx(
        100 * 10 / 16
    )


# --- surfaces and HD95


def test_a_surface_is_what_an_erosion_by_a_cross_takes():
    _, truth = drawn(1)
    found = surface(truth)
    for index in range(4):
        mask = truth == index
        assert np.array_equal(found & mask, mask & ~binary_erosion(mask))
    assert not found[truth == 255].any()


@pytest.mark.parametrize("seed", range(4))
def test_hd95_is_that_of_distance_transforms(seed):
    prediction, truth = drawn(seed)
    predicted = np.where(truth == 255, 255, prediction)
    result = scored(prediction, truth, ["a", "b", "c", "d"])
    for index, name in enumerate(result):
        surfaces = [mask & ~binary_erosion(mask) for mask in (truth == index, predicted == index)]
        to_truth, to_prediction = (distance_transform_edt(~edge) for edge in surfaces)
        distances = np.concatenate([to_truth[surfaces[1]], to_prediction[surfaces[0]]])
        assert result[name].hd95 == pytest.approx(np.percentile(distances, 95))


def test_hd95_by_hand():
    """Two points of the truth and one of the prediction: distances 0 and 0, 10."""
    truth, prediction = np.zeros((2, 5, 20), np.uint8)
    truth[2, 3] = truth[2, 13] = prediction[2, 3] = 1
    result = scored(prediction, truth, ["soil", "weed"])["weed"]
    assert result.hd95 == pytest.approx(np.percentile([0, 0, 10], 95)) == pytest.approx(9.0)
    assert (result.hd95_images, result.one_sided_images) == (1, 0)


def test_hd95_is_a_mean_over_the_images_where_both_masks_hold_the_class():
    truths = [array("0100"), array("0100"), array("0000"), array("0100"), array("0000")]
    predictions = [array("0010"), array("0001"), array("0100"), array("0000"), array("0000")]
    result = score_masks(predictions, truths, ["soil", "weed"]).shapes.per_class["weed"]
    assert result.hd95 == pytest.approx((1 + 2) / 2)
    assert (result.hd95_images, result.one_sided_images) == (2, 2)


# --- objects


def brute_force_matches(truth, prediction):
    """Pairs of objects with an IoU of at least 0.5, each object in one pair only."""
    true_labels, count = connected(truth, SQUARE)
    predicted_labels, predicted_count = connected(prediction, SQUARE)
    free, matches = set(range(1, predicted_count + 1)), 0
    for i in range(1, count + 1):
        for j in sorted(free):
            a, b = true_labels == i, predicted_labels == j
            if (a & b).sum() / (a | b).sum() >= 0.5:
                free.remove(j)
                matches += 1
                break
    return count, predicted_count, matches


@pytest.mark.parametrize("seed", range(5))
def test_objects_match_as_each_pair_by_itself(seed):
    prediction, truth = drawn(seed, smooth=1.5)
    predicted = np.where(truth == 255, 255, prediction)
    result = scored(prediction, truth, ["a", "b", "c", "d"])
    for index, name in enumerate(result):
        counts = brute_force_matches(truth == index, predicted == index)
        one = result[name]
        assert (one.objects, one.predicted_objects, one.matched_objects) == counts
        assert 0 < counts[2] < counts[1]
        assert one.object_f1 == pytest.approx(100 * 2 * counts[2] / (counts[0] + counts[1]))


def test_objects_that_touch_at_a_corner_are_one():
    truth = array("1000", "0100", "0001") == 1
    assert match_objects(truth, truth) == (2, 2, 2)
    assert match_objects(truth, np.zeros_like(truth)) == (2, 0, 0)


def test_an_object_matches_from_an_iou_of_half():
    truth = array("1111", "1111") == 1
    assert match_objects(truth, array("1111", "0000") == 1) == (1, 1, 1)  # 4 of 8
    assert match_objects(truth, array("1110", "0000") == 1) == (1, 1, 0)  # 3 of 8


def test_object_f1_is_summed_over_images():
    truths = [array("1010101"), array("1000000")]
    predictions = [array("1010000"), array("0000001")]
    result = score_masks(predictions, truths, ["background", "nucleus"]).shapes
    # TP 2, FN 2 + 1, FP 0 + 1
    assert result.object_f1 == pytest.approx(100 * 4 / (4 + 3 + 1))
    assert result.foreground == ("nucleus",)


# --- shares


def test_shares_and_their_bias_by_hand():
    truths = [array("0001"), array("0011", "....")]
    predictions = [array("0011"), array("0001", "1111")]
    result = score_masks(predictions, truths, ["background", "leaf"]).shapes
    leaf = result.per_class["leaf"]
    assert (leaf.true_share, leaf.predicted_share, leaf.share_bias) == (37.5, 37.5, 0)
    assert leaf.share_error == result.share_error == 25  # the errors are +25 and -25
    more = score_masks(predictions[:1], truths[:1], ["background", "leaf"]).shapes.per_class
    assert more["leaf"].share_bias == 25
    assert more["background"].share_bias == -25


def test_dice_of_the_foreground_is_that_of_its_classes():
    prediction, truth = drawn(3)
    result = score_masks([prediction], [truth], ["background", "a", "b", "c"])
    dice = [result.per_class[n].dice for n in ("a", "b", "c")]
    assert result.shapes.foreground_dice == pytest.approx(sum(dice) / 3)
    everything = score_masks([prediction], [truth], ["background", "a", "b", "c"], background=None)
    dice.append(result.per_class["background"].dice)
    assert everything.shapes.foreground_dice == pytest.approx(sum(dice) / 4)


# --- what is missing


def test_ignored_pixels_count_nowhere():
    prediction, truth = drawn(4)
    other = np.where(truth == 255, 3 - prediction, prediction)
    names = ["a", "b", "c", "d"]
    assert score_masks([prediction], [truth], names) == score_masks([other], [truth], names)


def test_a_class_that_neither_mask_holds_has_no_scores():
    gone = scored(array("0011"), array("0111"), ["a", "b", "gone"])["gone"]
    assert (gone.boundary_iou, gone.hd95, gone.object_f1) == (None, None, None)
    assert (gone.hd95_images, gone.one_sided_images, gone.objects) == (0, 0, 0)
    assert (gone.true_share, gone.predicted_share, gone.share_bias, gone.share_error) == (0,) * 4


def test_a_missed_class_scores_0_and_an_invented_one_is_not_scored():
    result = scored(array("0022"), array("0111"), ["a", "missed", "invented"])
    missed, invented = result["missed"], result["invented"]
    assert (missed.boundary_iou, missed.hd95, missed.object_f1) == (0, None, 0)
    assert (invented.boundary_iou, invented.hd95, invented.object_f1) == (None, None, None)
    assert (missed.one_sided_images, invented.one_sided_images) == (1, 1)
    assert (missed.share_bias, invented.share_bias) == (-75, 50)


def test_one_pixel_is_a_boundary_a_surface_and_an_object():
    truth = np.zeros((9, 9), np.uint8)
    truth[4, 4] = 1
    result = scored(truth, truth, ["soil", "weed"])["weed"]
    assert (result.boundary_iou, result.hd95, result.object_f1) == (100, 0, 100)
    alone = scored(array("1"), array("1"), ["soil", "weed"])["weed"]
    assert (alone.boundary_iou, alone.hd95, alone.object_f1) == (100, 0, 100)


def test_everything_ignored_gives_no_scores():
    result = score_masks([array("00", "10")], [array("..", "..")], ["background", "b"])
    assert result.miou is None
    for one in result.shapes.per_class.values():
        assert (one.boundary_iou, one.hd95, one.object_f1) == (None, None, None)
        assert (one.true_share, one.share_bias, one.share_error) == (None, None, None)
    assert result.shapes.foreground_dice is None
    assert "foreground (b): Dice - %, boundary IoU - %, HD95 -" in result.text()


def test_counts_of_parts_add_up_to_those_of_the_whole():
    masks = [drawn(seed, shape) for seed, shape in enumerate([(40, 50), (61, 83), (30, 30)])]
    parts = [count_shapes(*pair, 4) for pair in masks]
    total = parts[0].plus(parts[1]).plus(parts[2])
    swapped = parts[2].plus(parts[1].plus(parts[0]))
    for a, b in zip(total, swapped, strict=True):
        assert a == pytest.approx(b, rel=1e-12)
    assert total.images.tolist() == [3] * 4


# --- the background, and what is refused


@pytest.mark.parametrize(
    ("names", "index"),
    [
        (["background", "crop"], 0),
        (["_background_", "crop"], 0),
        (["crop", "Background"], 1),
        (["bg", "crop", "weed"], 0),
        (["0", "255"], 0),
        (["255", "0"], 1),
        (["0", "1", "2"], None),
        (["road", "sky"], None),
    ],
)
def test_which_class_is_the_background(names, index):
    assert find_background(names) == index
    others = [i for i in range(len(names)) if i != index]
    assert foreground(names) == others


def test_a_background_is_named_or_switched_off():
    assert foreground(["soil", "crop"], "soil") == [1]
    assert foreground(["background", "crop"], None) == [0, 1]
    assert foreground(["background"]) == [0]
    with pytest.raises(ConfigError, match=r"There is no class 'siol'.*Did you mean 'soil'"):
        score_masks([], [], ["soil", "crop"], background="siol")


@pytest.mark.parametrize(
    ("names", "error", "match"),
    [
        (["soil", "crop"], DataError, "There are no masks"),
        ([0, 1], ConfigError, r"names holds 0, which is no text\. Give one text for each class"),
        ("soil", ConfigError, "names holds no class names: 'soil'"),
        ([], ConfigError, r"names holds no class names: \[\]"),
    ],
    ids=str,
)
def test_without_masks_or_class_names_there_are_no_scores(names, error, match):
    with pytest.raises(error, match=match):
        score_masks([], [], names)


def test_masks_may_be_lists():
    result = score_masks([[[0, 1], [1, 1]]], [[[0, 1], [1, 1]]], ["soil", "crop"])
    assert result.miou == 100


@pytest.mark.parametrize(
    ("predictions", "truths", "message"),
    [
        ([array("01")], [array("011")], r"Prediction 1 has the shape \(1, 2\), its truth \(1, 3\)"),
        ([array("0")[0]], [array("0")[0]], r"has the shape \(1,\)"),
        ([array("02")], [array("01")], "The prediction 1 holds the value 2, but there are 2"),
        ([array("0.")], [array("01")], "The prediction 1 holds the value 255"),
        ([array("01")], [array("03")], "The truth 1 holds the value 3"),
        ([-array("01").astype(int)], [array("01")], "The prediction 1 holds the value -1"),
        ([array("01") / 1.0], [array("01")], "The prediction 1 holds float64 values"),
        ([array("01")], [], "The truths end after 0 masks"),
        ([array("01")], [array("01")] * 2, "The predictions end after 1 mask"),
    ],
)
def test_masks_that_cannot_be_compared_are_refused(predictions, truths, message):
    with pytest.raises(DataError, match=message):
        score_masks(predictions, truths, ["a", "b"])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint32])
def test_any_integers_will_do(dtype):
    prediction, truth = drawn(5)
    names = ["a", "b", "c", "d"]
    result = score_masks([prediction.astype(dtype)], [truth.astype(dtype)], names)
    assert result == score_masks([prediction], [truth], names)


def test_distances_agree_with_all_pairs():
    """The same as the distance transforms, without any."""
    prediction, truth = drawn(6, (25, 30), ignored=0)
    for index, one in enumerate(scored(prediction, truth, ["a", "b", "c", "d"]).values()):
        a, b = (np.argwhere(surface(m) & (m == index)) for m in (truth, prediction))
        pairs = cdist(a, b)
        both = np.concatenate([pairs.min(0), pairs.min(1)])
        assert one.hd95 == pytest.approx(np.percentile(both, 95))
