"""Published scores: what stands beside the score of a run, and where."""

import shutil
from dataclasses import replace

import pytest

import semiseg
from semiseg.config.methods import METHODS
from semiseg.config.published import published_scores, published_sentence
from semiseg.config.recipes import names, recipe
from semiseg.config.train import TrainConfig
from semiseg.core.scores import read_scores
from semiseg.data.datasets import DATASETS, other_classes
from semiseg.evaluation.beside_published import beside_published
from semiseg.reporting.run_files import read_run
from semiseg.reporting.run_page import run_page


@pytest.fixture
def scores(compared):
    """The scores of some run."""
    return read_scores(next(compared.glob("*/scores.json")))


def config_of(name, **changes):
    return TrainConfig.from_values({**recipe(name), "data": "d", **changes})


def with_labels(scores, labels, steps=40_000, dataset="voc", **split):
    """The scores as of a run on a published data set, all of whose classes were scored."""
    one = next(one for one in scores.per_class.values() if one.iou is not None)
    per_class = dict.fromkeys(DATASETS[dataset].names, one)
    split = replace(scores.split, **split)
    return replace(scores, labels=labels, steps=steps, per_class=per_class, split=split)


def test_each_recipe_of_the_paper_has_its_scores():
    data = {recipe(name).get("dataset") for name in names()} - {None}
    assert data == {entry.dataset for entry in published_scores()}
    assert {entry.method for entry in published_scores()} <= METHODS.keys()
    assert all(0 < v < 100 for entry in published_scores() for v in entry.scores.values())


def test_a_run_of_a_recipe_stands_beside_the_paper(scores):
    listed = with_labels(scores, 92, source={"file": "92.txt", "sha256": "0"})
    table = beside_published(config_of("voc-classic"), listed, 66.04)
    images = "mean of 3 splits of the authors"
    assert table.rows == [
        ("this run", "66.0", "resnet101", "512", "40,000", "listed in 92.txt", ""),
        ("css paper, Tab. 1", "68.09", "resnet101", "512", "40,000", images, ""),
    ]
    text = table.text()
    assert text.splitlines()[1].split()[:3] == ["this", "run", "66.0"]
    assert "optimistic" in text


def test_what_differs_is_named(scores):
    config = config_of("voc-classic", encoder="resnet50", crop=256, method="css")
    table = beside_published(config, with_labels(scores, 92, steps=600, source={}), None)
    differs = "settings of the method, encoder, crop, steps, labeled images"
    assert [row[-1] for row in table.rows] == ["", differs]
    assert table.rows[0][1] == "-"


def test_each_method_has_its_own_values(scores):
    run = with_labels(scores, 92)
    cross = beside_published(config_of("voc-classic", collaboration="cross"), run, 1.0)
    assert [row[1] for row in cross.rows] == ["1.0", "67.03"]
    unimatch = TrainConfig.from_values({**recipe("voc-classic", "unimatch-paper"), "data": "d"})
    assert [row[1] for row in beside_published(unimatch, run, 1.0).rows] == ["1.0", "75.2", "86.0"]


@pytest.mark.parametrize(("labels", "value"), [(1263, "32.55"), (1264, "32.55"), (10105, "40.85")])
def test_shares_are_counted(scores, labels, value):
    table = beside_published(
        config_of("ade20k"), with_labels(scores, labels, dataset="ade20k"), 30.0
    )
    assert table.rows[1][1] == value


def test_where_nothing_was_published_there_is_no_table(scores):
    config = config_of("voc-classic")
    assert beside_published(config, with_labels(scores, 93), 1.0) is None
    own_data = config.replaced(dataset="auto")
    assert beside_published(own_data, with_labels(scores, 92), 1.0) is None


def test_no_paper_stands_beside_a_run_on_other_classes(scores):
    run, config = with_labels(scores, 92), config_of("voc-classic")
    assert beside_published(config, run, 1.0) is not None
    roads = {f"road {i}": one for i, one in enumerate([*run.per_class.values()][:11])}
    assert beside_published(config, replace(run, per_class=roads), 1.0) is None
    unscored = replace(next(iter(run.per_class.values())), iou=None)
    few = {n: one if i < 11 else unscored for i, (n, one) in enumerate(run.per_class.items())}
    assert beside_published(config, replace(run, per_class=few), 1.0) is None


def test_a_plan_names_what_was_published_for_its_method():
    text = published_sentence(config_of("voc-classic"))
    assert text.startswith("Published for css on voc, mIoU in percent by the number of masks: 92: ")
    assert "732: 77.57 (css paper, Tab. 1)" in text
    assert "1/16: 32.55" in published_sentence(config_of("ade20k"))
    assert published_sentence(config_of("voc-classic", dataset="folder")) == ""


def test_a_data_set_has_its_own_classes():
    voc = DATASETS["voc"].names
    spelled = ["airplane" if name == "aeroplane" else name for name in voc]
    assert other_classes("voc", voc, voc) == other_classes("voc", spelled, spelled[:15]) == ""
    assert "11 classes" in other_classes("voc", voc[:11], voc[:11])
    assert "names" in other_classes("voc", [f"road {i}" for i in range(21)], voc)
    assert "10 of the 21" in other_classes("voc", voc, voc[:11])
    assert {other_classes(name, ["road"], []) for name in ("auto", "folder", "coco")} == {""}


@pytest.mark.slow
def test_the_report_and_evaluate_show_them(reported, monkeypatch, tmp_path):
    run = read_run(reported.run)
    table = beside_published(config_of("voc-classic"), with_labels(run.scores, 92), 66.0)
    calls = []

    def beside(config, scores, miou):
        calls.append((config.method, scores.labels, miou))
        return table

    for place in ("semiseg.reporting.run_page", "semiseg.commands.evaluate"):
        monkeypatch.setattr(f"{place}.beside_published", beside)
    assert run_page(run, tmp_path, "cpu").published is table
    page = semiseg.report(reported.run, out=tmp_path / "page.html", data=tmp_path).path
    assert 'id="published"' in page.read_text()
    assert "css paper, Tab. 1" in page.read_text()
    result = semiseg.evaluate(reported.run, reported.data)
    assert table.text() in result.text()
    assert calls[-1] == ("css", 2, result.miou)
    count = len(calls)
    assert semiseg.evaluate(reported.run, reported.data, split="train").published is None
    assert len(calls) == count


def test_an_evaluation_needs_no_scores_of_the_training(tiny_run, tiny_folder, tmp_path):
    run = shutil.copytree(tiny_run("supervised"), tmp_path / "run")
    (run / "scores.json").write_text("{")
    result = semiseg.evaluate(run, tiny_folder)
    assert result.published is None
    assert result.images > 0
