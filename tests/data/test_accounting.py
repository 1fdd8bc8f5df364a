"""Every file of a data folder is read, or a finding counts it by suffix and place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from semiseg.data.findings import Finding
from semiseg.data.layouts.accounting import FILE_KINDS, account, places
from semiseg.data.reader import load_dataset, read_dataset
from semiseg.data.tree import Tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two labeled images."""
    for name, shade in (("a", 10), ("b", 90)):
        for kind, suffix in (("images", "jpg"), ("masks", "png")):
            path = tmp_path / "train" / kind / f"{name}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = Image.new("L" if kind == "masks" else "RGB", (8, 8))
            image.paste(1 if kind == "masks" else (shade, 0, 9), (0, 0, 4, 8))
            image.save(path)
    return tmp_path


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def findings(root: Path) -> list[Finding]:
    return [f for f in read_dataset(root).findings if f.kind == "not-read"]


def test_all_is_read_in_a_plain_folder(root: Path) -> None:
    assert not findings(root)


def test_videos_are_counted_with_the_command_that_reads_them(root: Path) -> None:
    put(root, "unlabeled/a.mp4", "unlabeled/b.MP4", "clips/c.mov")
    (finding,) = findings(root)
    assert finding.severity == "warning"
    assert finding.files == ("clips/c.mov", "unlabeled/a.mp4", "unlabeled/b.MP4")
    assert "(2 .mp4 in unlabeled, 1 .mov in clips)" in finding.message
    assert f"semiseg frames VIDEO --out {root / 'unlabeled'}" in finding.remedy
    assert finding.text in load_dataset(root).notes  # a training says so at its start


@pytest.mark.parametrize("kind", FILE_KINDS, ids=lambda kind: kind.name)
def test_each_kind_has_a_remedy(root: Path, kind: object) -> None:
    (kind,) = [k for k in FILE_KINDS if k is kind]
    names = [f"more/file{i}{suffix.upper()}" for i, suffix in enumerate(kind.suffixes)]
    put(root, *names)
    (finding,) = findings(root)
    assert finding.message.startswith(f"{kind.name} that are not read")
    assert sorted(finding.files) == sorted(names)
    assert finding.remedy


@pytest.mark.parametrize(
    "name",
    [
        *("README.md", "LICENSE", "readme.txt", "notes.pdf", ".DS_Store", "Thumbs.db"),
        *("desktop.ini", "images/.hidden.npy", "__MACOSX/images/._a.jpg", "@eaDir/a.jpg/thumb.jpg"),
        *("train/images/a.jgw", "train/images/a.jpg.aux.xml", "train/images/a.ovr", "train.log"),
        *(".git/objects/x", "__pycache__/x.pyc", "train/.ipynb_checkpoints/a-checkpoint.jpg"),
    ],
)
def test_what_holds_no_image_of_its_own_is_silent(root: Path, name: str) -> None:
    put(root, name)
    assert not findings(root)


def test_other_texts_are_one_note(root: Path) -> None:
    put(root, "meta.json", "docs/list.csv", "settings.xml")
    (finding,) = findings(root)
    assert finding.severity == "note"
    assert finding.files == ("docs/list.csv", "meta.json", "settings.xml")


def test_texts_of_the_images_names_may_be_annotations(root: Path) -> None:
    put(root, "train/labels/a.txt", "train/labels/b.txt")
    (finding,) = findings(root)
    assert (finding.severity, finding.files) == (
        "warning",
        ("train/labels/a.txt", "train/labels/b.txt"),
    )


def test_files_of_unknown_kinds_are_a_warning(root: Path) -> None:
    put(root, "unlabeled/IMG_1.xyz", "unlabeled/IMG_2")
    (finding,) = findings(root)
    assert finding.severity == "warning"
    assert "1 .xyz in unlabeled, 1 without suffix in unlabeled" in finding.message


def test_images_elsewhere_are_a_warning_with_the_place_for_them(root: Path) -> None:
    put(root, "old/x.jpg", "old/deep/y.png")
    (finding,) = findings(root)
    assert finding.severity == "warning"
    assert finding.files == ("old/deep/y.png", "old/x.jpg")
    assert str(root / "train" / "images") in finding.remedy
    assert str(root / "unlabeled") in finding.remedy


def test_files_are_counted_where_images_are_refused_as_well(tmp_path: Path) -> None:
    put(tmp_path, "images/a.npy", "images/b.npy")
    (finding,) = findings(tmp_path)
    assert finding.files == ("images/a.npy", "images/b.npy")
    assert read_dataset(tmp_path).errors()


def test_a_folder_to_predict_is_accounted_for_as_well(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "deep/b.npy", "deep/c.jpg")
    tree = Tree(tmp_path)
    first, second = account(tree, [tmp_path / "a.jpg"], "Look at them.")
    assert (first.files, first.remedy) == (("deep/c.jpg",), "Look at them.")
    assert second.files == ("deep/b.npy",)


def test_places_are_counted_the_fullest_first(tmp_path: Path) -> None:
    names = [f"{folder}/{i}.npy" for folder, n in (("x", 1), ("y", 3)) for i in range(n)]
    names += [f"z{i}/a.mp4" for i in range(9)]
    put(tmp_path, *names)
    text = places(Tree(tmp_path), [tmp_path / name for name in names])
    assert text.startswith("3 .npy in y, 1 .npy in x, 1 .mp4 in z0")
    assert text.endswith(", ...")


def test_a_folder_that_may_not_be_listed_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "more/x.jpg")
    really = os.scandir

    def denied(path: Path) -> object:
        if Path(path).name == "more":
            raise PermissionError(13, "denied", str(path))
        return really(path)

    monkeypatch.setattr(os, "scandir", denied)
    (finding,) = findings(root)
    assert (finding.severity, finding.files) == ("warning", ("more",))


def test_the_command_for_videos_quotes_the_folder(root: Path) -> None:
    folder = root.rename(root.with_name("Fotos 2024"))
    put(folder, "a.mp4")
    (finding,) = findings(folder)
    assert f"--out '{folder / 'unlabeled'}'" in finding.remedy


def test_the_current_folder_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, "a.mp4")
    monkeypatch.chdir(root)
    (finding,) = findings(Path())
    assert f"1 .mp4 in {root.name}" in finding.message


def test_what_suggest_wrote_is_no_finding_in_its_own_folder(root: Path) -> None:
    put(root, "suggested.txt", "suggested.csv", "suggested.png")
    assert not findings(root)


@pytest.mark.parametrize("place", ["next", "unlabeled/next", "train/images/next"])
def test_the_copies_that_suggest_writes_are_no_further_images(root: Path, place: str) -> None:
    (root / "unlabeled").mkdir()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(root / "unlabeled" / "c.png")
    before = read_dataset(root)
    copies = root / place / "train" / "images"
    copies.mkdir(parents=True)
    shutil.copy(root / "unlabeled" / "c.png", copies / "c.png")
    (root / place / "suggested.csv").write_text("rank,image\n1,c.png\n")
    after = read_dataset(root)
    assert after.samples == before.samples
    assert after.findings == before.findings
