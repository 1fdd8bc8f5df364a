"""Images at addresses and in pools as `predict` finds them."""

import fsspec
import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg.config.shard import ALL
from semiseg.core.errors import DataError
from semiseg.data.pools.address import Address
from semiseg.inference.image_sources import select_images


@pytest.fixture
def store():
    """A folder of an object store with two images and a text."""
    memory = fsspec.filesystem("memory")
    for name in ("a.png", "deep/b.png"):
        with memory.open(f"/bucket/images/{name}", "wb") as file:
            pixels = np.random.default_rng(len(name)).integers(0, 256, (24, 32, 3), np.uint8)
            Image.fromarray(pixels).save(file, "PNG")
    memory.pipe_file("/bucket/images/notes.txt", b"text")
    yield memory
    memory.store.clear()


def names(text):
    return [source.name for source in select_images(text, None, (), ALL).sources]


def test_a_folder_a_file_and_a_list_at_addresses(store, tmp_path):
    assert names("memory://bucket/images") == ["a", "deep/b"]
    assert names("memory://bucket/images/deep/b.png") == ["b"]
    images = tmp_path / "list.txt"
    images.write_text("# two\nmemory://bucket/images/a.png\n\nmemory://bucket/images/deep/b.png\n")
    assert names(str(images)) == ["a", "deep/b"]


def test_results_of_an_earlier_call_are_no_images(store):
    out = Address("memory:///bucket/images/deep")
    selection = select_images("memory://bucket/images", None, (), ALL, store=out)
    assert [source.name for source in selection.sources] == ["a"]


def test_they_are_read_as_files_are(store, plain_release, tmp_path):
    store.get("/bucket/images/", str(tmp_path / "in"), recursive=True)
    local = semiseg.predict(plain_release, tmp_path / "in", out=tmp_path / "a", accelerator="cpu")
    remote = semiseg.predict(
        plain_release, "memory://bucket/images", out=tmp_path / "b", accelerator="cpu"
    )
    assert len(local.files) == len(remote.files) == 2
    for one, other in zip(local.files, remote.files, strict=True):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()


def test_what_cannot_be_read_is_named_and_the_others_are_written(store, plain_release, tmp_path):
    store.pipe_file("/bucket/images/c.png", b"no image")
    with pytest.raises(DataError, match=r"1 of 3 images .*\nmemory:///?bucket/images/c\.png"):
        semiseg.predict(
            plain_release, "memory://bucket/images", out=tmp_path / "out", accelerator="cpu"
        )
    assert len(list((tmp_path / "out").rglob("*.png"))) == 2


def test_paths_and_addresses_in_one_list_are_refused(tmp_path):
    (tmp_path / "list.txt").write_text("memory://bucket/a.png\nb.png\n")
    with pytest.raises(DataError, match="a list of each"):
        select_images(str(tmp_path / "list.txt"), None, (), ALL)


def test_a_place_without_images_is_refused(store):
    with pytest.raises(DataError, match="memory://bucket/nothing"):
        select_images("memory://bucket/nothing", None, (), ALL)
