"""Trainings with stages: what each stage leaves behind, kills in each of them, and refusals."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import semiseg
from semiseg.config.budget import total_seconds
from semiseg.config.facts import (
    AS_GIVEN,
    EncoderChoice,
    Facts,
    Line,
    MethodChoice,
    Pace,
    Reason,
)
from semiseg.config.sizing import Sizes
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.reading import AS_STORED
from semiseg.core.scores import read_scores
from semiseg.core.types import Sample
from semiseg.data.formats.images import read_image
from semiseg.data.reader import load_dataset
from semiseg.evaluation import logit_adjustment
from semiseg.model.network import Network
from semiseg.model.release import load_release
from semiseg.training import cost, profiling
from semiseg.training.data import TrainingData
from semiseg.training.labeling.model import model_labeler
from semiseg.training.labeling.store import LabelStore
from semiseg.training.labels_in_use import read_in_use
from semiseg.training.module import TrainingModule
from semiseg.training.reliability import choose_reliable, read_reliability
from semiseg.training.stage import stages_of
from semiseg.training.stage_labels import labeled_for

SETTINGS = {
    **{"weights": "none", "size": 48, "crop": 32, "batch": 5, "steps": 9, "validations": 2},
    **{"workers": 0, "threads": 1, "accelerator": "cpu", "labels": "2", "encoder": "lcnet_035"},
    # So fast that the labels of the snapshots differ.
    **{"lr": 0.05, "encoder_lr": 0.02, "class_weights": "none"},
}


@pytest.fixture(scope="module")
def plus(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three stages."""
    out = tmp_path_factory.mktemp("stages") / "run"
    semiseg.train(tiny_folder, method="st-plus-plus", out=out, **SETTINGS)
    return out


GOES_ON = {**SETTINGS, "method": "st", "stage_shares": (1, 1, 1), "restart": False}


@pytest.fixture(scope="module")
def going_on(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three stages, each of which goes on from the one before."""
    out = tmp_path_factory.mktemp("stages") / "run"
    semiseg.train(tiny_folder, out=out, **GOES_ON)
    return out


STORED = {**SETTINGS, "method": "css-stored", "representation_dim": 8, "anchors": 16}


@pytest.fixture(scope="module")
def stored(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three stages, the first of which is css on labeled images alone."""
    out = tmp_path_factory.mktemp("stages") / "run"
    semiseg.train(tiny_folder, out=out, **STORED)
    return out


SECOND = {**STORED, "second_encoder": "lcnet_050", "second_weights": "none", "second_share": 0.5}


@pytest.fixture(scope="module")
def two_networks(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose images are labeled by a second network too."""
    out = tmp_path_factory.mktemp("stages") / "run"
    semiseg.train(tiny_folder, out=out, **SECOND)
    return out


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def same(ours: Path, theirs: Path) -> bool:
    a, b = weights(ours), weights(theirs)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def pool(run: Path, folder: Path) -> tuple[Sample, ...]:
    """The unlabeled images of a run, in the order of its label store."""
    images = {s.name: s._replace(mask=None) for s in load_dataset(folder).train}
    manifest = json.loads((run / "labels" / "labels.json").read_text())
    return tuple(images[entry["name"]] for entry in manifest["images"])


@pytest.mark.slow
def test_the_first_stage_is_a_supervised_training(
    plus: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    words = {**SETTINGS, "steps": 3, "validations": 3}
    semiseg.train(tiny_folder, method="supervised", out=tmp_path / "run", **words)
    assert same(plus / "stages" / "1", tmp_path / "run")
    assert not same(plus / "stages" / "1", plus)


@pytest.mark.slow
def test_the_scores_count_the_steps_and_seconds_of_all_stages(plus: Path) -> None:
    stages = [read_scores(plus / "stages" / str(n) / "scores.json") for n in (1, 2)]
    scores = read_scores(plus / "scores.json")
    assert [stage.steps for stage in stages] == [3, 3]
    assert [stage.method for stage in stages] == ["supervised", "st"]
    assert scores.steps == 9
    labeling = json.loads((plus / "stages" / "seconds.json").read_text())
    assert labeling > 0
    others = labeling + sum(stage.seconds for stage in stages)
    assert scores.seconds > others - 0.2  # each is rounded to a tenth
    assert scores.timing.labeling_at(9) == pytest.approx(labeling, abs=0.01)
    metadata = json.loads((plus / "model.json").read_text())
    assert metadata["steps"] == 9


@pytest.mark.slow
def test_the_second_stage_learns_the_reliable_half_and_the_third_one_all(
    plus: Path, tiny_folder: Path
) -> None:
    everything = pool(plus, tiny_folder)
    values = read_reliability(plus / "stages" / "1", len(everything))
    assert len(everything) == 6
    chosen = choose_reliable(values, 0.5)
    half = pool(plus / "stages" / "2", tiny_folder)
    assert half == tuple(everything[i] for i in chosen)
    assert len(half) == 3
    names = load_dataset(tiny_folder).classes.names
    stores = [LabelStore(plus / "stages" / "2" / "labels", half)]
    stores.append(LabelStore(plus / "labels", everything))
    for number, (store, samples) in enumerate(
        [(stores[0], half), (stores[1], [s for s in everything if s not in half])], 1
    ):
        label_all, _ = model_labeler(
            plus / "stages" / str(number), names, size=48, reading=AS_STORED, accelerator="cpu"
        )
        for sample, labels in zip(samples, label_all(samples), strict=True):
            np.testing.assert_array_equal(store.read(sample).label, labels.label)
    for sample in half:
        for ours, theirs in zip(stores[1].read(sample), stores[0].read(sample), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_a_run_with_stages_predicts_and_is_evaluated(plus: Path, tiny_folder: Path) -> None:
    assert semiseg.load(plus, "cpu").metadata.method == "st-plus-plus"
    scores = semiseg.evaluate(plus, tiny_folder, accelerator="cpu")
    assert scores is not None


@pytest.mark.slow
def test_without_unlabeled_images_there_is_one_stage(tiny_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_folder, data)
    shutil.rmtree(data / "unlabeled")
    words = {**SETTINGS, "labels": "all", "steps": 2, "validations": 1}
    run = semiseg.train(data, method="st", out=tmp_path / "run", **words)
    assert run.scores.steps == 2
    assert not (run.folder / "stages").exists()
    assert not (run.folder / "labels").exists()


@pytest.mark.slow
def test_each_stage_starts_from_the_run_that_is_named(
    plus: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    words = {**SETTINGS, "steps": 2, "validations": 1, "lr": 0.0, "encoder_lr": 0.0}
    out = tmp_path / "run"
    semiseg.train(tiny_folder, method="st", out=out, start_from=plus, **words)
    before = weights(plus)
    for run in (out, out / "stages" / "1"):  # with rates of 0 the weights stay
        after = weights(run)
        encoder = [k for k in before if k.startswith("network.encoder") and k.endswith("weight")]
        assert encoder
        assert all(torch.equal(before[key], after[key]) for key in encoder)


@pytest.mark.slow
def test_a_stage_is_not_trained_alone(plus: Path, tiny_folder: Path) -> None:
    for words in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(ConfigError, match=r"is a stage of the run .*Give --out"):
            semiseg.train(tiny_folder, out=plus / "stages" / "1", **words)
    assert (plus / "stages" / "1" / "scores.json").exists()


@pytest.mark.slow
def test_changed_labels_are_refused(plus: Path, tiny_folder: Path, tmp_path: Path) -> None:
    out = shutil.copytree(plus, tmp_path / "run")
    (out / "scores.json").unlink()
    shutil.copy(out / "labels" / "000001.png", out / "labels" / "000000.png")
    with pytest.raises(RunError, match="The stored labels have changed since they were made"):
        semiseg.train(tiny_folder, out=out, resume=True)


KILLED = '''
"""A training that is killed again and again, each time later; each life is a fork of this one."""
import os, signal, sys
from pathlib import Path

import torch

import semiseg
from semiseg.training import release, reliability, run_folder, stages
from semiseg.training.checkpoint import SafeCheckpointIO
from semiseg.training.labeling import second, store

folder, out, settings = Path(sys.argv[1]), Path(sys.argv[2]), eval(sys.argv[3])
torch.set_num_threads(1)
semiseg.train  # imports all
sys.modules["semiseg.commands.train"].write_report = lambda *folders: True
sys.modules["semiseg.commands.train"].live_report = lambda: None

measures = settings["method"] == "st-plus-plus"  # then the first stage has three checkpoints
SECOND = [  # of the second network
    (run_folder, "write_text", 5),  # while its folder is created
    (SafeCheckpointIO, "save_checkpoint", 1),
    (release, "save_release", 1),
]
LIVES = [
    *SECOND * ("second_encoder" in settings),
    (SafeCheckpointIO, "save_checkpoint", 2 if measures else 1),  # in the first stage
    (release, "save_release", 1),  # its steps are done, and it has no model
    *[(reliability, "write_json", 1)] * measures,  # all is compared, and nothing written
    *[(second, "atomic_write", 3)] * ("second_encoder" in settings),  # its third image
    (store, "_encode", 2),  # the second image of the second stage
    (SafeCheckpointIO, "save_checkpoint", 1),  # in the second stage
    (release, "save_release", 1),
    (store, "_encode", 4),  # the fourth of six images
    (SafeCheckpointIO, "save_checkpoint", 2),  # in the last stage
    (release, "write_text", 2),  # before the scores
]


def live(fatal, resume):
    child = os.fork()
    if not child:
        if fatal is not None:
            place, name, number = fatal
            whole, calls = getattr(place, name), []

            def last_time(*arguments, **options):
                calls.append(1)
                if len(calls) == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return whole(*arguments, **options)

            setattr(place, name, last_time)
        semiseg.train(folder, out=out, resume=resume, **settings)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


for number, fatal in enumerate(LIVES):
    status = live(fatal, resume=number > 0)
    assert status == -signal.SIGKILL, (number, status)
assert live(None, resume=True) == 0
'''


def digests(run: Path) -> dict[str, str]:
    """The SHA-256 of all that does not hold a time."""
    files = [p for p in run.rglob("*") if p.suffix in (".png", ".safetensors", ".csv")]
    files += [p for p in run.rglob("*.json") if p.name in ("labels.json", "reliability.json")]
    return {
        str(p.relative_to(run)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)
    }


@pytest.mark.faults
@pytest.mark.parametrize("method", ["st-plus-plus", "st", "css-stored", "css-stored, two"])
def test_a_training_that_is_killed_in_each_stage_ends_with_the_same_bits(
    method: str, request: pytest.FixtureRequest, tiny_folder: Path, tmp_path: Path
) -> None:
    """With stages that start anew, that go on, with prototypes, and with a second network."""
    settings, fixture = {
        "st-plus-plus": ({**SETTINGS, "method": "st-plus-plus"}, "plus"),
        "st": (GOES_ON, "going_on"),
        "css-stored": (STORED, "stored"),
        "css-stored, two": (SECOND, "two_networks"),
    }[method]
    whole: Path = request.getfixturevalue(fixture)
    (tmp_path / "script.py").write_text(KILLED)
    out = tmp_path / "run"
    process = subprocess.run(
        [sys.executable, tmp_path / "script.py", tiny_folder, out, repr(settings)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert digests(out) == digests(whole)
    assert read_scores(out / "scores.json").steps == 9


@pytest.mark.slow
def test_a_resumed_run_goes_on_in_its_stage(
    plus: Path, tiny_folder: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    out = shutil.copytree(plus, tmp_path / "run")
    for name in ("scores.json", "model.json", "model.safetensors"):
        (out / name).unlink()
    semiseg.train(tiny_folder, out=out, resume=True)
    assert "stage 1 of 3 is finished" in log.text
    assert "stage 2 of 3 is finished" in log.text
    assert "labeling" not in log.text
    assert digests(out) == digests(plus)
    before = read_scores(plus / "scores.json")
    assert read_scores(out / "scores.json").steps == before.steps
    semiseg.train(tiny_folder, method="st", out=out, overwrite=True, **{**SETTINGS, "steps": 2})
    assert not (out / "stages" / "2").exists()


def test_a_plan_names_the_stages_and_refuses_too_few_steps(
    tiny_folder: Path, tmp_path: Path
) -> None:
    words = {"accelerator": "cpu", "out": tmp_path / "run", "method": "st-plus-plus"}
    plan = semiseg.plan(tiny_folder, steps=90, **words)
    reason = plan.entry("stage_shares").reason
    assert "stage 1 (supervised) for 30 steps, then stage 2 (st) for 30 steps" in reason
    assert "first 2 steps" in plan.entry("lr_warmup").reason  # of each stage
    with pytest.raises(ConfigError, match="--steps 2 is too few for 3 stages"):
        semiseg.plan(tiny_folder, steps=2, **words)
    css = semiseg.plan(tiny_folder, **{**words, "method": "css-stored", "steps": 100})
    reason = css.entry("stage_shares").reason
    assert reason.startswith("stage 1 (css-stored on labeled images only) for 49 steps, then")
    words |= {"method": "st", "stage_shares": (2, 1, 1), "restart": False}
    plan = semiseg.plan(tiny_folder, steps=400, **words)
    reason = plan.entry("stage_shares").reason
    assert "stage 1 (supervised) for 200 steps, then stage 2 (st) for 100 steps" in reason
    assert "each goes on from the weights of the one before" in reason
    assert "first 10 steps of stage 1 and 10 of stage 2" in plan.entry("lr_warmup").reason


@pytest.mark.slow
def test_a_dry_run_counts_all_stages(tiny_folder: Path, tmp_path: Path) -> None:
    words = {**SETTINGS, "steps": 1000, "out": tmp_path / "run"}
    cost = semiseg.dry_run(tiny_folder, method="st", **words)
    assert cost.stages == ("stage 1 of 2: supervised, 500 steps", "stage 2 of 2: st, 500 steps")
    assert "stage 1 of 2: supervised, 500 steps" in cost.text()
    # The second stage alone takes 500 steps of its own.
    assert cost.hours > 500 * 0.5 * cost.seconds / 3600
    assert not (tmp_path / "run").exists()


def test_a_budget_counts_what_is_done_between_the_stages() -> None:
    """The same steps take longer by the labeling, and by a validation with the shapes."""
    facts = Facts(
        side=48.0,
        labeled=2,
        unlabeled=10,
        validation_images=4,
        pixels={},
        likeness=None,
        device="cpu",
        world=1,
        reading=AS_STORED,
        val=4,
        encoder=EncoderChoice("lcnet_035", Reason("default", "")),
        method=MethodChoice("st", AS_GIVEN),
    )
    pace, sizes = Pace(Line(1, 0), Line(2, 0), float("inf"), 0.0), Sizes(48, 32, 2, 20, 5)
    seconds = {
        method: total_seconds(
            TrainConfig.from_values({"data": "DATA", "method": method}), facts, pace, sizes
        )
        for method in ("cutmix", "st")
    }
    # Each image: two scales with mirror images, half as much as a validation with two networks.
    assert seconds["st"] - seconds["cutmix"] == pytest.approx(2 * (2 * 4 + 10 * (1 + 1.25**2)))


@pytest.mark.slow
def test_a_comparison_reads_each_run_once(tiny_folder: Path, tmp_path: Path) -> None:
    words = {**SETTINGS, "steps": 4, "validations": 1}
    labels = words.pop("labels")
    out = tmp_path / "compared"
    words |= {"methods": "supervised,st", "labels": labels, "same_time": False}
    result = semiseg.compare(tiny_folder, out=out, **words)
    rows = {row.method: row for row in result.rows}
    assert len(rows["st"].records) == 1
    assert rows["st"].steps == rows["supervised"].steps == 4
    assert not result.failed


TWO = """
import sys
from pathlib import Path
import torch
import semiseg
from semiseg.training.module import TrainingModule

data, out = map(Path, sys.argv[1:3])

def keep(self):
    state = {k: v.clone() for k, v in self.method.named_parameters()}
    torch.save(state, out.with_name(f"rank{self.global_rank}.pt"))

TrainingModule.on_train_end = keep
run = semiseg.train(data, out=out, resume=sys.argv[3] == "resume", **eval(sys.argv[4]))
print("scores", run.scores.steps)
"""


JUDGED = {**STORED, "agreement": "both"}


@pytest.mark.distributed
@pytest.mark.parametrize("own", [{"method": "st-plus-plus"}, GOES_ON, JUDGED])
def test_two_processes_train_each_stage(
    own: dict[str, object], tiny_folder: Path, tmp_path: Path
) -> None:
    """Then the last stage again, in new processes that find the others finished."""
    (tmp_path / "script.py").write_text(TWO)
    out = tmp_path / "run"
    settings = {**SETTINGS, **own, "batch": 4, "devices": 2, "steps": 6}
    if own is JUDGED:  # it needs weights that are not random
        settings["weights"] = str(tmp_path / "w.safetensors")
        encoder = Network(2, "lcnet_035", weights="none").encoder
        save_file(dict(encoder.state_dict()), settings["weights"])

    def live(word: str) -> str:
        process = subprocess.run(
            [sys.executable, tmp_path / "script.py", tiny_folder, out, word, repr(settings)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

    assert live("new").count("scores 6") == 1
    ours, theirs = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    before = digests(out)
    (out / "scores.json").unlink()
    shutil.rmtree(out / "checkpoints")
    assert live("resume").count("scores 6") == 1
    assert digests(out) == before


@pytest.mark.slow
def test_a_short_training_labels_some_images_for_each_stage(
    tiny_folder: Path, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """Three draws in a step make use of two labels; the second labeling takes other images."""
    words = {**STORED, "batch": 3, "steps": 4, "stage_shares": "2,1,1"}
    run = semiseg.train(tiny_folder, out=tmp_path / "run", **words)
    second, last = (pool(one, tiny_folder) for one in (run.folder / "stages" / "2", run.folder))
    assert [len(second), len(last)] == [2, 2]
    assert not set(second) & set(last)
    for one in (run.folder / "stages" / "2", run.folder):  # all are in the sample of the labels
        in_use = read_in_use(one / "labels")
        assert in_use is not None
        assert in_use.images == 2
        assert sum(c.assigned for c in in_use.by_class.values()) == pytest.approx(100)
        used = sum(c.assigned * (c.used or 0) for c in in_use.by_class.values()) / 100
        assert in_use.used == pytest.approx(used)
    assert "stage 3 of 3 draws 3 unlabeled images, so 2 of 6 are labeled for it" in log.text
    timing = run.scores.timing
    # Two labelings of six images, of which four were made in four steps.
    assert timing.labeling == pytest.approx(12 * timing.labeling_of_step, abs=0.02)


@pytest.mark.parametrize("batch", range(2, 9))
def test_the_second_labeling_takes_the_images_that_the_first_left(batch: int) -> None:
    """Also where the steps of a stage draw each image once, or a multiple of that."""
    images = [Sample(str(i), Path(f"{i}.png"), None) for i in range(6)]
    values = {**STORED, "data": "data", "batch": batch, "steps": 8, "stage_shares": "2,1,1"}
    config = TrainConfig.from_values(values)
    first, last = (set(labeled_for(one, images)) for one in stages_of(config, True)[1:])
    assert len(first) == len(last) == min(6, -(-2 * batch * 2 // 3))
    assert len(first | last) == min(6, 2 * len(first))


@pytest.mark.slow
def test_each_stage_labels_all_images_anew(going_on: Path, tiny_folder: Path) -> None:
    names = load_dataset(tiny_folder).classes.names
    confidences = []
    for number, run in ((1, going_on / "stages" / "2"), (2, going_on)):
        samples = pool(run, tiny_folder)
        assert len(samples) == 6
        store = LabelStore(run / "labels", samples)
        label_all, _ = model_labeler(
            going_on / "stages" / str(number), names, size=48, reading=AS_STORED, accelerator="cpu"
        )
        stored = [store.read(sample) for sample in samples]
        for ours, theirs in zip(stored, label_all(samples), strict=True):
            np.testing.assert_array_equal(ours.label, theirs.label)
        confidences.append([labels.confidence for labels in stored])
    assert all((a != b).any() for a, b in zip(*confidences, strict=True))
    assert not (going_on / "stages" / "1" / "labels").exists()
    scores = [read_scores(going_on / "stages" / str(n) / "scores.json") for n in (1, 2)]
    assert [(stage.method, stage.steps) for stage in scores] == [("supervised", 3), ("st", 3)]
    assert read_scores(going_on / "scores.json").steps == 9


@pytest.mark.slow
@pytest.mark.parametrize("method", ["st", "css-stored"])
def test_a_stage_goes_on_from_the_released_weights_without_their_adjustment(
    method: str, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first stage learns; then the rates are 0, so that the weights stay as they are."""
    original = TrainingModule.rate_factor
    monkeypatch.setattr(
        TrainingModule,
        "rate_factor",
        lambda self, step: 0.0 if self.steps_before + self.steps_after else original(self, step),
    )
    monkeypatch.setattr(logit_adjustment, "STRENGTHS", (1.0,))  # the only one to choose
    out = tmp_path / "run"
    words = {**{"st": GOES_ON, "css-stored": STORED}[method], "class_weights": "sqrt"}
    if method == "css-stored":
        words["prototype_momentum"] = 1.0
    semiseg.train(tiny_folder, out=out, **words)
    first, last = (load_release(run) for run in (out / "stages" / "1", out))
    assert first.metadata.weights == last.metadata.weights
    theirs = dict(last.network.named_parameters())
    for name, parameter in first.network.named_parameters():
        if name != f"{first.network.classifier}.bias":
            assert torch.equal(theirs[name], parameter), name
    assert first.tensors["logit_offsets"].any()
    biases = [
        run.network.get_parameter(f"{run.network.classifier}.bias") - run.tensors["logit_offsets"]
        for run in (first, last)
    ]
    torch.testing.assert_close(*biases)
    prototypes = [run.tensors.get("prototypes") for run in (first, last)]
    if method == "css-stored":
        assert prototypes[0].any()
        assert torch.equal(*prototypes)


@pytest.mark.slow
def test_css_stored_learns_masks_then_labels_of_both_spaces(
    stored: Path, tiny_folder: Path
) -> None:
    scores = [read_scores(stored / "stages" / str(n) / "scores.json") for n in (1, 2)]
    assert [(one.method, one.steps) for one in scores] == [("css-stored", 4), ("css-stored", 3)]
    assert read_scores(stored / "scores.json").steps == 9
    assert not (stored / "stages" / "1" / "labels").exists()
    names = load_dataset(tiny_folder).classes.names
    for number, run in ((1, stored / "stages" / "2"), (2, stored)):
        samples = pool(run, tiny_folder)
        assert len(samples) == 6
        store = LabelStore(run / "labels", samples)
        label_all, _ = model_labeler(
            stored / "stages" / str(number), names, size=48, reading=AS_STORED, accelerator="cpu"
        )
        for sample, labels in zip(samples, label_all(samples), strict=True):
            ours = store.read(sample)
            np.testing.assert_array_equal(ours.label, labels.label)
            np.testing.assert_array_equal(ours.agreement, labels.agreement)
        predictor = semiseg.load(stored / "stages" / str(number), "cpu")
        image = read_image(samples[0].image, AS_STORED)
        assert predictor.segment.averaged(image, (1.0,), (48, 48)).nearest is not None
    assert load_release(stored).tensors["seen"].all()
    semiseg.evaluate(stored, tiny_folder, accelerator="cpu")


@pytest.mark.slow
def test_the_cost_of_the_first_stage_is_that_of_labeled_images_alone(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dry run and a budget measure its steps without unlabeled images."""
    pools: list[int] = []

    def remember(function: Callable[..., object]) -> Callable[..., object]:
        def remembering(config: TrainConfig, *arguments: object) -> object:
            (data,) = (one for one in arguments if isinstance(one, TrainingData))
            pools.append(len(data.unlabeled))
            return function(config, *arguments)

        return remembering

    monkeypatch.setattr(cost, "estimate_cost", remember(cost.estimate_cost))
    words = {**STORED, "out": tmp_path / "run"}
    semiseg.dry_run(tiny_folder, **{**words, "steps": 100})
    assert pools == [0, 6, 6]
    pools.clear()
    monkeypatch.setattr(profiling, "_measure", remember(profiling._measure))
    words.pop("steps")
    semiseg.plan(tiny_folder, budget="1h", **words)
    assert 0 in pools
    assert {0, 6} == set(pools)
