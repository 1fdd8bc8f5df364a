"""Calibration and coverage by hand."""

import numpy as np
import pytest

from semiseg.core.types import Prediction
from semiseg.evaluation.calibration import Calibration, Reliability


def test_the_calibration_error_by_hand():
    """Ten pixels of 0.9 of which seven are right, ten of 0.55 of which six are."""
    calibration = Calibration()
    calibration.add(np.full(10, 0.9, np.float32), np.arange(10) < 7)
    calibration.add(np.full(10, 0.55, np.float32), np.arange(10) < 6)
    assert calibration.summary()["ece"] == pytest.approx(100 * (0.5 * 0.2 + 0.5 * 0.05), abs=0.05)


def test_what_is_right_as_often_as_it_says_has_no_error():
    rng = np.random.default_rng(0)
    certainty = rng.uniform(0.2, 1, 200_000).astype(np.float32)
    calibration = Calibration()
    calibration.add(certainty, rng.uniform(size=len(certainty)) < certainty)
    assert calibration.summary()["ece"] < 0.5


def test_accuracy_rises_as_doubtful_pixels_are_left_out():
    calibration = Calibration()
    certainty = np.linspace(0, 1, 1000, dtype=np.float32)
    calibration.add(certainty, certainty > 0.3)
    points = calibration.summary()["kept"]
    assert points[0]["coverage"] == 100
    assert points[0]["accuracy"] == pytest.approx(70, abs=0.2)
    half = points[-1]
    assert half["coverage"] == pytest.approx(50, abs=0.2)
    assert half["from"] == pytest.approx(0.5, abs=1e-3)
    assert half["accuracy"] == 100


def test_nothing_to_count_gives_no_figures():
    assert Calibration().summary() == {"ece": None, "kept": []}


def test_both_spaces_and_their_agreement_by_hand():
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    calibration = Prediction(
        mask=np.array([[0, 1, 1, 0]], np.uint8),
        confidence=np.ones((1, 4), np.float32),
        nearest=np.array([[0, 0, 1, 0]], np.uint8),
        similarity=np.ones((1, 4), np.float32),
    )
    reliability = Reliability(True)
    reliability.add(calibration, truth)
    result = reliability.summary()
    assert result["confidence"]["kept"][0]["accuracy"] == pytest.approx(200 / 3)
    assert result["similarity"]["kept"][0]["accuracy"] == 100
    assert result["agree"] == {"coverage": pytest.approx(200 / 3), "accuracy": 100}
    assert set(Reliability(False).summary()) == {"confidence"}
