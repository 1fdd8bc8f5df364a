"""`scores.json`: what is written is read again, and anything else is refused."""

import json

import pytest

from semiseg.core.choices import Candidate, Choice, FirstStage
from semiseg.core.errors import RunError
from semiseg.core.scores import (
    Adjustment,
    ClassScores,
    ClassShapes,
    MeanIou,
    Scores,
    ShapeScores,
    SplitRecord,
    Timing,
    read_scores,
)

SCORES = Scores(
    method="css",
    miou=MeanIou(50.0, 52.5, 51.0),
    per_class={"a": ClassScores(51.0, 60.0, None, 70.0, 10), "b": ClassScores(*[None] * 4, 0)},
    which="teacher",
    adjustment=Adjustment(0.5, 49.0),
    choice=Choice(
        images=2,
        chosen=Candidate(2, "teacher", 0.5),
        miou=51.5,
        best=Candidate(2, "student", 0.0),
        best_miou=52.0,
        standard_error=None,
        first_half=Candidate(1, "student", 1.0),
        second_half=Candidate(2, "teacher", 0.25),
        first_stage=FirstStage(Candidate(1, "student", 1.0), 51.0, 51.5, 0.25),
    ),
    labels=3,
    steps=9,
    skipped_steps=0,
    seconds=1.5,
    timing=Timing(0.1, 0.2),
    split=SplitRecord(0, "l", "u", "v", {"labeled": 3, "unlabeled": 4, "val": 2}),
    versions={"semiseg": "0"},
)


@pytest.mark.parametrize(
    ("objects", "predicted", "end"),
    [
        (191, 74, "it finds 74 of b, and the masks hold 191"),
        (10, 13, "it finds 13 of b, and the masks hold 10"),
        (10, 12, ""),
        (10, 8, ""),
        (2, 3, ""),
        (0, 3, ""),
    ],
)
def test_a_wrong_number_of_objects_is_reported(objects, predicted, end):
    soil, b = (
        ClassShapes(*[None] * 2, 0, 0, None, n, m, 0, *[None] * 4)
        for n, m in ((1, 9), (objects, predicted))
    )
    shapes = ShapeScores(("b",), *[None] * 5, {"soil": soil, "b": b})
    assert f"{end}. Objects that touch" in shapes.count_warning() or not end
    assert bool(shapes.count_warning()) == bool(end)
    assert ("Do not count objects" in shapes.text()) == bool(end)


def test_what_is_written_is_read_again(tmp_path):
    file = tmp_path / "scores.json"
    file.write_text(json.dumps(SCORES.to_dict()))
    assert read_scores(file) == SCORES
    assert next(iter(json.loads(file.read_text()).items())) == ("format", 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 1}, "its format is 1"),
        ({"labels": "3"}, "`labels` is '3', not an integer"),
        ({"labels": True}, "`labels` is True"),
        ({"miou": 7}, "`miou` is 7, not a mapping"),
        ({"miou": {"last": "x", "best": 1, "released": 1}}, "`miou.last` is 'x', not a number"),
        ({"per_class": {"a": {}}}, "`per_class.a.iou` is missing"),
        ({"split": {}}, "`split.seed` is missing"),
        ({"choice": {}}, "`choice.images` is missing"),
    ],
)
def test_anything_else_is_refused(tmp_path, change, message):
    file = tmp_path / "scores.json"
    file.write_text(json.dumps({**SCORES.to_dict(), **change}))
    with pytest.raises(RunError) as error:
        read_scores(file)
    assert message in str(error.value)
    assert str(file) in str(error.value)
