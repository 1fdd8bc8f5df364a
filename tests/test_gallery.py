"""The notebooks of the gallery: they run, their outputs are small, and the docs show them."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = sorted((DOCS / "gallery").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def test_the_gallery_shows_each_notebook():
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r":target: gallery/(\w+)\.html", page)) == NAMES
    assert sorted(re.findall(r"^gallery/(\w+)$", page, re.MULTILINE)) == NAMES
    for name in NAMES:
        assert (DOCS / "gallery" / f"{name}.jpg").stat().st_size < 100_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_was_executed_in_order_and_is_small(path):
    assert path.stat().st_size < 500_000
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 1
    assert not [output for output in outputs if output["output_type"] == "error"]
    text = "".join("".join(output.get("text", "")) for output in outputs)
    assert not re.search(r"/tmp/|/home/|/root/|/work/", text)


@pytest.mark.programs
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    """With one step for each stage, which trains nothing; the cells are those of the docs."""
    pytest.importorskip("nbclient", reason="notebooks are executed with the extra docs")
    notebooks = importlib.import_module("notebooks")
    shutil.copytree(DOCS / "gallery" / "nuclei", tmp_path / "nuclei")
    monkeypatch.setenv("SEMISEG_GALLERY_STEPS", "3")
    notebook = notebooks.execute(DOCS / "gallery" / f"{name}.ipynb", tmp_path)
    assert list((tmp_path / "runs").rglob("report.html"))
    assert notebooks.pictures(notebook)
