"""The settings of a comparison: values, storage, and a further call with the same folder."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from semiseg.comparison.folder import FILE, read_config, write_config
from semiseg.config.compare import CompareConfig, shared_settings
from semiseg.config.data import DataConfig
from semiseg.config.grid import GridConfig
from semiseg.config.methods import METHODS, CssSettings
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError, RunError, SettingError, UnknownSettingError


def config(**values: object) -> CompareConfig:
    return CompareConfig.from_values({"data": "DATA", "methods": "supervised,css", **values})


def test_defaults_are_the_dataclasses_own():
    shared = TrainConfig(method="supervised", data=DataConfig(data=Path("DATA")))
    settings = CompareConfig(shared=shared)
    assert settings == CompareConfig.from_values({"data": "DATA"})
    methods = ("supervised", "css-stored")
    assert settings.grid.methods == methods
    assert settings.settings == {method: METHODS[method] for method in methods}


@pytest.mark.parametrize(
    ("value", "parts"),
    [("2, 1/8,all", ("2", "1/8", "all")), (2, ("2",)), (["2", "2", 4], ("2", "4")), ("2,", ("2",))],
)
def test_lists_are_text_with_commas_or_sequences(value, parts):
    assert config(labels=value).grid.labels == parts


def test_a_run_has_the_shared_settings_and_those_of_its_method():
    settings = config(size=64, steps=7, css={"anchors": 5}, seeds="3,0", split_seeds="8,9")
    run = settings.run("css", "1/2", 3, Path("out/css"))
    assert (run.method, run.data.labels, run.schedule.seed) == ("css", "1/2", 3)
    assert (run.schedule.steps, run.views.size, run.out) == (7, 64, Path("out/css"))
    assert run.data.split_seed == 8
    assert run.settings == CssSettings(anchors=5)
    ceiling = settings.run("cutmix", "all", 0, Path("out/cutmix"), steps=9)
    assert (ceiling.settings, ceiling.schedule.steps) == (METHODS["cutmix"], 9)


def test_a_preset_has_its_own_settings():
    settings = config(methods="css-paper,css", css_paper={"anchors": 5})
    assert settings.settings["css-paper"].values() == {
        **METHODS["css-paper"].values(),
        "anchors": 5,
    }
    assert settings.settings["css"] == CssSettings()


@pytest.mark.parametrize(
    ("values", "setting"),
    [
        ({"methods": " , "}, "methods"),
        ({"labels": []}, "labels"),
        ({"seeds": "0,-1"}, "seeds"),
        ({"seeds": "one"}, "seeds"),
        ({"steps": "auto"}, "steps"),
        ({"equal": "hours"}, "equal"),
        ({"size": 31}, "size"),
        ({"css": {"confidence_threshold": 95}}, "confidence_threshold"),
        ({"split_seeds": "0,1,2", "seeds": "0,1"}, "split_seeds"),
        ({"split_seeds": "-1"}, "split_seeds"),
        ({"time": "soon", "equal": "time"}, "time"),
        ({"row_steps": {"css": 0}}, "row_steps"),
        ({"row_steps": 5}, "row_steps"),
        ({"run_seconds": "long"}, "run_seconds"),
    ],
    ids=str,
)
def test_a_value_out_of_its_range_is_refused_with_its_source(values, setting):
    with pytest.raises(SettingError) as caught:
        CompareConfig.from_values(
            {"data": "DATA", "methods": "supervised,css", **values}, source="out/compare.yaml"
        )
    assert (caught.value.setting, caught.value.source) == (setting, "out/compare.yaml")


def test_the_flag_of_a_method_s_setting_has_the_method_s_name():
    with pytest.raises(SettingError) as caught:
        config(methods="css-paper", css_paper={"confidence_threshold": 95})
    assert caught.value.flag == "--css-paper.confidence-threshold"


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"sizes": 4}, "'size'"),
        ({"anchors": 4}, "--css.anchors"),
        ({"methods": "supervised,css-paper", "anchors": 4}, "--css-paper.anchors"),
        ({"seed": 4}, "semiseg train"),
        ({"split_seed": 4}, "--split-seeds"),
        ({"start_from": "run"}, "semiseg train"),
        ({"css": {"anchor": 4}}, "'anchors'"),
    ],
    ids=str,
)
def test_unknown_settings_are_refused_with_a_hint(values, hint):
    with pytest.raises(UnknownSettingError) as caught:
        config(**values)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "values",
    [
        {"methods": "csss"},
        {"devices": 2},
        {"num_nodes": 2},
        {"cutmix": {"confidence_threshold": 0.5}},  # it is not compared
        {"ohem": 0.5},
        {"time": "20m"},  # with equal steps
        {"time": "20m", "equal": "time", "steps": 5},
    ],
    ids=str,
)
def test_contradictions_are_refused(values):
    with pytest.raises(ConfigError):
        config(**values)


def test_the_folder_returns_the_comparison_wherever_the_data_are(tmp_path):
    before = config(
        methods="css,css-paper", seeds="0,1", size=64, css={"anchors": 5}, out=tmp_path / "out"
    )
    before = dataclasses.replace(before, row_steps={"css": 9, "x (y)": 7}, run_seconds=2.5)
    write_config(before)
    after = read_config(tmp_path / "out", Path("MOVED"))
    assert after.values() == before.values()
    assert (after.grid, after.settings) == (before.grid, before.settings)
    assert after.shared.data.data == Path("MOVED")
    assert read_config(tmp_path / "none", Path("DATA")) is None


@pytest.mark.parametrize(
    ("change", "match"),
    [
        # Its seeds had one split.
        ({"format": 1}, "another version .* in format 1; semiseg .* reads format 2.* the other"),
        ({"css": {"anchors": 0}}, "--css.anchors 0"),
        ({"anchors": 3}, "anchors"),
        ({"steps": "many"}, "--steps many"),
    ],
    ids=str,
)
def test_a_changed_file_is_refused(tmp_path, change, match):
    write_config(config(out=tmp_path))
    content = yaml.safe_load((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(yaml.safe_dump({**content, **change}))
    with pytest.raises(RunError, match=match):
        read_config(tmp_path, Path("DATA"))


def test_a_file_of_another_format_says_which_version_wrote_it(tmp_path):
    (tmp_path / FILE).write_text("# semiseg 0.0.9\nformat: 1\n")
    with pytest.raises(RunError, match=r"written by semiseg 0\.0\.9 in format 1; semiseg"):
        read_config(tmp_path, Path("DATA"))


def test_a_further_call_adds_runs_and_keeps_the_settings():
    settings = config(methods="css", labels="2", size=64, steps=6, css={"anchors": 5}, workers=2)
    call = config(methods="cutmix,css", labels="4", seeds="1")
    both = settings.extended(call)
    assert both.grid == GridConfig(
        methods=("css", "cutmix"), labels=("2", "4"), seeds=(0, 1), steps=6
    )
    assert both.shared.views.size == 64
    assert both.settings == {"css": CssSettings(anchors=5), "cutmix": METHODS["cutmix"]}
    assert both.shared.machine.workers == "auto"  # it changes no result


@pytest.mark.parametrize(
    ("values", "split_seed_of"),
    [
        ({"seeds": "2,5"}, {2: 2, 5: 5}),
        ({"seeds": "2,5", "split_seeds": 7}, {2: 7, 5: 7}),
        ({"seeds": "2,5", "split_seeds": "7,7"}, {2: 7, 5: 7}),
        ({"seeds": [2, 5], "split_seeds": [7, 8]}, {2: 7, 5: 8}),
    ],
    ids=str,
)
def test_each_seed_has_a_split_seed(values, split_seed_of):
    assert config(**values).grid.split_seed_of == split_seed_of


@pytest.mark.parametrize(
    ("first", "second", "split_seed_of"),
    [
        ({}, {"seeds": "1"}, {0: 0, 1: 1}),
        ({}, {"seeds": "1", "split_seeds": "4"}, {0: 0, 1: 4}),
        ({"split_seeds": "0"}, {"seeds": "1"}, {0: 0, 1: 0}),
        ({"split_seeds": "3"}, {"seeds": "1,2"}, {0: 3, 1: 3, 2: 3}),
        ({"split_seeds": "3"}, {"seeds": "1", "split_seeds": "4"}, {0: 3, 1: 4}),
        ({"seeds": "0,1", "split_seeds": "3,4"}, {"seeds": "1"}, {0: 3, 1: 4}),
        ({"seeds": "0,1", "split_seeds": "3,4"}, {"seeds": "2", "split_seeds": 5}, None),
    ],
    ids=str,
)
def test_a_further_call_adds_seeds_with_their_splits(first, second, split_seed_of):
    expected = split_seed_of or {0: 3, 1: 4, 2: 5}
    both = config(**first).extended(config(**second))
    assert both.grid.split_seed_of == expected
    # Reading the file gives the same again.
    values = {name: v for name, v in both.values().items() if name not in ("css", "supervised")}
    assert CompareConfig.from_values({**values, "data": "DATA"}).grid == both.grid


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        ({}, {"split_seeds": "4"}, "seed 0 the split seed 4, but in .* it has 0"),
        ({"seeds": "0,1", "split_seeds": "3,4"}, {"seeds": "1,2"}, "--seeds 2 is new"),
    ],
    ids=str,
)
def test_a_seed_keeps_its_split(first, second, match):
    with pytest.raises(ConfigError, match=match):
        config(**first).extended(config(**second))


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"size": 48}, "--size 48 contradicts .* which has 64"),
        ({"steps": 9}, "--steps 9"),
        ({"equal": "time"}, "--equal time"),
        ({"css": {"anchors": 7}}, "--css.anchors 7 contradicts .* which has 5"),
    ],
    ids=str,
)
def test_a_further_call_may_not_contradict(values, match):
    settings = config(size=64, steps=6, css={"anchors": 5})
    with pytest.raises(RunError, match=match):
        settings.extended(config(**values))


def test_no_shared_setting_is_named_like_a_method():
    assert not {name.replace("-", "_") for name in METHODS} & set(shared_settings())


def test_jobs_of_a_cluster_may_write_the_settings_at_once(tmp_path):
    jobs = [config(out=tmp_path, seeds=str(seed)) for seed in range(8)]
    with ThreadPoolExecutor(len(jobs)) as pool:
        list(pool.map(write_config, jobs * 10))
    assert read_config(tmp_path, Path("DATA")) in jobs
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
