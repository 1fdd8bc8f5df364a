"""A list of labeled images names their masks, as the lists of UniMatch do."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg.core.errors import DataError
from semiseg.core.types import NOTHING_SAID
from semiseg.data.reader import load_dataset, read_samples
from semiseg.data.splits import make_split
from semiseg.scenes.draw import write_scenes
from semiseg.training.run_data import samples_of

FINE, ROUGH = "SegmentationClass", "SegmentationClassAug"


def stems(*numbers):
    return [f"2007_{i:06d}" for i in numbers]


@pytest.fixture
def listed(tmp_path):
    """Reads a data folder with a list of these lines; gives the split, and the findings."""

    def read(root, *lines, dataset=None, labels=None):
        path = labels or tmp_path / "labeled.txt"
        if lines:
            path.write_text("".join(f"{line}\n" for line in lines))
        flags = NOTHING_SAID._replace(label_list=path)
        data = load_dataset(root, dataset=dataset, flags=flags)
        return make_split(data, str(path), 0), " ".join(f.text for f in data.findings)

    return read


def masks(samples):
    return [f"{s.mask.parent.name}/{s.mask.name}" for s in samples]


@pytest.fixture
def own_data(tmp_path):
    """A folder of a person's own data, with a second mask of each training image."""
    root = write_scenes(tmp_path / "own", labeled=4, unlabeled=2, val=2, size=(48, 64))
    (root / "second").mkdir()
    for mask in (root / "train" / "masks").iterdir():
        with Image.open(mask) as file:
            other = Image.fromarray(np.array(file)[::-1])
        other.save(root / "second" / mask.name)
    return root


# --- Pascal VOC


def test_a_list_chooses_the_rough_masks_of_voc(official_tree, listed):
    root, names = official_tree("voc"), stems(0, 1, 6, 7)
    split, text = listed(root, *(f"JPEGImages/{n}.jpg {ROUGH}/{n}.png" for n in names))
    assert masks(split.labeled) == [f"{ROUGH}/{n}.png" for n in names]
    assert [s.name for s in split.unlabeled] == stems(2, 3, 8, 9)
    assert {s.mask.parent.name for s in split.val} == {FINE}
    assert f"chooses 4 masks of {ROUGH}, 2 of them in place of those in {FINE}" in text


def test_a_list_that_names_what_is_read_anyway_changes_nothing(official_tree, listed):
    root = official_tree("voc")
    split, text = listed(root, *(f"JPEGImages/{n}.jpg {FINE}/{n}.png" for n in stems(0, 3)))
    assert masks(split.labeled) == [f"{FINE}/{n}.png" for n in stems(0, 3)]
    assert "chooses" not in text


def test_with_voc_blender_a_list_of_unimatch_means_all_masks(official_tree, listed):
    """Where VOC's own folder has none, the mask is that of `SegmentationClassAug`."""
    lines = [f"JPEGImages/{n}.jpg {FINE}/{n}.png" for n in stems(0, 1, 6, 7)]
    split, _ = listed(official_tree("voc"), *lines, dataset="voc-blender")
    assert masks(split.labeled[:2]) == [f"{FINE}/{n}.png" for n in stems(0, 1)]
    assert masks(split.labeled[2:]) == [f"{ROUGH}/{n}.png" for n in stems(6, 7)]


def test_the_folder_above_voc_may_be_the_data_folder(official_tree, listed, tmp_path):
    (tmp_path / "outer" / "VOCdevkit").mkdir(parents=True)
    official_tree("voc").rename(tmp_path / "outer" / "VOCdevkit" / "VOC2012")
    top = "/home/me/VOC2012"
    lines = [f"{top}/JPEGImages/{n}.jpg {top}/{ROUGH}/{n}.png" for n in stems(0, 7)]
    split, _ = listed(tmp_path / "outer", *lines)
    assert masks(split.labeled) == [f"{ROUGH}/{n}.png" for n in stems(0, 7)]


def test_a_mask_that_is_missing_is_named_with_list_and_line(official_tree, listed, tmp_path):
    lines = [f"JPEGImages/{n}.jpg {FINE}/{n}.png" for n in stems(0, 7)]
    with pytest.raises(DataError) as error:
        listed(official_tree("voc"), *lines)
    path = tmp_path / "labeled.txt"
    assert str(error.value) == (
        f"{path}, line 2: there is no mask {FINE}/2007_000007.png in {tmp_path / 'voc'}. If the "
        "list means the masks of voc-blender, add --dataset voc-blender."
    )


# --- a person's own data


@pytest.mark.parametrize(
    "line",
    [
        "train/images/{0}.jpg second/{0}.png",
        "{0}.jpg second/{0}.png",
        "{0}.jpg,second/{0}.png",
        "{0}\tsecond/{0}.png",
        "C:\\own\\train\\images\\{0}.jpg C:\\own\\second\\{0}.png",
        "/home/me/own/train/images/{0}.jpg;/home/me/own/second/{0}.png",
    ],
)
def test_own_masks_are_chosen_too(own_data, listed, line):
    split, _ = listed(own_data, line.format("0001"), "0002", "# 0003.jpg second/none.png")
    assert masks(split.labeled) == ["second/0001.png", "masks/0002.png"]


def test_a_table_may_name_the_masks(own_data, tmp_path, listed):
    path = tmp_path / "labeled.csv"
    path.write_text("image,mask\n0001.jpg,second/0001.png\n0002.jpg,\n0003.jpg,7\n")
    split, _ = listed(own_data, labels=path)
    assert masks(split.labeled) == ["second/0001.png", "masks/0002.png", "masks/0003.png"]


@pytest.mark.parametrize("column", ["1", "-1", "cat", "0001 b"])
def test_another_column_is_no_mask(own_data, listed, column):
    split, _ = listed(own_data, f"0001.jpg,{column}", "0002.jpg")
    assert masks(split.labeled) == ["masks/0001.png", "masks/0002.png"]


def test_an_image_without_a_mask_gets_that_of_the_list(own_data, listed):
    (own_data / "train" / "masks" / "0001.png").unlink()
    split, _ = listed(own_data, "0001.jpg second/0001.png", "0002")
    assert masks(split.labeled) == ["second/0001.png", "masks/0002.png"]


def test_a_missing_mask_of_ones_own_names_the_one_that_is_there(own_data, listed):
    with pytest.raises(DataError, match=r"labeled\.txt, line 1: there is no mask x/0001\.png") as e:
        listed(own_data, "0001.jpg x/0001.png")
    assert str(e.value).endswith("or write train/masks/0001.png in that line.")


def test_two_masks_for_one_image_are_an_error(own_data, listed):
    lines = ["0001.jpg second/0001.png", "0002", "0001.jpg train/masks/0001.png"]
    with pytest.raises(DataError, match=r"line 3 names the mask .* but line 1 names .*second"):
        listed(own_data, *lines)
    assert masks(listed(own_data, *lines[:2], lines[0])[0].labeled)[0] == "second/0001.png"


def test_a_list_that_contradicts_the_one_in_the_data_folder_is_an_error(own_data, listed):
    lines = [f"train/images/{i:04d}.jpg train/masks/{i:04d}.png\n" for i in range(4)]
    (own_data / "train.txt").write_text("".join(lines))
    with pytest.raises(DataError, match=r"line 1 names the mask .* but .*train\.txt names .*masks"):
        listed(own_data, "0001.jpg second/0001.png")
    split, _ = listed(own_data, "0001.jpg train/masks/0001.png", "0002")
    assert masks(split.labeled) == ["masks/0001.png", "masks/0002.png"]


def test_lists_in_the_data_folder_must_not_contradict_each_other(own_data):
    for folder, masks_folder in (("a", "train/masks"), ("b", "second")):
        path = own_data / "splits" / folder / "labeled.txt"
        path.parent.mkdir(parents=True)
        path.write_text(
            "".join(f"train/images/{i:04d}.jpg {masks_folder}/{i:04d}.png\n" for i in range(4))
        )
    with pytest.raises(DataError, match=r"b/labeled\.txt names the mask .* but .*a/labeled\.txt"):
        load_dataset(own_data)


# --- where the masks of the data folder stay


def test_masks_in_another_form_stay(official_tree, listed):
    """Cityscapes' label ids and train ids are different numbers for the same class."""
    root = official_tree("cityscapes")
    image = next((root / "leftImg8bit" / "train").rglob("*.png"))
    stem = image.name.removesuffix("_leftImg8bit.png")
    mask = f"gtFine/train/{image.parent.name}/{stem}_gtFine_labelTrainIds.png"
    split, _ = listed(root, f"{image.relative_to(root).as_posix()} {mask}")
    assert [s.mask.name for s in split.labeled] == [f"{stem}_gtFine_labelIds.png"]


def test_masks_that_are_drawn_from_annotations_stay(official_tree, listed):
    split, _ = listed(official_tree("coco"), "train2017/1.jpg masks/1.png")
    assert [s.name for s in split.labeled] == ["1"]


# --- in a run


@pytest.mark.slow
def test_a_run_keeps_to_the_masks_of_its_list(official_tree, tmp_path, tiny_settings):
    root, path = official_tree("voc"), tmp_path / "rough.txt"
    path.write_text("".join(f"JPEGImages/{n}.jpg {ROUGH}/{n}.png\n" for n in stems(0, 7)))
    settings = {**tiny_settings, "labels": str(path)}
    run = semiseg.train(root, method="supervised", out=tmp_path / "run", **settings)
    assert masks(samples_of(run.folder)[0]) == [f"{ROUGH}/{n}.png" for n in stems(0, 7)]
    lists = semiseg.split(root, labels=str(path), out=tmp_path / "lists")
    assert lists.counts["labeled"] == 2
    assert (tmp_path / "lists" / "labeled.txt").read_text().split() == stems(0, 7)
    path.unlink()
    assert masks(samples_of(run.folder)[0]) == [f"{FINE}/{n}.png" for n in stems(0)]


def test_a_comparison_reads_the_masks_of_each_list(official_tree, tmp_path, tiny_settings):
    from semiseg.comparison.tasks import list_tasks
    from semiseg.config.compare import CompareConfig

    root, path = official_tree("voc"), tmp_path / "rough.txt"
    path.write_text("".join(f"JPEGImages/{n}.jpg {ROUGH}/{n}.png\n" for n in stems(6, 7)))
    config = CompareConfig.from_values(
        {"data": root, "methods": "supervised", "labels": f"2,{path}", "out": tmp_path / "out"}
    )
    tasks, fixed_labels = list_tasks(config, config.grid, [])
    assert {task.labels for task in tasks} >= {"2", str(path)}
    assert fixed_labels == {str(path)}


def test_samples_of_a_split_have_the_masks_of_the_list(own_data, tmp_path):
    path = Path(tmp_path / "labeled.txt")
    path.write_text("0001.jpg second/0001.png\n")
    flags = NOTHING_SAID._replace(label_list=path)
    assert masks(read_samples(own_data, "train", flags=flags))[1] == "second/0001.png"
