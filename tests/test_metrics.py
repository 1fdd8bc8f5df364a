"""Scores by hand, and classes that do not occur."""

import pytest
import torch

from semiseg.evaluation.metrics import confusion_matrix, scores


def test_confusion_matrix_by_hand():
    """Rows are true classes, columns predictions; 255 is left out."""
    truth = torch.tensor([[0, 0, 0, 1], [1, 2, 255, 255]])
    prediction = torch.tensor([[0, 0, 1, 1], [0, 2, 2, 0]])
    confusion = confusion_matrix(prediction, truth, 4)
    assert confusion.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert confusion.dtype == torch.int64


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("classes", [2, 181])
def test_confusion_matrix_counts_each_scored_pixel_once(dtype, classes):
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(classes + 1, (3, 20, 30), generator=generator)
    truth[truth == classes] = 255
    prediction = torch.randint(classes, (3, 20, 30), generator=generator)
    confusion = confusion_matrix(prediction.to(dtype), truth.to(dtype), classes)
    expected = torch.zeros(classes, classes, dtype=torch.long)
    for t, p in zip(truth.flatten().tolist(), prediction.flatten().tolist(), strict=True):
        if t != 255:
            expected[t, p] += 1
    assert torch.equal(confusion, expected)


def test_everything_ignored_gives_no_scores():
    truth = torch.full((4, 4), 255)
    confusion = confusion_matrix(torch.zeros(4, 4, dtype=torch.long), truth, 2)
    assert confusion.sum() == 0
    result = scores(confusion, ["a", "b"])
    assert result["miou"] is None
    assert result["accuracy"] is None
    nothing = {"iou": None, "dice": None, "precision": None, "recall": None, "pixels": 0}
    assert result["per_class"] == {"a": nothing, "b": nothing}


def test_scores_by_hand():
    """`a`: 6 hits, 2 missed, 1 false. `b`: 3 hits, 1 missed, 2 false."""
    result = scores(torch.tensor([[6, 2], [1, 3]]), ["a", "b"])
    a, b = result["per_class"]["a"], result["per_class"]["b"]
    assert a["iou"] == pytest.approx(100 * 6 / 9)
    assert a["dice"] == pytest.approx(100 * 12 / 15)
    assert a["precision"] == pytest.approx(100 * 6 / 7)
    assert a["recall"] == pytest.approx(100 * 6 / 8)
    assert a["pixels"] == 8
    assert b["iou"] == pytest.approx(100 * 3 / 6)
    assert b["dice"] == pytest.approx(100 * 6 / 9)
    assert b["precision"] == pytest.approx(100 * 3 / 5)
    assert b["recall"] == pytest.approx(100 * 3 / 4)
    assert b["pixels"] == 4
    assert result["miou"] == pytest.approx(100 * (6 / 9 + 3 / 6) / 2)
    assert result["accuracy"] == pytest.approx(100 * 9 / 12)


def test_a_class_that_never_occurs_has_no_score_and_no_part_in_the_mean():
    result = scores(torch.tensor([[5, 0, 5], [0, 0, 0], [0, 0, 10]]), ["a", "gone", "c"])
    absent = result["per_class"]["gone"]
    assert absent == {"iou": None, "dice": None, "precision": None, "recall": None, "pixels": 0}
    assert result["miou"] == pytest.approx((50 + 100 * 10 / 15) / 2)


def test_a_missed_class_counts_as_zero_and_an_invented_one_is_not_scored():
    """`b` is there and never predicted, `c` is predicted and never there."""
    result = scores(torch.tensor([[4, 0, 2], [3, 0, 1], [0, 0, 0]]), ["a", "b", "c"])
    b, c = result["per_class"]["b"], result["per_class"]["c"]
    assert (b["iou"], b["dice"], b["precision"], b["recall"]) == (0, 0, None, 0)
    assert c == {"iou": None, "dice": None, "precision": None, "recall": None, "pixels": 0}
    assert result["per_class"]["a"]["iou"] == pytest.approx(100 * 4 / 9)
    assert result["miou"] == pytest.approx(100 * 4 / 9 / 2)
    assert result["accuracy"] == pytest.approx(100 * 4 / 10)


def test_an_invented_class_counts_where_the_prediction_chose_the_pixels():
    confusion = torch.tensor([[4, 0, 2], [3, 0, 1], [0, 0, 0]])
    result = scores(confusion, ["a", "b", "c"], with_absent=True)
    assert result["per_class"]["c"]["iou"] == 0
    assert result["miou"] == pytest.approx(100 * 4 / 9 / 3)


def test_large_counts_stay_exact():
    """A whole data set has more pixels than single precision can count."""
    many = 2**40
    result = scores(torch.tensor([[many, 1], [0, many]]), ["a", "b"])
    assert result["per_class"]["a"]["pixels"] == many + 1
    assert result["per_class"]["a"]["recall"] < 100
    assert result["per_class"]["b"]["recall"] == 100
