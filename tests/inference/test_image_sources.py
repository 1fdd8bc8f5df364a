"""Images of pools and at addresses are segmented as files are; few images are opened before."""

import io
import tarfile

import fsspec
import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg.config.shard import ALL, Shard
from semiseg.core.errors import ConfigError, DataError
from semiseg.inference import survey as survey_module
from semiseg.inference.figures import Record
from semiseg.inference.image_job import predict_images
from semiseg.inference.image_request import ImageOptions, LocalImage
from semiseg.inference.image_sources import select_images
from semiseg.inference.survey import survey

CPU = {"accelerator": "cpu"}
GDAL_NODATA = 42113  # the tag of a TIFF
NAMES = ("cam/1.png", "cam/2.jpg", "3.png", "cam/broken.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "cam").mkdir()
    rng = np.random.default_rng(0)
    for name in NAMES[:-1]:
        pixels = rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / NAMES[-1]).write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def expected(plain_release, photos, tmp_path_factory):
    """The masks of the files."""
    out = tmp_path_factory.mktemp("files")
    with pytest.raises(DataError):
        semiseg.predict(plain_release, photos, out=out, **CPU)
    return masks(out)


@pytest.fixture
def memory(photos):
    """The photographs in a store in memory, as files and in a tar."""
    store = fsspec.filesystem("memory")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in NAMES:
            tar.add(photos / name, name)
            store.pipe_file(f"/shards-test/files/{name}", (photos / name).read_bytes())
    store.pipe_file("/shards-test/pool/000000.tar", stream.getvalue())
    yield "memory://shards-test"
    store.rm("/shards-test", recursive=True)


def masks(out):
    return {f.relative_to(out).as_posix(): f.read_bytes() for f in sorted(out.rglob("*.png"))}


def test_a_pool_gives_the_masks_of_its_files(plain_release, memory, expected, tmp_path):
    pool = f"{memory}/pool/000000.tar"
    for shard in ("1/2", "2/2"):
        try:
            semiseg.predict(plain_release, pool, out=tmp_path, shard=shard, **CPU)
        except DataError as error:
            text = str(error)
    assert "cam/broken.png" in text
    assert "semiseg-" not in text  # not the copy of the image
    assert masks(tmp_path) == expected
    table = semiseg.predict(plain_release, pool, out=tmp_path, merge=True).table
    assert table.states == {"failed": 1, "written": 3}


def test_a_list_of_addresses_gives_the_masks_of_its_files(
    plain_release, memory, expected, tmp_path
):
    lines = [f"{memory}/files/{name}" for name in NAMES[:-1]]
    (tmp_path / "list.txt").write_text("# images\n" + "\n".join(lines))
    out = tmp_path / "out"
    semiseg.predict(plain_release, tmp_path / "list.txt", out=out, **CPU)
    assert masks(out) == expected
    one = semiseg.predict(plain_release, lines[0], out=tmp_path / "one", **CPU)
    assert [file.name for file in one.files] == ["1.png"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["memory://a/1.png", "2.png"], "names both addresses and files, such as 2.png"),
        (["memory://a/1.txt"], "no address of an image"),
        (["memory://a/../../1.png"], "no address of an image"),
        (["https://a/1.png?x=1", "https://a/1.png?x=2"], "twice, with different queries"),
    ],
)
def test_lists_of_addresses_that_cannot_be_meant(tmp_path, lines, message):
    (tmp_path / "list.txt").write_text("\n".join(lines))
    with pytest.raises(DataError, match=message):
        select_images(str(tmp_path / "list.txt"), tmp_path / "out", ("",), ALL)


def test_an_address_without_an_image_is_named(plain_release, memory, tmp_path):
    with pytest.raises(DataError, match=r"memory://shards-test/files/gone\.png cannot be read"):
        semiseg.predict(plain_release, f"{memory}/files/gone.png", out=tmp_path / "out", **CPU)


def test_a_shard_that_is_cut_off_is_one_line(plain_release, photos, tmp_path):
    semiseg.pack(photos, out=tmp_path / "pool")
    shard = tmp_path / "pool" / "000000.tar"
    size = shard.stat().st_size
    with shard.open("rb+") as file:
        file.truncate(600)
    with pytest.raises(DataError) as error:
        semiseg.predict(plain_release, tmp_path / "pool", out=tmp_path / "out", **CPU)
    count, *lines = str(error.value).splitlines()
    assert count == "3 of 3 images could not be read."
    reason = f"the shard is cut off: {size - 600:,} of its bytes are missing at the end"
    assert lines == [f"{shard} cannot be read ({reason}). Copy the shard again. (3 images)"]


def test_a_name_that_no_disk_can_hold_stops_no_others(plain_release, photos, tmp_path):
    long, longest = "n" * 300, "n" * 251  # with `.png`, 255 bytes
    with tarfile.open(tmp_path / "pool.tar", "w") as tar:
        for name in (long, longest, "a"):
            tar.add(photos / NAMES[0], f"{name}.png")
    with pytest.raises(DataError, match=r"(?s)1 of 3 .*n{40}\.\.\. would have a name of 304 bytes"):
        semiseg.predict(plain_release, tmp_path / "pool.tar", out=tmp_path / "out", **CPU)
    assert set(masks(tmp_path / "out")) == {f"{longest}.png", "a.png"}


def test_pixels_without_data_have_no_class(plain_release, tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(1, 256, (40, 56, 3), dtype=np.uint8)
    pixels[5:12, 20:50] = 0
    pixels[20, 3] = (0, 9, 0)  # has data
    file, out = tmp_path / "map.tif", tmp_path / "out"
    Image.fromarray(pixels).save(file, tiffinfo={GDAL_NODATA: "0"})
    empty = (pixels == 0).all(axis=2)
    table = semiseg.predict(plain_release, file, out=out, confidence=True, table=True, **CPU).table
    mask, confidence = (
        np.asarray(Image.open(out / name / "map.png")) for name in ("", "confidence")
    )
    np.testing.assert_array_equal(mask == 255, empty)
    np.testing.assert_array_equal(confidence == 0, empty)
    assert sum(table.shares.values()) == pytest.approx(1, abs=1e-4)  # of the pixels with data
    prediction = semiseg.load(plain_release, accelerator="cpu").predict(file)
    np.testing.assert_array_equal(prediction.mask == 255, empty)
    np.testing.assert_array_equal(prediction.confidence == 0, empty)
    monkeypatch.setattr("semiseg.inference.image_job.LARGE", 1000)  # it is written in bands
    semiseg.predict(plain_release, file, out=tmp_path / "bands", **CPU)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "bands" / "map.png")), mask)


def test_shards_share_the_images_and_agree_on_their_list(photos, tmp_path):
    parts = [select_images(str(photos), tmp_path, ("",), Shard(n, 3)) for n in (1, 2, 3)]
    names = [source.name for part in parts for source in part.sources]
    assert sorted(names) == sorted(["3", "cam/1", "cam/2", "cam/broken"])
    assert len({(part.images, part.names) for part in parts}) == 1


class Counted:
    """Images that count how often one is fetched."""

    def __init__(self, file, name, fetched):
        self.file, self.name, self._fetched = file, name, fetched

    def fetch(self, folder):
        self._fetched.append(self.name)
        return self.file


def test_images_are_taken_one_by_one(plain_release, photos, tmp_path):
    model = semiseg.load(plain_release, accelerator="cpu")
    taken, counts = [], []

    def sources():
        for number in range(40):
            taken.append(number)
            yield LocalImage(str(number), photos / NAMES[0])

    def report(record: Record) -> None:
        assert not (tmp_path / record.mask).exists()  # the record comes first
        counts.append(len(taken))

    predict_images(model, sources(), tmp_path, ImageOptions(), report)
    assert len(counts) == 40
    assert max(ahead - done for done, ahead in enumerate(counts)) <= 8


def test_few_of_many_images_are_opened_before_the_first_one(
    plain_release, photos, tmp_path, monkeypatch, log
):
    monkeypatch.setattr(survey_module, "MAX_SURVEYED", 10)
    model = semiseg.load(plain_release, accelerator="cpu")
    fetched = []
    files = [tmp_path / f"{number}.png" for number in range(95)]
    for file in files:
        file.write_bytes((photos / NAMES[0]).read_bytes())
    every = [LocalImage(file.stem, file) for file in files]
    monkeypatch.setattr(LocalImage, "fetch", lambda self, _: fetched.append(self.name) or self.file)
    survey(model, every, ImageOptions(), lambda source: source.name != "0")
    assert len(fetched) == 10
    assert fetched == sorted(fetched, key=int)
    assert int(fetched[-1]) >= 80
    assert "0" not in fetched
    assert "looked at 10 of 95 images" in log.text
    fetched.clear()
    remote = [Counted(file, file.stem, fetched) for file in files]
    survey(model, remote, ImageOptions(), lambda source: True)
    assert len(fetched) <= 16
    looked_up = []
    survey(model, every, ImageOptions(), lambda source: bool(looked_up.append(source)))
    assert len(looked_up) == 95
    monkeypatch.setattr(survey_module, "_MAX_LOOKUPS", 2)
    survey(model, every, ImageOptions(), lambda source: bool(looked_up.append(source)))
    assert len(looked_up) == 95 + 20


def test_an_image_whose_probabilities_fill_the_memory_stops_no_others(
    plain_release, photos, tmp_path, monkeypatch
):
    model = semiseg.load(plain_release, accelerator="cpu")
    Image.new("RGB", (200, 200)).save(tmp_path / "large.png")
    monkeypatch.setattr("semiseg.inference.large.MAX_PROBABILITIES", 100_000)
    sources = [
        LocalImage("large", tmp_path / "large.png"),
        LocalImage("small", photos / NAMES[0]),
    ]
    options = ImageOptions(kinds=("probabilities", ""))
    with pytest.raises(ConfigError, match="--probabilities would take"):
        survey(model, sources, options, lambda source: True)
    records = []
    predict_images(model, sources, tmp_path / "out", options, records.append)
    assert {record.name: record.state for record in records} == {
        "large": "failed",
        "small": "written",
    }
