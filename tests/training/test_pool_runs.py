"""Trainings from a pool: the run folder, what goes wrong in the middle, and how it goes on."""

import json
import logging
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from paused import Paused
from range_server import serve
from tiny_pool import NO_WAIT
from tiny_pools import load, tensors, write_pool

import semiseg
from semiseg.cli import main
from semiseg.core.errors import DataError, RunError
from semiseg.core.types import Batch
from semiseg.training.checkpoint import SafeCheckpointIO, newest_intact
from semiseg.training.run_folder import read_config
from semiseg.training.unreadable_images import UnreadableImages

SETTINGS = {
    **{"method": "css", "weights": "none", "encoder": "lcnet_035", "size": 48, "crop": 32},
    **{"batch": 2, "steps": 8, "validations": 2, "labels": "2", "workers": 0, "threads": 1},
    # So little trained a network is sure of nothing.
    **{"accelerator": "cpu", "diagnostics": True, "confidence_threshold": 0.0},
}

TARS = "{000000..000002}.tar"


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return write_pool(tmp_path_factory.mktemp("pools") / "pool")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_folder, pool):
    out = tmp_path_factory.mktemp("runs") / "whole"
    return semiseg.train(tiny_folder, unlabeled=pool, out=out, **SETTINGS).folder


@pytest.fixture
def unfinished(whole, tmp_path):
    """The run as it was before its last checkpoint and its scores."""
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    for name in ("scores.json", "model.safetensors", "model.json"):
        (out / name).unlink()
    newest_intact(out / "checkpoints")[0].unlink()
    return out


def bits(run):
    return (run / "model.safetensors").read_bytes()


def words_of(data, pool, out):
    """The command that trains such a run."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    words = [word.replace("--diagnostics=True", "--diagnostics") for word in words]
    return ["train", data, "--unlabeled", pool, "--out", out, *words]


@pytest.mark.slow
def test_loader_processes_give_the_same_model(whole, tiny_folder, pool, tmp_path):
    out = tmp_path / "run"
    semiseg.train(tiny_folder, unlabeled=pool, out=out, **{**SETTINGS, "workers": 2})
    assert bits(out) == bits(whole)


@pytest.mark.slow
def test_the_run_folder_says_which_pool_it_was(whole, pool):
    record = json.loads((whole / "split" / "pool.json").read_text())
    assert record["address"] == str(pool)
    assert (record["images"], record["shards"]) == (12, 3)
    assert len(record["fingerprint"]) == 16
    assert (whole / "split" / "unlabeled.txt").read_text().split() == ["0001", "0003"]
    scores = json.loads((whole / "scores.json").read_text())
    assert scores["split"]["images"]["unlabeled"] == 14


@pytest.mark.slow
def test_such_a_run_is_scored_and_reported_and_suggests(whole, tiny_folder, pool, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    assert semiseg.evaluate(run, tiny_folder, accelerator="cpu").miou is not None
    page = semiseg.report(run).path.read_text()
    assert "14 unlabeled images" in page
    chosen = semiseg.suggest(run, tiny_folder / "unlabeled", n=1, out=tmp_path / "out")
    assert len(chosen.images) == 1


@pytest.mark.slow
def test_a_copy_of_the_pool_elsewhere_serves_a_resumed_run(
    whole, unfinished, tiny_folder, pool, tmp_path
):
    copy = shutil.copytree(pool, tmp_path / "copy")
    semiseg.train(tiny_folder, unlabeled=copy, out=unfinished, resume=True)
    assert bits(unfinished) == bits(whole)
    # The next call need not name it.
    assert read_config(unfinished).data.unlabeled == str(copy)
    record, before = (
        json.loads((run / "split" / "pool.json").read_text()) for run in (unfinished, whole)
    )
    assert record == {**before, "address": str(copy)}


@pytest.mark.slow
def test_a_run_does_not_go_on_with_another_pool(unfinished, tiny_folder, tmp_path):
    other = write_pool(tmp_path / "other", images=14)
    before = json.loads((unfinished / "split" / "pool.json").read_text())["fingerprint"]
    with pytest.raises(RunError, match=f"began with the pool {before}, and {other} holds"):
        semiseg.train(tiny_folder, unlabeled=other, out=unfinished, resume=True)
    (unfinished / "split" / "pool.json").unlink()
    with pytest.raises(RunError, match="began with no pool, and "):
        semiseg.train(tiny_folder, out=unfinished, resume=True)


@pytest.mark.slow
def test_a_damaged_shard_ends_the_training_with_a_sentence_and_it_goes_on_to_the_same_bits(
    whole, tiny_folder, pool, tmp_path, monkeypatch
):
    copy, out = shutil.copytree(pool, tmp_path / "pool"), tmp_path / "run"
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    semiseg.check(tiny_folder, unlabeled=copy)  # the sample is read before the shard breaks
    shard = copy / "000001.tar"
    content, time = shard.read_bytes(), shard.stat().st_mtime_ns
    shard.write_bytes(bytes(len(content)))
    os.utime(shard, ns=(time, time))
    where = r"\d.png is not where the index says in .*000001.tar.*--resume"
    with pytest.raises(DataError, match=where) as error:
        semiseg.train(tiny_folder, unlabeled=copy, out=out, **{**SETTINGS, "workers": 1})
    assert "Traceback" not in str(error.value)
    shard.write_bytes(content)
    semiseg.train(tiny_folder, out=out, resume=True)
    assert bits(out) == bits(whole)


@pytest.mark.faults
def test_a_killed_training_stops_at_a_shard_that_is_cut_off_until_it_is_whole_again(
    whole, tiny_folder, pool, tmp_path, monkeypatch
):
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEMISEG_SHARD_CACHE_MB", "0")
    monkeypatch.setattr("semiseg.data.pools.ranges.Retries", lambda: NO_WAIT)
    copy, out = shutil.copytree(pool, tmp_path / "pool"), tmp_path / "run"
    shard = copy / "000001.tar"
    content = shard.read_bytes()
    with serve(copy) as server:
        Paused(words_of(tiny_folder, f"{server.url}/{TARS}", out), tmp_path, 1).kill()
        shutil.rmtree(tmp_path / "cache" / "decoded")  # else it needs no shard any more
        shard.write_bytes(content[:700])
        server.requests.clear()
        sentence = (
            r"000\d.png in http.*/000001.tar cannot be read \(the shard is cut off: "
            rf"{len(content) - 700:,} of its bytes are missing at the end\). Copy the shard again. "
            "Go on with: semiseg train .* --resume"
        )
        with pytest.raises(DataError, match=sentence):
            semiseg.train(tiny_folder, out=out, resume=True)
        asked = [r.range for r in server.requests if r.path == "/000001.tar" and r.range]
        assert len(asked) == 4
        assert len(set(asked)) == 1  # no other image of the shard was tried
        shard.write_bytes(content)
        semiseg.train(tiny_folder, out=out, resume=True)
    assert bits(out) == bits(whole)


@pytest.mark.servers
def test_a_comparison_reads_its_pool_from_a_server(tiny_folder, pool, tmp_path):
    own = ("method", "confidence_threshold", "diagnostics", "steps", "validations")
    settings = {name: value for name, value in SETTINGS.items() if name not in own}
    settings |= {"steps": 2, "validations": 1, "same_time": False, "diagnostics": False}
    with serve(pool) as server:
        result = semiseg.compare(
            tiny_folder,
            unlabeled=f"{server.url}/{TARS}",
            methods="supervised,fixmatch",
            out=tmp_path / "out",
            **settings,
        )
    assert result.failed == {}
    assert {row.method for row in result.rows} == {"supervised", "fixmatch"}
    runs = [tmp_path / "out" / f"{method}-2-0" for method in ("supervised", "fixmatch")]
    records = [json.loads((run / "split" / "pool.json").read_text()) for run in runs]
    assert records[0] == records[1]
    assert records[0]["images"] == 12
    assert "fixmatch" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_unreadable_images_are_counted_in_the_checkpoint(tiny_folder, tmp_path, log):
    pool = write_pool(tmp_path / "pool", images=24, shards=1, broken=(6,))
    settings = {**SETTINGS, "steps": 14, "diagnostics": False, "method": "fixmatch"}
    out = semiseg.train(tiny_folder, unlabeled=pool, out=tmp_path / "run", **settings).folder
    warnings = [r.getMessage() for r in log.records if r.levelno == logging.WARNING]
    named = [text for text in warnings if "000000.tar/0006.png (" in text]
    assert len(named) == 1  # in 28 places each of 26 images is shown
    assert any("of the pool could not be read" in text for text in warnings)
    state = SafeCheckpointIO().load_checkpoint(newest_intact(out / "checkpoints")[0])
    assert state["callbacks"]["UnreadableImages"]["count"] >= 1


def test_too_many_unreadable_images_end_a_training():
    callback, module = UnreadableImages(batch=4), SimpleNamespace(device=torch.device("cpu"))

    def step(number, *unreadable):
        batch = Batch(None, None, number, unreadable)
        callback.on_train_batch_end(None, module, None, batch, number)

    for number in range(10):
        step(number, f"{number} (broken)")
    step(10)
    assert callback.count == 10
    with pytest.raises(DataError, match=r"11 of the first 48 images .*the last of them x \(why\)"):
        step(11, "x (why)")
    restored = UnreadableImages(batch=4)
    restored.load_state_dict(callback.state_dict())
    assert restored.count == 11


@pytest.mark.slow
def test_a_method_that_labels_images_first_uses_a_sample_of_the_pool(
    tiny_folder, pool, tmp_path, monkeypatch, log
):
    monkeypatch.setattr("semiseg.training.data.MAX_LABELED_OF_POOL", 3)
    settings = {name: SETTINGS[name] for name in SETTINGS if name != "confidence_threshold"}
    settings |= {"method": "st", "validations": 1, "diagnostics": False}
    out = semiseg.train(tiny_folder, unlabeled=pool, out=tmp_path / "run", **settings).folder
    assert len(json.loads((out / "labels" / "labels.json").read_text())["images"]) == 2 + 3
    assert "uses 3 of the 12 images of the pool" in log.text


@pytest.mark.faults
@pytest.mark.parametrize("checkpoints", [0, 1])
def test_a_killed_training_from_a_pool_ends_as_if_it_had_not_been(
    whole, tiny_folder, pool, tmp_path, checkpoints
):
    out = tmp_path / "run"
    words = words_of(tiny_folder, pool, out)
    Paused([*words, "--workers", "1"], tmp_path, checkpoints).kill()
    assert len(list((out / "checkpoints").glob("*.ckpt"))) == checkpoints
    main([*map(str, words), "--resume", "--workers", "0"])
    assert bits(out) == bits(whole)


@pytest.mark.servers
def test_no_password_of_an_address_is_written_or_logged(tiny_folder, pool, tmp_path, log):
    out = tmp_path / "run"
    with serve(pool) as server:
        secret = f"{server.url}/{{000000..000002}}.tar".replace("http://", "http://me:hush@")
        semiseg.train(tiny_folder, unlabeled=secret, out=out, **{**SETTINGS, "steps": 1})
    files = [file for file in out.rglob("*") if file.is_file()]
    assert (out / "split" / "pool.json") in files
    assert [file for file in files if b"hush" in file.read_bytes()] == []
    assert "hush" not in log.text


RANK = """
import json, sys
import torch
from tiny_pools import load, tensors
from semiseg.core.types import Batch
from semiseg.training.unreadable_images import UnreadableImages
from types import SimpleNamespace

rank, folder, data, pool = int(sys.argv[1]), *sys.argv[2:]
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
)
count, module = UnreadableImages(batch=4), SimpleNamespace(device=torch.device("cpu"))
batches = load(data, pool, rank=rank, world=2, workers=rank, steps=7)
for number, batch in enumerate(batches):
    count.on_train_batch_end(None, module, None, batch, number)
torch.save([[tensors(batch) for batch in batches], count.count], f"{folder}/rank{rank}.pt")
torch.distributed.destroy_process_group()
"""


@pytest.mark.distributed
def test_two_gloo_processes_share_the_batches_and_the_count(tiny_folder, tmp_path):
    pool = write_pool(tmp_path / "pool", images=24, shards=2, broken=(6,))
    expected = load(tiny_folder, pool, steps=7)
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(tmp_path), str(tiny_folder), str(pool)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
        )
        for rank in (0, 1)
    ]
    outputs = [process.communicate(timeout=1800)[0] for process in processes]
    for process, text in zip(processes, outputs, strict=True):
        assert process.returncode == 0, text
    (first, count), (second, other) = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    for whole, *parts in zip(expected, first, second, strict=True):
        joined = [torch.cat(pair) for pair in zip(*parts, strict=True)]
        assert all(map(torch.equal, joined, tensors(whole)))
    assert count == other == sum(len(batch.unreadable) for batch in expected) > 0
