"""The names of folders say what they hold, in any case and in the common compounds."""

from __future__ import annotations

import pytest

from semiseg.data.pairing.roles import role_of, roles_of


@pytest.mark.parametrize(
    "name",
    [
        *("images", "Images", "IMGS", "img", "img_dir", "image", "JPEGImages", "leftImg8bit"),
        *(
            "RGB",
            "photos",
            "Pictures",
            "input",
            "Inputs",
            "x",
            "X",
            "images_png",
            "original_images",
        ),
        *("sat", "frames", "Raw Images", "data-images"),
    ],
)
def test_images(name: str) -> None:
    assert role_of(name)[:3] == ("images", "", "")


@pytest.mark.parametrize(
    "name",
    [
        *("masks", "Mask", "LABELS", "label", "annotations", "annot", "ann_dir", "gt", "GT"),
        *("ground_truth", "GroundTruth", "ground truth", "groundtruth", "SegmentationClass"),
        *("SegmentationClassPNG", "targets", "Target", "y", "seg", "segmentation", "gtFine"),
        *("label_images_semantic", "segmentation_masks", "manual", "trimaps", "masks_png"),
    ],
)
def test_masks(name: str) -> None:
    assert role_of(name)[:3] == ("masks", "", "")


@pytest.mark.parametrize(
    ("name", "content", "split"),
    [
        ("train_images", "images", "train"),
        ("images_train", "images", "train"),
        ("TrainImages", "images", "train"),
        ("trainannot", "masks", "train"),
        ("TRAIN_MASKS", "masks", "train"),
        ("imagesTr", "images", "train"),
        ("labelsTr", "masks", "train"),
        ("imagesTs", "images", "test"),
        ("val-masks", "masks", "val"),
        ("validation.images", "images", "val"),
        ("Training", "", "train"),
        ("trn", "", "train"),
        ("valid", "", "val"),
        ("Testing", "", "test"),
        ("test_set", "", "test"),
        ("train_data", "", "train"),
        ("unlabelled", "", "unlabeled"),
        ("Unlabeled_Images", "images", "unlabeled"),
        ("no_masks", "", "unlabeled"),
        ("images_without_labels", "images", "unlabeled"),
        ("pool", "", "unlabeled"),
        ("trainval", "", "train"),
    ],
)
def test_splits(name: str, content: str, split: str) -> None:
    role = role_of(name)
    assert (role.content, role.split) == (content, split)


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("train2017", "2017"),
        ("stage1_train", "stage-1"),
        ("images2", "2"),
        ("defaultannot", "default"),
        ("masks_machine", "machine"),
    ],
)
def test_what_a_name_says_besides(name: str, rest: str) -> None:
    assert role_of(name).rest == rest


@pytest.mark.parametrize(
    "name",
    ["day1", "cam 2", "patient07", "nucleus01", "top", "contest", "trees", "benign", "imm", "data"],
)
def test_other_names_say_nothing(name: str) -> None:
    assert role_of(name).is_neutral


@pytest.mark.parametrize(
    "name", ["SegmentationObject", "masks_human", "gt_color", "instance_masks", "overlays"]
)
def test_instances_and_overlays_come_second(name: str) -> None:
    assert role_of(name).is_secondary


def test_a_word_of_little_weight_does_not_count_within_another_folder() -> None:
    """Images of manuals, and of a plant that is called x."""
    assert [role.content for role in roles_of(("images", "manual"))] == ["images", ""]
    assert [role.content for role in roles_of(("masks", "train", "x"))] == ["masks", "", ""]
    assert [role.content for role in roles_of(("images", "masks"))] == ["images", "masks"]
    assert [role.content for role in roles_of(("train", "x"))] == ["", "images"]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("RUGD_frames-with-annotations", ("images", "", "rugd", False)),
        ("train_lab", ("masks", "train", "", False)),
        ("lab", ("", "", "lab", False)),
        ("fov_masks", ("masks", "", "fov", True)),
        ("panoptic", ("", "", "panoptic", True)),
        ("unbeschriftet", ("", "unlabeled", "", False)),
    ],
)
def test_names_of_published_data_sets(name: str, role: tuple[str, str, str, bool]) -> None:
    assert role_of(name)[:4] == role
