"""`compare`: which runs are made, what is said of them, and what is refused."""

import csv
import json
import logging
import shutil
from dataclasses import replace
from typing import NamedTuple

import pytest
import yaml
from choices import only_choice
from PIL import Image

import semiseg
from semiseg.cli import main
from semiseg.commands import compare as compare_command
from semiseg.comparison import lengths as comparison_lengths
from semiseg.comparison import runs as comparison_runs
from semiseg.comparison.intervals import Interval, mean_intervals
from semiseg.comparison.plot import make_figure, save_figure
from semiseg.comparison.records import Record, used_share
from semiseg.comparison.rows import make_rows
from semiseg.comparison.run_settings import cautions, settings_table
from semiseg.comparison.text import markdown, statements, table_csv, text
from semiseg.config.compare import CompareConfig
from semiseg.config.methods import METHODS, CssSettings, SupervisedSettings
from semiseg.config.network import LIGHT_ENCODER
from semiseg.config.train import TrainConfig
from semiseg.core.errors import BudgetError, ConfigError, Interrupted, RunError
from semiseg.core.scores import (
    Adjustment,
    ClassScores,
    MeanIou,
    Scores,
    SplitRecord,
    Timing,
)
from semiseg.data.image_lists import list_hash
from semiseg.data.splits import make_split
from semiseg.reporting.comparison_page import headline as comparison_headline
from semiseg.scenes.draw import write_scenes
from semiseg.training.data import read_folder

TINY = {
    "weights": "none",
    "encoder": "lcnet_035",
    "size": 48,
    "crop": 32,
    "batch": 2,
    "validations": 1,
    "workers": 0,
    "accelerator": "cpu",
}


def record(method, labels, seed, miou, masks=None, step=1.0, split="x", seconds=20.0):
    """A run with two classes, the second of which scores 10 more than the first."""
    count = masks if masks is not None else (100 if labels == "all" else int(labels))
    images = {"labeled": count, "unlabeled": 4, "val": 2}
    scores = Scores(
        method=method,
        miou=MeanIou(miou - 1, miou + 1, miou),
        per_class={
            "soil": ClassScores(miou - 5, 80.0, 80.0, 80.0, 100),
            "weed": ClassScores(miou + 5, 80.0, 80.0, 80.0, 100),
        },
        which="student",
        adjustment=Adjustment(0.0, miou),
        choice=only_choice(miou),
        labels=count,
        steps=10,
        skipped_steps=0,
        seconds=seconds,
        timing=Timing(step, 3.0),
        split=SplitRecord(0, f"{labels}{split}", "u", "v", images),
        versions={"semiseg": "0"},
    )
    return Record(method, labels, seed, scores)


SECONDS = {"supervised": 1.0, "cutmix": 2.0, "css": 2.5, "st": 2.0}  # of a step


class Call(NamedTuple):
    """A training that a comparison started."""

    config: TrainConfig
    resume: bool


@pytest.fixture
def trained(monkeypatch):
    """Trainings that take no time: the calls, with `css` three points above `supervised`."""
    calls = []

    def train(config, *, resume=False):
        calls.append(Call(config, resume))
        method, labels, seed = config.method, config.data.labels, config.schedule.seed
        if method == "css" and seed == 13:
            raise RunError("the sun was in the way.")
        gain = 3.0 if method == "css" else 0.0
        one = record(method, labels, seed, 40 + seed + gain, 2, SECONDS[method])
        steps, validations = config.schedule.steps, config.validation.validations
        validations = 5 if validations == "auto" else validations
        folder = read_folder(config.data)
        lists = make_split(folder, labels, config.data.split_seed).lists()
        hashes = {name: list_hash(samples) for name, samples in lists.items()}
        split = replace(one.scores.split, seed=config.data.split_seed, **hashes)
        seconds = steps * SECONDS[method] + validations * 3.0
        scores = replace(one.scores, split=split, steps=steps, seconds=seconds)
        config.out.mkdir(parents=True, exist_ok=True)
        (config.out / "config.yaml").write_text(yaml.safe_dump(config.values()))
        (config.out / "scores.json").write_text(json.dumps(scores.to_dict()))
        return semiseg.Run(config.out, scores)

    monkeypatch.setattr(comparison_runs, "train", train)
    monkeypatch.setattr(
        comparison_lengths, "time_training", lambda config: Timing(SECONDS[config.method], 3.0)
    )
    monkeypatch.setattr(comparison_runs, "save_figure", lambda rows, path: None)  # the slowest part
    monkeypatch.setattr(compare_command, "write_report", lambda folder: None)
    return calls


@pytest.fixture(scope="module")
def masks_only(tmp_path_factory):
    """Four images with masks, none without."""
    root = tmp_path_factory.mktemp("masks") / "data"
    return write_scenes(root, labeled=4, unlabeled=0, val=2, size=(48, 64))


def runs(calls):
    return [call.config.out.name for call in calls]


def steps(calls):
    return {call.config.out.name: call.config.schedule.steps for call in calls}


def test_the_first_seed_comes_first_and_all_masks_are_for_supervised(
    trained, masks_only, tmp_path, log
):
    out = tmp_path / "out"
    semiseg.compare(masks_only, methods="css", labels="2,all", seeds="0,1", out=out, steps=6)
    assert "labels all: no image is left unlabeled, so only supervised is trained" in log.text
    first = ["css-2-0", "supervised-all-0", "supervised_same_time-2-0"]
    assert runs(trained) == [*first, *(name[:-1] + "1" for name in first)]


def test_where_images_are_left_without_masks_every_method_gets_all_masks(
    trained, tiny_folder, tmp_path
):
    out = tmp_path / "out"
    semiseg.compare(tiny_folder, methods="supervised,css", labels="all", out=out)
    assert runs(trained) == ["supervised-all-0", "css-all-0", "supervised_same_time-all-0"]


def test_all_runs_get_the_same_settings_and_each_method_its_own(trained, tiny_folder, tmp_path):
    semiseg.compare(
        tiny_folder,
        methods="supervised,css",
        labels="1/2",
        out=tmp_path / "out",
        steps=7,
        size=64,
        split_seeds=3,
        css={"anchors": 5},
        same_time=False,
    )
    assert runs(trained) == ["supervised-1of2-0", "css-1of2-0"]
    configs = [call.config for call in trained]
    for config in configs:
        assert (config.schedule.steps, config.views.size) == (7, 64)
        assert (config.data.labels, config.data.split_seed) == ("1/2", 3)
    assert [c.settings for c in configs] == [SupervisedSettings(), CssSettings(anchors=5)]


def test_finished_runs_are_kept_unfinished_ones_resumed_and_more_can_be_added(
    trained, tiny_folder, tmp_path
):
    out = tmp_path / "out"
    semiseg.compare(tiny_folder, methods="supervised", labels="2", out=out, steps=6)
    started = out / "css-2-0"
    started.mkdir()
    (started / "config.yaml").write_text("method: css\n")
    trained.clear()
    comparison = semiseg.compare(
        tiny_folder, methods="supervised,css", labels="2", seeds="0,1", out=out
    )
    same_time = [f"supervised_same_time-2-{seed}" for seed in (0, 1)]
    assert runs(trained) == ["css-2-0", same_time[0], "supervised-2-1", "css-2-1", same_time[1]]
    assert [call.resume for call in trained] == [True, *[False] * 4]
    # css takes 6 x 2.5 s, supervised 6 x 1 s, beside the same validations
    assert set(steps(trained).items()) == {
        *((name, 15) for name in same_time),
        *((name, 6) for name in ("css-2-0", "supervised-2-1", "css-2-1")),
    }
    assert [(r.method, r.seeds) for r in comparison.rows] == [
        ("supervised", [0, 1]),
        ("supervised (same time)", [0, 1]),
        ("css", [0, 1]),
    ]
    trained.clear()
    semiseg.compare(tiny_folder, methods="supervised,css", labels="2", seeds="1,0", out=out)
    assert trained == []


def test_runs_on_images_that_were_changed_are_refused(trained, tiny_folder, tmp_path):
    data, out = shutil.copytree(tiny_folder, tmp_path / "data"), tmp_path / "out"
    semiseg.compare(data, methods="supervised", labels="all", out=out, steps=6)
    next(iter((data / "unlabeled").iterdir())).unlink()
    trained.clear()
    message = "supervised with labels all, seed 0, whose images of unlabeled are no longer"
    with pytest.raises(ConfigError, match=message):
        semiseg.compare(data, methods="supervised", labels="all", seeds="0,1", out=out, steps=6)
    next(iter(sorted((data / "val" / "images").iterdir()))).unlink()
    with pytest.raises(ConfigError, match="whose images of val are"):  # which all of them share
        semiseg.compare(data, methods="supervised", labels="2", out=out, steps=6)
    assert trained == []


def test_a_configuration_holds_all_settings(trained, tiny_folder, tmp_path):
    values = {"data": tiny_folder, "methods": "css", "labels": 2, "out": tmp_path / "out"}
    config = semiseg.CompareConfig.from_values({**values, "css": {"anchors": 5}})
    semiseg.compare(config)
    assert [call.config.settings for call in trained][:1] == [CssSettings(anchors=5)]
    with pytest.raises(ConfigError, match="seeds was given beside it"):
        semiseg.compare(config, seeds="1")


def test_runs_of_an_official_tree_go_on(trained, official_tree, tmp_path):
    root, out = official_tree("voc"), tmp_path / "out"
    for seeds in ("0", "0,1"):
        semiseg.compare(
            root,
            methods="supervised,css",
            dataset="voc-blender",
            labels="2",
            seeds=seeds,
            out=out,
            steps=6,
        )
    assert runs(trained)[:2] == ["supervised-2-0", "css-2-0"]
    assert len(runs(trained)) == 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 64}, "--size 64 contradicts .* which has 48"),
        ({"steps": 9}, "--steps 9"),
        ({"equal": "time"}, "--equal time"),
        ({"seeds": "0", "split_seeds": "4"}, "in .* it has 0"),
        ({"css": {"anchors": 7}}, "--css.anchors 7 contradicts .* which has 256"),
    ],
    ids=str,
)
def test_settings_that_contradict_the_folder_are_refused(
    trained, tiny_folder, tmp_path, settings, message
):
    out = tmp_path / "out"
    semiseg.compare(tiny_folder, methods="supervised,css", labels="2", out=out, steps=6, size=48)
    trained.clear()
    with pytest.raises((RunError, ConfigError), match=message):
        semiseg.compare(
            tiny_folder,
            methods="supervised,css",
            **{"labels": "2", "seeds": "5", "out": out, **settings},
        )
    assert trained == []


@pytest.mark.parametrize("settings", [{"labels": "2,99"}, {"anchors": 4}, {"size": 31}], ids=str)
def test_a_refused_setting_leaves_nothing_behind(trained, tiny_folder, tmp_path, settings):
    """`test_compare_config.py` lists what is refused."""
    with pytest.raises(ConfigError):
        semiseg.compare(tiny_folder, methods="supervised,css", out=tmp_path / "out", **settings)
    assert trained == []
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(trained, tiny_folder, tmp_path):
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(RunError, match="is not a comparison"):
        semiseg.compare(tiny_folder, methods="supervised,css", out=tmp_path)


def test_two_lists_of_one_name_do_not_share_a_folder(trained, tiny_folder, tmp_path):
    names = sorted(p.stem for p in (tiny_folder / "train" / "masks").iterdir())
    for folder in ("a/23", "a/46", "b/23"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "few.txt").write_text(names[0])
    settings = {"methods": "supervised", "same_time": False, "steps": 6, "out": tmp_path / "out"}
    semiseg.compare(
        tiny_folder, labels=f"{tmp_path}/a/23/few.txt,{tmp_path}/a/46/few.txt", **settings
    )
    assert runs(trained) == ["supervised-23_few-0", "supervised-46_few-0"]
    with pytest.raises(ConfigError, match="would share the folder"):
        semiseg.compare(tiny_folder, labels=f"{tmp_path}/b/23/few.txt", **settings)


def test_a_comparison_with_a_list_goes_on_from_wherever_it_is_called(
    trained, tiny_folder, tmp_path, monkeypatch
):
    name = min(p.stem for p in (tiny_folder / "train" / "masks").iterdir())
    (tmp_path / "23").mkdir()
    (tmp_path / "23" / "few.txt").write_text(name)
    settings = {"methods": "supervised", "same_time": False, "steps": 6, "out": tmp_path / "out"}
    monkeypatch.chdir(tmp_path)
    comparison = semiseg.compare(tiny_folder, labels="23/few.txt", **settings)
    assert comparison.rows[0].labels == str(tmp_path / "23" / "few.txt")
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert "| 23/few |" in text
    assert str(tmp_path / "23") not in text
    monkeypatch.chdir(tmp_path / "23")
    semiseg.compare(tiny_folder, labels="few.txt", seeds="0,1", **settings)
    assert runs(trained) == ["supervised-23_few-0", "supervised-23_few-1"]
    # Both seeds have the images of the list, and no split seed chose them.
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert "| 23/few | 0 | - |" in text
    assert "| 23/few | 1 | - |" in text
    planned = semiseg.compare(
        tiny_folder, labels="few.txt,2", seeds="0,1", dry_run=True, **settings
    )
    assert [run.split_seed for run in planned.runs] == [None, 0, None, 1]
    assert planned.text().splitlines()[1].split()[2:4] == ["0", "-"]


def test_a_run_that_fails_does_not_stop_the_others_and_is_reported_at_the_end(
    trained, tiny_folder, tmp_path, capsys
):
    out = tmp_path / "out"
    words = ["--methods=supervised,css", "--labels=2", "--seeds=13,1", f"--out={out}"]
    with pytest.raises(SystemExit) as stop:
        main(["compare", str(tiny_folder), *words])
    assert stop.value.code == 2
    assert runs(trained) == [
        *("supervised-2-13", "css-2-13", "supervised-2-1", "css-2-1", "supervised_same_time-2-1")
    ]
    output = capsys.readouterr()
    last = output.err.splitlines()[-2:]
    assert "css-2-13 failed: the sun was in the way." in last[0]
    assert "supervised_same_time-2-13 failed" in last[1]  # no other method was done by then
    assert "css - supervised, labels 2: +3.0, not resolved (1 seed)" in output.out
    failed = json.loads((out / "comparison.json").read_text())["failed"]
    assert failed.keys() == {"css-2-13", "supervised_same_time-2-13"}


def test_an_interruption_says_how_to_go_on(trained, tiny_folder, tmp_path, monkeypatch):
    def stopped(config, *, resume):
        raise Interrupted("stopped after step 3 of 6, which is saved. Go on with semiseg train.")

    monkeypatch.setattr(comparison_runs, "train", stopped)
    with pytest.raises(Interrupted, match=r"step 3 of 6.*the same semiseg compare command"):
        semiseg.compare(tiny_folder, methods="supervised,css", labels="2", out=tmp_path / "out")


def test_equal_time_gives_all_methods_the_time_of_the_slowest(trained, tiny_folder, tmp_path):
    out = tmp_path / "out"
    methods = {"methods": "supervised,css", "equal": "time", "validations": 2}
    semiseg.compare(tiny_folder, labels="2", seeds="0,1", out=out, steps=6, **methods)
    assert steps(trained) == {
        **{"supervised-2-0": 15, "css-2-0": 6, "supervised-2-1": 15, "css-2-1": 6},
    }
    stored = yaml.safe_load((out / "compare.yaml").read_text())
    assert stored["row_steps"] == {"supervised": 15, "css": 6}
    assert stored["run_seconds"] == 6 * 2.5 + 2 * 3.0


def test_a_time_is_given(trained, tiny_folder, tmp_path, log):
    settings = {"labels": "2", "equal": "time", "time": "1m", "validations": 2}
    comparison = semiseg.compare(
        tiny_folder, methods="supervised,css", out=tmp_path / "out", **settings
    )
    assert "fewer than 100 steps say nothing about a method (css); that many" in log.text
    assert "--time 256s" in log.text
    # 60 s without two validations of 3 s
    assert steps(trained) == {"supervised-2-0": 54, "css-2-0": 21}
    assert [row.seconds for row in comparison.rows] == [60.0, 58.5]
    for time, methods in (("5s", "supervised, css"), ("8s", "css")):
        with pytest.raises(BudgetError, match=rf"short for {methods}: .* --time 9s, .* 256s\."):
            semiseg.compare(
                tiny_folder,
                methods="supervised,css",
                out=tmp_path / "b",
                **{**settings, "time": time},
            )
    assert not (tmp_path / "b").exists()


def test_a_time_too_short_for_the_stages_of_a_method_is_refused(trained, tiny_folder, tmp_path):
    settings = {"methods": "st", "labels": "2", "equal": "time", "validations": 2}
    # Two validations of 3 s and a step for each of its two stages.
    with pytest.raises(BudgetError, match=r"9 s is too short for st: .* --time 10s, "):
        semiseg.compare(tiny_folder, out=tmp_path / "out", time="9s", **settings)


def test_the_runs_of_a_comparison_give_each_warning_of_the_data_once(
    trained, tiny_folder, tmp_path, monkeypatch, log
):
    train, planning = comparison_runs.train, logging.getLogger("semiseg.training.planning")

    def warning_train(config, *, resume=False):
        planning.warning("a mask is empty")
        planning.warning("seed %d is unlucky", config.schedule.seed)
        return train(config, resume=resume)

    monkeypatch.setattr(comparison_runs, "train", warning_train)
    for methods in ("css", "cutmix"):  # each call says it again
        log.clear()
        semiseg.compare(
            tiny_folder, methods=methods, labels="2", seeds="0,1", steps=6, out=tmp_path / "out"
        )
        assert log.text.count("a mask is empty") == 1
    assert "seed 0 is unlucky" in log.text
    assert "seed 1 is unlucky" in log.text
    planning.warning("a mask is empty")
    assert log.text.count("a mask is empty") == 2


def test_the_steps_of_a_time_are_measured_once(trained, tiny_folder, tmp_path, monkeypatch):
    settings = {"labels": "2", "equal": "time", "steps": 6, "validations": 2, "out": tmp_path / "o"}
    semiseg.compare(tiny_folder, methods="css", same_time=False, **settings)
    # Now the machine is twice as fast. The time stays, and so do the steps of css.
    monkeypatch.setattr(
        comparison_lengths, "time_training", lambda config: Timing(SECONDS[config.method] / 2, 3.0)
    )
    semiseg.compare(tiny_folder, methods="supervised,css", seeds="0,1", **settings)
    assert steps(trained) == {
        **{"css-2-0": 6, "css-2-1": 6, "supervised-2-0": 30, "supervised-2-1": 30},
    }


def test_a_method_that_cannot_be_measured_fails_with_its_own_message(
    trained, tiny_folder, tmp_path, monkeypatch
):
    def timed(config):
        if config.method == "css":
            raise ConfigError("css is on strike.")
        return Timing(1.0, 3.0)

    monkeypatch.setattr(comparison_lengths, "time_training", timed)
    settings = {"labels": "2", "equal": "time", "steps": 6, "out": tmp_path / "out"}
    comparison = semiseg.compare(tiny_folder, methods="supervised,css", **settings)
    assert steps(trained) == {"supervised-2-0": 6}
    assert comparison.failed == {"css-2-0": "css is on strike."}


def test_supervised_gets_the_time_of_the_slowest_method_too(trained, tiny_folder, tmp_path, log):
    out = tmp_path / "out"
    settings = {"labels": "2", "out": out, "validations": 2}
    semiseg.compare(tiny_folder, methods="supervised,cutmix", steps=6, **settings)
    assert steps(trained)["supervised_same_time-2-0"] == 12
    assert yaml.safe_load((out / "compare.yaml").read_text())["row_steps"] == {
        "supervised (same time)": 12
    }
    assert "cutmix takes" not in log.text
    # A slower method comes later: the row stays, and semiseg says so.
    trained.clear()
    semiseg.compare(tiny_folder, methods="css", seeds="0,1", **settings)
    assert steps(trained) == {
        **{"css-2-0": 6, "css-2-1": 6, "supervised_same_time-2-1": 12},
    }
    assert "css takes 21 s, but supervised (same time) has the steps of 18 s" in log.text


def test_a_slow_seed_is_no_slower_method(trained, tiny_folder, tmp_path, log, monkeypatch):
    settings = {"labels": "2", "out": tmp_path / "out", "methods": "supervised,cutmix", "steps": 6}
    semiseg.compare(tiny_folder, **settings)
    monkeypatch.setitem(SECONDS, "cutmix", 9.0)  # something else runs on the machine
    semiseg.compare(tiny_folder, seeds="0,1", **settings)
    assert "cutmix takes" not in log.text


def test_too_few_steps_for_the_stages_of_a_method_end_before_any_run(
    trained, tiny_folder, tmp_path
):
    settings = {"labels": "2", "out": tmp_path / "out", "methods": "supervised,st", "steps": 1}
    with pytest.raises(ConfigError, match="1 is too few for 2 stages"):
        semiseg.compare(tiny_folder, **settings)
    assert runs(trained) == []


def test_the_row_of_the_same_time_can_be_left_out(trained, tiny_folder, tmp_path):
    words = ["--labels=2", "--steps=6", "--no-same-time", f"--out={tmp_path / 'out'}"]
    main(["compare", str(tiny_folder), "--methods=supervised,css", *words])
    assert runs(trained) == ["supervised-2-0", "css-2-0"]
    semiseg.compare(tiny_folder, methods="supervised", out=tmp_path / "b", labels="2")
    assert runs(trained)[2:] == ["supervised-2-0"]  # which has no other method beside it


def test_a_later_call_leaves_out_the_row_of_the_same_time(trained, tiny_folder, tmp_path):
    settings = {"labels": "2", "out": tmp_path / "out", "steps": 6}
    semiseg.compare(tiny_folder, methods="supervised,css", **settings)
    trained.clear()
    semiseg.compare(tiny_folder, methods="supervised,css", seeds="0,1", same_time=False, **settings)
    assert runs(trained) == ["supervised-2-1", "css-2-1"]
    trained.clear()
    semiseg.compare(tiny_folder, methods="supervised,css", seeds="0,1", **settings)
    assert runs(trained) == ["supervised_same_time-2-1"]


def test_with_equal_time_supervised_is_always_a_row(trained, tiny_folder, tmp_path):
    settings = {"methods": "css", "labels": "2", "equal": "time", "steps": 6}
    semiseg.compare(tiny_folder, out=tmp_path / "out", **settings)
    assert steps(trained) == {"css-2-0": 6, "supervised-2-0": 15}
    trained.clear()
    semiseg.compare(tiny_folder, out=tmp_path / "b", same_time=False, **settings)
    assert steps(trained) == {"css-2-0": 6}


def test_the_labeled_images_vary_with_the_seed(trained, tiny_folder, tmp_path):
    settings = {"labels": "2", "seeds": "0,1,2", "steps": 6}
    comparison = semiseg.compare(
        tiny_folder, methods="supervised,css", out=tmp_path / "out", **settings
    )
    split_seeds = [c.config.data.split_seed for c in trained]
    assert split_seeds == [c.config.schedule.seed for c in trained] == [0] * 3 + [1] * 3 + [2] * 3
    row = comparison.rows[0]
    assert row.split_seeds == [0, 1, 2]
    assert len(row.hashes("labeled")) > 1
    # All methods have the same images with a seed, so their runs are paired.
    assert [r.gain.seeds for r in comparison.rows if r.method == "css"] == [3]
    trained.clear()
    semiseg.compare(
        tiny_folder, methods="supervised,css", out=tmp_path / "one", split_seeds="0", **settings
    )
    assert {call.config.data.split_seed for call in trained} == {0}


def test_the_time_is_estimated_before_the_first_run(trained, tiny_folder, tmp_path, log):
    length = {"steps": 100, "validations": 4}
    semiseg.compare(
        tiny_folder,
        methods="supervised,css",
        labels="2",
        seeds="0,1",
        out=tmp_path / "out",
        **length,
    )
    # 2 x (100 x 1 s + 4 x 3 s) + 4 x (100 x 2.5 s + 4 x 3 s) = 1272 s
    assert "run 1 of 6: supervised, labels 2, seed 0, about 21 min left" in log.text
    assert "run 6 of 6: supervised (same time), labels 2, seed 1, about 4 min left" in log.text


def test_the_total_time_stands_before_the_first_run(trained, tiny_folder, tmp_path, log):
    length = {"methods": "supervised,css", "steps": 100, "validations": 4}
    semiseg.compare(tiny_folder, labels="2", seeds="0,1", out=tmp_path / "out", **length)
    total = log.text.index("6 runs to train: about 21 min in all.")
    assert total < log.text.index("run 1 of 6")


def test_a_dry_run_lists_the_runs_and_leaves_nothing_behind(trained, tiny_folder, tmp_path, capsys):
    out = tmp_path / "out"
    settings = {"methods": "supervised,css", "labels": "2", "steps": 100, "validations": 4}
    settings["out"] = out
    planned = semiseg.compare(tiny_folder, seeds="0", dry_run=True, **settings)
    assert not out.exists()
    assert not trained
    assert [(run.folder, run.steps, run.seconds, run.state) for run in planned.runs] == [
        ("supervised-2-0", 100, 112.0, "new"),
        ("css-2-0", 100, 262.0, "new"),
        ("supervised_same_time-2-0", 250, 262.0, "new"),
    ]
    semiseg.compare(tiny_folder, seeds="0", **settings)
    stored = (out / "compare.yaml").read_bytes()
    words = ["compare", tiny_folder, "--labels", "2", "--seeds", "0,1", "--steps", "100"]
    words += ["--methods", "supervised,css"]
    main([str(w) for w in [*words, "--validations", "4", "--out", out, "--dry-run"]])
    text = capsys.readouterr().out
    assert [line.split()[-2] for line in text.splitlines()[1:7]] == ["finished"] * 3 + ["new"] * 3
    assert f"3 runs to train in {out}, 3 finished: about 11 min in all." in text
    assert (out / "compare.yaml").read_bytes() == stored
    assert len(trained) == 3


def test_a_budget_is_divided_among_the_runs_once(trained, tiny_folder, tmp_path, log):
    out = tmp_path / "out"
    settings = {"methods": "supervised,css", "labels": "2", "validations": 2, "out": out}
    settings["budget"] = "1h"
    semiseg.compare(tiny_folder, seeds="0,1", **settings)
    stored = yaml.safe_load((out / "compare.yaml").read_text())
    share = stored["run_seconds"]
    # A quarter of 57 minutes, without two further validations, the start and the reading.
    assert 800 < share < 0.95 * 3600 / 4 - 11
    assert steps(trained) == {
        f"{method}-2-{seed}": int((share - 6) / SECONDS[method])
        for method in ("supervised", "css")
        for seed in (0, 1)
    }
    assert (stored["equal"], stored["budget"]) == ("time", "1h")
    semiseg.compare(tiny_folder, seeds="0,1,2", **settings)
    assert yaml.safe_load((out / "compare.yaml").read_text())["run_seconds"] == share
    assert len(trained) == 6


def test_a_budget_that_is_too_short_is_refused_with_what_fits(
    trained, tiny_folder, tmp_path, monkeypatch
):
    def timed(config):
        size = config.views.size
        part = 1.0 if size == "auto" else (size / 48) ** 2
        return Timing(SECONDS[config.method] * part, 3.0 * part)

    monkeypatch.setattr(comparison_lengths, "time_training", timed)
    monkeypatch.setattr(comparison_lengths, "planned_size", lambda config: 480)
    settings = {"labels": "2", "validations": 2, "out": tmp_path / "out", "seeds": "0,1,2"}
    settings["methods"] = "supervised,css"
    with pytest.raises(BudgetError) as error:
        semiseg.compare(tiny_folder, budget="20m", **settings)
    # 6 runs of 256 s for 100 steps of css and two validations, and some seconds for each start
    assert error.value.ways[:2] == ("--budget 29m", "--seeds 0,1")
    assert error.value.problem.startswith("--budget 20m is too short for 6 runs: each would get")
    assert "(100 steps of css take 4 min: the steps 4 min, 2 validations 6 s)" in str(error.value)
    assert not (tmp_path / "out").exists()
    semiseg.compare(tiny_folder, budget="29m", **settings)
    assert min(steps(trained).values()) >= 100


def test_a_budget_contradicts_steps_times_and_a_comparison_without_one(
    trained, tiny_folder, tmp_path
):
    for others in ({"steps": 5}, {"time": "5m", "equal": "time"}):
        with pytest.raises(ConfigError, match="the budget decides"):
            semiseg.compare(tiny_folder, budget="1h", out=tmp_path / "out", **others)
    semiseg.compare(tiny_folder, labels="2", steps=6, out=tmp_path / "out")
    with pytest.raises(RunError, match=r"--budget 1h contradicts .* which has none"):
        semiseg.compare(tiny_folder, labels="2", budget="1h", out=tmp_path / "out")


def several():
    """`css` closes half of a gap of ten points with 10 labels; with 20 nothing is known."""
    supervised, ceiling = [50.0, 51.0, 52.0], [60.0, 61.2, 61.8]
    gains = [5.0, 4.5, 5.5]
    records = []
    for seed in range(3):
        records.append(record("supervised", "10", seed, supervised[seed]))
        records.append(record("css", "10", seed, supervised[seed] + gains[seed]))
        records.append(record("supervised", "all", seed, ceiling[seed]))
    records.append(record("supervised", "20", 0, 55.0))
    records.append(record("css", "20", 0, 54.0))
    return make_rows(records, ["supervised", "css"])


def test_rows_hold_means_spreads_and_paired_differences():
    rows = several()
    assert [(r.method, r.labels) for r in rows] == [
        ("supervised", "10"),
        ("css", "10"),
        ("supervised", "20"),
        ("css", "20"),
        ("supervised", "all"),
    ]
    css = rows[1].to_dict()
    assert css["miou"]["released"] == {"mean": 56.0, "spread": 1.32}  # 55, 55.5, 57.5
    assert css["miou"]["last"]["mean"] == 55.0
    assert css["gain"]["estimate"] == pytest.approx(5.0)
    # the standard deviation of 5, 4.5, 5.5 is 0.5: 4.3027 x 0.5 / sqrt(3) = 1.2421
    assert css["gain"]["low"] == pytest.approx(5 - 1.2421, abs=1e-4)
    assert css["class_gains"] == {"soil": 5.0, "weed": 5.0}
    assert css["closed"]["estimate"] == pytest.approx(0.5)
    assert css["closed"]["resolved"]
    assert rows[0].gain is None
    assert rows[4].closed is None


def test_sentences_say_what_is_resolved_and_what_is_not():
    rows = several()
    assert statements(rows[0]) == []
    gain, share = statements(rows[1])
    assert gain == "css - supervised, labels 10: +5.0 (95 % interval 3.8 to 6.2, 3 seeds)"
    assert share.startswith("share of the gap closed by css, labels 10: 50 % (95 % interval 3")
    gain, share = statements(rows[3])
    assert gain == "css - supervised, labels 20: -1.0, not resolved (1 seed)"
    assert share.endswith("not resolved (1 seed)")


def test_an_interval_with_both_signs_is_not_resolved():
    records = [record("supervised", "10", s, 50.0) for s in range(2)]
    records += [record("css", "10", s, 50.0 + gain) for s, gain in enumerate((-1.0, 2.0))]
    (statement,) = statements(make_rows(records, ["supervised", "css"])[1])
    assert statement.endswith("2 seeds), not resolved")


def test_a_gap_within_chance_and_no_gap_are_reported():
    records = [record("supervised", "10", s, 50.0) for s in range(2)]
    records += [record("css", "10", s, 51.0) for s in range(2)]
    for tops, statement in (
        ((49.0, 52.0), "the gap is within chance"),
        ((49.0, 50.0), "there is no gap"),
    ):
        ceiling = [record("supervised", "all", s, tops[s]) for s in range(2)]
        rows = make_rows([*records, *ceiling], ["supervised", "css"])
        assert statement in statements(rows[1])[1]


def test_runs_on_other_images_are_not_paired():
    records = [record("supervised", "10", 0, 50.0), record("css", "10", 0, 52.0, split="y")]
    rows = make_rows(records, ["supervised", "css"])
    assert rows[1].gain is None
    assert rows[0].hashes("labeled") != rows[1].hashes("labeled")


def test_only_seeds_that_both_have_are_paired():
    records = [record("supervised", "10", s, 50.0 + s) for s in (0, 1)]
    records += [record("css", "10", s, 51.0 + s) for s in (1, 2, 3)]
    row = make_rows(records, ["supervised", "css"])[1]
    assert row.gain == Interval(1.0, None, None, 1)
    assert row.seeds == [1, 2, 3]


def many(seeds=3, methods=("supervised", "mean_teacher", "cutmix", "css")):
    """Methods that are one, two and three points above `supervised`, which the time helps too."""
    deviations = [(-0.2, 0.1, 0.4), (0.5, -0.4, 0.2), (0.1, 0.1, 0.3)]
    records = []
    for seed in range(seeds):
        records.append(record("supervised (same time)", "10", seed, 50.5 + seed))
        for i, method in enumerate(methods):
            own = deviations[i % 3][seed] if i else 0.0
            records.append(record(method, "10", seed, 50.0 + seed + i + own))
    return make_rows(records, list(METHODS))


def test_several_methods_are_corrected_together():
    rows = many()
    assert [row.method for row in rows] == [
        *("supervised", "supervised (same time)", "mean_teacher", "cutmix", "css")
    ]
    gains = [
        [one.miou - other.miou for one, other in zip(row.records, rows[0].records, strict=True)]
        for row in rows[2:]
    ]
    assert [row.gain for row in rows[2:]] == mean_intervals(gains)
    assert {row.gain.tests for row in rows[2:]} == {3}
    # The row for the same time is no method: it is compared with nothing, and counts for nothing.
    assert (rows[0].gain, rows[1].gain, rows[1].gain_same_time) == (None, None, None)
    less = mean_intervals([[gain - 0.5 for gain in own] for own in gains])
    for row, expected in zip(rows[2:], less, strict=True):
        assert row.gain_same_time[:5] == pytest.approx(expected[:5])


def test_the_correction_is_in_the_text_and_in_all_files():
    rows = many()
    gain, same_time = statements(rows[2])
    assert gain.startswith("mean_teacher - supervised, labels 10: +1.1 (95 % interval 0.0 to ")
    assert ", 3 seeds, corrected for 3 methods, p = " in gain
    assert same_time.startswith("mean_teacher - supervised (same time), labels 10: +0.6 (")
    assert gain in markdown(rows, {})
    assert gain in text(rows)
    lines = list(csv.DictReader(table_csv(rows).splitlines()))
    for line, row in zip(lines[2:], rows[2:], strict=True):
        stored = row.to_dict()
        for name in ("gain", "gain_same_time"):
            assert float(line[f"{name}_p"]) == stored[name]["p"]
            assert float(line[f"{name}_low"]) == stored[name]["low"]
            assert stored[name]["tests"] == 3
        assert line["split_seeds"] == "0 0 0"
    assert lines[0]["gain_p"] == ""


def test_tables_stay_narrow_and_in_order_with_all_methods():
    rows = many(methods=tuple(METHODS))
    names = [row.method for row in rows]
    assert names == ["supervised", "supervised (same time)", *list(METHODS)[1:]]
    table = text(rows).splitlines()[: len(rows) + 2]
    assert max(map(len, table)) <= 120
    # The hashes stand there once, not for each method.
    assert markdown(rows, {}).partition("## Splits")[2].count("10x") == 3
    figure = make_figure(rows)
    assert figure.legends
    assert len(figure.axes[0].containers) == len(rows)


def test_the_headline_names_the_best_of_many():
    headline = comparison_headline(many(methods=tuple(METHODS)))
    best = list(METHODS)[-1]
    assert headline.startswith(f"With 10 masks, compared with supervised: {best} is ")
    assert headline.endswith(f"; {len(METHODS) - 4} more methods below these.")


def test_the_headline_says_that_times_were_not_equal():
    rows = several()
    took = rows[0].seconds
    unequal = " The methods did not take equal time."
    assert comparison_headline(rows, 2 * took) == comparison_headline(rows) + unequal
    assert comparison_headline(rows, took) == comparison_headline(rows)


def test_the_time_of_a_run_is_estimated_by_finished_runs(trained, tiny_folder, tmp_path):
    settings = {"labels": "2", "equal": "time", "time": "1m", "validations": 2}
    settings |= {"methods": "supervised,css", "out": tmp_path / "out"}
    semiseg.compare(tiny_folder, seeds="0", **settings)
    planned = semiseg.compare(tiny_folder, seeds="0,1", dry_run=True, **settings)
    took = {run.method: run.seconds for run in planned.runs if run.state == "finished"}
    expected = {run.method: run.seconds for run in planned.missing}
    assert took == expected != {"supervised": 60.0, "css": 60.0}


def test_text_and_page_show_every_row():
    rows = several()
    table = text(rows)
    assert table.count("css") >= 4
    assert "51.0 ± 1.0" in table
    page = markdown(rows, {"steps": 10, "lr": None})
    assert "| 10 | 10 | css | 3 | 55.0 ± 1.3 | 57.0 ± 1.3 | 56.0 ± 1.3 | 10 | 20 | 1.00 |" in page
    assert "| 10 | css | +5.0 | +5.0 |" in page
    assert "steps 10" in page
    assert "lr" not in page.splitlines()[-1]


def settled(record, used=None, **settings):
    """The run with settings, as `config.yaml` holds them."""
    config = TrainConfig.from_values({"data": "d", "method": record.method, **settings}).values()
    return record._replace(config=config, used=used)


def test_the_settings_stand_by_method_with_the_real_steps():
    runs = [
        settled(record("supervised", "10", 0, 50.0), crop=64),
        settled(record("css", "10", 0, 55.0), crop=32, class_weights="none", steps=1000, anchors=8),
    ]
    rows = make_rows(runs, list(METHODS))
    head, *lines = settings_table(rows)
    cells = {name: values for name, *values in lines}
    assert head == ["setting", "supervised", "css"]
    assert cells["steps"] == ["10", "10"]  # of the runs, not of the settings
    assert cells["crop"] == ["64", "32"]
    assert cells["encoder"] == ["-", "-"]
    assert cells["class_weights"] == ["sqrt", "none"]  # it differs
    assert not {"dice", "data", "seed"} & cells.keys()
    page = markdown(rows, {"steps": 1000, "equal": "time"})
    assert "| class\\_weights | sqrt | none |" in page
    assert "anchors 8" in page
    assert "steps 1000" not in page
    assert settings_table(several()) == []  # runs whose settings are unknown


def test_cautions_name_few_steps_few_pixels_and_unequal_times():
    def rows(steps, used, seconds):
        runs = [
            record(m, "10", 0, 50.0, seconds=s)
            for m, s in zip(("supervised", "css"), seconds, strict=True)
        ]
        runs = [r._replace(scores=replace(r.scores, steps=steps)) for r in runs]
        return make_rows([runs[0], runs[1]._replace(used=used)], list(METHODS))

    assert cautions(rows(100, 0.5, (60.0, 70.0)), 60.0) == []
    assert cautions(rows(100, None, (60.0, 90.0)), None) == []
    (few,) = cautions(rows(99, None, (20.0, 20.0)), None)
    assert few.startswith("This comparison says nothing about css with labels 10: ")
    assert "99 steps" in few
    (unused,) = cautions(rows(100, 0.004, (20.0, 20.0)), None)
    assert "it used 0.4 % of the pixels of the unlabeled images" in unused
    early, unequal = cautions(rows(100, 0.5, (60.0, 90.0)), 60.0, missing=3)
    assert "preliminary: 3 runs must still finish" in early
    assert "supervised 60 s, css 90 s" in unequal
    page = markdown(rows(99, None, (20.0, 20.0)), {}, [few])
    assert "## Caution\n\n- This comparison says nothing about css" in page
    assert f"caution: {few}" in text(rows(99, None, (20.0, 20.0)), [few])


def test_the_share_of_used_pixels_is_that_of_the_second_half(tmp_path):
    file = tmp_path / "metrics.csv"
    assert used_share(file) is None
    file.write_text("step,train/used,val/miou\n9,0.9,\n11,,40\n19,0.8,\n29,0.02,\n39,0.04,\n")
    assert used_share(file) == pytest.approx(0.03)
    file.write_text("step,train/loss\n9,0.9\n")
    assert used_share(file) is None


def test_a_broken_run_is_reported(trained, tiny_folder, tmp_path):
    out = tmp_path / "out"
    semiseg.compare(tiny_folder, methods="supervised,css", labels="2", out=out)
    (out / "css-2-0" / "scores.json").write_text("{")
    with pytest.raises(RunError, match="css-2-0 cannot be read"):
        semiseg.compare(tiny_folder, methods="supervised,css", labels="2", out=out)


@pytest.mark.variants
@pytest.mark.slow
def test_real_runs_from_the_command_line(masks_only, tmp_path, capsys):
    out = tmp_path / "out"
    words = [f"--{name}={value}" for name, value in TINY.items()]
    words += ["--methods", "supervised,css", "--labels", "2", "--steps", "2", "--css.anchors", "8"]
    main(["compare", str(masks_only), "--out", str(out), *words])
    output = capsys.readouterr().out
    assert "css - supervised, labels 2" in output
    with (out / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["labels"], r["method"]) for r in rows] == [
        ("2", "supervised"),
        ("2", "supervised (same time)"),
        ("2", "css"),
    ]
    with Image.open(out / "comparison.png") as picture:
        assert picture.width > 500
    record = json.loads((out / "comparison.json").read_text())
    assert record["settings"]["size"] == 48
    assert record["rows"][2]["seconds_a_step"] > 0
    assert yaml.safe_load((out / "css-2-0" / "config.yaml").read_text())["anchors"] == 8
    assert "comparison.png" in (out / "comparison.md").read_text()


def test_help_lists_the_settings_of_train_and_of_the_methods(capsys):
    main(["compare", "--help-all"])
    output = capsys.readouterr().out
    for flag in (
        "--split-seeds",
        "--no-same-time",
        "--time",
        "--encoder-lr",
        "--css.hard-threshold",
        "--seeds",
    ):
        assert flag in output
    with pytest.raises(SystemExit):
        main(["compare", "d", "--css.hard-treshold", "1"])
    assert "Did you mean --css.hard-threshold" in capsys.readouterr().err


def test_the_plot_has_a_line_a_method_and_the_ceiling(tmp_path):
    save_figure(several(), tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as picture:
        colors = {color for _, color in picture.convert("RGB").getcolors(1 << 20)}
    assert {(0, 0, 0), (0xE6, 0x9F, 0), (128, 128, 128)} <= colors


def test_points_of_one_number_of_masks_stay_together():
    figure = make_figure([row for row in several() if row.labels == "10"])
    left, right = figure.axes[0].get_xlim()
    assert right / left > 2  # on a logarithmic axis, whose points lie 2 % apart
    near = [record("supervised", "10", 0, 50.0), record("css", "10", 0, 50.2)]
    low, high = make_figure(make_rows(near, ["supervised", "css"])).axes[0].get_ylim()
    assert (low, high) == pytest.approx((48.1, 52.1))
    assert make_figure([row for row in several() if row.labels == "all"]).axes


@pytest.mark.slow
def test_the_measurement_before_the_runs_says_nothing(tiny_folder, tmp_path, log, capfd):
    """Its warnings and its scores, after a few steps, would look like those of a run."""
    config = CompareConfig.from_values({"data": tiny_folder, "size": 48, "steps": 4, **TINY})
    timing = comparison_lengths.measure(config.run("css", "2", 0, tmp_path / "run"))
    assert timing is not None
    assert timing.step > 0
    assert timing.validation > 0
    assert (log.text, "".join(capfd.readouterr())) == ("", "")
    assert not (tmp_path / "run").exists()


def test_all_runs_of_a_comparison_have_the_encoder_of_the_first_call(
    trained, tiny_folder, tmp_path, monkeypatch
):
    settings = {"out": tmp_path / "out", "seeds": "0", "accelerator": "cpu"}
    semiseg.compare(tiny_folder, methods="supervised", **settings)
    # The second call is on another device.
    monkeypatch.setattr(
        comparison_runs, "with_encoder", lambda config: config.replaced(encoder="other")
    )
    semiseg.compare(tiny_folder, methods="css", **settings)
    assert {call.config.method for call in trained} == {"supervised", "css"}
    assert {call.config.network.encoder for call in trained} == {LIGHT_ENCODER}


def test_a_training_that_cannot_start_is_not_measured(tiny_folder, tmp_path):
    config = CompareConfig.from_values({"data": tiny_folder, **TINY, "encoder": "none_such"})
    assert comparison_lengths.measure(config.run("css", "2", 0, tmp_path / "run")) is None
