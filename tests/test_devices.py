"""Several processes: each takes its part of a batch, all end with one model, one of them writes."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_vit import TINY_EVA, TINY_VIT

import semiseg
from semiseg.config.groups import MachineConfig
from semiseg.core.errors import ConfigError, SemisegError
from semiseg.core.rng import Key
from semiseg.data.reader import load_dataset
from semiseg.training import devices
from semiseg.training.batches import TrainingBatches, TrainingImages, Views
from semiseg.training.devices import set_device
from semiseg.training.place import Place, cpu_place, part_of

IMPORTED = (Path(__file__).parents[1] / "src", Path(__file__).with_name("helpers"))
SCRIPT = """
import logging
import sys
from pathlib import Path
import torch
import semiseg
import tiny_vit
from semiseg.training.module import TrainingModule

data, out = map(Path, sys.argv[1:3])
logging.basicConfig(level=logging.INFO)

def keep(self):
    state = {k: v.clone() for k, v in self.method.named_parameters()}
    names = ("prototypes", "label_counts")
    buffers = {k: v.clone() for k, v in self.method.named_buffers() if k in names}
    torch.save({**state, **buffers}, out.with_name(f"rank{self.global_rank}.pt"))

TrainingModule.on_train_end = keep
run = semiseg.train(
    data, out=out, method="css", weights="none", size=48, crop=32, batch=4, steps=2, validations=1,
    workers=0, accelerator="cpu", devices=2, supervised_warmup=0.0, encoder=sys.argv[3],
    confidence_threshold=0.0,
)
print("scores", run.scores.miou.released)
"""


@pytest.mark.distributed
@pytest.mark.parametrize("encoder", ["resnet18", TINY_VIT, TINY_EVA])
def test_two_processes_train_and_end_with_equal_weights(encoder, tiny_folder, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [sys.executable, tmp_path / "script.py", tiny_folder, tmp_path / "run", encoder]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    env["PYTHONPATH"] = os.pathsep.join(map(str, IMPORTED))
    process = subprocess.run(
        words, env=env, capture_output=True, text=True, check=False, timeout=1800, cwd=tmp_path
    )
    assert process.returncode == 0, process.stderr
    ours, theirs = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    assert ours["prototypes"].any()
    assert ours["label_counts"].any()
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        assert torch.equal(value, theirs[key]), key
    # One process speaks and writes.
    assert process.stdout.count("scores") == 1
    assert process.stderr.count("mIoU on val") == 1
    assert (tmp_path / "run" / "scores.json").is_file()
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) <= 4
    saved = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert saved[-1].startswith("step000002-")
    assert len({name.split("-")[0] for name in saved}) == len(saved)  # each step is saved once
    assert {p.name for p in tmp_path.iterdir()} == {"script.py", "run", "rank0.pt", "rank1.pt"}


def test_the_parts_of_a_batch_make_up_the_whole(tiny_folder):
    folder = load_dataset(tiny_folder)
    labeled = [s for s in folder.train if s.mask]
    unlabeled = [s for s in folder.train if not s.mask]

    def batch(index, rank=0, world=1):
        data = TrainingBatches(
            TrainingImages(labeled, unlabeled, folder.classes),
            Views(48, 32),
            4,
            Key.of(0),
            rank,
            world,
        )
        sample = data[index]
        both = (*sample.labeled, *sample.unlabeled)
        return [part for part in both if isinstance(part, torch.Tensor)]

    for index in (0, 3):
        whole, parts = batch(index), zip(batch(index, 0, 2), batch(index, 1, 2), strict=True)
        for tensor, both in zip(whole, parts, strict=True):
            assert torch.equal(tensor, torch.cat(both))


@pytest.mark.parametrize(
    ("batch", "place", "part"),
    [
        (16, Place("cuda", 1, 0, 4), 4),
        (4, Place("cuda", 1, 0, 4), 1),  # SyncBN counts all four
        (4, Place("cpu", 1, 1, 2), 2),
        (2, Place("cpu", 1, 0, 1), 2),
    ],
)
def test_the_total_batch_is_dealt_out(batch, place, part):
    assert part_of(batch, place) == part


@pytest.mark.parametrize(
    ("batch", "place"), [(6, Place("cuda", 1, 0, 4)), (2, Place("cpu", 1, 0, 2))]
)
def test_a_batch_that_cannot_be_dealt_out_is_refused(batch, place):
    with pytest.raises(ConfigError, match=f"--batch {batch} .*multiple of {place.world}"):
        part_of(batch, place)


def test_the_smallest_gpu_counts(monkeypatch):
    sizes = [24 * 10**9, 16 * 10**9, 8 * 10**9]
    monkeypatch.setattr(
        "torch.cuda.get_device_properties", lambda i: SimpleNamespace(total_memory=sizes[i])
    )
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: True)
    machine = MachineConfig(accelerator="gpu", devices=2)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setattr(devices.L, "Trainer", FakeTrainer)
    place = set_device(machine)
    assert (place.kind, place.memory, place.bf16) == ("cuda", 16 * 10**9, True)


class FakeTrainer:
    """Lightning's trainer on a machine with GPUs."""

    strategy = SimpleNamespace(root_device=torch.device("cuda"))
    global_rank, world_size = 0, 2

    def __init__(self, **settings):
        pass


@pytest.mark.parametrize("threads", ["auto", 1])
def test_the_place_of_a_plan_is_that_of_a_training(threads):
    machine = MachineConfig(accelerator="cpu", threads=threads)
    planned, place = cpu_place(machine), set_device(machine)
    assert planned is not None
    assert planned._replace(threads=1) == place._replace(threads=1)
    assert threads == "auto" or planned.threads == place.threads
    assert cpu_place(MachineConfig(accelerator="gpu")) is None


@pytest.mark.parametrize("verb", ["predict", "evaluate", "suggest"])
def test_threads_are_those_of_torch_unless_a_setting_says_more(
    plain_release, tmp_path, monkeypatch, verb
):
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    (tmp_path / "in").mkdir()
    image = tmp_path / "in" / "broken.png"
    image.write_bytes(b"no image")
    more = {"out": tmp_path / "out"} if verb != "evaluate" else {}
    for setting in ({}, {"threads": 3}):
        with pytest.raises(SemisegError):  # it ends there, when the model has been loaded
            getattr(semiseg, verb)(plain_release, tmp_path / "in", **more, **setting)
    assert threads == [3]
