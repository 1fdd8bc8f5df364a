"""The objects and areas in the table of `predict`, in whichever way the table comes about."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import label

import semiseg
from semiseg.config.shard import Shard
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.scores import ShapeScores
from semiseg.data.formats.masks import Classes
from semiseg.inference.figures import Figures, Tally
from semiseg.inference.ledger_file import ledger_file
from semiseg.inference.mask_figures import figures_in

CPU: dict[str, Any] = {"accelerator": "cpu"}
CLASSES = Classes(("field", "road"), ((0, 0, 0), (255, 0, 0)), "ids", (3, 900))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(4):
        pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sizes(region: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The pixels of each object, as scipy finds them."""
    return np.bincount(label(region, structure=np.ones((3, 3)))[0].reshape(-1))[1:]


def forget_counts(out: Path) -> None:
    """Make the ledger one of semiseg 0.2."""
    file = ledger_file(out, Shard(1, 1))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        for key in ("pixels", "objects", "min_area", "pixel_area"):
            line.pop(key, None)
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_the_table_of_a_model_that_miscounts_comes_with_a_warning(
    tiny_run: Callable[[str], Path],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(ShapeScores, "count_warning", lambda shapes: "It miscounts")
    semiseg.predict(tiny_run("supervised"), photos, out=tmp_path, **CPU)
    assert "It miscounts" not in log.text
    semiseg.predict(tiny_run("supervised"), photos, out=tmp_path, table=True, **CPU)
    assert log.text.count("It miscounts.") == 1


def test_the_table_holds_the_objects_and_pixels_of_each_class(
    plain_release: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    table = semiseg.predict(plain_release, photos, out=out, table=True, **CPU).table
    assert table is not None
    model = semiseg.load(plain_release, accelerator="cpu")
    counted = list(table.objects)
    assert counted
    totals = dict.fromkeys(counted, 0)
    for row in rows(out):
        mask = model.predict(photos / f"{row['name']}.png").mask
        for index, name in enumerate(model.classes.names):
            assert int(row[f"pixels_{name}"]) == (mask == index).sum()
            assert (f"objects_{name}" in row) == (name in counted)
            if name in counted:
                assert int(row[f"objects_{name}"]) == len(sizes(mask == index))
                totals[name] += int(row[f"objects_{name}"])
        assert not any(column.startswith("area_") for column in row)
    assert table.objects == totals
    assert "objects" in table.text()


def test_masks_of_an_earlier_version_are_counted_in_their_files(
    plain_release: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    semiseg.predict(plain_release, photos, out=out, table=True, **CPU)
    fresh, masks = rows(out), {file: file.stat().st_mtime_ns for file in out.glob("*.png")}
    forget_counts(out)
    table = semiseg.predict(plain_release, photos, out=out, merge=True).table
    assert table is not None
    assert table.uncounted == 4
    assert "objects in 4 masks are not counted" in table.text()
    objects = [name for name in fresh[0] if name.startswith(("objects_", "pixels_"))]
    assert {row[name] for row in rows(out) for name in objects} == {""}
    semiseg.predict(plain_release, photos, out=out, table=True, **CPU)
    assert rows(out) == fresh
    assert masks == {file: file.stat().st_mtime_ns for file in masks}


def test_another_smallest_area_counts_again_without_the_model(
    plain_release: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    every = semiseg.predict(plain_release, photos, out=out, table=True, **CPU).table
    large = semiseg.predict(plain_release, photos, out=out, table=True, min_area=30, **CPU)
    assert not large.files
    assert every is not None
    assert large.table is not None
    model = semiseg.load(plain_release, accelerator="cpu")
    masks = [model.predict(photos / f"{number}.png").mask for number in range(4)]
    for name, count in large.table.objects.items():
        index = model.classes.names.index(name)
        assert count == sum((sizes(mask == index) >= 30).sum() for mask in masks)
    assert large.table.objects != every.objects


def test_shards_must_count_the_same_objects(
    plain_release: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    semiseg.predict(plain_release, photos, out=out, shard="1/2", min_area=20, **CPU)
    semiseg.predict(plain_release, photos, out=out, shard="2/2", **CPU)
    message = r"(?s)shard \d/2 counted objects with another area .*--min-area 20 --shard \d/2"
    with pytest.raises(DataError, match=message):
        semiseg.predict(plain_release, photos, out=out, merge=True, min_area=20)
    semiseg.predict(plain_release, photos, out=out, shard="2/2", min_area=20, **CPU)
    semiseg.predict(plain_release, photos, out=out, merge=True)
    semiseg.predict(plain_release, photos, out=tmp_path / "one", table=True, min_area=20, **CPU)
    assert rows(out) == rows(tmp_path / "one")


def test_a_smallest_area_without_a_table_is_refused(plain_release: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--min-area is for the polygons"):
        semiseg.predict(plain_release, tmp_path, out=tmp_path / "out", min_area=3.0)


def test_masks_of_16_bits_are_counted_in_their_files(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 0], [1, 0, 255]], np.uint8)
    CLASSES.to_image(mask).save(tmp_path / "a.png")
    figures = figures_in(tmp_path / "a.png", CLASSES)
    assert (figures.pixels, figures.objects) == ((3, 2), (1, 1))
    assert figures.shares == pytest.approx((0.5, 0.333333))
    (tmp_path / "b.png").write_bytes(b"no image")
    assert figures_in(tmp_path / "b.png", CLASSES) == Figures()


def test_pixels_without_data_belong_to_no_object() -> None:
    mask = np.array([[1, 1, 1], [0, 0, 0]], np.uint8)
    tally = Tally(2)
    tally.add(mask, np.ones((2, 3), np.float32), np.array([[0, 1, 0], [0, 1, 0]], np.bool_))
    assert tally.figures().objects == (2, 2)
    assert tally.figures().pixels == (2, 2)
