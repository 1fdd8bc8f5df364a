"""The published data sets: official trees in, samples and classes out."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg import check
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.datasets import DATASETS, find_dataset
from semiseg.data.formats.masks import read_mask
from semiseg.data.reader import load_dataset, read_samples
from semiseg.data.splits import make_split
from semiseg.data.tree import Tree

NEEDS = {"coco": "pycocotools"}
TINY = {
    "method": "css",
    "weights": "none",
    "encoder": "lcnet_035",
    "size": 48,
    "crop": 32,
    "batch": 2,
    "steps": 2,
    "validations": 1,
    "workers": 0,
    "accelerator": "cpu",
}


@pytest.fixture(params=[*DATASETS, "loveda"])
def dataset_tree(request, official_tree):
    """Each data set with its tree, and the data set of the walk-through in CONTRIBUTING.md."""
    if request.param not in DATASETS:
        request.getfixturevalue(request.param)
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param])
    return DATASETS[request.param], official_tree(request.param)


def indices(sample, classes):
    return np.array(read_mask(sample.mask, classes))


# --- what holds for every data set


def test_its_tree_is_recognized_and_opened(dataset_tree):
    dataset, root = dataset_tree
    match = find_dataset(Tree(root))
    assert match is not None
    assert match.name == dataset.name.removesuffix("-blender")
    folder = load_dataset(root, dataset=dataset.name)
    assert sum(s.mask is not None for s in folder.train) >= 4
    assert len(folder.val) == 2
    for sample in folder.val:
        values = set(np.unique(indices(sample, folder.classes)).tolist())
        assert values <= {*range(len(folder.classes)), IGNORE_INDEX}


def test_it_says_where_it_comes_from_and_draws_its_tree(dataset_tree):
    dataset, _ = dataset_tree
    assert dataset.home.startswith("http")
    assert dataset.license
    assert "```" in (type(dataset).__doc__ or "")
    assert len(dataset.names) == len(dataset.colors) == len(set(dataset.names))


@pytest.mark.slow
def test_check_train_and_evaluate_take_it_as_it_is(dataset_tree, tmp_path):
    dataset, root = dataset_tree
    report = semiseg.check(root, dataset=dataset.name)
    assert report.ok, report.text()
    run = semiseg.train(root, dataset=dataset.name, out=tmp_path / "run", **TINY)
    scores = semiseg.evaluate(run.folder, root, dataset=dataset.name, accelerator="cpu")
    assert scores.miou == pytest.approx(run.scores.choice.miou)


def test_a_partial_tree_says_what_is_missing_and_where_to_get_it(dataset_tree, required_folder):
    dataset, root = dataset_tree
    shutil.rmtree(root / required_folder(dataset.name))
    with pytest.raises(DataError) as error:
        load_dataset(root, dataset=dataset.name)
    assert dataset.home in str(error.value)
    report = semiseg.check(root, dataset=dataset.name)
    assert not report.ok
    assert dataset.home in " ".join(report.text().split())  # it breaks lines


# --- what is particular to one


def test_voc_classic_teaches_its_own_list_and_knows_the_rest_as_unlabeled(official_tree):
    root = official_tree("voc")
    folder = load_dataset(root)
    assert [s.name for s in folder.train if s.mask] == [f"2007_{i:06d}" for i in range(4)]
    assert [s.name for s in folder.train if not s.mask] == [f"2007_{i:06d}" for i in range(6, 10)]
    assert all(s.mask.parent.name == "SegmentationClass" for s in folder.train if s.mask)
    shutil.rmtree(root / "SegmentationClassAug")
    rest = [s.name for s in load_dataset(root).train if not s.mask]
    assert rest == [*(f"2007_{i:06d}" for i in range(6, 10)), "2009_000099"]


def test_voc_blender_teaches_the_rough_masks_and_scores_the_fine_ones(official_tree):
    folder = load_dataset(official_tree("voc"), dataset="voc-blender")
    assert {s.mask.parent.name for s in folder.train} == {"SegmentationClassAug"}
    assert len(folder.train) == 8
    assert {s.mask.parent.name for s in folder.val} == {"SegmentationClass"}


def test_masks_that_a_list_names_elsewhere_are_not_passed_over_in_silence(official_tree, tmp_path):
    root, path = official_tree("voc"), tmp_path / "labeled.txt"
    stems = [f"2007_{i:06d}" for i in range(4)]
    path.write_text("".join(f"JPEGImages/{s}.jpg SegmentationClassAug/{s}.png\n" for s in stems))
    notes = " ".join(make_split(load_dataset(root), str(path), 0).notes)
    assert (
        "names masks in SegmentationClassAug, but semiseg reads those in SegmentationClass" in notes
    )
    blender = load_dataset(root, dataset="voc-blender")
    assert "names masks" not in " ".join(make_split(blender, str(path), 0).notes)
    path.write_text("JPEGImages/2007_000042.jpg SegmentationClassAug/2007_000042.png\n")
    with pytest.raises(DataError, match=r"no labeled image JPEGImages/2007_000042\.jpg\.$"):
        make_split(blender, str(path), 0)


def test_no_mask_of_voc_counts_as_a_file_that_is_not_read(official_tree):
    root = official_tree("voc")
    for name in (None, "voc-blender"):
        findings = load_dataset(root, dataset=name).findings
        assert not [f for f in findings if f.kind == "not-read" and "Segmentation" in f.message]


def test_many_absent_classes_of_a_recognized_set_are_a_warning(official_tree):
    root = official_tree("voc")
    finding = next(f for f in check(root).findings if f.kind == "absent-class")
    assert finding.severity == "warning"
    assert f"`semiseg init {root} --dataset folder`" in finding.remedy
    named = next(f for f in check(root, dataset="voc").findings if f.kind == "absent-class")
    assert (named.severity, named.remedy) == ("note", "")
    semiseg.init(root)  # whoever has the file has seen the names
    own = next(f for f in check(root).findings if f.kind == "absent-class")
    assert own.severity == "note"


def test_voc_is_found_below_the_folder_that_torchvision_makes(official_tree, tmp_path):
    (tmp_path / "root" / "VOCdevkit").mkdir(parents=True)
    official_tree("voc").rename(tmp_path / "root" / "VOCdevkit" / "VOC2012")
    assert len(load_dataset(tmp_path / "root").val) == 2


def test_an_export_of_cvat_and_the_user_s_own_lists_are_no_voc(official_tree):
    root = official_tree("voc")
    (root / "labelmap.txt").write_text("background:0,0,0::\n")
    assert find_dataset(Tree(root)) is None
    root = official_tree("cityscapes")
    (root / "train.txt").write_text("")
    assert find_dataset(Tree(root)) is None


def test_cityscapes_prefers_train_ids_where_all_images_have_them(official_tree):
    root = official_tree("cityscapes")
    by_ids = load_dataset(root)
    before = [indices(s, by_ids.classes) for s in by_ids.val]
    assert by_ids.classes.codes[:2] == (7, 8)
    for path in sorted((root / "gtFine").rglob("*_labelIds.png")):
        codes = np.array(Image.open(path))
        train_ids = by_ids.classes.encode(codes.astype(np.int32), path)
        other = path.with_name(path.name.replace("labelIds", "labelTrainIds"))
        Image.fromarray(train_ids).save(other)
    by_train_ids = load_dataset(root)
    assert by_train_ids.classes.codes == tuple(range(19))
    for sample, expected in zip(by_train_ids.val, before, strict=True):
        assert sample.mask.stem.endswith("labelTrainIds")
        np.testing.assert_array_equal(indices(sample, by_train_ids.classes), expected)
    other.unlink()
    assert load_dataset(root).classes.codes[:2] == (7, 8)


def test_a_real_frame_of_cityscapes_reads_the_same_by_either_ids(shared_data):
    root = shared_data / "samples" / "cityscapes"
    (sample,) = read_samples(root, "val")
    assert sample.name == "frankfurt/frankfurt_000000_000294"
    dataset = DATASETS["cityscapes"]
    by_train_ids = indices(sample, dataset.classes(Tree(root), [sample.mask]))
    assert set(np.unique(by_train_ids)) == {0, 1, 2, 4, 5, 7, 8, 10, 11, 13, 255}
    label_ids = sample.mask.with_name(sample.mask.name.replace("TrainIds", "Ids"))
    by_ids = indices(sample._replace(mask=label_ids), dataset.classes(Tree(root), [label_ids]))
    # The frame's two files were reduced in size apart: along edges a few pixels differ.
    assert (by_ids == by_train_ids).mean() > 0.997
    raw = np.array(Image.open(label_ids))
    for code, index in ((7, 0), (8, 1), (11, 2), (17, 5), (21, 8), (23, 10), (26, 13)):
        assert (raw == code).any()
        assert set(np.unique(by_ids[raw == code])) == {index}
    assert set(np.unique(by_ids[raw < 7])) == {IGNORE_INDEX}


def test_real_pairs_of_ade20k_read_their_ids_less_one(shared_data):
    root = shared_data / "samples" / "ade20k"
    samples = read_samples(root, "val")
    assert [s.name for s in samples] == [f"ADE_val_{i:08d}" for i in (1, 2, 3)]
    classes = DATASETS["ade20k"].classes(Tree(root), [])
    names = [{classes.names[i] for i in np.unique(indices(s, classes)) if i < 255} for s in samples]
    assert names[0] == {"wall", "building", "sky", "tree", "road", "grass", "plant"}
    raw = np.array(Image.open(samples[2].mask))
    expected = np.where(raw == 0, 255, raw.astype(int) - 1)
    np.testing.assert_array_equal(indices(samples[2], classes), expected)


def test_cocostuff_reads_its_matrices_and_mmsegmentation_s_images_alike(official_tree, tmp_path):
    root = official_tree("cocostuff10k")
    official = load_dataset(root)
    assert official.classes.codes[11] == 13  # 12 is one of the ids that do not occur
    assert official.classes.codes[-1] == 182
    assert dict(zip(official.classes.codes, official.classes.names, strict=True))[92] == "banner"
    converted = tmp_path / "converted"
    for split, folder in (("train", "train2014"), ("val", "test2014")):
        for sample in getattr(official, split):
            values = indices(sample, official.classes)
            numbers = np.where(values == 255, 0, values + 1).astype(np.uint8)
            for place in ("images", "annotations"):
                (converted / place / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(sample.image, converted / "images" / folder)
            name = f"{sample.name}_labelTrainIds.png"
            Image.fromarray(numbers).save(converted / "annotations" / folder / name)
    other = load_dataset(converted)
    for ours, theirs in zip(official.val, other.val, strict=True):
        assert ours.name == theirs.name
        np.testing.assert_array_equal(
            indices(ours, official.classes), indices(theirs, other.classes)
        )


def test_camvid_ignores_void(official_tree):
    folder = load_dataset(official_tree("camvid"))
    raw = np.array(Image.open(folder.val[0].mask))
    assert (indices(folder.val[0], folder.classes) == 255).sum() == (raw == 11).sum() > 0
    assert len(folder.test) == 1


def test_coco_draws_the_small_above_the_large_and_ignores_crowds(official_tree):
    rle = pytest.importorskip("pycocotools.mask")
    root = official_tree("coco")
    file = root / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    crowd = rle.encode(np.asfortranarray(np.eye(48, 64, dtype=np.uint8)))
    crowd["counts"] = crowd["counts"].decode()
    content["annotations"].append(
        {"image_id": 0, "category_id": 3, "iscrowd": 1, "segmentation": crowd}
    )
    file.write_text(json.dumps(content))
    folder = load_dataset(root)
    assert folder.classes.names == ("background", "crop", "weed")
    mask = indices(folder.val[0], folder.classes)
    assert mask[20, 30] == 2  # weed, though it is listed before the crop below it
    assert mask[35, 50] == 1
    assert mask[0, 0] == 255
    assert mask[0, 5] == 0
    content["annotations"] = content["annotations"][:2]
    file.write_text(json.dumps(content))
    assert len(load_dataset(root).val) == 1  # the other image has no annotations now


def test_coco_as_roboflow_exports_it(official_tree, tmp_path):
    pytest.importorskip("pycocotools")
    source = official_tree("coco")
    for old, new in (("train", "train"), ("val", "valid")):
        folder = tmp_path / "export" / new
        folder.mkdir(parents=True)
        content = json.loads((source / "annotations" / f"instances_{old}2017.json").read_text())
        content["categories"].insert(0, {"id": 0, "name": "plants", "supercategory": "none"})
        for category in content["categories"][1:]:
            category["supercategory"] = "plants"
        (folder / "_annotations.coco.json").write_text(json.dumps(content))
        for entry in content["images"]:
            shutil.copy(source / f"{old}2017" / entry["file_name"], folder)
    before, after = load_dataset(source), load_dataset(tmp_path / "export")
    assert after.classes.names == before.classes.names == ("background", "crop", "weed")
    for split in ("train", "val"):
        old, new = getattr(before, split), getattr(after, split)
        assert [s.name for s in old] == [s.name for s in new]
        for a, b in zip(old, new, strict=True):
            assert (a.mask is None) == (b.mask is None)
            if a.mask is not None:
                assert np.array_equal(indices(a, before.classes), indices(b, after.classes))
    missing = after.val[0].image
    missing.unlink()
    with pytest.raises(DataError, match=rf"names {missing.name}, which does not lie below"):
        load_dataset(tmp_path / "export")


def test_a_box_without_an_outline_is_skipped_and_counted(official_tree):
    pytest.importorskip("pycocotools")
    root = official_tree("coco")
    file = root / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    content["annotations"][2].update(id=77, segmentation=[])  # the small one of image 1
    file.write_text(json.dumps(content))
    data = load_dataset(root)
    skipped = [finding for finding in data.findings if finding.kind == "skipped-shape"]
    assert [(f.severity, f.files) for f in skipped] == [
        ("warning", ("annotations/instances_val2017.json",))
    ]
    assert "1 box" in skipped[0].message
    assert len(data.val) == 2
    assert set(np.unique(indices(data.val[1], data.classes))) == {0, 1}


def test_a_category_above_itself_is_a_class(official_tree):
    pytest.importorskip("pycocotools")
    root = official_tree("coco")
    for file in (root / "annotations").glob("*.json"):
        content = json.loads(file.read_text())
        content["categories"] += [{"id": 1, "name": "person", "supercategory": "person"}]
        content["categories"] += [{"id": 2, "name": "None", "supercategory": ["x"]}]
        file.write_text(json.dumps(content))
    assert load_dataset(root).classes.names == ("background", "person", "None", "crop", "weed")


def test_roboflows_json_in_a_folder_of_masks_is_left_over(tiny_folder, tmp_path):
    data = shutil.copytree(tiny_folder, tmp_path / "data")
    (data / "train" / "_annotations.coco.json").write_text("{}")
    assert find_dataset(Tree(data)) is None


def test_a_group_with_annotations_of_its_own_is_a_class(official_tree):
    pytest.importorskip("pycocotools")
    root = official_tree("coco")
    for file in (root / "annotations").glob("*.json"):
        content = json.loads(file.read_text())
        first, *others = content["categories"]
        for category in others:
            category["supercategory"] = first["name"]
        file.write_text(json.dumps(content))
    assert load_dataset(root).classes.names == ("background", "crop", "weed")


def test_an_unknown_data_set_is_one_sentence_with_the_nearest_name(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'cityscapes'"):
        read_samples(tmp_path, "train", "cityscape")


def test_folder_reads_a_tree_as_if_it_were_unknown(official_tree):
    assert find_dataset(Tree(official_tree("cityscapes")), "folder") is None


def test_voc_is_downloaded_by_torchvision(monkeypatch, official_tree, tmp_path):
    calls = []

    def fake(root, **settings):
        calls.append(settings)
        (root / "VOCdevkit").mkdir()
        official_tree("voc").rename(root / "VOCdevkit" / "VOC2012")

    monkeypatch.setattr("torchvision.datasets.VOCSegmentation", fake)
    folder = semiseg.download("voc", out=tmp_path / "out").folder
    assert calls == [{"year": "2012", "image_set": "train", "download": True}]
    assert len(load_dataset(folder).val) == 2


def test_what_cannot_be_downloaded_says_where_it_is(monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match=r"yourself from https://www\.cityscapes-dataset\.com"):
        semiseg.download("cityscapes", out=tmp_path)
    with pytest.raises(ConfigError, match="Did you mean 'voc'"):
        semiseg.download("vox", out=tmp_path)

    def broken(root, **settings):
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr("torchvision.datasets.VOCSegmentation", broken)
    with pytest.raises(DataError, match="could not download"):
        semiseg.download("voc", out=tmp_path)
