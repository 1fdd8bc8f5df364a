"""Which files `predict` takes for images, and what it says of the others."""

import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg.cli import main
from semiseg.core.errors import ConfigError, DataError
from semiseg.data.formats import image_formats
from semiseg.inference.sources import find_images


def photo(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def names(sources):
    return sorted(sources.images)


@pytest.fixture
def without_heif(monkeypatch):
    monkeypatch.setattr(image_formats, "find_spec", lambda name: None if name == "pi_heif" else 1)


def test_every_file_of_a_folder_is_accounted_for(tmp_path, without_heif):
    photo(tmp_path / "in" / "a.png")
    photo(tmp_path / "in" / "cam" / "b.jpg")
    for name in ("c.heic", "cam/d.HEIC", "drive.mp4", "cam/e.npy", "f.cr2", "odd.xyz"):
        (tmp_path / "in" / name).write_bytes(b"data")
    for name in ("readme.txt", ".hidden", "list.csv"):
        (tmp_path / "in" / name).write_text("a")
    sources = find_images(tmp_path / "in", tmp_path / "out")
    assert names(sources) == ["a", "cam/b"]
    text = "\n".join(sources.warnings)
    assert "2 files are not read (1 .heic in in, 1 .heic in cam)" in text
    assert "pip install 'semiseg[heif]'" in text
    assert "1 .mp4 in in" in text
    assert "semiseg frames VIDEO" in text
    for suffix in (".npy in cam", ".cr2 in in", ".xyz in in"):
        assert f"1 {suffix}" in text
    assert "readme" not in text
    assert "hidden" not in text


def test_the_results_of_an_earlier_call_are_no_images_and_no_strangers(tmp_path, monkeypatch):
    photo(tmp_path / "in" / "a.png")
    out = tmp_path / "in" / "out"
    photo(out / "a.png")
    (out / "probabilities").mkdir()
    (out / "probabilities" / "a.npz").write_bytes(b"data")
    for images in (tmp_path / "in", "."):
        monkeypatch.chdir(tmp_path / "in")
        sources = find_images(type(tmp_path)(images), out)
        assert names(sources) == ["a"]
        assert sources.warnings == []


def test_a_folder_of_nothing_that_can_be_read_says_what_is_there(tmp_path, without_heif):
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.heic").write_bytes(b"data")
    with pytest.raises(DataError, match=r"no images\. 3 files .*3 \.heic.*semiseg\[heif\]"):
        find_images(tmp_path / "in", tmp_path / "out")


def test_linked_folders_are_entered_and_dead_links_are_named(tmp_path):
    photo(tmp_path / "elsewhere" / "deep" / "b.png")
    photo(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "cam2").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    sources = find_images(tmp_path / "in", tmp_path / "out")
    assert names(sources) == ["a", "cam2/deep/b"]
    assert len(sources.warnings) == 1
    assert "gone.png" in sources.warnings[0]


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images", "masks"),
        ("imgs", "labels"),
        ("img_dir/train", "ann_dir/train"),
        ("Train/Images", "Train/GT"),
        ("train", "train_masks"),
        ("train", "trainannot"),
        ("default", "defaultannot"),
        ("fields/north", "fields/north_gt"),
        ("JPEGImages", "SegmentationObject"),
        ("leftImg8bit/val/city", "gtFine/val/city"),
    ],
)
def test_masks_of_common_trees_are_no_images(tmp_path, images, masks):
    photo(tmp_path / images / "a.jpg")
    photo(tmp_path / masks / "a.png")
    photo(tmp_path / "unlabeled" / "b.jpg")
    sources = find_images(tmp_path, tmp_path / "out")
    assert names(sources) == sorted([f"{images}/a", "unlabeled/b"])
    assert "1 mask is ignored" in " ".join(sources.notes)
    assert names(find_images(tmp_path / masks, tmp_path / "out")) == ["a"]  # who names them


def test_photographs_in_folders_with_names_for_masks_are_images(tmp_path):
    photo(tmp_path / "labels" / "bottle.jpg")
    photo(tmp_path / "targets" / "range.jpg")
    assert names(find_images(tmp_path, tmp_path / "o")) == ["labels/bottle", "targets/range"]


def test_results_of_volumes_have_no_part_of_the_suffix(tmp_path):
    for name in ("a.nii.gz", "b.nii", "c.v1.png"):
        (tmp_path / name).write_bytes(b"data")
    assert names(find_images(tmp_path, tmp_path / "out")) == ["a", "b", "c.v1"]


def test_a_pattern_counts_what_it_matches_and_does_not_read(tmp_path):
    photo(tmp_path / "a.png")
    (tmp_path / "b.mp4").write_bytes(b"data")
    sources = find_images(tmp_path / "*", tmp_path / "out")
    assert names(sources) == ["a"]
    assert len(sources.warnings) == 1
    assert "1 .mp4" in sources.warnings[0]
    with pytest.raises(DataError, match=r"matches no image\. 1 file is not read \(1 \.mp4"):
        find_images(tmp_path / "*.mp4", tmp_path / "out")


def test_a_video_is_refused_with_the_command_for_it(tmp_path):
    (tmp_path / "b.mp4").write_bytes(b"data")
    with pytest.raises(DataError, match=r"b\.mp4 is not an image .* semiseg frames VIDEO"):
        find_images(tmp_path / "b.mp4", tmp_path / "out")


def test_the_warnings_appear_on_the_command_line(plain_release, tmp_path, capsys):
    photo(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.mp4").write_bytes(b"data")
    main(["predict", str(plain_release), str(tmp_path / "in"), "--out", str(tmp_path / "out")])
    shown = capsys.readouterr()
    assert "warning: Videos that are not read (1 .mp4 in in)" in shown.err
    assert "1 mask written" in shown.out


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_a_model_behind_its_images_is_recognized(plain_release, tmp_path, verb):
    photo(tmp_path / "in" / "a.png")
    arguments = {"out": tmp_path / "out"} if verb == "predict" else {}
    with pytest.raises(ConfigError, match=r"the model comes first\. Use `semiseg " + verb):
        getattr(semiseg, verb)(tmp_path / "in", plain_release, **arguments)


def test_a_file_as_the_output_folder_is_refused(plain_release, tmp_path):
    image = photo(tmp_path / "a.png")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"names a file.*--out .*/mask\."):
        semiseg.predict(plain_release, image, out=tmp_path / "mask.png")
    with pytest.raises(ConfigError, match="names a file"):
        semiseg.predict(plain_release, image, out=tmp_path / "file")


def test_an_exported_model_does_not_know_what_was_held_out(plain_release, tmp_path):
    for name in ("images", "masks"):
        path = tmp_path / "data" / "train" / name / "a.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(np.zeros((24, 32), np.uint8)).save(path)
    with pytest.raises(DataError, match=r"no masks of val .* name the run folder"):
        semiseg.evaluate(plain_release, tmp_path / "data", accelerator="cpu")


def test_a_list_of_windows_names_files_in_folders(tmp_path):
    photo(tmp_path / "in" / "a.png")
    photo(tmp_path / "in" / "cam" / "b.png")
    (tmp_path / "in" / "list.txt").write_bytes(b"a.png\r\ncam\\b.png\r\n")
    assert names(find_images(tmp_path / "in" / "list.txt", tmp_path / "out")) == ["a", "cam/b"]


def test_the_folder_that_is_proposed_instead_of_a_file_is_none(tmp_path):
    (tmp_path / "out").write_text("x")
    image = photo(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=r"names a file.*such as --out .*/out-masks\."):
        semiseg.predict(tmp_path / "run", image, out=tmp_path / "out")
