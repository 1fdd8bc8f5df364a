"""`init` writes down how a folder is read; unedited, the files change nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import semiseg
from semiseg.cli import main
from semiseg.core.errors import DataError, RunError
from semiseg.data.dataset import Dataset
from semiseg.data.reader import read_dataset


def image(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 8), (shade, 80, 255 - shade)).save(path)


def mask(path: Path, values: tuple[int, ...] = (0, 1)) -> None:
    """Stripes of these ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(
        np.repeat(np.array(values, np.uint8), 12 // len(values))[None].repeat(8, 0)
    ).save(path)


def put(root: Path, images: str, masks: str | None, *names: str, values: tuple[int, ...]) -> None:
    for i, name in enumerate(names):
        image(root / images / f"{name}.jpg", 20 * i + len(images))
        if masks is not None:
            mask(root / masks / f"{name}.png", values)


def split_folders(root: Path) -> None:
    put(root, "train/images", "train/masks", "a", "b", values=(0, 1))
    put(root, "val/images", "val/masks", "v", values=(0, 1))
    put(root, "unlabeled", None, "u", "w", values=())


def kinds_above_splits(root: Path) -> None:
    put(root, "images/train", "masks/train", "a", "deep/b", values=(0, 1, 255))
    put(root, "images/val", "masks/val", "v", values=(0, 1))


def one_split(root: Path) -> None:
    put(root, "images", "masks", "a", "b", "c", values=(0, 255))


def beside(root: Path) -> None:
    for i, name in enumerate("ab"):
        image(root / f"{name}.jpg", 40 * i)
        mask(root / f"{name}_mask.png", (0, 85, 170))


def lists(root: Path) -> None:
    put(root, "photos", "drawn", "a", "b", "v", values=(0, 1))
    (root / "train.txt").write_text("photos/a.jpg drawn/a.png\nphotos/b.jpg drawn/b.png\n")
    (root / "val.txt").write_text("photos/v.jpg drawn/v.png\n")


def voc(root: Path) -> None:
    """Colors, as CVAT exports them."""
    for i, name in enumerate("ab"):
        image(root / "JPEGImages" / f"{name}.jpg", 40 * i)
        pixels = np.zeros((8, 12, 3), np.uint8)
        pixels[:, :6] = (0, 128, 0)
        path = root / "SegmentationClass" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    (root / "labelmap.txt").write_text("background:0,0,0::\ncrop:0,128,0::\n")


def labelme(root: Path) -> None:
    for i, name in enumerate("ab"):
        image(root / f"{name}.jpg", 40 * i)
        shape = {"label": "leaf", "points": [[1, 1], [8, 1], [8, 6]], "shape_type": "polygon"}
        content = {"shapes": [shape], "imageWidth": 12, "imageHeight": 8}
        (root / f"{name}.json").write_text(json.dumps(content))


def named_classes(root: Path) -> None:
    one_split(root)
    (root / "classes.yaml").write_text("classes: [soil, {name: crop, id: 255}]\n")


LAYOUTS = (
    split_folders,
    kinds_above_splits,
    one_split,
    beside,
    lists,
    voc,
    labelme,
    named_classes,
)


def read(data: Dataset) -> dict[str, object]:
    """What a training sees of a folder."""
    classes = data.classes
    return {
        "samples": {split: list(samples) for split, samples in data.samples.items()},
        "classes": (classes.names, classes.colors, classes.encoding, classes.codes),
        "ignored": set(classes.ignored),
        "pixels": dict(data.pixels),
    }


@pytest.mark.parametrize("build", LAYOUTS)
def test_unedited_files_change_nothing(tmp_path: Path, build: Callable[[Path], None]) -> None:
    build(tmp_path)
    before = read(read_dataset(tmp_path))
    result = semiseg.init(tmp_path)
    assert set(result.files) | set(result.kept) == {
        tmp_path / "dataset.yaml",
        tmp_path / "classes.yaml",
    }
    after = read_dataset(tmp_path)
    assert read(after) == before
    assert not after.errors()
    assert result.errors == 0
    content = yaml.safe_load((tmp_path / "dataset.yaml").read_text())
    assert content["classes"] == "classes.yaml"


def test_the_files_say_what_was_inferred(tmp_path: Path) -> None:
    split_folders(tmp_path)
    semiseg.init(tmp_path)
    text = (tmp_path / "dataset.yaml").read_text()
    assert yaml.safe_load(text) == {
        "images": {"train": "train/images", "val": "val/images"},
        "masks": {"train": "train/masks", "val": "val/masks"},
        "unlabeled": "unlabeled",
        "classes": "classes.yaml",
    }
    assert "train: train/images  # 2 images, 2 with masks" in text
    assert "# 2 classes: 0, 1" in text
    text = (tmp_path / "classes.yaml").read_text()
    assert [entry["name"] for entry in yaml.safe_load(text)["classes"]] == ["0", "1"]
    assert "# 50.0 % of the pixels of train, in 2 images" in text


def test_an_edited_file_is_read(tmp_path: Path) -> None:
    split_folders(tmp_path)
    semiseg.init(tmp_path)
    file = tmp_path / "classes.yaml"
    file.write_text(file.read_text().replace("name: '0'", "name: soil"))
    assert read_dataset(tmp_path).classes.names == ("soil", "1")


def test_a_group_is_written_down(tmp_path: Path) -> None:
    put(tmp_path, "images", "masks", "p1_a", "p1_b", "p2_a", values=(0, 1))
    semiseg.init(tmp_path, group="^(.*?)_")
    assert yaml.safe_load((tmp_path / "dataset.yaml").read_text())["group"] == "^(.*?)_"
    assert read_dataset(tmp_path).group == "^(.*?)_"


def unclear(root: Path) -> None:
    put(root, "stuff", None, "a", "b", values=())
    for name in "ab":
        mask(root / "things" / f"{name}.png")


def test_an_unclear_folder_gets_no_file_until_its_folders_are_named(tmp_path: Path) -> None:
    unclear(tmp_path)
    files = set(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=f"semiseg init {tmp_path} --images DIR --masks DIR"):
        semiseg.init(tmp_path)
    assert set(tmp_path.rglob("*")) == files
    semiseg.init(tmp_path, images="stuff", masks="things")
    data = read_dataset(tmp_path)
    assert [(s.name, data.name(s.image)) for s in data.train] == [
        ("a", "stuff/a.jpg"),
        ("b", "stuff/b.jpg"),
    ]
    content = yaml.safe_load((tmp_path / "dataset.yaml").read_text())
    assert (content["images"], content["masks"]) == ("stuff", "things")


def test_folders_elsewhere_are_named_by_their_whole_path(tmp_path: Path) -> None:
    unclear(tmp_path / "there")
    (tmp_path / "here").mkdir()
    semiseg.init(
        tmp_path / "here", images=tmp_path / "there/stuff", masks=tmp_path / "there/things"
    )
    assert [s.image for s in read_dataset(tmp_path / "here").train] == [
        tmp_path / "there/stuff/a.jpg",
        tmp_path / "there/stuff/b.jpg",
    ]


def test_nothing_is_overwritten_unless_asked_for(tmp_path: Path) -> None:
    named_classes(tmp_path)
    written = (tmp_path / "classes.yaml").read_text()
    result = semiseg.init(tmp_path)
    assert result.kept == [tmp_path / "classes.yaml"]
    assert (tmp_path / "classes.yaml").read_text() == written
    with pytest.raises(RunError, match=r"dataset\.yaml exists.*--overwrite"):
        semiseg.init(tmp_path)
    before = read(read_dataset(tmp_path))
    assert len(semiseg.init(tmp_path, overwrite=True).files) == 2
    assert read(read_dataset(tmp_path)) == before
    assert "name: crop, id: 255" in (tmp_path / "classes.yaml").read_text()


def test_classes_of_a_flag_are_written_down(tmp_path: Path) -> None:
    one_split(tmp_path / "data")
    names = tmp_path / "names.yaml"
    names.write_text("classes: [soil, {name: crop, id: 255}]\n")
    semiseg.init(tmp_path / "data", classes=names)
    assert read_dataset(tmp_path / "data").classes.names == ("soil", "crop")


def test_the_command_prints_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split_folders(tmp_path)
    main(["init", str(tmp_path), "--json"])
    content = json.loads(capsys.readouterr().out)
    assert content == {
        "data": str(tmp_path),
        "files": [str(tmp_path / "dataset.yaml"), str(tmp_path / "classes.yaml")],
        "kept": [],
        "counts": {
            "train": {"labeled": 2, "unlabeled": 0},
            "unlabeled": {"labeled": 0, "unlabeled": 2},
            "val": {"labeled": 1, "unlabeled": 0},
        },
        "classes": ["0", "1"],
        "errors": 0,
    }
    main(["init", str(tmp_path), "--overwrite", "--quiet"])
    assert f"semiseg check {tmp_path}" in capsys.readouterr().out


# --- the whole way


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """Four drives of three scenes in folders whose names say nothing."""
    from semiseg.scenes.draw import write_scenes

    write_scenes(tmp_path / "drawn", labeled=12, unlabeled=2, val=2, size=(48, 64))
    root = tmp_path / "data"
    for kind, folder in (("images", "foo"), ("masks", "bar")):
        files = sorted((tmp_path / "drawn/train" / kind).iterdir())
        (root / folder).mkdir(parents=True)
        for i, file in enumerate(files):
            file.rename(root / folder / f"d{i // 3}_{i % 3}{file.suffix}")
    (tmp_path / "drawn/unlabeled").rename(root / "pool")
    return root


def listed(run: Path, name: str) -> list[str]:
    return (run / "split" / f"{name}.txt").read_text().split()


@pytest.mark.slow
def test_a_training_with_named_folders_and_groups(
    drives: Path,
    tmp_path: Path,
    tiny_settings: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    numbers = {**tiny_settings, "labels": "all", "steps": 4}
    settings = [word for k, v in numbers.items() for word in (f"--{k.replace('_', '-')}", str(v))]
    folders = ["--images", "data/foo", "--masks", "bar", "--unlabeled", "pool"]
    group = ["--group", "^(.*?)_"]
    run, again = tmp_path / "run", tmp_path / "again"
    main(["train", "data", *folders, *group, *settings, "--out", str(run)])
    val = listed(run, "val")
    assert len(val) == 3
    assert len({name[:2] for name in val}) == 1
    assert not {name[:2] for name in val} & {name[:2] for name in listed(run, "labeled")}
    assert len(listed(run, "labeled")) == 9
    assert len(listed(run, "unlabeled")) == 2
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["images"], config["masks"], config["group"]) == ("foo", "bar", "^(.*?)_")
    # The run says where its images lie, from any folder and after the data moved.
    monkeypatch.chdir(tmp_path / "drawn")
    scores = semiseg.evaluate(run, drives)
    assert (scores.images, scores.split) == (3, "val")
    assert semiseg.evaluate(run, drives.rename(tmp_path / "moved")) == scores
    # A file says the same, in fewer words.
    root = tmp_path / "moved"
    main(["init", str(root), "--images", "foo", "--masks", "bar", "--unlabeled", "pool", *group])
    main(["train", str(root), *settings, "--out", str(again)])
    assert [listed(again, n) for n in ("val", "labeled", "unlabeled")] == [
        listed(run, n) for n in ("val", "labeled", "unlabeled")
    ]
    results = [json.loads((folder / "scores.json").read_text()) for folder in (run, again)]
    assert results[0]["miou"] == results[1]["miou"]
    assert semiseg.evaluate(again, root) == scores


@pytest.mark.slow
def test_a_comparison_keeps_groups_together(
    drives: Path, tmp_path: Path, tiny_settings: dict[str, object]
) -> None:
    out = tmp_path / "out"
    shared = {k: v for k, v in tiny_settings.items() if k not in ("labels", "steps")}
    semiseg.compare(
        drives,
        methods=("supervised",),
        steps=2,
        out=out,
        images="foo",
        masks="bar",
        group="^(.*?)_",
        **shared,
    )
    (run,) = (path.parent for path in out.glob("*/config.yaml"))
    assert len({name[:2] for name in listed(run, "val")}) == 1
    assert not {n[:2] for n in listed(run, "val")} & {n[:2] for n in listed(run, "labeled")}
