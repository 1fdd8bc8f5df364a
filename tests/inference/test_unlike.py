"""A trained model says which images are unlike those of its training."""

import csv
import json
import shutil
from dataclasses import replace
from functools import partial

import pytest
from PIL import Image

import semiseg
from semiseg.core.errors import ConfigError
from semiseg.inference import image_job
from semiseg.inference.figures import Record, Unusual

CPU = {"accelerator": "cpu"}
WARNING = "unlike the images of the training"


@pytest.fixture(scope="module")
def run(tiny_run):
    return tiny_run("css")


@pytest.fixture(scope="module")
def photos(tiny_folder, tmp_path_factory):
    """Four images of `val` and of the training, and a gray and a black one."""
    folder = tmp_path_factory.mktemp("photos")
    files = [*(tiny_folder / "val/images").iterdir(), *(tiny_folder / "unlabeled").iterdir()]
    for file in sorted(files)[:4]:
        shutil.copy(file, folder)
    name = sorted(files)[0]
    Image.open(name).convert("L").save(folder / "gray.png")
    Image.new("RGB", (64, 48)).save(folder / "black.png")
    return folder


def numbers(out):
    with (out / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return {row["name"]: row["unlike"] for row in csv.DictReader(file)}


def test_the_table_and_one_warning_name_the_images_that_are_unlike(run, photos, tmp_path, log):
    semiseg.predict(run, photos, out=tmp_path / "a", table=True, **CPU)
    warnings = [record.message for record in log.records if WARNING in record.message]
    assert len(warnings) == 1
    assert warnings[0].startswith("2 of 6 images are")
    assert "black (" in warnings[0]
    assert "gray (" in warnings[0]
    table = numbers(tmp_path / "a")
    assert {name for name, value in table.items() if float(value) > 1.5} == {"black", "gray"}
    model = semiseg.load(run, **CPU)
    for file in photos.iterdir():
        assert model.predict(file).unlike == float(table[file.stem])

    for shard in ("1/2", "2/2"):
        semiseg.predict(run, photos, out=tmp_path / "b", shard=shard, **CPU)
    log.clear()
    semiseg.predict(run, photos, out=tmp_path / "b", merge=True, **CPU)
    assert warnings[0] in log.text
    assert numbers(tmp_path / "b") == table

    log.clear()
    semiseg.predict(run, photos, out=tmp_path / "a", table=True, **CPU)  # nothing is left to do
    assert warnings[0] in log.text
    assert numbers(tmp_path / "a") == table


def test_without_a_table_the_warning_is_the_same(run, photos, tmp_path, log):
    semiseg.predict(run, photos, out=tmp_path, **CPU)
    assert "2 of 6 images are" in log.text


def test_a_limit_of_one_s_own_decides_about_the_warning(run, photos, tmp_path, log):
    predict = partial(semiseg.predict, run, photos, out=tmp_path, **CPU)
    predict(table=True, unlike_limit=5)
    values = numbers(tmp_path)
    assert "1 of 6 images are" in log.text  # the black one, and not the gray one
    assert "(above 5, where" in log.text
    log.clear()
    predict(merge=True, unlike_limit=100)
    assert WARNING not in log.text
    assert "above 100 is unlike" in log.text
    assert numbers(tmp_path) == values
    predict(overwrite=True, unlike_limit=5)  # without the ledger
    assert "1 of 6 images are" in log.text
    with pytest.raises(ConfigError, match="unlike"):
        predict(unlike_limit=0)


def test_an_image_that_is_read_in_strips_has_a_number(run, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(image_job, "LARGE", 1)
    semiseg.predict(run, photos, out=tmp_path, table=True, **CPU)
    assert all(numbers(tmp_path).values())
    assert float(numbers(tmp_path)["gray"]) > 1.5


def test_a_model_of_an_earlier_version_says_nothing(run, photos, tmp_path, log):
    old = shutil.copytree(run, tmp_path / "old")
    content = json.loads((old / "model.json").read_text())
    del content["references"]
    (old / "model.json").write_text(json.dumps(content))
    semiseg.predict(old, photos, out=tmp_path / "out", table=True, **CPU)
    assert set(numbers(tmp_path / "out").values()) == {""}
    assert WARNING not in log.text
    assert semiseg.load(old, **CPU).predict(photos / "gray.png").unlike is None


def test_few_images_of_a_training_say_nothing(tiny_run):
    content = json.loads((tiny_run("supervised") / "model.json").read_text())
    assert content["labels"] == 2
    assert "references" not in content


def test_a_folder_for_the_hub_has_the_numbers(run, photos, tmp_path):
    semiseg.export(run, file_format="hub", out=tmp_path / "hub")
    model, exported = (semiseg.load(path, **CPU) for path in (run, tmp_path / "hub"))
    assert exported.metadata.references == model.metadata.references


def test_the_most_unusual_images_are_named():
    unusual = Unusual()
    assert unusual.warning() == ""
    record = Record("a", "written", "a.png", unlike=1.5)
    for number, name in enumerate("abcde"):
        unusual.add(replace(record, name=name, unlike=1.5 + number % 4))
    unusual.add(replace(record, unlike=None))
    assert (unusual.images, unusual.count) == (5, 3)
    assert "d (4.5), c (3.5), b (2.5)." in unusual.warning()
