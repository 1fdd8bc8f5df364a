"""The inputs that people really have, in ../shared/cases, against what a person expects of them."""

from __future__ import annotations

import importlib.util
import json
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import semiseg
from semiseg.checks.report import Report
from semiseg.commands.check import check
from semiseg.core.errors import SemisegError
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.masks import read_mask
from semiseg.data.reader import read_dataset

CASES = Path(__file__).parents[2] / "shared" / "cases"
EXPECTED: Mapping[str, Any] = (
    json.loads((CASES / "expected.json").read_text(encoding="utf-8")) if CASES.is_dir() else {}
)
NAMES = sorted(EXPECTED) or ["absent"]


@pytest.fixture(scope="module")
def comparison() -> ModuleType:
    """The script that says whether a result is as expected."""
    if not EXPECTED:
        pytest.skip(f"the inputs that people really have are not at {CASES}")
    spec = importlib.util.spec_from_file_location("run_cases", CASES / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a case, drawn by its script."""
    name = request.node.callspec.params["name"]
    if name not in EXPECTED:
        pytest.skip(f"the inputs that people really have are not at {CASES}")
    root = tmp_path / "d"
    root.mkdir()
    script = str(CASES / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [script, str(root), *EXPECTED[name].get("args", [])])
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as stop:
        pytest.skip(f"{name}.py: {stop}")
    except ModuleNotFoundError as error:
        pytest.skip(f"{name}.py needs {error.name}")
    return root / EXPECTED[name].get("folder", "")


def result(folder: Path) -> tuple[int, Report | None, str]:
    """Exit status, report and text of `semiseg check --json`."""
    try:
        report = check(folder)
    except SemisegError as error:
        return 2, None, str(error)
    return report.status, report, json.dumps(report.to_dict(), ensure_ascii=False)


@pytest.mark.parametrize("name", NAMES)
def test_check_says_what_a_person_expects(name: str, folder: Path, comparison: ModuleType) -> None:
    status, report, text = result(folder)
    data = report and report.to_dict()
    wanted = EXPECTED[name]["check"]
    assert any(comparison.fits(want, status, data, text) for want in wanted), (wanted, text)


@pytest.mark.variants
@pytest.mark.parametrize("name", NAMES)
def test_what_check_accepts_can_be_trained_on(
    name: str, folder: Path, tiny_settings: dict[str, object], tmp_path: Path
) -> None:
    status, report, text = result(folder)
    if status or report is None:
        pytest.skip(f"check refuses it: {text[:80]}")
    data = read_dataset(folder)
    settings = {**tiny_settings, "labels": "all", "method": "supervised", "validations": 1}
    run = semiseg.train(folder, out=tmp_path / "run", **settings)
    model = semiseg.load(run.folder)
    assert (model.classes.names, model.classes.codes) == (data.classes.names, data.classes.codes)
    assert model.classes.names == report.classes
    labeled = [sample for split in ("train", "val") for sample, _ in data.labeled(split)]
    learned: dict[int, int] = {}
    for sample in labeled:
        assert sample.mask is not None
        pixels = np.asarray(read_mask(sample.mask, model.classes))
        for index, count in zip(*np.unique(pixels, return_counts=True), strict=True):
            learned[int(index)] = learned.get(int(index), 0) + int(count)
    histogram = [h for split, h in report.histogram.items() if split in ("train", "val")]
    counted = {
        index: sum(h.classes[class_name].pixels for h in histogram)
        for index, class_name in enumerate(report.classes)
    }
    counted[IGNORE_INDEX] = sum(h.ignored.pixels for h in histogram)
    assert learned == {index: count for index, count in counted.items() if count}
    assert len(learned.keys() - {IGNORE_INDEX}) >= 2
