"""Trainings from cached features: the same bits, whatever the cache holds and who fills it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_methods import one_of_each
from tiny_vit import TINY_VIT

import semiseg
from semiseg.config.train import TrainConfig
from semiseg.training.checkpoint import newest_intact
from semiseg.training.devices import set_device
from semiseg.training.planning import prepare
from semiseg.training.profiling import measure_pace

SETTINGS = {
    **{"encoder": TINY_VIT, "encoder_training": "last-2", "weights": "none", "feature_views": 3},
    **{"size": 48, "crop": 32, "batch": 2, "steps": 4, "accumulate": 2, "validations": 2},
    **{"workers": 0, "threads": 1, "accelerator": "cpu", "diagnostics": False},
}
CSS = {"method": "css", "supervised_warmup": 0.0, "confidence_threshold": 0.0, "anchors": 8}

OTHERS = [name for name in one_of_each() if name != "css"]
FIRST = {"supervised", "mean_teacher", "cps", "distill"}
"""One of each kind: labels alone, a teacher, two networks, and another model's labels."""


@pytest.fixture(autouse=True)
def features(tmp_path, monkeypatch):
    """The folder of the features, in a cache of the test's own."""
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture(scope="module")
def whole(tiny_folder, tmp_path_factory):
    """An undisturbed run that fills its cache."""
    folder = tmp_path_factory.mktemp("cached")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMISEG_CACHE", str(folder / "cache"))
        return semiseg.train(tiny_folder, out=folder / "run", **SETTINGS, **CSS).folder


def bits(run):
    return (run / "model.safetensors").read_bytes()


def files(features):
    return [path for path in features.glob("*/*/*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [n if n in FIRST else pytest.param(n, marks=pytest.mark.variants) for n in OTHERS],
)
def test_each_method_learns_from_cached_features(whole, tiny_folder, tmp_path, features, name):
    settings = SETTINGS | {"steps": 3, "accumulate": 1, "validations": 1}
    if name == "distill":
        settings["teacher"] = whole
    run = semiseg.train(tiny_folder, out=tmp_path / "run", method=name, **settings)
    assert run.scores.skipped_steps == 0
    assert files(features)


@pytest.mark.slow
def test_another_training_uses_the_features_and_has_the_same_bits(
    whole, tiny_folder, tmp_path, features, monkeypatch
):
    shutil.copytree(whole.parent / "cache" / "features", features)
    stamps = {path: path.stat().st_ino for path in files(features)}
    assert stamps
    run = semiseg.train(tiny_folder, out=tmp_path / "run", **SETTINGS, **CSS)
    assert bits(run.folder) == bits(whole)
    assert {path: path.stat().st_ino for path in files(features)} == stamps


@pytest.mark.slow
def test_a_resumed_training_ends_the_same_without_its_cache(whole, tiny_folder, tmp_path, features):
    """Also with another number of loader processes."""
    out = shutil.copytree(whole, tmp_path / "run")
    (out / "scores.json").unlink()
    newest_intact(out / "checkpoints")[0].unlink()
    assert not features.exists()
    semiseg.train(tiny_folder, out=out, resume=True, workers=1)
    assert bits(out) == bits(whole)
    assert files(features)


@pytest.mark.slow
def test_a_cache_that_is_full_changes_no_bit(whole, tiny_folder, tmp_path, features, caplog):
    out = shutil.copytree(whole, tmp_path / "run")
    (out / "scores.json").unlink()
    newest_intact(out / "checkpoints")[0].unlink()
    semiseg.train(tiny_folder, out=out, resume=True, feature_disk=1e-6)
    assert bits(out) == bits(whole)
    assert not files(features)
    assert "No more features can be cached" in caplog.text


@pytest.mark.slow
def test_a_budget_measures_steps_from_cached_features_and_stores_none(tiny_folder, features):
    paces = []

    def measure(*arguments):
        paces.append(measure_pace(*arguments))
        return paces[0]

    open_settings = {"size": 48, "budget": "2h", "steps": "auto", "crop": "auto"}
    open_settings |= {"validations": "auto", "feature_views": "auto"}
    config = TrainConfig.from_values({"data": tiny_folder, **SETTINGS, **CSS, **open_settings})
    plan = prepare(config, set_device(config.machine), measure=measure).plan
    assert paces[0].view.at(32**2) > 0
    assert plan.config.network.feature_views == 32
    assert not features.exists()


KILLED = """
import os
import signal
import sys
from contextlib import contextmanager

import tiny_vit
from semiseg.cli import main
from semiseg.training import feature_store

write, count = feature_store.atomic_write, [0]

@contextmanager
def killed(path, **options):
    with write(path, **options) as stream:
        count[0] += 1
        if count[0] == 9:
            stream.write(b"half")
            stream.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        yield stream

feature_store.atomic_write = killed
main(sys.argv[1:])
"""


def words(settings):
    return [w for name, v in settings.items() for w in ("--" + name.replace("_", "-"), str(v))]


@pytest.mark.faults
def test_a_training_that_is_killed_while_it_fills_the_cache_leaves_nothing_broken(
    whole, tiny_folder, tmp_path, features
):
    flags = words({k: v for k, v in {**SETTINGS, **CSS}.items() if k != "diagnostics"})
    command = ["train", tiny_folder, "--out", tmp_path / "run", *flags, "--no-diagnostics"]
    helpers = str(Path(__file__).parents[1] / "helpers")
    path = os.pathsep.join([helpers, *sys.path])
    process = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, command)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert len(files(features)) == 9
    assert sum(path.suffix == ".part" for path in files(features)) == 1
    semiseg.train(tiny_folder, out=tmp_path / "run", resume=True)
    assert bits(tmp_path / "run") == bits(whole)


TWO = """
import sys
from pathlib import Path

import tiny_vit
import torch
import semiseg
from semiseg.training.module import TrainingModule

data, out = map(Path, sys.argv[1:])

def keep(self):
    state = {name: value.clone() for name, value in self.method.state_dict().items()}
    torch.save(state, out.with_name(f"{out.name}{self.global_rank}.pt"))

TrainingModule.on_train_end = keep
semiseg.train(data, out=out, **SETTINGS)
"""


@pytest.mark.distributed
def test_two_processes_fill_one_cache_and_repeat_their_bits(tiny_folder, tmp_path, features):
    settings = SETTINGS | CSS | {"batch": 4, "devices": 2, "steps": 2, "accumulate": 1}
    script = tmp_path / "script.py"
    script.write_text(TWO.replace("SETTINGS", repr(settings)))
    helpers = str(Path(__file__).parents[1] / "helpers")
    env = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    env |= {"PYTHONPATH": os.pathsep.join([helpers, *sys.path])}
    states = []
    for name in ("empty", "full"):
        process = subprocess.run(
            [sys.executable, script, tiny_folder, tmp_path / name],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
            cwd=tmp_path,
        )
        assert process.returncode == 0, process.stderr
        states += [torch.load(tmp_path / f"{name}{rank}.pt") for rank in (0, 1)]
    assert files(features)
    first = states[0]
    trained = [name for name in first if "running_" not in name and "num_batches" not in name]
    for state, names in zip(states[1:], (trained, list(first), trained), strict=True):
        for name in names:
            assert torch.equal(first[name], state[name]), name
