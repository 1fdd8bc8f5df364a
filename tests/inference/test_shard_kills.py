"""Shards as processes: two at a time, one of them killed, end as a plain call does."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg.core.errors import DataError

pytestmark = pytest.mark.faults

COUNT, KILLED_AT = 12, 3
DEADLY = """
import os, signal, sys
from semiseg.cli import main
from semiseg.inference import image_job

save, count = image_job.save_output, [0]

def killed(*arguments):
    count[0] += 1
    if count[0] == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    save(*arguments)

image_job.save_output = killed
main(sys.argv[2:])
"""


def start(images, run, out, shard, killed_at=0):
    words = ["predict", str(run), str(images), "--out", str(out), "--shard", shard]
    words += ["--accelerator", "cpu", "--threads", "1"]
    command = [sys.executable, "-c", DEADLY, str(killed_at), *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ})


def files(out):
    return {f.relative_to(out).as_posix(): f.read_bytes() for f in sorted(out.rglob("*.png"))}


def test_two_shards_of_which_one_is_killed_end_as_a_plain_call(plain_release, tmp_path):
    images, out = tmp_path / "in", tmp_path / "out"
    images.mkdir()
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{number}.png")
    (images / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="1 of 13 images"):
        semiseg.predict(
            plain_release, images, out=tmp_path / "plain", table=True, accelerator="cpu"
        )

    first = start(images, plain_release, out, "1/2", KILLED_AT)
    second = start(images, plain_release, out, "2/2")
    errors = [process.communicate()[1] for process in (first, second)]
    assert first.returncode == -signal.SIGKILL
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*.png")}
    with pytest.raises(DataError, match=r"(?s)1 of 2 shards.*shard 1/2 is not finished"):
        semiseg.predict(plain_release, images, out=out, merge=True)

    again = start(images, plain_release, out, "1/2")
    errors.append(again.communicate()[1])
    assert sorted([second.returncode, again.returncode]) == [0, 2]  # one has the broken image
    assert "broken.png" in "".join(errors)
    assert before.items() <= {f: f.stat().st_mtime_ns for f in out.rglob("*.png")}.items()
    assert files(out) == files(tmp_path / "plain")
    semiseg.predict(plain_release, images, out=out, merge=True)
    tables = [(folder / "predictions.csv").read_bytes() for folder in (out, tmp_path / "plain")]
    assert tables[0] == tables[1]
