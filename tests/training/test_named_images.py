"""The lists of a run name its images, which `predict` finds in the data folder of the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

import semiseg
from semiseg.core.errors import DataError
from semiseg.inference.sources import find_images
from semiseg.training.named_images import RunImages

NAMES = ("beetles/1.a", "2")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a list of unlabeled images in two folders."""
    data, run = tmp_path / "data", tmp_path / "run"
    for folder, names in (("images", ("0", *NAMES)), ("masks", ("0",))):
        for name in names:
            file = data / folder / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L" if folder == "masks" else "RGB", (40, 30)).save(file)
    (run / "split").mkdir(parents=True)
    (run / "config.yaml").write_text(yaml.safe_dump({"data": str(data), "out": str(run)}))
    (run / "split" / "unlabeled.txt").write_text("".join(f"{name}\n" for name in NAMES))
    return run


def test_a_list_of_a_run_means_the_images_of_that_run(run: Path, tmp_path: Path) -> None:
    lines = run / "split" / "unlabeled.txt"
    named = RunImages(tmp_path / "another.onnx", lines)
    files = find_images(lines, tmp_path / "out", named).images
    images = tmp_path / "data" / "images"
    assert files == {name: images / f"{name}.png" for name in NAMES}


def test_a_list_elsewhere_may_name_the_images_of_the_run(run: Path, tmp_path: Path) -> None:
    lines = tmp_path / "some.txt"
    lines.write_text("2\n")
    assert list(find_images(lines, tmp_path / "out", RunImages(run, lines)).images) == ["2"]


def test_a_name_that_the_data_lack_is_reported_with_the_folder(run: Path, tmp_path: Path) -> None:
    lines = run / "split" / "unlabeled.txt"
    lines.write_text("2\ngone\n")
    with pytest.raises(
        DataError, match=r"line 2: .* gone, .*data, the data of .*run, has no image"
    ):
        find_images(lines, tmp_path / "out", RunImages(run, lines))
    (tmp_path / "data").rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"line 1: .*If you moved this folder, name it"):
        find_images(lines, tmp_path / "out", RunImages(run, lines))


@pytest.mark.slow
def test_the_unlabeled_images_of_a_training_are_predicted(
    tiny_run: Callable[[str], Path], tmp_path: Path
) -> None:
    run = tiny_run("supervised")
    lines = run / "split" / "unlabeled.txt"
    masks = semiseg.predict(run, lines, out=tmp_path / "out", accelerator="cpu").files
    assert len(masks) == len(lines.read_text().split()) > 0
