"""The measured speed is remembered: for the same machine, data and settings, for an hour."""

import json
import math
import time

import pytest

import semiseg
from semiseg.config.facts import Line
from semiseg.config.train import TrainConfig
from semiseg.core.errors import SemisegError
from semiseg.training import profiling
from semiseg.training.data import read_data
from semiseg.training.pace_memory import (
    MAX_MEASUREMENTS,
    Measurement,
    key_of,
    memory_file,
    recall,
    remember,
)
from semiseg.training.place import Place

CPU = Place("cpu", 1, 0, 1)
STEP, VALIDATION = Line(0.1, 2e-6), Line(0.0, 1e-6)
MEASUREMENT = Measurement.of(STEP, VALIDATION, None, None)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache without measurements."""
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    "measurement",
    [
        MEASUREMENT,
        Measurement.of(STEP, VALIDATION, Line(5e8, 100.0), Line(0.0, 1e-7)),
        Measurement((0.1, 2e-6), (0.0, 1e-6), second=MEASUREMENT),
    ],
    ids=["cpu", "gpu", "second"],
)
def test_a_measurement_is_found_again(measurement):
    assert recall("a") is None
    assert remember("a", measurement)
    found, age = recall("a")
    assert found == measurement
    assert 0 <= age < 60
    assert recall("b") is None


def test_the_newest_measurement_counts():
    other = Measurement.of(VALIDATION, STEP, None, None)
    assert remember("a", MEASUREMENT)
    assert remember("a", other)
    assert recall("a")[0] == other
    assert len(json.loads(memory_file().read_text())["entries"]) == 1


def test_a_measurement_counts_for_an_hour(monkeypatch):
    now = time.time()
    remember("a", MEASUREMENT)
    monkeypatch.setattr(time, "time", lambda: now + 50 * 60)
    assert recall("a") is not None
    for seconds in (2 * 3600, -3600):  # later, and where the clock was wrong
        monkeypatch.setattr(time, "time", lambda seconds=seconds: now + seconds)
        assert recall("a") is None


def test_the_file_does_not_grow_without_end():
    for number in range(MAX_MEASUREMENTS + 5):
        remember(str(number), MEASUREMENT)
    assert len(json.loads(memory_file().read_text())["entries"]) == MAX_MEASUREMENTS
    assert recall("4") is None
    assert recall("5") is not None


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "null", '{"format": 1}', '{"format": 9, "entries": []}'),
        *('{"format": 1, "entries": [{}]}', '{"format": 1, "entries": 5}', "[" * 100_000),
        " " * 2_000_000,
    ],
    ids=lambda content: content[:40] or "empty",
)
def test_a_broken_file_is_only_a_miss(content):
    memory_file().parent.mkdir(parents=True)
    memory_file().write_text(content)
    assert recall("a") is None
    assert remember("a", MEASUREMENT)
    assert recall("a")[0] == MEASUREMENT


@pytest.mark.parametrize("line", [[0.1], [0.1, -1.0], [0.0, 0.0], [math.nan, 1.0], ["a", 1.0]])
def test_a_measurement_that_cannot_be_one_is_a_miss(line):
    remember("a", MEASUREMENT)
    content = json.loads(memory_file().read_text())
    content["entries"][0]["measurement"]["step"] = line
    memory_file().write_text(json.dumps(content))
    assert recall("a") is None


def test_without_a_place_nothing_is_remembered(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "file"))
    assert not remember("a", MEASUREMENT)
    assert recall("a") is None


def test_the_key_has_what_a_step_depends_on(tiny_folder, tiny_settings):
    settings = {"data": tiny_folder, "method": "css", **tiny_settings}

    def key(place=CPU, **others):
        config = TrainConfig.from_values(settings | others)
        return key_of([config], data, place)

    data = read_data(TrainConfig.from_values(settings))
    usual = key()
    assert key(seed=4, lr=0.1, out="other", validations=3) == usual
    others = [{"batch": 4}, {"crop": 48}, {"method": "supervised"}, {"precision": "bf16-mixed"}]
    others += [{"anchors": 9}, {"encoder": "lcnet_050"}, {"workers": 1}]
    keys = {usual, key(CPU._replace(threads=2)), *(key(**other) for other in others)}
    assert len(keys) == 2 + len(others)
    data = read_data(TrainConfig.from_values(settings | {"labels": "3"}))
    assert key() not in keys


def test_a_second_plan_does_not_measure_again(tiny_folder, tiny_settings, monkeypatch, caplog):
    settings = {k: v for k, v in tiny_settings.items() if k not in ("size", "crop", "steps")}
    settings |= {"method": "supervised", "batch": 2}
    caplog.set_level("INFO")
    first = semiseg.plan(tiny_folder, budget="1h", **settings)
    assert "measuring a few steps of supervised with lcnet_035" in caplog.text
    monkeypatch.setattr(profiling, "build", None)
    caplog.clear()
    again = semiseg.plan(tiny_folder, budget="2h", seed=1, size=40, **settings)
    assert str(memory_file()) in caplog.text
    assert again.value("size") == 40
    assert first.seconds <= 3600
    with pytest.raises(SemisegError, match="is too short for supervised") as error:
        semiseg.plan(tiny_folder, budget="1s", **settings)
    assert error.value.ways[0].startswith("--budget ")
