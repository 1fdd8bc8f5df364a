"""Results that are brought to a folder or a store: nothing is lost, and nothing is done twice."""

import shutil

import fsspec
import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg.config.shard import ALL
from semiseg.core.errors import ConfigError, RunError
from semiseg.data.pools.address import Address
from semiseg.inference.delivery import predict_into
from semiseg.inference.image_request import ImageOptions
from semiseg.inference.image_sources import select_images
from semiseg.inference.load import load
from semiseg.inference.outputs import FolderOutput, StoreOutput, output_of

KINDS = ("overlays", "probabilities", "")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four images, of which `broken` cannot be read."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("a", "b", "deep/c"):
        (folder / name).parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:300])
    return folder


@pytest.fixture(scope="module")
def model(plain_release):
    return load(plain_release, "cpu")


@pytest.fixture(scope="module")
def expected(plain_release, photos, tmp_path_factory):
    """What a plain `predict` writes, by the path below its folder."""
    out = tmp_path_factory.mktemp("plain")
    with pytest.raises(semiseg.SemisegError, match=r"broken\.png"):
        semiseg.predict(
            plain_release, photos, out=out, overlay=True, probabilities=True, accelerator="cpu"
        )
    return contents(out)


@pytest.fixture
def store():
    """A folder of an object store."""
    yield StoreOutput(Address("memory://bucket/masks"))
    fsspec.filesystem("memory").store.clear()


def contents(folder):
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def stored():
    files = fsspec.filesystem("memory").store
    return {
        path.removeprefix("/bucket/masks/"): file.getvalue()
        for path, file in files.items()
        if path.startswith("/bucket/masks/")
    }


def run(model, photos, output, **options):
    """Predict into an output; the states of the images by their names."""
    records = []
    sources = select_images(str(photos), None, (), ALL).sources
    with output.prepared():
        predict_into(model, sources, output, ImageOptions(kinds=KINDS, **options), records.append)
    return {record.name: record.state for record in records}


NEW = {"a": "written", "b": "written", "deep/c": "written", "broken": "failed"}
AGAIN = {"a": "existed", "b": "existed", "deep/c": "existed", "broken": "failed"}


def test_a_folder_gets_what_a_plain_predict_writes(model, photos, expected, tmp_path):
    out = tmp_path / "out"
    assert run(model, photos, FolderOutput(out)) == NEW
    assert contents(out) == expected  # and nothing else
    times = {file: file.stat().st_mtime_ns for file in out.rglob("*.png")}
    assert run(model, photos, FolderOutput(out)) == AGAIN
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*.png")} == times


def test_a_store_gets_the_same_and_the_mask_comes_last(model, photos, expected, store, monkeypatch):
    memory = fsspec.filesystem("memory")
    puts = []
    put = memory.pipe_file
    monkeypatch.setattr(
        type(memory), "pipe_file", lambda self, path, value: (puts.append(path), put(path, value))
    )
    assert run(model, photos, store) == NEW
    assert stored() == expected
    assert len(puts) == len(expected)  # one request for each file
    for name in ("a", "b", "deep/c"):
        own = [path for path in puts if path.rsplit(".", 1)[0].endswith(f"/{name}")]
        assert own[-1] == f"/bucket/masks/{name}.png"
    assert run(model, photos, store) == AGAIN
    assert len(puts) == len(expected)


def test_a_corrected_mask_is_kept_and_what_lacks_is_added(model, photos, expected, store):
    run(model, photos, store)
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/masks/a.png", b"corrected")
    memory.rm("/bucket/masks/overlays/a.jpg")
    assert run(model, photos, store) == {**AGAIN, "a": "added"}
    assert stored() == {**expected, "a.png": b"corrected"}
    assert run(model, photos, store, overwrite=True) == NEW
    assert stored() == expected


def test_a_store_that_refuses_ends_the_command_and_keeps_what_it_has(
    model, photos, expected, store, monkeypatch
):
    memory = fsspec.filesystem("memory")
    put = memory.pipe_file

    def refuse(self, path, value):
        if path.endswith("masks/b.png"):
            raise OSError("403 at s3://key:secret@host")
        put(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "pipe_file", refuse)
        with pytest.raises(RunError, match=r"memory://bucket/masks/b\.png") as error:
            run(model, photos, store)
    assert "secret" not in str(error.value)
    assert run(model, photos, store) == {**NEW, "a": "existed"}
    assert stored() == expected


def test_what_a_killed_engine_left_behind_is_removed(model, photos, expected, tmp_path):
    out = FolderOutput(tmp_path / "out")
    with out.prepared():
        (tmp_path / "out/.semiseg/results-1/overlays").mkdir(parents=True)
        shutil.copytree(tmp_path / "out", tmp_path / "killed")
    out = FolderOutput(tmp_path / "killed")
    run(model, photos, out)
    assert contents(out.folder) == expected


def test_two_engines_do_not_write_into_one_folder(tmp_path):
    output = FolderOutput(tmp_path)
    with (
        output.prepared(),
        pytest.raises(RunError, match="Another process predicts into"),
        output.prepared(),
    ):
        pass


def test_a_machine_that_does_not_see_the_folder_says_so(model, photos, tmp_path):
    sources = select_images(str(photos), None, (), ALL).sources
    with pytest.raises(RunError, match="all machines share"):
        predict_into(model, sources, FolderOutput(tmp_path), ImageOptions(), print)


@pytest.mark.parametrize("text", ["https://host/masks", "memory://masks", "nothing://x"])
def test_an_address_that_cannot_be_written_is_refused(text):
    with pytest.raises(ConfigError, match=f"{text} cannot be written"):
        output_of(text)
