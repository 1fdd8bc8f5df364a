"""Recipes: settings under a name; each is taken through two steps on a tiny official tree."""

import re
import signal

import pytest
import torch
import yaml

import semiseg
from semiseg import train
from semiseg.cli import main
from semiseg.commands.layers import train_config
from semiseg.config.recipes import names, recipe
from semiseg.core.errors import ConfigError, RunError
from semiseg.model.network import Network, rebuild

PAPER = ["ade20k", "cityscapes", "cocostuff10k", "voc-blender", "voc-classic"]
SIBLINGS = {"camvid-cpu", "voc-classic"}
# A recipe's own scale would take hours; the rest of its settings stay.
SMALL = [
    *("--encoder", "lcnet_035", "--weights", "none", "--size", "48", "--crop", "64"),
    *("--batch", "2", "--steps", "2", "--validations", "1", "--workers", "0", "--labels", "2"),
    *("--accelerator", "cpu", "--no-diagnostics"),
]


def tree_of(name, official_tree):
    trees = {"camvid-cpu": "camvid", "peanut-cpu": "ade20k"}
    dataset = trees.get(name) or recipe(name)["dataset"]
    return official_tree(dataset)


def test_the_help_names_every_recipe(capsys):
    main(["train", "--help-all"])
    words = capsys.readouterr().out.split()
    assert {name for name in names() if not any(name in word for word in words)} == set()


def test_the_seven_recipes_are_there():
    assert names() == ["ade20k", "camvid-cpu", *PAPER[1:3], "peanut-cpu", *PAPER[3:]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    # A recipe of each kind, one of them with the method that the paper presents.
    [n if n in SIBLINGS else pytest.param(n, marks=pytest.mark.variants) for n in names()],
)
def test_a_recipe_trains_on_its_tree_and_its_settings_are_kept(name, official_tree, tmp_path):
    root = tree_of(name, official_tree)
    words = ["train", str(root), "--recipe", name, "--out", str(tmp_path / "run"), *SMALL]
    main(words)
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    changed = {word[2:] for word in SMALL if word.startswith("--")}
    for key, value in recipe(name).items():
        assert key in changed or config[key] == value, key
    assert config["steps"] == 2
    assert config["encoder"] == "lcnet_035"
    assert (tmp_path / "run" / "scores.json").is_file()


@pytest.mark.parametrize("name", PAPER)
def test_the_paper_s_figures_stand_in_the_recipes(name):
    settings = recipe(name)
    assert settings["method"] == "css-paper"
    assert settings["encoder"] == "resnet101"
    assert (settings["output_stride"], settings["atrous_rates"]) == (8, [12, 24, 36])
    assert settings["weight_decay"] == 5e-4
    assert (settings["photometry"], settings["class_weights"]) == ("paper", "none")
    road = name == "cityscapes"
    assert (settings["crop"], settings["batch"]) == ((768, 8) if road else (512, 16))
    assert settings["steps"] == (80_000 if name in ("cityscapes", "ade20k") else 40_000)
    assert settings["lr"] == settings["encoder_lr"] == (3.8e-3 if road else 6.4e-3)
    assert settings["scale"] == ([0.5, 2.0] if road else [0.5, 1.5])
    assert ("ohem" in settings) == road
    assert settings["teacher_memory"] * settings["steps"] == pytest.approx(100)


@pytest.mark.slow
def test_a_dry_run_takes_one_step_writes_nothing_and_extrapolates(
    official_tree, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    root = official_tree("voc")
    before = sorted(tmp_path.rglob("*"))
    flags = ["--crop", "128", "--batch", "4", "--steps", "10"]
    main(["train", str(root), "--recipe", "voc-classic", *SMALL, *flags, "--dry-run"])
    output = capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before
    match = re.search(r"operations  ([\d.e-]+) TFLOP .*64 x 64; ([\d.e-]+) TFLOP a step", output)
    assert match, output
    assert float(match[2]) == pytest.approx(8 * float(match[1]), rel=0.01)
    for word in ("parameters", "GiB", "4 + 4 images at 128 x 128, 10 of them"):
        assert word in output
    assert re.search(r"\d (s|min|h|d)\b.* in all", output)  # a busy machine needs minutes


@pytest.mark.slow
def test_a_dry_run_counts_what_the_parameters_take_and_shares_it_out(tiny_folder):
    settings = dict(
        method="supervised", encoder="resnet18", weights="none", size=48, crop=64, workers=0,
        accelerator="cpu", optimizer="sgd", batch=4,
    )  # fmt: skip
    one = semiseg.dry_run(tiny_folder, **settings)
    two = semiseg.dry_run(tiny_folder, **settings, devices=2)
    weights = 4 * one.parameters
    assert one.parameters == sum(
        p.numel() for p in Network(6, "resnet18", weights="none").parameters()
    )
    assert one.memory > 3 * weights  # weights, gradients, momentum
    assert one.step_operations == two.step_operations == 8 * one.operations
    fixed = 2 * two.step_memory - one.step_memory
    assert fixed == pytest.approx(3 * weights, rel=0.02)


@pytest.mark.slow
def test_a_dry_run_measures_a_step_with_unlabeled_images(tiny_folder, log):
    settings = dict(encoder="lcnet_035", weights="none", size=48, crop=64, accelerator="cpu")
    alone = semiseg.dry_run(tiny_folder, method="supervised", **settings)
    both = semiseg.dry_run(tiny_folder, method="css", supervised_warmup=0.5, **settings)
    assert both.operations > 2 * alone.operations
    assert "supervised_warmup 0.5" in log.text


@pytest.mark.slow
def test_a_dry_run_has_the_batch_of_all_devices(tiny_folder):
    settings = dict(encoder="lcnet_035", weights="none", method="supervised", accelerator="cpu")
    result = semiseg.dry_run(tiny_folder, size=48, crop=64, workers=0, devices=4, **settings)
    assert "8 images at 64 x 64 on 4 devices" in result.whole
    with pytest.raises(ConfigError, match="one device only"):
        semiseg.dry_run(tiny_folder, budget="1m", devices=4, **settings)


def test_a_dry_run_that_is_stopped_ends_in_a_sentence(tiny_folder, monkeypatch):
    settings = dict(encoder="lcnet_035", weights="none", method="supervised", accelerator="cpu")
    for stop, error in ((KeyboardInterrupt, KeyboardInterrupt), (MemoryError, RunError)):

        def step(*args, stop=stop):
            raise stop

        monkeypatch.setattr("semiseg.training.module.TrainingModule.training_step", step)
        with pytest.raises(error):
            semiseg.dry_run(tiny_folder, size=48, crop=64, workers=0, **settings)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Lightning has it ignored


@pytest.mark.slow
def test_a_dry_run_without_a_hub_says_so_and_goes_on(tiny_folder, monkeypatch, log):
    def unreachable(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("segmentation_models_pytorch.encoders.get_encoder", unreachable)
    result = semiseg.dry_run(
        tiny_folder, method="supervised", encoder="resnet18", weights="hub", size=48, crop=32,
        workers=0, accelerator="cpu",
    )  # fmt: skip
    assert result.seconds > 0
    assert "--weights none" in log.text


def test_another_method_takes_what_it_knows_of_a_recipe():
    settings = recipe("voc-classic", "supervised")
    assert settings["method"] == "supervised"
    assert settings["crop"] == 512
    assert "teacher_memory" not in settings
    with pytest.raises(ConfigError, match="Did you mean 'voc-classic'"):
        recipe("voc-clasic")


@pytest.mark.slow
def test_a_recipe_is_settings_of_train_from_python_too(official_tree, tmp_path):
    small = dict(
        encoder="lcnet_035", weights="none", size=48, crop=64, batch=2, steps=1, validations=1,
        workers=0, accelerator="cpu", out=tmp_path / "run", labels="2",
    )  # fmt: skip
    run = train(official_tree("voc"), **{**recipe("voc-classic", "supervised"), **small})
    assert run.scores.method == "supervised"


# --- the network of the paper


def test_the_paper_s_heads_stand_on_the_concatenation_at_output_stride_8():
    network = Network(
        5, "resnet18", weights="none", heads="paper", output_stride=8, atrous_rates=(12, 24, 36)
    )
    network.add_representation_head(16)
    for head in (network.logit_head, network.representation_head):
        assert (head[0].in_channels, head[0].out_channels, head[0].kernel_size) == (
            304,
            256,
            (3, 3),
        )
    deepest = network.eval().encoder(torch.zeros(1, 3, 64, 64))[-1]
    assert deepest.shape[-2:] == (8, 8)
    image = torch.rand(1, 3, 65, 70)
    output = network(image)
    assert output.logits.shape == (1, 5, 17, 18)
    assert output.representation.shape == (1, 16, 17, 18)
    again = rebuild(network.spec).eval()
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(image).logits, output.logits)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decoder": "fpn", "heads": "paper"}, "--heads paper is for --decoder deeplabv3plus"),
        ({"decoder": "fpn", "output_stride": 8}, "--output-stride is for"),
        ({"output_stride": 4}, "choose 8 or 16"),
        ({"heads": "papers"}, "Did you mean 'paper'"),
    ],
)
def test_what_cannot_be_built_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Network(5, weights="none", **settings)


@pytest.mark.slow
def test_a_run_with_other_heads_is_no_start(official_tree, tmp_path, log):
    small = dict(
        method="supervised", encoder="lcnet_035", weights="none", size=48, crop=64, batch=2,
        steps=1, validations=1, workers=0, accelerator="cpu", labels="2",
    )  # fmt: skip
    root = official_tree("voc")
    paper = train(root, **small, out=tmp_path / "paper", heads="paper")
    with pytest.raises(ConfigError, match="Add --heads paper"):
        train(root, **small, out=tmp_path / "other", start_from=paper.folder)
    log.clear()
    small["size"] = 64
    again = train(root, **small, out=tmp_path / "again", heads="paper", start_from=paper.folder)
    assert again.scores.steps == 1
    assert "was trained at size 48, this run is at 64 (--size 48 keeps it)" in log.text


def test_a_recipe_of_other_data_warns_that_the_classes_are_not_those(official_tree):
    given = {"labels": "2", "accelerator": "cpu", "weights": "none", "recipe": "voc-classic"}
    given = {**given, "data": official_tree("voc")}  # its masks hold three of the 21 classes
    plan = semiseg.plan(train_config(given))
    warning = next(w for w in plan.warnings if "18 of the 21 classes" in w)
    assert "--dataset voc (from the recipe voc-classic)" in warning
    assert "--dataset folder" in warning
    assert plan.published == ""
    plan = semiseg.plan(train_config({**given, "dataset": "folder"}))
    assert not any("21 classes" in w for w in plan.warnings)
