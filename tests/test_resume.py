"""Killed, stopped and resumed: the result is that of the uninterrupted training, bit by bit."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import yaml
from choices import only_choice
from paused import Paused
from safetensors.torch import load_file

import semiseg
from semiseg.cli import main
from semiseg.core.errors import Interrupted
from semiseg.core.scores import (
    Adjustment,
    ClassScores,
    MeanIou,
    Scores,
    SplitRecord,
    Timing,
)
from semiseg.training.checkpoint import Checkpoints, SafeCheckpointIO, newest_intact
from semiseg.training.loggers import MetricsTable
from semiseg.training.release_notes import compare_with_start

WORDS = [
    # So little trained a network is sure of nothing.
    *("--method", "css", "--confidence-threshold", "0"),
    *("--weights", "none", "--size", "48", "--crop", "32", "--batch", "2"),
    *("--steps", "12", "--validations", "4", "--workers", "1"),
    *("--threads", "1", "--accelerator", "cpu", "--encoder", "lcnet_035"),
]


def run(*words):
    main([str(w) for w in words])


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_folder):
    out = tmp_path_factory.mktemp("resume") / "whole"
    run("train", tiny_folder, "--out", out, *WORDS)
    return out


def bits(folder):
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("stage", "expected"),
    [("stage 1 of 2", "step 16 of 30 in stage 1 of 2. The"), ("", "step 16 of 30. The")],
)
def test_a_stop_names_the_step_and_the_stage(tmp_path, stage, expected):
    saved = []
    trainer = SimpleNamespace(
        global_step=16,
        accumulate_grad_batches=1,
        strategy=SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision),
        save_checkpoint=saved.append,
    )
    checkpoints = Checkpoints(tmp_path, 1, 30, "Go on.", stage)
    checkpoints.stopped_by = signal.SIGINT
    with pytest.raises(Interrupted, match=rf"^stopped after {expected} checkpoint is saved. Go on"):
        checkpoints.on_train_batch_end(trainer, None, None, None, 15)
    assert saved == [tmp_path / "step000016.ckpt"]


@pytest.mark.slow
def test_there_were_pseudo_labels(whole):
    path, _ = newest_intact(whole / "checkpoints")
    assert SafeCheckpointIO().load_checkpoint(path)["state_dict"]["method.label_counts"].any()


@pytest.mark.faults
@pytest.mark.parametrize("checkpoints", [0, 1, 2])
def test_a_killed_training_ends_as_if_it_had_not_been(whole, tiny_folder, tmp_path, checkpoints):
    out = tmp_path / "run"
    Paused(["train", tiny_folder, "--out", out, *WORDS], tmp_path, checkpoints).kill()
    assert (out / "config.yaml").exists()
    assert len(list((out / "checkpoints").glob("*.ckpt"))) == checkpoints
    # The same command with another number of loader processes.
    run("train", tiny_folder, "--out", out, *WORDS, "--resume", "--workers", "0")
    assert bits(out) == bits(whole)
    ours, theirs = ((f / "metrics.csv").read_text() for f in (out, whole))
    assert ours == theirs


@pytest.mark.faults
def test_ctrl_c_saves_the_step_and_says_how_to_go_on(whole, tiny_folder, tmp_path):
    out = tmp_path / "run"
    training = Paused(["train", tiny_folder, "--out", out, *WORDS], tmp_path, checkpoints=1)
    message = training.interrupt()
    assert training.process.returncode == 130, message
    assert "--resume" in message
    assert "Traceback" not in message
    step = int(message.rpartition("stopped after step ")[2].split()[0])
    assert newest_intact(out / "checkpoints")[1] == step
    command = shlex.split(message.rpartition("Go on with: ")[2].splitlines()[0])
    assert command == ["semiseg", "train", str(tiny_folder), "--out", str(out), "--resume"]
    run(*command[1:])
    assert bits(out) == bits(whole)


LOADER = """
import multiprocessing
import sys
import time

from semiseg.training.checkpoint import ignore_signals

def load(ready):
    ignore_signals(0)
    ready.set()
    time.sleep(3600)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    ready = context.Event()
    loader = context.Process(target=load, args=(ready,))
    loader.start()
    assert ready.wait(600)
    loader.terminate()
    loader.join(300)
    alive = loader.is_alive()
    loader.kill()
    sys.exit(alive)
"""


@pytest.mark.faults
@pytest.mark.parametrize("start_method", ["fork", "forkserver"])
def test_a_loader_process_ends_when_the_trainer_says_so(tmp_path, start_method):
    """Also where a fork server started it, as Python 3.14 does by default."""
    script = tmp_path / "loader.py"
    script.write_text(LOADER)
    assert subprocess.run([sys.executable, script, start_method], check=False).returncode == 0


@pytest.fixture
def unfinished(whole, tmp_path):
    """The whole run as it was before its last checkpoint and its scores."""
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    for name in ("scores.json", "model.safetensors", "model.json"):
        (out / name).unlink()
    newest_intact(out / "checkpoints")[0].unlink()
    return out


@pytest.mark.slow
def test_a_torn_checkpoint_is_passed_over(whole, tiny_folder, unfinished):
    (intact,) = (unfinished / "checkpoints").glob("*.ckpt")
    state = intact.read_bytes()
    torn = unfinished / "checkpoints" / "step000011-0123456789abcdef.ckpt"
    torn.write_bytes(state[: len(state) // 2])
    (unfinished / "checkpoints" / "step000012.part").write_bytes(state[:100])
    assert newest_intact(unfinished / "checkpoints")[0] == intact
    run("train", tiny_folder, "--out", unfinished, "--resume")
    assert bits(unfinished) == bits(whole)


@pytest.mark.slow
def test_without_an_intact_checkpoint_it_begins_anew(whole, tiny_folder, unfinished):
    shutil.rmtree(unfinished / "checkpoints")
    run("train", tiny_folder, "--out", unfinished, "--resume")
    assert bits(unfinished) == bits(whole)


@pytest.mark.slow
def test_a_finished_run_is_left_as_it_is(capsys, tiny_folder, whole):
    before = bits(whole)
    run("train", tiny_folder, "--out", whole, "--resume")
    assert bits(whole) == before
    assert "nothing to resume" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            ["--method", "css", "--anchors", "7", "--confidence-threshold", "0"],
            marks=pytest.mark.variants,
        ),
        ["--method", "supervised"],
        pytest.param(["--method", "css", "--accumulate", "2"], marks=pytest.mark.variants),
    ],
    ids=str,
)
def test_a_bare_resume_takes_the_settings_of_the_run(tiny_folder, tmp_path, words):
    common = WORDS[4:]
    whole, out = tmp_path / "whole", tmp_path / "run"
    run("train", tiny_folder, "--out", whole, *common, *words)
    shutil.copytree(whole, out)
    (out / "scores.json").unlink()
    newest_intact(out / "checkpoints")[0].unlink()
    run("train", tiny_folder, "--out", out, "--resume")
    assert bits(out) == bits(whole)
    assert (out / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


@pytest.mark.slow
def test_a_cut_off_line_of_the_metrics_is_dropped(whole, tiny_folder, unfinished):
    table = unfinished / "metrics.csv"
    rows = table.read_text().splitlines()
    table.write_text("\n".join([*rows[:-2], rows[-2][:3]]))
    run("train", tiny_folder, "--out", unfinished, "--resume")
    assert bits(unfinished) == bits(whole)


def test_metrics_with_a_new_column_are_replaced_as_a_whole(tmp_path, monkeypatch):
    file = tmp_path / "metrics.csv"
    table = MetricsTable(file, [{"step": 1, "val/miou": 0.5}])
    assert not file.exists()
    table.save()
    before = file.read_text()
    table.log_metrics({"train/loss": torch.tensor(2.0)}, 3)

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("csv.DictWriter.writerows", killed)
        with pytest.raises(KeyboardInterrupt):
            table.save()
    assert file.read_text() == before
    table.finalize("success")
    assert file.read_text().splitlines() == ["step,train/loss,val/miou", "1,,0.5", "3,2.0,"]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_row_without_a_new_column_is_added_to_the_metrics(tmp_path):
    """Or each step of a long training would cost more than the one before."""
    file = tmp_path / "metrics.csv"
    table = MetricsTable(file, [])
    table.log_metrics({"train/loss": 2.0}, 1)
    table.save()
    place = file.stat().st_ino
    table.log_metrics({"train/loss": 1.0}, 2)
    table.save()
    table.save()
    assert file.stat().st_ino == place
    assert file.read_text().splitlines() == ["step,train/loss", "1,2.0", "2,1.0"]


@pytest.mark.slow
def test_resume_and_overwrite_together_are_refused(capsys, tiny_folder, unfinished):
    with pytest.raises(SystemExit) as stop:
        run("train", tiny_folder, "--out", unfinished, "--resume", "--overwrite")
    assert stop.value.code == 2
    assert (unfinished / "config.yaml").is_file()


@pytest.mark.slow
def test_changed_classes_are_refused(capsys, tiny_folder, unfinished, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "data")
    file = tmp_path / "data" / "classes.yaml"
    file.write_text(file.read_text().replace("name: crop", "name: salad"))
    with pytest.raises(SystemExit) as stop:
        run("train", tmp_path / "data", "--out", unfinished, "--resume")
    assert stop.value.code == 2
    assert "classes" in capsys.readouterr().err.replace(str(tmp_path), "")


@pytest.mark.slow
def test_resume_without_a_run_starts_one(capsys, tiny_folder, tmp_path, whole):
    run("train", tiny_folder, "--out", tmp_path / "run", "--resume", *WORDS)
    assert "a new training starts" in capsys.readouterr().err
    assert bits(tmp_path / "run") == bits(whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["--steps", "99"], ["--method", "supervised"], ["--anchors", "7"]], ids=str
)
def test_a_contradicting_setting_is_refused(capsys, tiny_folder, unfinished, words):
    with pytest.raises(SystemExit) as stop:
        run("train", tiny_folder, "--out", unfinished, "--resume", *words)
    assert stop.value.code == 2
    assert words[0] in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_of_another_version_is_refused(capsys, tiny_folder, unfinished):
    config = unfinished / "config.yaml"
    config.write_text(config.read_text().replace(semiseg.__version__, "0.0.1", 1))
    with pytest.raises(SystemExit) as stop:
        run("train", tiny_folder, "--out", unfinished, "--resume")
    assert stop.value.code == 2
    assert "0.0.1" in capsys.readouterr().err


@pytest.mark.slow
def test_a_checkpoint_with_other_buffers_is_refused(capsys, tiny_folder, unfinished):
    """Between releases the version says nothing of them."""
    path, step = newest_intact(unfinished / "checkpoints")
    state = SafeCheckpointIO().load_checkpoint(path)
    del state["state_dict"]["method.label_counts"]
    path.unlink()
    SafeCheckpointIO().save_checkpoint(state, path.with_name(f"step{step:06d}.ckpt"))
    with pytest.raises(SystemExit) as stop:
        run("train", tiny_folder, "--out", unfinished, "--resume")
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert "method.label_counts" in message
    assert "Traceback" not in message


@pytest.mark.slow
def test_changed_data_is_refused(capsys, tiny_folder, unfinished, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "data")
    next((tmp_path / "data" / "unlabeled").iterdir()).unlink()
    with pytest.raises(SystemExit) as stop:
        run("train", tmp_path / "data", "--out", unfinished, "--resume")
    assert stop.value.code == 2
    assert "unlabeled" in capsys.readouterr().err


def test_a_checkpoint_that_holds_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.system, ("true",))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(Exception, match=r"weights_only|Unsupported"):
        SafeCheckpointIO().load_checkpoint(tmp_path / "evil.ckpt")


def test_two_checkpoints_are_kept_and_no_temporary_file(tmp_path):
    io = SafeCheckpointIO()
    for step in range(5):
        io.save_checkpoint({"step": step}, tmp_path / f"step{step:06d}.ckpt")
    assert len(list(tmp_path.iterdir())) == 2
    path, step = newest_intact(tmp_path)
    assert step == 4
    assert io.load_checkpoint(path) == {"step": 4}


@pytest.mark.slow
def test_what_a_kill_left_between_writing_and_tidying_goes_when_a_training_goes_on(
    tiny_folder, whole, tmp_path
):
    """Also where no step is left to take; a damaged newer one takes no intact one's place."""
    out = shutil.copytree(whole, tmp_path / "run")
    (out / "scores.json").unlink()
    folder = out / "checkpoints"
    names = {path.name for path in folder.iterdir()}
    for name in ("step000001-0123456789abcdef.ckpt", "step000012.part"):
        (folder / name).write_bytes(b"old")
    damaged = {f"step00099{n}-0123456789abcdef.ckpt" for n in range(2)}
    for name in damaged:
        (folder / name).write_bytes(b"torn")
    run("train", tiny_folder, "--out", out, "--resume")
    assert {path.name for path in folder.iterdir()} == names | damaged
    assert bits(out) == bits(whole)


@pytest.mark.slow
def test_init_takes_the_weights_and_matches_classes_by_name(whole, tiny_folder, tmp_path):
    names = [
        c["name"] for c in yaml.safe_load((tiny_folder / "classes.yaml").read_text())["classes"]
    ]
    more = {
        "classes": [
            {"name": "new", "id": 200},
            *({"name": n, "id": i} for i, n in reversed(list(enumerate(names)))),
        ]
    }
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(more))
    run(
        "train",
        tiny_folder,
        "--out",
        tmp_path / "run",
        *WORDS,
        "--start-from",
        whole,
        "--classes",
        tmp_path / "more.yaml",
        "--lr",
        "0",
        "--encoder-lr",
        "0",
        "--overwrite",
    )
    old, new = (load_file(f / "model.safetensors") for f in (whole, tmp_path / "run"))
    # With rates of 0 the weights stay what they were taken as.
    head = "network.logit_head.weight"
    torch.testing.assert_close(new[head][1:].flip(0), old[head])
    encoder = [k for k in old if k.startswith("network.encoder") and k.endswith("weight")]
    assert all(torch.equal(old[k], new[k]) for k in encoder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "begin, where the training started, has mIoU 50.0 on the same images of val"),
        (
            {"miou": {"last": 9, "best": 9, "released": 60.5}},
            "60.5 on the same images of val: it is",
        ),
        ({"split": {"val": "other"}}, None),
        ({"split": {}}, None),
        ({"per_class": {}}, None),
        ({"miou": {"last": 9, "best": 9, "released": None}}, None),
        ({"miou": 7}, None),
    ],
)
def test_what_a_training_began_with(tmp_path, change, message):
    scores = Scores(
        method="css",
        miou=MeanIou(50.0, 50.0, 50.0),
        per_class={"a": ClassScores(50.0, 50.0, 50.0, 50.0, 10)},
        which="student",
        adjustment=Adjustment(0.0, 50.0),
        choice=only_choice(50.0),
        labels=3,
        steps=9,
        skipped_steps=0,
        seconds=1.0,
        timing=Timing(0.1, 0.1),
        split=SplitRecord(0, "l", "u", "same", {"labeled": 3, "unlabeled": 3, "val": 3}),
        versions={},
    )
    content = {**scores.to_dict(), **change}
    if change.get("split"):
        content["split"] = {**scores.to_dict()["split"], **change["split"]}
    (tmp_path / "begin").mkdir()
    (tmp_path / "begin" / "scores.json").write_text(json.dumps(content))
    sentence = compare_with_start(tmp_path / "begin", scores)
    assert sentence == "" if message is None else message in sentence
    assert compare_with_start(tmp_path / "nothing", scores) == ""


@pytest.mark.slow
def test_init_says_what_it_began_with(capsys, whole, tiny_folder, tmp_path):
    run("train", tiny_folder, "--out", tmp_path / "run", *WORDS, "--start-from", whole)
    assert f"{whole}, where the training started, has mIoU" in capsys.readouterr().err


@pytest.mark.slow
def test_init_with_another_decoder_says_which_it_needs(capsys, whole, tiny_folder, tmp_path):
    with pytest.raises(SystemExit) as stop:
        run(
            "train",
            tiny_folder,
            "--out",
            tmp_path / "run",
            *WORDS,
            "--start-from",
            whole,
            "--decoder",
            "fpn",
        )
    assert stop.value.code == 2
    assert "--decoder deeplabv3plus" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lokks: 5", "There is no setting 'lokks'"),
        ("ohem: 7", "--ohem 7"),
        ("- 1", "does not hold settings"),
    ],
)
def test_a_damaged_configuration_is_refused(tiny_folder, unfinished, line, message):
    config = unfinished / "config.yaml"
    header, *lines = config.read_text().splitlines()
    kept = [] if line.startswith("-") else [k for k in lines if not k.startswith("ohem")]
    config.write_text("\n".join([header, *kept, line]))
    with pytest.raises(semiseg.RunError, match=r"config\.yaml is damaged") as error:
        semiseg.train(tiny_folder, out=unfinished, resume=True)
    assert message in str(error.value)
