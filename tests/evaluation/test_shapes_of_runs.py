"""The scores of areas, boundaries and objects in the files and pages of runs and comparisons."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from semiseg.comparison.records import SHAPE_NAMES, read_records
from semiseg.comparison.rows import make_rows
from semiseg.comparison.text import markdown, table_csv, text
from semiseg.core.scores import read_scores
from semiseg.evaluation.shapes import count_shapes, shape_scores


@pytest.fixture
def shapes():
    """The scores of a foreground that is predicted one column too wide."""
    truth, prediction = np.zeros((2, 20, 30), np.uint8)
    truth[5:15, 5:15] = prediction[5:15, 5:16] = 1
    return shape_scores(count_shapes(prediction, truth, 2), ["background", "leaf"], [1])


@pytest.fixture
def rows(compared, shapes):
    """The rows of a comparison, where each run of `css` has the scores above, one better."""
    records = []
    for record in read_records(compared):
        classes = dict(zip(record.scores.per_class, shapes.per_class.values(), strict=True))
        better = replace(shapes, object_f1=shapes.object_f1 - 10 * record.seed, per_class=classes)
        scores = replace(record.scores, shapes=better if record.method == "css" else None)
        records.append(record._replace(scores=scores))
    return make_rows(records, ["supervised", "css"])


def test_a_comparison_shows_them_in_its_files_and_not_in_its_table(rows, shapes):
    supervised, css = (row.to_dict()["shapes"] for row in rows)
    assert supervised == dict.fromkeys(SHAPE_NAMES)
    assert css["hd95"] == {"mean": round(shapes.hd95, 2), "spread": 0}
    assert css["object_f1"] == {"mean": 95.0, "spread": 7.07}
    first, second = csv.DictReader(io.StringIO(table_csv(rows)))
    assert (first["boundary_iou_mean"], first["object_f1_sd"]) == ("", "")
    assert float(second["foreground_dice_mean"]) == pytest.approx(100 * 200 / 210, abs=0.01)
    assert (second["object_f1_mean"], second["object_f1_sd"]) == ("95.0", "7.07")
    page = markdown(rows, {})
    boundary = f"{shapes.boundary_iou:.1f} ± 0.0"
    assert f"| 8 | css | 95.2 ± 0.0 | {boundary} | 1.0 ± 0.0 | 95.0 ± 7.1 | 1.7 ± 0.0 |" in page
    assert "| 8 | supervised | - | - | - | - | - |" in page
    assert "95.2" not in text(rows)
    # The share of leaf is 110 of 600 pixels, and should be 100.
    assert (second["bias:weed"], first["bias:weed"]) == ("1.67", "")
    assert rows[1].to_dict()["class_biases"]["weed"] == 1.67
    assert "| 8 | supervised | - | - |" in page
    assert "| 8 | css | -1.7 | +1.7 |" in page


@pytest.mark.slow
def test_a_run_has_the_scores_of_its_released_model(tiny_run):
    scores = read_scores(tiny_run("css") / "scores.json")
    assert scores.shapes is not None
    assert list(scores.shapes.per_class) == list(scores.per_class)
    pixels = sum(one.pixels for one in scores.per_class.values())
    for name, one in scores.shapes.per_class.items():
        assert one.true_share == pytest.approx(100 * scores.per_class[name].pixels / pixels)
    dice = [scores.per_class[name].dice for name in scores.shapes.foreground]
    assert scores.shapes.foreground_dice == pytest.approx(
        np.mean([value for value in dice if value is not None])
    )
