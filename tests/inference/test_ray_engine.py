"""Prediction by Ray on this machine: whatever is killed, nothing is lost and nothing done twice."""

import csv
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tiny_pools import write_pool

import semiseg
from semiseg.core.errors import ConfigError, DataError

pytest.importorskip("ray", reason="Ray is not installed (pip install 'semiseg[ray]')")
pytest.importorskip("pyarrow", reason="Ray Data needs pyarrow")

from semiseg.config.shard import ALL
from semiseg.inference import ray_engine, ray_worker
from semiseg.inference.image_request import ImageOptions
from semiseg.inference.image_sources import PoolImages, select_images
from semiseg.inference.outputs import FolderOutput

pytestmark = pytest.mark.cluster

IMAGES, BROKEN = 40, 23
MARK = "SEMISEG_TEST_OF_RAY"  # a variable in the environment of what a test starts
PATIENCE = 900  # seconds; Ray itself starts in three, or in a minute where others compute


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images that take a moment each, one of them broken. All tests share them."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        small.resize((1200, 900)).save(folder / f"{number:02d}.png")
    file = folder / f"{BROKEN:02d}.png"
    file.write_bytes(file.read_bytes()[:1000])
    return folder


def contents(folder):
    """All files but the ledger."""
    files = [f for f in folder.rglob("*") if f.is_file() and f.parent.name != "ledger"]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def masks(folder):
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("*.png")}


@pytest.fixture(autouse=True)
def _nobody_stays(monkeypatch):
    """Ray's processes end when their driver does, but an actor that computes may miss that."""
    mark = str(uuid.uuid4())
    monkeypatch.setenv(MARK, mark)  # inherited by all that the test starts
    yield
    for folder in Path("/proc").glob("[0-9]*"):  # Linux alone has it
        with suppress(OSError):  # it has ended, or is another user's
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)


@pytest.fixture
def start():
    """Starts the command as a process, which has a group of its own like that of a shell."""
    processes = []

    def popen(run, photos, out):
        processes.append(_start(run, photos, out))
        return processes[-1]

    yield popen
    for process in processes:  # of a test that failed
        if process.poll() is None:
            process.kill()
            process.communicate()


def _start(run, photos, out):
    words = ["predict", run, photos, "--out", out, "--overlay", "--engine", "ray"]
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from semiseg.cli import main; main()"
    arguments = [sys.executable, "-c", code, *map(str, words), "--accelerator", "cpu"]
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_masks(process, out, count):
    end = time.monotonic() + PATIENCE
    while len(masks(out)) < count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_driver_loses_nothing(start, css_release, photos, tmp_path):
    out, plain = tmp_path / "out", tmp_path / "plain"
    process = start(css_release, photos, out)
    wait_for_masks(process, out, IMAGES // 3)
    process.kill()
    process.communicate()
    finished = masks(out)
    again = start(css_release, photos, out)
    _, text = again.communicate(timeout=PATIENCE)
    assert again.returncode == 2, text
    assert f"1 of {IMAGES} images could not be read" in text
    assert f"{BROKEN}.png" in text
    assert finished.items() <= masks(out).items()  # with their times
    with pytest.raises(DataError, match=f"1 of {IMAGES}"):
        semiseg.predict(css_release, photos, out=plain, overlay=True, accelerator="cpu")
    assert contents(out) == contents(plain)
    table = semiseg.predict(css_release, photos, out=out, merge=True).table
    assert table.images == IMAGES
    assert table.failures.count == 1


def test_an_interrupted_driver_leaves_no_process_behind(start, css_release, photos, tmp_path):
    process = start(css_release, photos, tmp_path / "out")
    wait_for_masks(process, tmp_path / "out", 3)
    os.killpg(process.pid, signal.SIGINT)
    _, text = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, text
    assert "Traceback" not in text
    with pytest.raises(ProcessLookupError):  # nobody is left in its group
        os.killpg(process.pid, 0)


def task(files, reading, output, version=semiseg.__version__):
    """What an actor must know."""
    options = ImageOptions()
    return ray_worker.RayTask(version, files, "cpu", "auto", reading, options, output, None)


class Counter:
    """Stands for the actor that counts; `begin.remote` gives the count itself."""

    def __init__(self):
        tries = ray_worker.RayTries()
        self.begin = SimpleNamespace(remote=tries.begin)
        self.end = SimpleNamespace(remote=tries.end)


def test_an_image_that_ends_its_process_stops_no_others(css_release, photos, tmp_path, monkeypatch):
    sources = select_images(str(photos), None, (), ALL).sources[:3]
    output = FolderOutput(tmp_path / "out")
    files = {file.name: file.read_bytes() for file in css_release.iterdir()}
    reading = semiseg.load(css_release, "cpu").reading
    job = task(files, reading, output)
    counter = Counter()
    monkeypatch.setattr(ray_worker.ray, "get", lambda value: value)
    row = {"first": 0, "images": ray_worker.encode_images(sources, 0, 3)}
    predict_into = ray_worker.predict_into

    def poisoned(model, sources, *rest):
        """As the system ends a process, which has no say in it."""
        for source in sources:
            if source.name == "01":
                raise KeyboardInterrupt
            predict_into(model, [source], *rest)

    monkeypatch.setattr(ray_worker, "predict_into", poisoned)
    with output.prepared():
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                ray_worker.RayWorker(job, counter)(row)
        monkeypatch.setattr(ray_worker, "predict_into", predict_into)
        records = ray_worker.RayWorker(job, counter)(row)["records"]
    assert records.count('"failed"') == 1
    assert f"{photos / '01.png'}: the process that segments this image ends" in records
    assert set(masks(tmp_path / "out")) == {"00.png", "02.png"}


def test_a_machine_with_another_version_is_refused(css_release, monkeypatch):
    monkeypatch.setattr(ray_worker.ray, "get", lambda value: value)
    job = task({}, None, None, version="0.0")
    answer = ray_worker.RayWorker(job, Counter())({"first": 0, "images": "[]"})
    assert "Install the same version everywhere" in answer["error"]


def test_a_pool_is_handed_out_by_numbers(photos, tmp_path):
    semiseg.pack(photos, out=tmp_path / "pool")
    pool = PoolImages(str(tmp_path / "pool"))
    assert len(pool) == IMAGES - 1  # without the broken one
    text = ray_worker.encode_images(pool, 3, 5)
    assert text == "[3, 5]"
    assert [image.name for image in ray_worker.decode_images(text, pool)] == [
        pool.pool.name(3),
        pool.pool.name(4),
    ]


def test_a_pool_on_ray_gets_the_masks_and_the_table_of_a_plain_prediction(sized_release, tmp_path):
    pool = write_pool(tmp_path / "pool", images=6, shards=2, broken=(4,))
    folders = [tmp_path / engine for engine in ("local", "ray")]
    for out in folders:
        with pytest.raises(DataError, match="1 of 6 images could not be read"):
            semiseg.predict(
                sized_release, pool, out=out, engine=out.name, table=True, accelerator="cpu"
            )
    assert contents(folders[0]) == contents(folders[1])
    assert len(list(folders[1].rglob("*.png"))) == 5
    with (folders[1] / "predictions.csv").open(newline="", encoding="utf-8") as file:
        assert sum(bool(row["unlike"]) for row in csv.DictReader(file)) == 5


def test_batches_are_small_until_there_would_be_too_many():
    assert ray_engine._batch_size(10, actors=2) == 1
    assert ray_engine._batch_size(2000, actors=2) == 125
    assert ray_engine._batch_size(10**6, actors=2) == 128
    assert ray_engine._batch_size(10**8, actors=1000) == 5000


def test_the_address_of_a_client_is_refused(css_release, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ConfigError, match="ray job submit"):
        semiseg.predict(css_release, photos, out=tmp_path / "out", engine="ray")
