"""Unreadable images without masks: a training names them, leaves them out and goes on."""

import shutil

import pytest

import semiseg
from semiseg.checks.examine import examine
from semiseg.core.errors import RunError
from semiseg.training.checkpoint import newest_intact

SETTINGS = {
    **{"method": "mean_teacher", "weights": "none", "encoder": "lcnet_035", "accelerator": "cpu"},
    **{"size": 48, "crop": 32, "batch": 2, "steps": 4, "validations": 2, "threads": 1},
}
BROKEN = ["unlabeled/0001", "unlabeled/empty", "unlabeled/page"]


def spoil(tiny_folder, root):
    """A folder with a cut-off, an empty and a wrong file among its unlabeled images."""
    shutil.copytree(tiny_folder, root)
    cut = root / "unlabeled" / "0001.jpg"
    cut.write_bytes(cut.read_bytes()[:300])
    (root / "unlabeled" / "empty.jpg").touch()
    (root / "unlabeled" / "page.jpg").write_bytes(b"<html>not found</html>")
    return root


@pytest.fixture
def data(tiny_folder, tmp_path):
    return spoil(tiny_folder, tmp_path / "data")


@pytest.fixture(scope="module")
def whole(tiny_folder, tmp_path_factory):
    """The run of a folder with broken images."""
    folder = tmp_path_factory.mktemp("left-out")
    data = spoil(tiny_folder, folder / "data")
    return semiseg.train(data, out=folder / "run", workers=0, **SETTINGS).folder


@pytest.fixture
def unfinished(whole, tmp_path):
    """The run as it was before its last checkpoint and its scores."""
    out = shutil.copytree(whole, tmp_path / "unfinished")
    for name in ("scores.json", "model.safetensors", "model.json"):
        (out / name).unlink()
    newest_intact(out / "checkpoints")[0].unlink()
    return out


def bits(run):
    return (run / "model.safetensors").read_bytes()


def listed(run, name):
    return (run / "split" / f"{name}.txt").read_text().split()


def test_a_training_lists_the_images_that_it_leaves_out(whole):
    assert listed(whole, "unreadable") == BROKEN
    assert len(listed(whole, "unlabeled")) == 3
    assert not set(listed(whole, "unlabeled")) & set(BROKEN)


@pytest.mark.slow
def test_loader_processes_change_nothing(data, whole, tmp_path, log):
    run = semiseg.train(data, out=tmp_path / "run", workers=2, **SETTINGS).folder
    assert bits(run) == bits(whole)
    [warning] = [r for r in log.records if "Unreadable images without masks" in r.getMessage()]
    assert warning.levelname == "WARNING"
    assert all(f"{name}.jpg" in warning.getMessage() for name in BROKEN)


@pytest.mark.slow
def test_a_training_goes_on_as_if_the_files_were_not_there(data, whole, tmp_path):
    for name in BROKEN:
        (data / f"{name}.jpg").unlink()
    run = semiseg.train(data, out=tmp_path / "run", workers=0, **SETTINGS).folder
    assert bits(run) == bits(whole)
    assert not (run / "split" / "unreadable.txt").exists()


@pytest.mark.slow
def test_a_resumed_training_leaves_out_the_same_images_though_one_is_whole_now(
    data, whole, unfinished, tiny_folder, log
):
    shutil.copy(tiny_folder / "unlabeled" / "0001.jpg", data / "unlabeled" / "0001.jpg")
    semiseg.train(data, out=unfinished, resume=True)
    assert bits(unfinished) == bits(whole)
    assert "1 image that could not be read when the run began will stay" in log.text


def test_an_image_that_breaks_while_a_run_is_interrupted_is_named(data, unfinished, log):
    (data / "unlabeled" / "0002.jpg").write_bytes(b"")
    with pytest.raises(RunError, match="an image can no longer be read"):
        semiseg.train(data, out=unfinished, resume=True)
    assert "unlabeled/0002.jpg" in log.text


def test_check_only_warns_of_them_and_images_with_masks_still_stop(data):
    contents = examine(data)
    assert not contents.errors()
    [warning] = [f for f in contents.findings if f.kind == "unreadable-image"]
    assert (warning.severity, warning.files) == ("warning", tuple(f"{n}.jpg" for n in BROKEN))
    image = next((data / "train" / "images").iterdir())
    image.write_bytes(b"")
    [error] = examine(data).errors()
    assert error.files == (f"train/images/{image.name}",)
    assert len(error.details) == 1
