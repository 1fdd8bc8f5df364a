"""The settings object: values, ranges, sources, presets and recipes."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from semiseg.config.data import DataConfig
from semiseg.config.durations import parse_duration
from semiseg.config.methods import METHODS, AutoSettings, CutMixSettings
from semiseg.config.recipes import names, recipe
from semiseg.config.settings import AUTO, flag, help_texts, hints
from semiseg.config.train import GROUPS, Layer, TrainConfig, group_of
from semiseg.core.errors import ConfigError, SettingError, UnknownSettingError


def config(**values: object) -> TrainConfig:
    return TrainConfig.from_values({"data": "DATA", **values})


def test_defaults_are_the_dataclasses_own():
    settings = TrainConfig(data=DataConfig(data=Path("DATA")))
    assert settings == config()
    assert settings.method == AUTO
    assert settings.settings == AutoSettings()
    assert settings.out == Path("runs/auto")
    assert settings.given() == {}


@pytest.mark.parametrize("method", METHODS)
def test_values_survive_yaml(method):
    before = config(method=method, labels=23, value_range=(0, 4095), scale=(0.5, 2.0), lr=0.1)
    values = yaml.safe_load(yaml.safe_dump(before.values()))
    assert TrainConfig.from_values(values) == before


def test_plain_values_are_converted():
    settings = config(labels=23, value_range=[0, 4095], steps=100.0, logger=["csv", "tensorboard"])
    assert settings.data.labels == "23"
    assert settings.data.value_range == (0, 4095)
    assert settings.schedule.steps == 100
    assert settings.run.logger == ("csv", "tensorboard")
    assert config(out="auto").out == Path("runs/auto")
    assert config(method="css").out == Path("runs/css")


def test_given_settings_are_those_that_differ_from_the_defaults():
    assert config(steps=100, anchors=3, lr=AUTO).given() == {"steps": 100, "anchors": 3}
    preset = config(method="css-paper", confidence_threshold=0.97)
    assert preset.given() == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("confidence_threshold", 95),
        ("confidence_threshold", math.nan),
        ("anchors", 0),
        ("temperature", 0),
        ("collaboration", "both"),
        ("steps", 0),
        ("steps", 1.5),
        ("steps", True),
        ("size", 31),
        ("size", "big"),
        ("batch", 1),
        ("accumulate", math.inf),
        ("lr", -1),
        ("lr_warmup", 1.0),
        ("ohem", 2),
        ("scale", (1.5, 0.75)),
        ("scale", (0, 1)),
        ("value_range", (3, 1)),
        ("value_range", (1, 2, 3)),
        ("photometry", "loud"),
        ("decoder", "unet"),
        ("precision", 16),
        ("budget", "soon"),
        ("diagnostics", "no"),
        ("labels", None),
        ("logger", ["csv", "paper"]),
        ("atrous_rates", [1, 2]),
        ("output_stride", 4),
    ],
)
def test_a_value_out_of_its_range_is_refused_with_its_source(name, value):
    with pytest.raises(SettingError) as caught:
        TrainConfig.from_layers(Layer({"data": "DATA"}), Layer({name: value}, "run/config.yaml"))
    error = caught.value
    assert (error.setting, error.source) == (name, "run/config.yaml")
    assert error.allowed
    assert str(error).startswith(flag(name))


@pytest.mark.parametrize(
    "values",
    [
        {"ohem": 0.5},
        {"budget": "10m", "steps": 10, "size": 64},
        {"budget": "10m", "steps": 10, "crop": 64},
        {"budget": "10m", "devices": 2},
        {"out": "run", "start_from": "run"},
        {"method": "css2"},
        {"method": "cutmix", "settings": 3},
    ],
)
def test_contradictions_are_refused(values):
    with pytest.raises(ConfigError):
        config(**values)


def test_settings_of_another_method_are_named():
    with pytest.raises(UnknownSettingError) as caught:
        config(method="cutmix", anchors=3)
    assert "css" in caught.value.hint
    with pytest.raises(UnknownSettingError, match="'batch'"):
        config(bacth=3)
    with pytest.raises(ConfigError, match="CutMixSettings"):
        TrainConfig(method="css", settings=CutMixSettings(), data=DataConfig(data=Path("DATA")))


def test_a_later_layer_wins():
    settings = TrainConfig.from_layers(
        Layer({"data": "DATA", **recipe("camvid-cpu")}, "recipe camvid-cpu"), Layer({"steps": 5})
    )
    assert (settings.schedule.steps, settings.views.size) == (5, 240)


@pytest.mark.parametrize("name", names())
def test_recipes_are_configurations(name):
    assert TrainConfig.from_values({"data": "DATA", **recipe(name)}).given()
    for method in METHODS:
        assert TrainConfig.from_values({"data": "DATA", **recipe(name, method)}).method == method


def test_every_setting_has_a_help_text_and_one_group():
    groups = [*GROUPS.values(), *(type(settings) for settings in METHODS.values())]
    for group in groups:
        texts = help_texts(group)
        for name in hints(group):
            assert texts[name].endswith("."), name
    own = {f.name for settings in METHODS.values() for f in dataclasses.fields(settings)}
    assert not own & group_of().keys()


def test_times():
    assert [parse_duration(t) for t in ("90s", "10m", "2h", "1h30m", "1.5 d")] == [
        *(90, 600, 7200, 5400, 129_600)
    ]


@pytest.mark.slow
def test_the_configuration_needs_no_torch():
    code = (
        "import sys, semiseg.config.train, semiseg.config.recipes, semiseg.core.errors\n"
        "heavy = {'torch', 'numpy', 'lightning', 'timm', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
