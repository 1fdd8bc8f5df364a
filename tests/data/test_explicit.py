"""Folders that a person names, with flags or in `dataset.yaml`, are read as they are named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg.core.errors import ConfigError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.types import Arrangement
from semiseg.data.dataset import Dataset
from semiseg.data.dataset_file import read_dataset_file
from semiseg.data.reader import read_dataset, read_samples
from semiseg.data.tree import Tree


def put(root: Path, images: str, masks: str | None, *names: str, ending: str = "") -> None:
    """Images, each of another color, and masks whose left half is 1."""
    for name in names:
        path = root / images / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        shade = sum(map(ord, str(path.relative_to(root)))) % 200
        Image.new("RGB", (12, 8), (shade, 80, 255 - shade)).save(path)
        if masks is not None:
            file = root / masks / f"{name}{ending}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            values = np.zeros((8, 12), np.uint8)
            values[:, :6] = 1
            Image.fromarray(values).save(file)


def write(root: Path, text: str, name: str = "dataset.yaml") -> None:
    (root / name).write_text(text)


def pairs(data: Dataset, split: str) -> list[tuple[str, str | None]]:
    """Images and masks of a split, as paths below the data folder."""
    return [
        (data.name(s.image), None if s.mask is None else data.name(s.mask))
        for s in data.samples[split]
    ]


def messages(data: Dataset, severity: str = "error") -> str:
    return "\n".join(f.text for f in data.findings if f.severity == severity)


def flags(**values: object) -> Arrangement:
    places = {k: str(v) if k == "unlabeled" else Path(str(v)) for k, v in values.items()}
    return Arrangement(**places)  # type: ignore[arg-type]


# --- where the folders lie


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """Folders whose names say nothing."""
    put(tmp_path, "foo", "bar", "a", "b", "deep/c")
    put(tmp_path, "pool", None, "u")
    return tmp_path


EXPECTED = [
    ("foo/a.jpg", "bar/a.png"),
    ("foo/b.jpg", "bar/b.png"),
    ("foo/deep/c.jpg", "bar/deep/c.png"),
]


def test_flags_name_the_folders(named: Path) -> None:
    data = read_dataset(named, flags=flags(images="foo", masks="bar", unlabeled="pool"))
    assert messages(data) == ""
    assert pairs(data, "train") == EXPECTED
    assert pairs(data, "unlabeled") == [("pool/u.jpg", None)]
    assert [s.name for s in data.train] == ["a", "b", "deep/c", "unlabeled/u"]


def test_dataset_yaml_names_the_folders(named: Path) -> None:
    write(named, "images: foo\nmasks: bar/\nunlabeled: [pool]\n")
    data = read_dataset(named)
    assert messages(data) == ""
    assert pairs(data, "train") == EXPECTED
    assert pairs(data, "unlabeled") == [("pool/u.jpg", None)]
    assert [s.name for s in read_samples(named, "train")] == ["a", "b", "deep/c"]


def test_dataset_yaml_names_a_folder_for_each_split(named: Path) -> None:
    put(named, "more/imgs", "more/gt", "v")
    put(named, "t", "t_gt", "w")
    write(
        named,
        "images: {train: foo, val: more/imgs, test: t}\n"
        "masks: {train: bar, val: more/gt, test: t_gt}\n",
    )
    data = read_dataset(named)
    assert pairs(data, "train") == EXPECTED
    assert pairs(data, "val") == [("more/imgs/v.jpg", "more/gt/v.png")]
    assert pairs(data, "test") == [("t/w.jpg", "t_gt/w.png")]


def test_split_folders_in_named_folders_are_the_splits(tmp_path: Path) -> None:
    put(tmp_path, "foo/Train", "bar/Train", "a", "b")
    put(tmp_path, "foo/valid", "bar/valid", "v")
    data = read_dataset(tmp_path, flags=flags(images="foo", masks="bar"))
    assert pairs(data, "train") == [
        ("foo/Train/a.jpg", "bar/Train/a.png"),
        ("foo/Train/b.jpg", "bar/Train/b.png"),
    ]
    assert pairs(data, "val") == [("foo/valid/v.jpg", "bar/valid/v.png")]


def test_one_folder_of_masks_serves_all_splits(tmp_path: Path) -> None:
    put(tmp_path, "foo/train", "bar", "a", "b")
    put(tmp_path, "foo/val", "bar", "v")
    data = read_dataset(tmp_path, flags=flags(images="foo", masks="bar"))
    assert pairs(data, "train") == [
        ("foo/train/a.jpg", "bar/a.png"),
        ("foo/train/b.jpg", "bar/b.png"),
    ]
    assert pairs(data, "val") == [("foo/val/v.jpg", "bar/v.png")]
    assert not any(f.kind == "mask-without-image" for f in data.findings)


def test_one_folder_holds_images_and_masks(tmp_path: Path) -> None:
    put(tmp_path, "all", "all", "a", "b", ending="_mask")
    data = read_dataset(tmp_path, flags=flags(images="all", masks="all"))
    assert pairs(data, "train") == [
        ("all/a.jpg", "all/a_mask.png"),
        ("all/b.jpg", "all/b_mask.png"),
    ]


def test_folders_within_one_another_share_no_files(tmp_path: Path) -> None:
    put(tmp_path, ".", "gt", "a", "b")
    put(tmp_path, "pool", None, "u")
    data = read_dataset(tmp_path, flags=flags(images=".", masks="gt", unlabeled="pool"))
    assert pairs(data, "train") == [("a.jpg", "gt/a.png"), ("b.jpg", "gt/b.png")]
    assert pairs(data, "unlabeled") == [("pool/u.jpg", None)]


def test_folders_may_lie_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "here", "foo", None, "a", "b")
    put(tmp_path / "there", "x", "bar", "a", "b", "c")
    put(tmp_path / "pool", "x", None, "u")
    monkeypatch.chdir(tmp_path)
    report = semiseg.check("here", images="foo", masks="there/bar", unlabeled="../pool")
    assert report.counts["train"] == (2, 0)
    assert report.counts["unlabeled"] == (0, 1)
    (lost,) = [f for f in report.findings if f.kind == "mask-without-image"]
    assert lost.files == (str(tmp_path / "there/bar/c.png"),)
    assert semiseg.check("here", images="here/foo", masks="there/bar").counts["train"] == (2, 0)
    put(tmp_path / "here", "foo", "gt", "a", "b")
    report = semiseg.check("here", images="foo", masks="gt", unlabeled="pool")
    assert (report.counts["train"], report.counts["unlabeled"]) == ((2, 0), (0, 1))
    data = read_dataset(Path("here"), flags=flags(images="foo", masks=tmp_path / "there/bar"))
    assert [(s.name, s.mask) for s in data.train] == [
        ("a", tmp_path / "there/bar/a.png"),
        ("b", tmp_path / "there/bar/b.png"),
    ]


def test_named_folders_win_over_a_published_tree(tmp_path: Path) -> None:
    put(tmp_path, "train", "trainannot", "a", "b")
    put(tmp_path, "foo", "bar", "x", "y")
    write(tmp_path, "images: foo\nmasks: bar\n")
    assert [s.name for s in read_dataset(tmp_path).train] == ["x", "y"]
    with pytest.raises(ConfigError, match="--dataset camvid has its own folders"):
        read_dataset(tmp_path, dataset="camvid", flags=flags(images="foo", masks="bar"))


def test_a_flag_wins_over_dataset_yaml_and_that_is_said(named: Path) -> None:
    put(named, "other", "bar", "a")
    write(named, "images: other\nmasks: bar\n")
    data = read_dataset(named, flags=flags(images="foo"))
    assert pairs(data, "train") == EXPECTED
    assert f"--images wins over `images` in {named / 'dataset.yaml'}, line 1" in messages(
        data, "note"
    )
    assert "wins" not in messages(read_dataset(named, flags=flags(images="other")), "note")


def test_masks_of_no_split_are_counted(tmp_path: Path) -> None:
    put(tmp_path, "foo/train", "bar", "a", "b")
    put(tmp_path, "foo/val", "bar", "v")
    put(tmp_path, "other", "bar", "lost")
    data = read_dataset(tmp_path, flags=flags(images="foo", masks="bar"))
    (finding,) = [f for f in data.findings if f.kind == "mask-without-image"]
    assert finding.files == ("bar/lost.png",)


def test_the_folders_of_the_masks_may_be_the_splits(tmp_path: Path) -> None:
    put(tmp_path, "foo", "bar/train", "a", "b")
    put(tmp_path, "foo", "bar/val", "v")
    put(tmp_path, "foo", None, "u")
    data = read_dataset(tmp_path, flags=flags(images="foo", masks="bar"))
    assert pairs(data, "train") == [
        ("foo/a.jpg", "bar/train/a.png"),
        ("foo/b.jpg", "bar/train/b.png"),
        ("foo/u.jpg", None),
    ]
    assert pairs(data, "val") == [("foo/v.jpg", "bar/val/v.png")]
    assert messages(data) == ""


def test_labeled_images_and_masks_in_the_pool_are_no_unlabeled_images(tmp_path: Path) -> None:
    put(tmp_path, "all", "all/gt", "a", "b")
    put(tmp_path, "all", None, "u", "w")
    (tmp_path / "all/images").mkdir()
    for name in "ab":
        (tmp_path / f"all/{name}.jpg").rename(tmp_path / f"all/images/{name}.jpg")
    said = flags(images="all/images", masks="all/gt", unlabeled="all")
    data = read_dataset(tmp_path, flags=said)
    assert pairs(data, "unlabeled") == [("all/u.jpg", None), ("all/w.jpg", None)]
    data = read_dataset(tmp_path, flags=flags(images="all", masks="all/gt", unlabeled="all"))
    assert pairs(data, "unlabeled") == []
    assert len(data.train) == 4


# --- errors


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("images: fooo\nmasks: bar\n", ("line 1", "fooo", "Did you mean 'foo'?")),
        ("images: foo\n\nmasks: deep/gt\n", ("line 3", "deep", ": bar, foo, pool.")),
        ("images: foo\n", ("line 1", "--masks")),
        ("image: foo\nmasks: bar\n", ("line 1", "unknown key 'image'", "Did you mean 'images'?")),
        ("images: 5\nmasks: bar\n", ("line 1", "`images`", "5 cannot be used")),
        ("images: [foo]\nmasks: bar\n", ("line 1", "`images`", "one for each split")),
        ("masks: bar\nimages: {val: foo}\n", ("line 2", "train")),
        ("images: {train: foo, valid: foo}\nmasks: bar\n", ("'valid'", "Did you mean 'val'?")),
        ("value_range: [9, 3]\n", ("line 1", "[0, 4095]")),
        ("value_range: 12 bit\n", ("line 1", "[0, 4095]")),
        ("bands: [0, 2]\n", ("line 1", "`bands`", "[4, 3, 2]")),
        ("rgb: [1, 2]\n", ("line 1", "`rgb`", "[3, 2, 1]")),
        ("bands: [3, 2, 1]\nvalue_range: [0, 1, 0, 2]\n", ("line 2", "`value_range`")),
        ("nodata: none\n", ("line 1", "[-9999]")),
        ("classes: names.yaml\n", ("line 1", "there is no file", "names.yaml")),
        ("group: '(x'\n", ("line 1", "regular expression")),
        ("unlabeled: nowhere\n", ("line 1", "nowhere", ": bar, foo, pool.")),
        ("images: foo/a.jpg\nmasks: bar\n", ("line 1", "is a file")),
        ("images: {a\n", ("cannot be read as YAML (", " in line 1, column 9")),
        ("- images\n", ("holds no keys",)),
    ],
)
def test_errors_name_the_line_and_what_exists(named: Path, text: str, words: Sequence[str]) -> None:
    write(named, text)
    message = messages(read_dataset(named))
    for word in ("dataset.yaml", *words):
        assert word in message, message


def test_errors_name_the_flag(named: Path) -> None:
    message = messages(read_dataset(named, flags=flags(images="foo", masks="baz")))
    assert message.startswith(f"--masks: there is no folder {named / 'baz'}.")
    assert "Did you mean 'bar'?" in message
    message = messages(read_dataset(named, flags=flags(masks="bar")))
    assert message.startswith("--masks names the folder of the masks, but nothing names that of")


def test_the_data_yaml_of_ultralytics_is_no_dataset_yaml(tmp_path: Path) -> None:
    put(tmp_path, "images", "masks", "a", "b")
    write(tmp_path, "path: .\ntrain: images/train\nval: images/val\nnames: [a, b]\n")
    data = read_dataset(tmp_path)
    assert messages(data) == ""
    assert [s.name for s in data.train] == ["a", "b"]


# --- the other keys


def test_dataset_yaml_holds_the_classes(named: Path) -> None:
    write(
        named, "images: foo\nmasks: bar\nclasses:\n  - soil\n  - {name: crop, color: '#00ff00'}\n"
    )
    classes = read_dataset(named).classes
    assert (classes.names, classes.codes) == (("soil", "crop"), (0, 1))
    assert classes.colors[1] == (0, 255, 0)


def test_dataset_yaml_names_a_file_of_classes(named: Path) -> None:
    write(named, "images: foo\nmasks: bar\nclasses: lists/names.yaml\n")
    (named / "lists").mkdir()
    write(named, "classes: [soil, crop]\n", "lists/names.yaml")
    write(named, "classes: [no, nothing]\n", "classes.yaml")
    assert read_dataset(named).classes.names == ("soil", "crop")
    write(named, "classes: [one, other]\n", "own.yaml")
    data = read_dataset(named, classes_file=named / "own.yaml")
    assert data.classes.names == ("one", "other")


def test_dataset_yaml_gives_the_value_range(tmp_path: Path) -> None:
    put(tmp_path, "images", "masks", "a", "b")
    for name in "ab":
        values = np.arange(96, dtype=np.uint16).reshape(8, 12) * 10
        Image.fromarray(values).save(tmp_path / "images" / f"{name}.png")
        (tmp_path / "images" / f"{name}.jpg").unlink()
    write(tmp_path, "value_range: [0, 500]\n")
    data = read_dataset(tmp_path)
    assert data.reading == Reading((0, 500))
    assert all(finding.kind != "value-range" for finding in data.findings)
    assert read_dataset(tmp_path, reading=Reading((0, 900))).reading == Reading((0, 900))
    assert read_dataset(tmp_path).images == read_dataset(tmp_path, reading=data.reading).images


def test_dataset_yaml_names_the_group(named: Path) -> None:
    write(named, "images: foo\nmasks: bar\ngroup: ^(.*)/\n")
    assert read_dataset(named).group == "^(.*)/"
    assert read_dataset(named, flags=Arrangement(group="x")).group == "x"


def test_dataset_yaml_says_how_pixels_are_read(named: Path) -> None:
    write(named, "images: foo\nmasks: bar\nbands: [3, 2, 1]\nnodata: -9999\nvalue_range: [0, 9]\n")
    expected = Reading(value_range=(0, 9), bands=(3, 2, 1), nodata=(-9999,))
    assert read_dataset_file(Tree(named)).complete(AS_STORED) == expected
    flags = Reading(value_range=(1, 5), nodata=())
    expected = Reading(value_range=(1, 5), bands=(3, 2, 1), nodata=())
    assert read_dataset_file(Tree(named)).complete(flags) == expected


def test_a_file_above_the_only_folder_counts(tmp_path: Path) -> None:
    put(tmp_path, "project/images", "project/masks", "p1_a", "p2_a")
    put(tmp_path, "project/pool", None, "u")
    write(tmp_path, "unlabeled: project/pool\ngroup: ^(.*?)_\nclasses: [soil, crop]\n")
    data = read_dataset(tmp_path)
    assert messages(data) == ""
    assert data.group == "^(.*?)_"
    assert data.classes.names == ("soil", "crop")
    assert pairs(data, "train") == [
        (f"project/images/{n}.jpg", f"project/masks/{n}.png") for n in ("p1_a", "p2_a")
    ]
    assert pairs(data, "unlabeled") == [("project/pool/u.jpg", None)]


def test_paths_may_be_written_as_on_windows(named: Path) -> None:
    write(named, "images: .\\foo\nmasks: bar\\deep\\..\n")
    assert pairs(read_dataset(named), "train") == EXPECTED
