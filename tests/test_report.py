"""The report: what it says, that it needs nothing beside it, and that it never costs a run."""

import csv
import json
import re
import shlex
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import chain
from urllib.parse import unquote

import pytest
import yaml
from PIL import Image

import semiseg
from semiseg.cli import main
from semiseg.commands.layers import read_config
from semiseg.comparison.records import read_records
from semiseg.comparison.rows import make_rows
from semiseg.config.command_line import compare_command
from semiseg.config.compare import CompareConfig
from semiseg.config.settings import plain
from semiseg.core.errors import RunError
from semiseg.core.scores import ClassScores, MeanIou, read_scores
from semiseg.data.formats.masks import Classes
from semiseg.inference.load import load
from semiseg.plots.curves import draw_lines
from semiseg.plots.matrices import draw_confusion
from semiseg.plots.palette import accessible_colors
from semiseg.reporting.comparison_page import headline as comparison_headline
from semiseg.reporting.embed import embed_svg
from semiseg.reporting.gallery import make_gallery
from semiseg.reporting.report import write_report
from semiseg.reporting.run_files import read_run
from semiseg.reporting.run_page import headline, run_page
from semiseg.training.run_data import scored_samples


@pytest.fixture
def parsed(monkeypatch):
    """A function that gives the settings which the command line reads from a command."""
    calls = []

    def command(*args, **settings):
        calls.append((args, settings))
        raise SystemExit

    monkeypatch.setattr("semiseg.commands.verbs.load_command", lambda name: command)

    def parse(text):
        with pytest.raises(SystemExit):
            main(shlex.split(text)[1:])
        args, settings = calls.pop()
        return args[0].values() if args else settings

    return parse


class Asked(HTMLParser):
    """What a page would fetch or lead to."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found += [v for k, v in attributes if k in ("src", "href", "action", "srcset", "data")]


@pytest.mark.slow
def test_a_page_needs_nothing_beside_it(reported, compared, tmp_path):
    elsewhere = semiseg.report(compared, out=tmp_path / "sub" / "page.html").path
    for page, links in ((reported.page, 0), (elsewhere, 4)):
        text = page.read_text()
        outside = [v for v in Asked(text).found if not v.startswith("data:")]
        assert len(outside) == links
        assert all((page.parent / unquote(link)).is_file() for link in outside)
        assert "@import" not in text
        assert "url(" not in text
        assert len(text) < 5_000_000


@pytest.mark.slow
def test_the_names_of_a_stranger_are_text(reported, compared):
    for page in (reported.page, semiseg.report(compared).path):
        text = page.read_text()
        assert "<b>$soil" not in text
        assert "&lt;b&gt;$soil$&lt;/b&gt;" in text
        assert "<img src=x" not in text
        assert "<i>no" not in text
    assert (
        "&lt;img src=x onerror=alert(1)&gt; &amp; &#34;it&#39;s&#34;" in reported.page.read_text()
    )


@pytest.mark.slow
def test_the_report_says_what_the_run_found(reported):
    text = reported.page.read_text()
    scores = json.loads((reported.run / "scores.json").read_text())
    assert f"reaches {scores['miou']['released']:.1f}\u00a0% mIoU on val" in text
    for value in (*scores["versions"].values(), scores["split"]["val"], scores["split"]["labeled"]):
        assert value in text
    for section in ("scenes", "classes", "confusion", "curves", "pseudo", "cite", "again"):
        assert f'id="{section}"' in text
    shapes = read_scores(reported.run / "scores.json").shapes
    assert ("Do not count objects" in text) == bool(shapes.count_warning())
    assert "mostly chance" not in text  # val has 8 images


@pytest.mark.slow
def test_scores_on_few_images_are_warned_of_at_the_top(reported, tmp_path):
    run = read_run(reported.run)
    split = replace(run.scores.split, images={**run.scores.split.images, "val": 3})
    run = replace(run, scores=replace(run.scores, split=split))
    (warning,) = run_page(run, tmp_path, "cpu").warnings
    assert warning.startswith("val has 3 images. A score on so few is mostly chance")


@pytest.mark.slow
def test_the_confusion_matrix_is_stored_and_gives_the_scores(reported):
    with (reported.run / "confusion.csv").open(newline="") as file:
        head, *rows = list(csv.reader(file))
    counts = [[int(n) for n in row[1:]] for row in rows]
    scores = json.loads((reported.run / "scores.json").read_text())["per_class"]
    assert head[1:] == [row[0] for row in rows] == list(scores)
    for i, values in enumerate(scores.values()):
        assert sum(counts[i]) == values["pixels"]
        union = sum(counts[i]) + sum(row[i] for row in counts) - counts[i][i]
        assert 100 * counts[i][i] / union == pytest.approx(values["iou"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "miou", "sentence"),
    [
        ("css", 58.12, "With 1 mask and 1,344 unlabeled images, css reaches 58.1 % mIoU on val."),
        ("supervised", 58.12, "With 1 mask, supervised reaches 58.1 % mIoU on val."),
        ("supervised", None, "so it has no scores"),
    ],
)
def test_the_headline(reported, method, miou, sentence):
    scores_file = read_scores(reported.run / "scores.json")
    scores = replace(
        scores_file,
        method=method,
        labels=1,
        miou=MeanIou(None, None, miou),
        per_class={
            "a": ClassScores(miou, None, None, None, 9),
            "b": ClassScores(None, None, None, None, 0),
        },
        split=replace(scores_file.split, images={"labeled": 1, "unlabeled": 1344, "val": 8}),
    )
    lines = headline(scores)
    assert lines == sentence or (miou is None and lines.endswith(f"{sentence}."))


@pytest.mark.slow
def test_the_command_is_that_of_the_run(reported, parsed):
    command = re.search(r'<pre[^>]*aria-label="command">(.*?)</pre>', reported.page.read_text())[1]
    arguments = parsed(command)
    settings = read_config(reported.run / "config.yaml")
    assert settings["anchors"] == 16
    assert settings["scale"] == [0.5, 1.5]
    for name, value in settings.items():
        if name not in ("out", "workers"):  # `workers` changes no result
            assert plain(arguments[name]) == value, name


def test_the_command_of_a_comparison():
    grid = {"labels": 8, "seeds": "0,1", "steps": 10, "equal": "time"}
    own = {"css": {"anchors": 8, "hard_threshold": 0.5}}
    shared = {"data": "my data", "ohem": 0.1, "class_weights": "none"}
    grid["methods"] = "supervised,css"
    config = CompareConfig.from_values({**shared, **grid, **own})
    words = shlex.split(compare_command(config))
    assert words[:3] == ["semiseg", "compare", "my data"]
    flags = dict(zip(words[3::2], words[4::2], strict=True))
    assert flags == {
        "--methods": "supervised,css",
        "--labels": "8",
        "--seeds": "0,1",
        "--steps": "10",
        "--equal": "time",
        "--ohem": "0.1",
        "--class-weights": "none",
        "--css.anchors": "8",
        "--css.hard-threshold": "0.5",
        "--out": "OTHER",
    }


def test_a_comparison_is_reported_with_its_uncertainty(compared):
    text = semiseg.report(compared).path.read_text()
    assert "css is 3.1 points of mIoU above (95\u00a0% interval" in text
    assert "css - supervised, labels 8: +3.1 (95 % interval" in text
    assert 'href="css-8-1/report.html"' in text
    assert "<li>css: Wang et al., &#34;Space Engage: " in text
    alone = [r for r in read_records(compared) if r.method == "css"]
    sentences = comparison_headline(make_rows(alone, ["css"]))
    assert sentences == "css with 8 masks reaches 43.6 % mIoU on val."


@pytest.mark.slow
def test_images_that_are_gone_or_were_moved(reported, tmp_path, log):
    run = shutil.copytree(reported.run, tmp_path / "run")
    settings = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**settings, "data": str(tmp_path / "gone")}))
    before = (run / "report.html").read_bytes()  # which shows images
    with pytest.raises(RunError, match=r"report.html is kept, .* --data DATA"):
        semiseg.report(run)
    assert (run / "report.html").read_bytes() == before
    (run / "report.html").unlink()
    text = semiseg.report(run).path.read_text()
    assert f"There is no folder {tmp_path / 'gone'}" in text
    assert "--data DATA" in text
    assert 'class="scene"' not in text
    assert f"report.html shows no images. There is no folder {tmp_path / 'gone'}" in log.text
    log.clear()
    assert 'class="scene"' in semiseg.report(run, data=reported.data).path.read_text()
    assert "shows no images" not in log.text


@pytest.mark.slow
def test_the_worst_and_the_best_images(reported):
    samples = scored_samples(reported.run, reported.data, "val", None)
    gallery = make_gallery(load(reported.run), samples)
    groups = {words: [scene.name for scene in scenes] for words, scenes in gallery.groups.items()}
    assert list(map(len, groups.values())) == [2, 3, 3]
    assert sorted(chain(*groups.values())) == sorted(sample.name for sample in samples)
    scores = [[scene.miou for scene in scenes] for scenes in gallery.groups.values()]
    assert max(scores[1]) <= min(scores[0]) <= max(scores[0]) <= min(scores[2])
    assert scores[1] == sorted(scores[1])
    example = gallery.example
    assert [scene.miou for scene in chain(*gallery.groups.values())].count(example.miou)
    assert sum(scene.miou > example.miou for scene in chain(*gallery.groups.values())) <= 4
    assert list(example.layers) == ["photograph", "true mask", "what the model predicts"]
    assert len({picture.uri for picture in example.layers.values()}) == 3
    for scenes in gallery.groups.values():
        for scene in scenes:
            assert list(scene.layers)[-1] == gallery.certainty == "reliability"
            assert {(p.width, p.height) for p in scene.layers.values()} == {(64, 48)}


def test_everyone_can_distinguish_the_colors_of_few_classes():
    def classes(*colors):
        names = tuple(map(str, range(len(colors))))
        return Classes(names, colors, "ids", tuple(range(len(colors))))

    red_green = classes((255, 0, 0), (0, 160, 0))
    assert accessible_colors(red_green) == (((230, 159, 0), (86, 180, 233)), True)
    palette = classes((0, 158, 115), (0, 0, 0))
    assert accessible_colors(palette) == (palette.colors, True)
    many = classes(*((9 * i, 255 - 9 * i, 128) for i in range(20)))
    assert not accessible_colors(many)[1]


def test_figures_of_strange_names_and_of_many_classes():
    picture = embed_svg(draw_lines({"_a$b$": [(1, 2.0), (2, 1.0)], "c": [(1, 1.0)]}, "loss", False))
    assert picture.uri.startswith("data:image/svg+xml;base64,")
    shares = [[None] * 40 if i == 3 else [2.5] * 40 for i in range(40)]
    assert embed_svg(draw_confusion(shares)).width > 400


@pytest.mark.slow
def test_what_is_no_run_is_refused(tmp_path, reported):
    with pytest.raises(RunError, match="neither a finished run"):
        semiseg.report(tmp_path)
    run = shutil.copytree(reported.run, tmp_path / "run")
    (run / "scores.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        semiseg.report(run)
    shutil.copy(reported.run / "scores.json", run)
    (run / "plan.yaml").write_text("plan: [{setting: size}]\n")
    with pytest.raises(RunError, match=r"cannot be read \(`plan\[0\]\.value` is missing\)"):
        semiseg.report(run)
    shutil.copy(reported.run / "plan.yaml", run)
    picture = run / "diagnostics" / "sample0.png"
    picture.parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(picture, "EPS")  # which Pillow has another program draw
    with pytest.raises(RunError, match=r"sample0.png cannot be read \(it is damaged"):
        semiseg.report(run)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="Choose another --out"):
        semiseg.report(reported.run, out=tmp_path / "file" / "page.html")


@pytest.mark.slow
def test_a_training_writes_its_report_and_a_failure_of_it_costs_nothing(
    tiny_folder, tmp_path, monkeypatch, log
):
    settings = {"weights": "none", "size": 48, "crop": 32, "batch": 2, "steps": 1, "validations": 1}
    settings |= {"workers": 0, "accelerator": "cpu", "method": "supervised"}
    settings |= {"encoder": "lcnet_035"}
    monkeypatch.setattr("semiseg.commands.train.write_report", write_report)
    data = shutil.copytree(tiny_folder, tmp_path / "data")
    run = semiseg.train(data, out=tmp_path / "run", **settings)
    text = (run.folder / "report.html").read_text()
    assert "With 4 masks, supervised reaches" in text
    assert "<option selected>prediction" in text
    assert "<option>confidence" in text

    elsewhere = data.rename(tmp_path / "moved")
    (run.folder / "report.html").unlink()
    semiseg.train(elsewhere, out=run.folder, resume=True, **settings)  # it is finished
    assert "<option selected>prediction" in (run.folder / "report.html").read_text()

    def fail(folder, data):
        raise ValueError("no ink")

    monkeypatch.setattr("semiseg.reporting.report.report", fail)
    run = semiseg.train(tiny_folder, out=tmp_path / "other", **settings)
    assert (run.folder / "model.safetensors").is_file()
    assert not (run.folder / "report.html").exists()
    assert "could not be written; all other files are there: no ink" in log.text


@pytest.mark.slow
def test_the_command_line(reported, tmp_path, capsys):
    out = tmp_path / "page.html"
    main(["report", str(reported.run), "--out", str(out)])
    assert capsys.readouterr().out == f"{out}\n"
    assert out.is_file()
