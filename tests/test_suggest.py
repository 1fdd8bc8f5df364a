"""What to label next: the choice by hand, and what is written."""

import csv
import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import semiseg
from semiseg.checks.examine import examine
from semiseg.cli import main
from semiseg.core.errors import ConfigError, DataError, RunError
from semiseg.core.types import NOTHING_SAID, Prediction
from semiseg.data.classes.classes_writer import classes_yaml
from semiseg.data.classes.named_classes import read_classes
from semiseg.data.formats.codes import scan_mask
from semiseg.data.formats.masks import Classes, read_mask
from semiseg.data.formats.outlines import outlines, write_outlines
from semiseg.data.reader import load_dataset
from semiseg.inference.predictor import Predictor
from semiseg.scenes.draw import write_scenes
from semiseg.suggestion.next_steps import next_steps
from semiseg.suggestion.ranking import Candidate, Suggestion, choose


def candidate(name, doubt, disagreement=None):
    return Suggestion(name, Path(name), 0.0, doubt, disagreement, 1.0)


def candidates(suggestions, *angles):
    return list(map(Candidate, suggestions, vectors(*angles)))


def vectors(*angles):
    return [np.array([np.cos(a), np.sin(a)], np.float32) for a in angles]


def test_doubt_decides_among_images_that_are_equally_far():
    candidate_list = [candidate("a", 0.1), candidate("b", 0.4), candidate("c", 0.2)]
    every = candidates(candidate_list, 0, 2 * np.pi / 3, 4 * np.pi / 3)
    assert [s.name for s in choose(every, [], 3)] == ["b", "c", "a"]


def test_the_spaces_disagreement_counts_as_much_as_doubt():
    assert candidate("a", 0.2, 0.6).worth == pytest.approx(0.4)
    assert candidate("a", 0.2).worth == 0.2


def test_no_two_of_a_kind_are_chosen():
    candidate_list = [candidate("a", 0.5), candidate("twin", 0.49), candidate("other", 0.1)]
    picks = choose(candidates(candidate_list, 0, 0.001, 3), [], 3)
    assert [s.name for s in picks] == ["a", "other"]


def test_what_is_like_a_labeled_image_comes_last():
    candidate_list = [candidate("near", 0.5), candidate("far", 0.3)]
    picks = choose(candidates(candidate_list, 0.3, 3), vectors(0), 2)
    assert [s.name for s in picks] == ["far", "near"]
    assert picks[0].distance > 1
    assert picks[0].score == pytest.approx(0.3 * picks[0].distance)


@pytest.fixture
def run_folder(css_release, tiny_folder, tmp_path):
    """The release, with the lists of a training on the tiny folder."""
    run = shutil.copytree(css_release, tmp_path / "run")
    (run / "split").mkdir()
    (run / "split" / "labeled.txt").write_text("0000\n0001\n")
    (run / "split" / "val.txt").write_text("0000\n0001\n")  # names of other images than above
    (run / "config.yaml").write_text(f"data: {tiny_folder}\n")
    return run


@pytest.mark.slow
def test_the_command_writes_lists_a_picture_and_a_folder_to_train_on(
    run_folder, tiny_folder, tmp_path, capsys
):
    out = tmp_path / "next"
    images = tiny_folder / "train" / "images"
    main(["suggest", str(run_folder), str(images), "-n", "2", "--out", str(out)])
    output = capsys.readouterr()
    assert "disagreement" in output.out
    assert "--start-from" in output.out
    assert "had masks" in output.err
    suggested = [Path(line) for line in (out / "suggested.txt").read_text().splitlines()]
    assert 1 <= len(suggested) <= 2
    assert {p.stem for p in suggested} <= {"0002", "0003"}  # those of the run are known already
    with (out / "suggested.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [str(p) for p in suggested]
    assert float(rows[0]["score"]) > 0
    with Image.open(out / "suggested.png") as picture:
        assert picture.width > 200
    model = semiseg.load(run_folder, accelerator="cpu")
    folder = load_dataset(out)
    assert folder.classes == model.classes
    assert {s.image.name for s in folder.train} == {p.name for p in suggested}
    for sample, path in zip(folder.train, sorted(suggested), strict=True):
        mask = np.array(read_mask(sample.mask, folder.classes))
        np.testing.assert_array_equal(mask, model.predict(path).mask)
    assert not [f for f in examine(out).errors() if f.kind != "no-val"]
    corrected = next((out / "train" / "masks").iterdir())
    before = corrected.read_bytes()
    with pytest.raises(RunError, match="--overwrite"):
        semiseg.suggest(run_folder, images, out=out, n=2)
    assert corrected.read_bytes() == before


def commands(text):
    """The lines of the advice that a shell is to run."""
    return [line.strip() for line in text.splitlines() if line.startswith("  ")]


def joined(data, *corrected):
    """The data with corrected masks, as a training reads them."""
    return load_dataset(data, flags=NOTHING_SAID._replace(corrected=corrected))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "out"),
    [
        *(("tree", "next"), ("flat", ".next"), ("within", "more/it's next")),
        *(
            pytest.param(layout, out, marks=pytest.mark.variants)
            for layout, out in [
                *(("tree", ".next"), ("tree", "more/it's next"), ("flat", "next")),
                *(("flat", "more/it's next"), ("within", "next"), ("within", ".next")),
            ]
        ),
    ],
)
def test_the_advice_trains_on_the_masks_and_the_data_and_changes_neither(
    run_folder, tiny_folder, tmp_path, layout, out
):
    data, out = tmp_path / "my data", tmp_path / out
    source = shutil.copytree(tiny_folder / "train", tmp_path / "source")
    images, masks = {
        "tree": ("train/images", "train/masks"),
        "flat": ("images", "masks"),
        "within": ("images/train", "masks/train"),
    }[layout]
    for here, there in (("images", images), ("masks", masks)):
        (data / there).parent.mkdir(parents=True, exist_ok=True)
        (source / here).rename(data / there)
    settings = {"data": str(data), "size": 48, "value_range": [0, 99], "dataset": "folder"}
    (run_folder / "config.yaml").write_text(yaml.safe_dump(settings))
    photos = shutil.copytree(tiny_folder / "unlabeled", tmp_path / "photos")
    first, second, *_ = sorted(photos.iterdir())
    renamed = first.rename(first.with_name(min((data / images).iterdir()).name))  # by another image
    with Image.open(second) as picture:  # two that differ in the suffix alone
        picture.rotate(180).save(renamed.with_suffix(".bmp"))
    before = {p: p.read_bytes() for p in data.rglob("*") if p.is_file()}
    picks = semiseg.suggest(run_folder, photos, out=out, n=9, accelerator="cpu").images
    assert {".bmp", renamed.suffix} <= {one.image.suffix for one in picks}
    (train,) = commands(next_steps(run_folder, out))
    assert shlex.split(train) == [
        *("semiseg", "train", "--config", str(run_folder / "config.yaml")),
        *("--start-from", str(run_folder), "--corrected", str(out), "--out", "OTHER"),
    ]
    labeled = {s.image.read_bytes() for s in joined(data, out).train if s.mask}
    assert {one.image.read_bytes() for one in picks} <= labeled
    assert len(labeled) == 4 + len(picks)
    assert all(p.read_bytes() == content for p, content in before.items())


def test_masks_whose_data_are_gone_are_trained_on_alone(run_folder, tmp_path):
    for root in (tmp_path / "gone", tmp_path / ("long" * 99), "", 7):
        (run_folder / "config.yaml").write_text(f"data: {root}\n")
        (train,) = commands(next_steps(run_folder, tmp_path / "next"))
        assert shlex.split(train)[:3] == ["semiseg", "train", str(tmp_path / "next")]


def test_the_data_of_the_run_are_no_place_to_write(run_folder, tiny_folder):
    with pytest.raises(ConfigError, match="is the data folder of"):
        semiseg.suggest(run_folder, tiny_folder, out=tiny_folder, accelerator="cpu")


def test_moved_data_whose_images_are_asked_for_are_known(run_folder, tiny_folder, tmp_path, log):
    (run_folder / "config.yaml").write_text(f"data: {tmp_path / 'gone'}\n")
    data = shutil.copytree(tiny_folder, tmp_path / "moved")
    suggestion = semiseg.suggest(
        run_folder, data, out=tmp_path / "out", n=99, accelerator="cpu"
    ).images
    expected = {
        data / split / "images" / f"000{i}.jpg" for split in ("train", "val") for i in (0, 1)
    }
    assert not expected & {one.image for one in suggestion}
    assert "cannot find the data" not in log.text


def test_masks_beside_images_of_their_name_are_not_suggested(run_folder, tiny_folder, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for image in sorted((tiny_folder / "unlabeled").iterdir())[:3]:
        with Image.open(image) as picture:
            picture.convert("RGB").save(data / f"{image.stem}.jpg")
    *masked, rest = sorted(data.iterdir())
    (run_folder / "config.yaml").write_text(f"data: {data}\n")
    for name, image in zip(("labeled", "val"), masked, strict=True):
        mask = next((tiny_folder / "train" / "masks").iterdir())
        shutil.copy(mask, image.with_suffix(".png"))
        (run_folder / "split" / f"{name}.txt").write_text(f"{image.stem}\n")
    suggestion = semiseg.suggest(
        run_folder, data, out=tmp_path / "out", n=9, accelerator="cpu"
    ).images
    assert [one.image for one in suggestion] == [rest]


def held_out_photos(run_folder, tiny_folder, tmp_path):
    """Data without `val`, of which the run held out 0001, and all photographs in a new folder."""
    data, full = tmp_path / "data", tmp_path / "full"
    shutil.copytree(tiny_folder / "train", data / "train")
    shutil.copytree(tiny_folder / "train", full / "train", ignore=lambda *_: ["0000.png"])
    shutil.copytree(tiny_folder / "unlabeled", full / "unlabeled")
    shutil.copy(data / "train" / "images" / "0000.jpg", full / "unlabeled" / "again.jpg")
    shutil.copytree(tiny_folder / "val" / "images", data / "test" / "images")
    (run_folder / "split" / "labeled.txt").write_text("0000\n")
    (run_folder / "split" / "val.txt").write_text("0001\n")
    (run_folder / "config.yaml").write_text(f"data: {data}\n")
    return data, full


def test_masks_and_val_of_another_folder_are_not_suggested(run_folder, tiny_folder, tmp_path, log):
    data, full = held_out_photos(run_folder, tiny_folder, tmp_path)
    (full / "train" / "masks" / "0001.png").unlink()  # held out by the run, without a mask here
    shutil.copy(data / "test" / "images" / "0000.jpg", full / "unlabeled" / "scored.jpg")
    choice = {"out": tmp_path / "out", "n": 99, "accelerator": "cpu"}
    images = semiseg.suggest(run_folder, full, **choice).images
    unlabeled = {full / "unlabeled" / path.name for path in (tiny_folder / "unlabeled").iterdir()}
    assert images
    assert {one.image for one in images} <= unlabeled
    assert "2 images that have masks already are left out" in log.text
    assert "4 images had masks in" in log.text
    shutil.rmtree(full / "unlabeled")
    with pytest.raises(DataError, match="all have masks, or belong to val or test"):
        semiseg.suggest(run_folder, full, **choice | {"overwrite": True})


def test_one_list_holds_the_best_images_of_several_folders(
    run_folder, tiny_folder, tmp_path, capsys
):
    photos = sorted((tiny_folder / "unlabeled").iterdir())
    folders = [tmp_path / place / "visit" for place in ("north", "south")]
    for folder, files in zip(folders, (photos[:3], photos[3:6]), strict=True):
        folder.mkdir(parents=True)
        for number, file in enumerate(files):
            shutil.copy(file, folder / f"{number}{file.suffix}")
    out = tmp_path / "next"
    words = ["suggest", str(run_folder), *map(str, folders), str(tmp_path), "-n", "6"]
    main([*words, "--out", str(out)])
    suggested = [Path(line) for line in (out / "suggested.txt").read_text().splitlines()]
    assert {path.parent for path in suggested} == set(folders)
    assert len(suggested) == len(set(suggested))
    copies = {
        file.parent.relative_to(out / "train/images") / file.stem: file
        for file in (out / "train/images").rglob("*")
        if file.is_file()
    }
    assert len(copies) == len(suggested)
    table = capsys.readouterr().out
    for path in suggested:
        name = path.relative_to(tmp_path).with_suffix("")
        assert copies[name].read_bytes() == path.read_bytes()
        assert name.as_posix() in table


def test_several_places_must_be_folders(run_folder, tmp_path):
    (tmp_path / "list.txt").touch()
    with pytest.raises(ConfigError, match=r"list\.txt is no folder"):
        semiseg.suggest(run_folder, tmp_path, (str(tmp_path / "list.txt"),))
    with pytest.raises(ConfigError, match="only the first word"):
        semiseg.suggest(tmp_path, tmp_path, more=[str(run_folder)])


def test_names_of_val_are_not_suggested_where_the_data_are_gone(
    run_folder, tiny_folder, tmp_path, log
):
    data, full = held_out_photos(run_folder, tiny_folder, tmp_path)
    shutil.rmtree(data)
    photos = shutil.copytree(full / "train" / "images", tmp_path / "photos")
    for name in ("0000", "0001"):
        run_folder.joinpath("split", "val.txt").write_text(f"day/{name}\n")
        out = tmp_path / f"without {name}"
        images = semiseg.suggest(run_folder, photos, out=out, accelerator="cpu").images
        assert images
        assert name not in {one.image.stem for one in images}
    assert "1 image with names of validation images of" in log.text


@pytest.mark.slow
def test_data_that_were_moved_are_named(run_folder, tiny_folder, tmp_path, capsys):
    (run_folder / "config.yaml").write_text(f"data: {tmp_path / 'gone'}\n")
    data = shutil.copytree(tiny_folder, tmp_path / "moved")
    other = tmp_path / "other"
    (other / "images").mkdir(parents=True)
    Image.new("RGB", (64, 48)).save(other / "images" / "strange.png")
    with pytest.raises(ConfigError, match="does not hold the images"):
        semiseg.suggest(run_folder, data, out=tmp_path / "out", data=other, accelerator="cpu")
    words = [run_folder, data, "--out", tmp_path / "out", "--data", data, "--accelerator", "cpu"]
    main(["suggest", *map(str, words), "--n", "99"])
    output = capsys.readouterr()
    assert "cannot find the data" not in output.err
    *copies, train = commands(output.out)
    assert shlex.split(train)[:3] == ["semiseg", "train", str(data)]
    assert all(str(data / "train") in copy for copy in copies)
    listed = (tmp_path / "out" / "suggested.txt").read_text().splitlines()
    assert listed
    assert not {str(data / "val" / "images" / f"000{i}.jpg") for i in (0, 1)} & set(listed)


def test_classes_of_colors_are_written_without_ids(tmp_path):
    classes = Classes(("a", "b"), ((0, 0, 0), (9, 9, 9)), "colors", (0, 0x090909), (0x010101,))
    text = classes_yaml(classes)
    assert "id" not in text["classes"][0]
    path = tmp_path / "classes.yaml"
    path.write_text(yaml.safe_dump(text))
    mask = tmp_path / "mask.png"
    Image.new("RGB", (2, 2), (9, 9, 9)).save(mask)
    assert read_classes(path, [scan_mask(mask)])[0] == classes


def test_a_run_without_prototypes_and_without_its_data_says_so(
    plain_release, tiny_folder, tmp_path, log
):
    images = tiny_folder / "unlabeled"
    suggestion = semiseg.suggest(
        plain_release, images, out=tmp_path / "out", n=2, accelerator="cpu"
    ).images
    assert "was trained without prototypes" in log.text
    assert "cannot find the data" in log.text
    assert "--data DATA" in log.text
    assert all(s.disagreement is None for s in suggestion)


def test_broken_images_are_reported_and_no_readable_image_is_an_error(
    plain_release, tmp_path, capsys
):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="1 image cannot be read"):
        semiseg.suggest(plain_release, tmp_path / "in", out=tmp_path / "out", accelerator="cpu")
    with pytest.raises(ConfigError, match="--n 0"):
        semiseg.suggest(plain_release, tmp_path / "in", out=tmp_path / "out", n=0)
    with pytest.raises(ConfigError, match="exported"):
        semiseg.suggest(tmp_path / "m.onnx", tmp_path / "in", out=tmp_path / "out")


@pytest.mark.slow
def test_masks_of_labelme_are_corrected_in_labelme_and_join_the_others(tmp_path, monkeypatch):
    data, photos = tmp_path / "data", tmp_path / "photos"
    scenes = write_scenes(tmp_path / "scenes", labeled=4, unlabeled=3, val=0, size=(96, 128))
    shutil.move(scenes / "unlabeled", photos)
    (data / "images").mkdir(parents=True)
    labels = ["_background_", "forêt/é", "Ab"]
    for image in sorted((scenes / "train" / "images").iterdir()):
        mask = np.array(Image.open(scenes / "train" / "masks" / f"{image.stem}.png")) % 3
        shutil.copy(image, data / "images")
        beside = data / "images" / f"{image.stem}.json"
        write_outlines(beside, outlines(mask, 0), dict(enumerate(labels)), image, mask.shape[::-1])
    small = {"encoder": "lcnet_035", "weights": "none", "size": 48, "crop": 32, "batch": 2}
    small |= {"steps": 1, "validations": 1, "workers": 0, "accelerator": "cpu"}
    small |= {"method": "supervised"}
    run = semiseg.train(data, out=tmp_path / "run", **small).folder
    predicted = np.zeros((96, 128), np.uint8)  # a step teaches nothing yet
    predicted[10:60, 20:90], predicted[30:50, 40:80], predicted[35:45, 50:60] = 1, 0, 2
    sure = Prediction(predicted, np.ones((96, 128), np.float32))
    really = Predictor.predict
    monkeypatch.setattr(
        Predictor, "predict", lambda self, image, **_: (really(self, image), sure)[1]
    )
    out = tmp_path / "next"
    images = semiseg.suggest(run, photos, out=out, n=2, accelerator="cpu").images
    assert not (out / "train" / "masks").exists()
    for one in images:
        beside = out / "train" / "images" / f"{one.name}.json"
        assert json.loads(beside.read_text())["imagePath"] == one.image.name
        assert len(json.loads(beside.read_text())["shapes"]) == 3
        assert np.array_equal(read_mask(beside, semiseg.load(run).classes), predicted)
    with pytest.raises(RunError, match="may hold masks that you corrected"):
        semiseg.suggest(run, photos, out=out, n=2, accelerator="cpu")
    assert f"labelme {out}/train/images --labels {out}/labels.txt" in next_steps(run, out)
    assert (out / "labels.txt").is_file()
    (train,) = commands(next_steps(run, out))
    assert shlex.split(train)[-4:-2] == ["--corrected", str(out)]
    together = joined(data, out)
    assert sum(s.mask is not None for s in together.train) == 4 + len(images)
    assert together.classes.encoding == "labels"
    (out / "train" / "masks").mkdir()
    with pytest.raises(RunError, match="holds masks of pixels, and this call would add LabelMe"):
        semiseg.suggest(run, photos, out=out, n=2, overwrite=True, accelerator="cpu")


@pytest.mark.parametrize("way", ["_mask", "_GT", "", "masks"])
@pytest.mark.parametrize("there", [True, False])
def test_masks_join_others_of_any_layout(tiny_folder, tmp_path, way, there):
    data, out = tmp_path / "all my photos", tmp_path / "the next"
    source = tmp_path / "photos"
    for folder in (data, source, out / "train" / "images", out / "train" / "masks"):
        folder.mkdir(parents=True)
    for image in (tiny_folder / "unlabeled").iterdir():
        with Image.open(image) as picture:
            picture.convert("RGB").save((data if there else source) / f"{image.stem} x.jpg")
    mask = next((tiny_folder / "train" / "masks").iterdir())
    shutil.copy(next((tiny_folder / "unlabeled").iterdir()), data / "own.jpg")
    with Image.open(data / "own.jpg") as picture:
        picture.convert("RGB").save(data / "own.jpg", "JPEG")
    own_mask = data / ("masks/own.png" if way == "masks" else f"own{way}.png")
    own_mask.parent.mkdir(exist_ok=True)
    shutil.copy(mask, own_mask)
    images = sorted(p for p in (data if there else source).iterdir() if " x" in p.name)[:2]
    for image in images:
        shutil.copy(image, out / "train" / "images")
        shutil.copy(mask, out / "train" / "masks" / f"{image.stem}.png")
    (out / "suggested.txt").write_text("".join(f"{image}\n" for image in images))
    together = joined(data, out)
    names = {"own", *(f"the next/{image.stem}" for image in images)}
    assert {s.name for s in together.train if s.mask} == names
    left = {p.stem for p in (tiny_folder / "unlabeled").iterdir()} if there else set()
    left = {f"{stem} x" for stem in left} - {image.stem for image in images}
    assert {s.name for s in together.train if not s.mask} == left


def test_shapes_of_labelme_and_masks_of_pixels_are_not_mixed(tiny_folder, tmp_path):
    data, out = tmp_path / "data", tmp_path / "next"
    shutil.copytree(tiny_folder / "unlabeled", data)
    mask = np.zeros((48, 64), np.uint8)
    mask[9:20, 9:30] = 1
    for image in sorted(data.iterdir())[:2]:
        beside = image.with_suffix(".json")
        write_outlines(beside, outlines(mask, 0), {0: "_background_", 1: "a"}, image, (64, 48))
    shutil.copytree(tiny_folder / "train", out / "train")
    with pytest.raises(DataError, match="are masks of pixels, and those of the data"):
        joined(data, out)


def test_an_ignored_background_of_labelme_stays_ignored():
    classes = Classes(("a", "b"), ((1, 2, 3), (4, 5, 6)), "labels", (300, 301), (0, 255))
    text = classes_yaml(classes)
    assert text["ignore"] == ["_background_"]
    assert text["classes"] == [{"name": "a", "color": [1, 2, 3]}, {"name": "b", "color": [4, 5, 6]}]


@pytest.mark.slow
def test_a_labeling_tool_gets_files_and_the_steps_to_import_them(
    run_folder, tiny_folder, tmp_path, capsys
):
    out = tmp_path / "next"
    words = ["suggest", str(run_folder), str(tiny_folder / "unlabeled"), "-n", "2"]
    every_region = ["--min-area", "0"]
    main([*words, *every_region, "--format", "cvat", "--out", str(out), "--accelerator", "cpu"])
    text = capsys.readouterr().out
    assert f"1. Create a task of CVAT with the images of {out}/train/images. " in text
    (convert,) = commands(text)
    words_of_convert = ["--like", str(run_folder), "--out", f"{out}-corrected"]
    assert shlex.split(convert) == ["semiseg", "convert", str(out), *words_of_convert]
    assert {path.name for path in (out / "train").iterdir()} == {"images", "annotations.xml"}
    model = semiseg.load(run_folder, accelerator="cpu")
    folder = load_dataset(out)
    for sample in folder.train:
        mask = np.array(read_mask(sample.mask, folder.classes))
        names = np.array(folder.classes.names)[mask]
        expected = np.array(model.classes.names)[model.predict(sample.image, scale="fit").mask]
        np.testing.assert_array_equal(names, expected)
    arguments = {"out": out, "accelerator": "cpu"}
    with pytest.raises(RunError, match="--overwrite"):
        semiseg.suggest(*words[1:3], file_format="cvat", **arguments)
    with pytest.raises(RunError, match="holds CVAT's annotations, and this call would add COCO's"):
        semiseg.suggest(*words[1:3], file_format="coco", overwrite=True, **arguments)


def test_folders_with_a_meaning_do_not_hide_what_was_corrected(run_folder, tiny_folder, tmp_path):
    data, out = shutil.copytree(tiny_folder, tmp_path / "data"), tmp_path / "next"
    (run_folder / "config.yaml").write_text(f"data: {data}\n")
    before = sum(sample.mask is not None for sample in load_dataset(data).train)
    images = semiseg.suggest(run_folder, data, out=out, n=2, accelerator="cpu").images
    assert all("unlabeled" in one.image.parts for one in images)
    assert sum(sample.mask is not None for sample in load_dataset(out).train) == len(images)
    together = joined(data, out)
    assert sum(sample.mask is not None for sample in together.train) == before + len(images)
    left = {sample.image.resolve() for sample in together.train if sample.mask is None}
    assert not left & {one.image.resolve() for one in images}  # an image counts once


def test_shapes_for_labelme_do_not_join_masks_of_pixels(run_folder, tiny_folder, tmp_path):
    (run_folder / "config.yaml").write_text(f"data: {tiny_folder}\n")
    out = tmp_path / "next"
    suggestions = semiseg.suggest(
        run_folder,
        tiny_folder / "unlabeled",
        out=out,
        n=1,
        file_format="labelme",
        accelerator="cpu",
    )
    (convert,) = commands(suggestions.next_steps)
    assert shlex.split(convert)[:3] == ["semiseg", "convert", str(out)]
    assert f"labelme {out}/train/images --labels {out}/labels.txt" in suggestions.next_steps
    model = semiseg.load(run_folder, accelerator="cpu")
    assert load_dataset(out).classes.names == model.classes.names


def test_a_choice_without_a_run_has_no_masks_to_write(tiny_folder, tmp_path):
    with pytest.raises(ConfigError, match="--format coco is for the masks of a model"):
        semiseg.suggest(tiny_folder, out=tmp_path / "first", file_format="coco")
