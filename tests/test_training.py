"""What must not change the bits of a training, and what must."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import semiseg
from semiseg.config.groups import OptimizerConfig
from semiseg.core.rng import Key
from semiseg.data.reader import load_dataset
from semiseg.data.sample_order import SampleOrder
from semiseg.data.splits import make_split
from semiseg.methods import build_method
from semiseg.model.network import Network
from semiseg.training.batches import TrainingBatches, TrainingImages, Views
from semiseg.training.checkpoint import newest_intact
from semiseg.training.module import TrainingModule

TINY = {
    "encoder": "lcnet_035",
    "weights": "none",
    "size": 48,
    "crop": 32,
    "batch": 2,
    "steps": 4,
    "validations": 1,
    "workers": 0,
    "accelerator": "cpu",
    "diagnostics": False,
}


@pytest.fixture
def shared_golden():
    path = Path(__file__).parents[2] / "shared" / "golden" / "css_program.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with np.load(path) as arrays:
        return dict(arrays)


def final_weights(folder, out, **settings):
    run = semiseg.train(folder, out=out, **{**TINY, **settings})
    return load_file(run.folder / "model.safetensors")


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.fixture(scope="module")
def reference(tiny_folder, tmp_path_factory):
    return final_weights(tiny_folder, tmp_path_factory.mktemp("bits") / "run", method="css")


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"workers": 2}, {"validations": 4}], ids=str)
def test_workers_and_validations_do_not_change_a_bit(reference, tiny_folder, tmp_path, other):
    ours = final_weights(tiny_folder, tmp_path / "run", method="css", **other)
    assert same(reference, ours)


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"seed": 1}, {"labels": "2"}, {"anchors": 8}], ids=str)
def test_seed_labels_and_settings_do(reference, tiny_folder, tmp_path, other):
    ours = final_weights(tiny_folder, tmp_path / "run", method="css", **other)
    assert not same(reference, ours)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_css_trains_with_each_optimizer(optimizer, tiny_folder, tmp_path):
    run = semiseg.train(tiny_folder, optimizer=optimizer, out=tmp_path / "run", **TINY)
    assert run.scores.miou.released is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    "decoder",
    [
        "fpn",
        pytest.param("upernet", marks=pytest.mark.variants),
        pytest.param("segformer", marks=pytest.mark.variants),
    ],
)
def test_other_decoders_train(decoder, tiny_folder, tmp_path):
    run = semiseg.train(
        tiny_folder, method="css", decoder=decoder, out=tmp_path / "run", **{**TINY, "crop": 64}
    )
    path = next((tiny_folder / "val" / "images").iterdir())
    assert semiseg.load(run.folder, "cpu").predict(path).mask.shape == (48, 64)


@pytest.mark.slow
def test_steps_are_optimizer_steps_whatever_is_accumulated(tiny_folder, tmp_path):
    run = semiseg.train(
        tiny_folder, method="css", out=tmp_path / "run", accumulate=2, **{**TINY, "validations": 2}
    )
    with (run.folder / "metrics.csv").open() as file:
        looks = [row for row in csv.DictReader(file) if row["val/miou_student"]]
    assert len(looks) == 2
    assert run.scores.steps == 4
    checkpoint, step = newest_intact(run.folder / "checkpoints")
    assert step == 4
    state = torch.load(checkpoint, weights_only=True)
    assert state["global_step"] == 4


@pytest.mark.slow
def test_a_log_tells_the_time_left(tiny_folder, tmp_path, log):
    settings = {**TINY, "validations": 2, "method": "supervised"}
    semiseg.train(tiny_folder, out=tmp_path / "run", **settings)
    messages = [record.getMessage() for record in log.records]
    lines = [message for message in messages if " mIoU on val: " in message]
    assert [re.findall(r"  about \d+ s left$", line) != [] for line in lines] == [True, False]


@pytest.mark.slow
def test_css_learns_from_labeled_images_where_there_are_no_others(tmp_path, tiny_folder):
    for part in ("train", "val"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / part).symlink_to(tiny_folder / part)
    run = semiseg.train(tmp_path / "data", method="css", out=tmp_path / "run", **TINY)
    assert run.scores.split.images["unlabeled"] == 0


def test_an_unknown_option_of_the_method_is_refused_with_the_nearest_name(tiny_folder, tmp_path):
    with pytest.raises(semiseg.ConfigError, match="anchors"):
        semiseg.train(tiny_folder, method="css", out=tmp_path / "run", anchor=3, **TINY)


def test_an_unreadable_labeled_image_ends_a_training_without_a_traceback(tmp_path):
    from semiseg.scenes.draw import write_scenes

    root = write_scenes(tmp_path / "data", labeled=2, unlabeled=1, val=1, size=(48, 64))
    broken = next((root / "train" / "images").iterdir())
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(semiseg.DataError) as error:
        semiseg.train(root, method="css", out=tmp_path / "run", **{**TINY, "workers": 1})
    assert broken.name in str(error.value)
    assert "Traceback" not in str(error.value)


@pytest.mark.slow
def test_held_out_images_are_those_that_evaluate_scores(tmp_path):
    from semiseg.scenes.draw import write_scenes

    root = write_scenes(tmp_path / "data", labeled=6, unlabeled=2, val=0, size=(48, 64))
    run = semiseg.train(root, method="supervised", out=tmp_path / "run", **TINY)
    held_out = (run.folder / "split" / "val.txt").read_text().split()
    labeled = (run.folder / "split" / "labeled.txt").read_text().split()
    assert held_out
    assert not set(held_out) & set(labeled)
    scores = semiseg.evaluate(run.folder, root, accelerator="cpu")
    assert scores.images == len(held_out)
    assert scores.miou == pytest.approx(run.scores.choice.miou)
    assert scores.hash == run.scores.split.val


def test_each_pass_of_the_order_holds_each_sample_once():
    order = SampleOrder(list("abcde"), Key.of(0, "order"))
    passes = ["".join(order[5 * n + i] for i in range(5)) for n in range(20)]
    assert {"".join(sorted(p)) for p in passes} == {"abcde"}
    assert len(set(passes)) > 10
    again = SampleOrder(list("abcde"), Key.of(0, "order"))
    assert again[93] == passes[18][3]  # asked for at once, without the positions before it


def test_a_batch_depends_on_its_number_alone(tiny_folder):
    folder = load_dataset(tiny_folder)
    split = make_split(folder, "2", 0)
    images = TrainingImages(split.labeled, split.unlabeled, folder.classes)
    make = lambda: TrainingBatches(images, Views(48, 32), 2, Key.of(0, "data"))  # noqa: E731
    ours, theirs = make(), make()
    for number in (0, 1, 2):
        ours[number]
    assert torch.equal(ours[7].unlabeled.strong, theirs[7].unlabeled.strong)
    assert torch.equal(ours[7].labeled.image, theirs[7].labeled.image)
    assert not torch.equal(ours[6].labeled.image, ours[7].labeled.image)


def test_weak_and_strong_views_share_their_geometry(tiny_folder):
    folder = load_dataset(tiny_folder)
    split = make_split(folder, "2", 0)
    images = TrainingImages(split.labeled, split.unlabeled, folder.classes)
    batches = TrainingBatches(images, Views(48, 64), 2, Key.of(0, "data"))
    views = batches[0].unlabeled
    padding = ~views.valid.unsqueeze(1).expand_as(views.weak)
    assert padding.any()
    fill = torch.tensor([124, 116, 104], dtype=torch.uint8).view(1, 3, 1, 1)
    assert (views.weak == fill)[padding].all()
    assert views.weak.dtype == torch.uint8


def module(optimizer="adamw", **settings):
    method = build_method("supervised", Network(3, "lcnet_035", weights="none"))
    values = {"lr": 1.0, "encoder_lr": 0.1, "layer_decay": 1.0, **settings}
    values = {"weight_decay": 0.5, "lr_warmup": 0.1, **values}
    rates = OptimizerConfig(optimizer=optimizer, **values)
    return TrainingModule(method, ("a", "b", "c"), 100, Key.of(0), rates)


def test_the_rate_rises_and_falls_to_zero():
    whole = module()
    factors = [whole.rate_factor(step) for step in range(101)]
    assert factors[:10] == sorted(factors[:10])
    assert factors[0] > 0
    assert factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5**0.9)
    assert factors[100] == 0.0


def test_stages_share_a_schedule_of_rates():
    whole = module()
    whole.steps = 200
    first, second = module(), module()
    first.steps_after = second.steps_before = 100
    factors = [part.rate_factor(step) for part in (first, second) for step in range(100)]
    assert factors == [whole.rate_factor(step) for step in range(200)]


def test_the_poly_schedule_is_the_program_s_without_its_floor(shared_golden):
    expected = torch.tensor(shared_golden["poly_lr"])
    base = 6.4e-3
    ours = module(lr_warmup=0.0)
    ours.steps = 1000
    factors = torch.tensor([base * ours.rate_factor(step) for step in range(1000)])
    above = expected > 1.01e-4
    torch.testing.assert_close(factors[above], expected[above].float(), rtol=1e-3, atol=1e-6)


def test_the_encoder_has_its_own_rate_and_norms_no_decay():
    groups = module()
    optimizer = groups.configure_optimizers()["optimizer"]
    by_id = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    student = groups.method.student
    assert len(by_id) == len(list(student.parameters()))
    # The schedule starts at the first step of the warm-up.
    first = groups.rate_factor(0)
    for name, parameter in student.named_parameters():
        group = by_id[id(parameter)]
        assert group["lr"] == pytest.approx(first * (0.1 if name.startswith("encoder") else 1.0))
        assert group["weight_decay"] == (0.5 if parameter.dim() > 1 else 0.0)


@pytest.mark.parametrize("key", ["weights", "state_dict.loss_scale"])
def test_a_checkpoint_of_another_state_of_the_program_is_refused(key):
    current = module()
    stored = {"state_dict": current.state_dict()}
    current.on_save_checkpoint(stored)
    current.on_load_checkpoint(stored)
    if key == "weights":
        del stored[key]
    else:
        stored["state_dict"][key.removeprefix("state_dict.")] = torch.zeros(1)
    with pytest.raises(semiseg.RunError, match="another state of this program"):
        module().on_load_checkpoint(stored)


@pytest.mark.slow
def test_tensorboard_is_written_if_it_is_asked_for(tiny_folder, tmp_path):
    pytest.importorskip("tensorboard")
    settings = {**TINY, "method": "supervised", "steps": 2}
    plain = semiseg.train(tiny_folder, out=tmp_path / "plain", **settings)
    both = semiseg.train(
        tiny_folder, out=tmp_path / "both", logger=("csv", "tensorboard"), **settings
    )
    assert not (plain.folder / "tensorboard").exists()
    assert list((both.folder / "tensorboard").glob("events*"))
    assert same(*(load_file(run.folder / "model.safetensors") for run in (plain, both)))


def test_a_logger_without_its_package_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(semiseg.ConfigError, match=r"pip install 'semiseg\[wandb\]'"):
        semiseg.train(tmp_path / "nothing", out=tmp_path / "run", logger=("wandb",))
