import csv
import inspect
import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import semiseg
from semiseg.cli import COMMANDS, main
from semiseg.config.methods import METHODS
from semiseg.core.scores import ClassScores, MeanIou, read_scores
from semiseg.training.tables import closing


def run(*words):
    main([str(w) for w in words])


def refused(capsys, *words):
    """The sentence on stderr of a command that must exit with 2 and without a traceback."""
    with pytest.raises(SystemExit) as stop:
        run(*words)
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return told


TINY = [
    *("--weights", "none", "--size", "48", "--crop", "32", "--batch", "2", "--steps", "4"),
    *("--looks", "2", "--workers", "0", "--accelerator", "cpu"),
]


@pytest.fixture(scope="module")
def trained(tiny_run):
    return tiny_run("css")


def test_a_run_knows_its_data_from_wherever_it_is_read(tmp_path, tiny_folder, monkeypatch):
    monkeypatch.chdir(tiny_folder.parent)
    run("train", tiny_folder.name, "--method", "supervised", "--out", tmp_path / "run", *TINY)
    held = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert held["data"] == str(tiny_folder)


def test_a_training_ends_with_its_worst_class_and_its_page(
    capsys, tmp_path, tiny_folder, monkeypatch
):
    write = "semiseg.commands.train.write_report"
    monkeypatch.setattr(write, lambda folder, data: (folder / "report.html").touch())
    out = tmp_path / "run"
    run("train", tiny_folder, "--method", "supervised", "--out", out, *TINY)
    scores = json.loads((out / "scores.json").read_text())
    found = {k: v["iou"] for k, v in scores["per_class"].items() if v["iou"] is not None}
    worst = min(found, key=found.get)
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"{out}: mIoU {scores['miou']['released']:.1f} % on 2 images of val, least of {worst} "
        f"({found[worst]:.1f} %); see {out / 'report.html'}"
    )
    stored = read_scores(out / "scores.json")
    one = replace(
        stored,
        miou=MeanIou(100.0, 100.0, 100.0),
        per_class={
            "a": ClassScores(100.0, 100.0, 100.0, 100.0, 9),
            "b": ClassScores(None, None, None, None, 0),
        },
        split=replace(stored.split, images={"labeled": 1, "unlabeled": 1, "val": 1}),
    )
    assert closing(one) == "mIoU 100.0 % on 1 image of val"


@pytest.mark.parametrize("words", [["--version"], ["--help"]])
def test_version_and_help_answer_without_torch(words):
    code = (
        "import sys; from semiseg.cli import main\n"
        f"try:\n    main({words!r})\n"
        "except SystemExit as stop:\n    assert stop.code in (0, None)\n"
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert semiseg.__version__ in done.stdout or "train" in done.stdout


def test_the_module_runs_as_a_program():
    words = [sys.executable, "-m", "semiseg", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"semiseg {semiseg.__version__}"


def test_help_spells_flags_with_dashes_and_shows_the_settings_of_the_method(capsys):
    with pytest.raises(SystemExit) as stop:
        run("train", "--method", "css", "--help")
    assert not stop.value.code
    told = capsys.readouterr().out
    assert "--split-seed" in told
    assert "--split_seed" not in told
    assert "--confidence-threshold" in told
    with pytest.raises(SystemExit):
        run("train", "--method", "supervised", "--help")
    assert "--confidence-threshold" not in capsys.readouterr().out


def test_help_has_a_section_for_each_setting_and_no_python_types(capsys):
    with pytest.raises(SystemExit):
        run("train", "--help")
    told = capsys.readouterr().out
    assert told.startswith("usage: semiseg train DATA [settings]\n")
    assert not re.search(r"\btype:|null|Optional|Path\b", told)
    own, _, method = told.partition("\nof css itself, rarely needed:")
    sections = re.split(r"\n  (?=[a-z ]+:\n)", own)
    assert len(sections) == 9
    assert "--collaboration" in method
    placed = [re.findall(r"^ +--([a-z-]+)", part, re.MULTILINE) for part in sections]
    unplaced = {"method", "config", "print-config", "recipe", "dry-run"}
    assert set(placed[0]) == unplaced
    settings = set(inspect.signature(semiseg.train).parameters) - {"data", "options", "method"}
    found = [name.replace("-", "_") for part in placed[1:] for name in part]
    assert sorted(found) == sorted(settings)
    with pytest.raises(SystemExit):
        run("predict", "--help")
    few = capsys.readouterr().out
    assert few.startswith("usage: semiseg predict RUN IMAGES --out OUT [settings]\n")
    assert "  machine:" not in few


def test_a_reader_that_has_enough_sees_no_traceback(tiny_folder):
    words = [sys.executable, "-m", "semiseg", "check", str(tiny_folder), "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141


def test_the_help_of_compare_has_sections_for_methods_with_settings_alone(capsys):
    with pytest.raises(SystemExit):
        run("compare", "--help")
    told = capsys.readouterr().out
    assert "of css itself" in told
    assert "of supervised itself" not in told
    assert "CONFIG" not in told.partition("of css itself")[2]
    assert "mean --supervised" not in refused(capsys, "compare", "x", "--supervised.foo", "3")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--method", "css-paper"], {"unsupervised-mean": "kept", "temperature": "0.1"}),
        (["--method=css-program"], {"prototypes-from": "student", "supervised-warmup": "0.0"}),
        (["--method", "contrastive"], {"collaboration": "logit", "indicator": "confidence"}),
        (["--method", "css"], {"collaboration": "mix", "unsupervised-mean": "all"}),
        (["--method", "mean_teacher"], {"ramp-up": "0.4"}),
    ],
    ids=str,
)
def test_help_shows_the_defaults_of_the_preset(capsys, words, shown):
    with pytest.raises(SystemExit):
        run("train", *words, "--help")
    told = " ".join(capsys.readouterr().out.split())
    for name, value in shown.items():
        (_, about) = told.split(f" --{name} ")[-2:]
        assert f"default: {value})" in about.partition(" --")[0]


def test_a_run_s_config_repeats_a_preset_with_every_setting(tmp_path, tiny_folder):
    """What was given and what was not; from Python as from the shell."""
    first, again = tmp_path / "first", tmp_path / "again"
    settings = {"weights": "none", "size": 48, "crop": 32, "batch": 2, "steps": 2, "looks": 1}
    settings |= {"workers": 0, "accelerator": "cpu"}
    semiseg.train(tiny_folder, method="css-program", anchors=9, out=first, **settings)
    config = yaml.safe_load((first / "config.yaml").read_text())
    known = METHODS["css-program"].values()
    stored = {k: v for k, v in config.items() if k in known}
    expected = {**known, "anchors": 9}
    assert stored == expected
    assert config["method"] == "css-program"
    run("train", tiny_folder, "--config", first / "config.yaml", "--out", again)
    ours, theirs = (load_file(f / "model.safetensors") for f in (first, again))
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert json.loads((again / "scores.json").read_text())["method"] == "css-program"
    # It is finished, and knows its preset's defaults as its own.
    run("train", tiny_folder, "--method", "css-program", "--out", first, "--resume")


def test_the_run_folder_holds_what_the_docs_say(trained):
    names = {p.name for p in trained.iterdir()}
    assert {
        "config.yaml",
        "checkpoints",
        "metrics.csv",
        "tensorboard",
        "scores.json",
        "split",
        "model.safetensors",
        "model.json",
    } <= names
    assert len(list((trained / "checkpoints").glob("*.ckpt"))) == 2
    rows = (trained / "metrics.csv").read_text().splitlines()
    assert "val/miou_student" in rows[0]
    assert "val/miou_teacher" in rows[0]
    assert len((trained / "split" / "labeled.txt").read_text().split()) == 2


def test_scores_json_has_its_keys_and_the_released_network_is_the_better_one(trained):
    scores = json.loads((trained / "scores.json").read_text())
    assert {
        "method",
        "miou",
        "per_class",
        "which",
        "labels",
        "steps",
        "seconds",
        "split",
        "versions",
    } <= set(scores)
    assert scores["method"] == "css"
    assert scores["labels"] == 2
    assert scores["steps"] == 4
    assert scores["which"] in ("teacher", "student")
    miou = scores["miou"]
    with (trained / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/miou_student"]]
    student, teacher = (
        [float(row[f"val/miou_{n}"]) for row in rows] for n in ("student", "teacher")
    )
    assert miou["last"] == pytest.approx(student[-1], rel=1e-4)
    assert miou["best"] == pytest.approx(max(*student, *teacher, miou["released"]), rel=1e-4)
    for values in scores["per_class"].values():
        assert set(values) == {"iou", "dice", "precision", "recall", "pixels"}
    known = [v["iou"] for v in scores["per_class"].values() if v["iou"] is not None]
    assert scores["miou"]["released"] == pytest.approx(np.mean(known))
    assert set(scores["split"]) >= {"labeled", "unlabeled", "val"}


def test_evaluate_prints_the_same_figure_as_the_training(capsys, trained, tiny_folder):
    scores = json.loads((trained / "scores.json").read_text())
    run("evaluate", trained, tiny_folder, "--json", "--accelerator", "cpu")
    found = json.loads(capsys.readouterr().out)
    assert found["miou"] == pytest.approx(scores["miou"]["released"])
    assert found["per_class"] == scores["per_class"]
    run("evaluate", trained, tiny_folder, "--accelerator", "cpu")
    table = capsys.readouterr().out
    assert all(name in table for name in found["per_class"])
    assert f"{found['miou']:.1f}" in table
    assert "flatters" not in table
    run("evaluate", trained, tiny_folder, "--accelerator", "cpu", "--split", "train")
    assert "where it has learned from them, that flatters it" in capsys.readouterr().out


def test_evaluate_refuses_a_split_without_masks(capsys, trained, tiny_folder):
    told = refused(capsys, "evaluate", trained, tiny_folder, "--split", "test")
    assert re.search(r"\btest\b", told.replace(str(tiny_folder), "").replace(str(trained), ""))


def test_predict_writes_one_mask_an_image_of_its_own_size(capsys, trained, tmp_path):
    sizes = {"a.jpg": (64, 48), "b.png": (33, 101), "c.webp": (200, 150), "d/e.bmp": (48, 48)}
    rng = np.random.default_rng(0)
    for name, (width, height) in sizes.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    run("predict", trained, tmp_path / "in", "--out", tmp_path / "out", "--overlay")
    assert "4 masks" in capsys.readouterr().out
    for name, size in sizes.items():
        with Image.open((tmp_path / "out" / name).with_suffix(".png")) as mask:
            assert mask.size == size
            assert mask.mode == "P"
            assert set(np.unique(np.array(mask))) <= set(range(6))
        with Image.open((tmp_path / "out" / "overlays" / name).with_suffix(".jpg")) as picture:
            assert picture.size == size


def test_predict_names_the_unreadable_image_and_writes_the_others(capsys, trained, tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no image")
    told = refused(capsys, "predict", trained, tmp_path / "in", "--out", tmp_path / "out")
    assert "bad.png" in told
    assert (tmp_path / "out" / "good.png").is_file()


def test_predict_does_not_segment_the_masks_of_its_former_call(capsys, trained, tmp_path):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "a.jpg")
    words = ["predict", trained, tmp_path, "--out", tmp_path / "masks", "--overlay"]
    for more, count in ([], 1), ([], 0), (["--overwrite"], 1):
        run(*words, *more)
        assert f"{count} mask{'s' * (count != 1)} written" in capsys.readouterr().out


def test_predict_never_replaces_its_input(capsys, trained, tmp_path):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    refused(capsys, "predict", trained, tmp_path, "--out", tmp_path)
    assert (tmp_path / "a.png").read_bytes() == before


def test_the_loaded_model_predicts_from_files_pictures_and_arrays(trained, tiny_folder):
    model = semiseg.load(trained, accelerator="cpu")
    path = next((tiny_folder / "val" / "images").iterdir())
    with Image.open(path) as file:
        picture = file.convert("RGB")
    found = [model.predict(x) for x in (path, str(path), picture, np.array(picture))]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].mask, other.mask)
    assert found[0].mask.shape == picture.size[::-1]
    assert found[0].mask.dtype == np.uint8
    assert found[0].confidence.shape == found[0].mask.shape
    assert ((found[0].confidence > 0) & (found[0].confidence <= 1)).all()


def test_an_existing_run_is_kept_unless_overwriting_is_asked_for(capsys, tiny_folder, tmp_path):
    words = ["train", tiny_folder, "--method", "supervised", "--out", tmp_path / "run", *TINY]
    run(*words)
    beside = [tmp_path / f"run.{ending}" for ending in ("old", "part")]
    for folder in beside:  # the user's
        folder.mkdir()
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    told = refused(capsys, *words, "--seed", 1)
    assert "--overwrite" in told
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    run(*words, "--seed", 1, "--overwrite")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() != before
    assert sorted(tmp_path.iterdir()) == [tmp_path / "run", *beside]


def test_overwrite_leaves_a_folder_alone_that_is_no_run(capsys, tiny_folder, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    told = refused(capsys, "train", tiny_folder, "--out", tmp_path, "--overwrite", *TINY)
    assert str(tmp_path) in told
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_the_config_of_a_run_repeats_it(trained, tmp_path):
    config = trained / "config.yaml"
    run("train", "--config", config, "--out", tmp_path / "again")
    ours, theirs = (d / "model.safetensors" for d in (trained, tmp_path / "again"))
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--method", "cs"], "css"),
        (["--encoder", "tf_efficientnet_lit0"], "tf_efficientnet_lite0"),
        (["--decoder", "deeplabv3"], "deeplabv3plus"),
        (["--labels", "0"], "at least 1"),
        (["--labels", "1000"], "1000"),
        (["--labels", "nothing.txt"], "nothing.txt"),
        (["--steps", "0"], "--steps"),
        (["--batch", "1"], "--batch 2"),
        (["--crop", "8"], "--crop"),
        (["--weights", "nowhere.pth"], "nowhere.pth"),
        (["--accelerator", "abacus"], "abacus"),
        (["--classes", "nowhere.yaml"], "nowhere.yaml"),
        (["--confidence-treshold", "0.5"], "Did you mean --confidence-threshold?"),
        (["--stepz", "3"], "Did you mean --steps?"),
        (["--steps", "many"], "--steps: expected int. got many"),
        (["--lr", "high"], "--lr: expected float. got high"),
        (["--optimizer", "adam"], "'adamw', 'sgd'"),
        (["--range", "9,3"], "--range"),
        (["--lr", "-1"], "--lr"),
        (["--workers", "-1"], "--workers"),
        (["--anchors", "0"], "--anchors"),
        (["--temperature", "0"], "--temperature"),
        (["--lr-warmup", "3"], "--lr-warmup"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_nothing_is_written(
    capsys, tiny_folder, tmp_path, words, expected
):
    out = tmp_path / "out"
    told = refused(capsys, "train", tiny_folder, "--out", out, *TINY, *words)
    assert expected in told
    assert not out.exists()


def test_an_unknown_key_of_the_configuration_is_one_sentence(capsys, tiny_folder, tmp_path):
    (tmp_path / "config.yaml").write_text("stepz: 3\n")
    words = ["train", tiny_folder, "--config", tmp_path / "config.yaml"]
    assert "Did you mean --steps?" in refused(capsys, *words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian", "x"], "Did you mean 'train'?"),
        (["train", "data", "--step", "5"], "Did you mean --steps?"),
        (["compare", "data", "--budget", "5m"], "no setting --budget. See: semiseg compare"),
        (["compare", "data", "--seed", "1"], "Did you mean --seeds?"),
        (["plan", "data", "--resume"], "no setting --resume. See: semiseg plan"),
        ([], "Known: check, compare, demo"),
        (["check", "data", "--range", "4000"], "expected two values with a comma, such as 0.5,2"),
        (["train", "--data", "x"], "DATA is told by its place, without --: semiseg train DATA"),
        (["train"], "What is missing is DATA. See: semiseg train --help"),
        (["predict", "run", "images"], "What is missing is --out. See: semiseg predict --help"),
        (["evaluate", "run", "data", "--split", "exam"], "'test'"),
    ],
)
def test_a_wrong_command_is_one_sentence(capsys, words, expected):
    told = refused(capsys, *words)
    assert expected in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "demo"])
def test_what_is_missing_is_named_as_it_is_given(capsys, command):
    told = refused(capsys, command).partition(". See")[0]
    names = told.removeprefix("semiseg: What is missing is ").split(" and ")
    parameters = inspect.signature(COMMANDS[command]).parameters.values()
    wanted = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    assert names == [f"--{p.name}" if p.kind is p.KEYWORD_ONLY else p.name.upper() for p in wanted]


def test_a_wrong_folder_is_one_sentence(capsys, tmp_path):
    told = refused(capsys, "train", tmp_path / "nowhere", "--out", tmp_path / "out", *TINY)
    assert "nowhere" in told
    assert not (tmp_path / "out").exists()


def test_an_output_below_a_file_is_one_sentence(capsys, tiny_folder, tmp_path):
    (tmp_path / "file").write_text("")
    told = refused(capsys, "train", tiny_folder, "--out", tmp_path / "file" / "run", *TINY)
    assert "cannot be written" in told


def test_a_folder_without_a_model_is_one_sentence(capsys, tiny_folder, tmp_path):
    told = refused(capsys, "evaluate", tmp_path, tiny_folder)
    assert "model.safetensors" in told


def test_the_demo_compares_both_methods_and_says_what_comes_next(capsys, tmp_path):
    run("demo", "--out", tmp_path / "demo", "--steps", 2)
    told = capsys.readouterr().out
    assert "supervised" in told
    assert "css" in told
    assert "semiseg train DATA" in told
    with Image.open(tmp_path / "demo" / "demo.png") as picture:
        assert picture.width > picture.height / 4
    for method in ("supervised", "css"):
        assert (tmp_path / "demo" / "runs" / method / "scores.json").is_file()
    assert (tmp_path / "demo" / "data" / "classes.yaml").is_file()


def test_the_demo_does_not_write_into_a_stranger_s_folder(capsys, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("mine")
    refused(capsys, "demo", "--out", tmp_path)
    assert list(tmp_path.rglob("*.*")) == [tmp_path / "data" / "mine.txt"]
    assert (tmp_path / "data" / "mine.txt").read_text() == "mine"


def test_evaluate_tells_what_doubt_is_worth(capsys, trained, tiny_folder):
    run("evaluate", trained, tiny_folder, "--json", "--accelerator", "cpu")
    found = json.loads(capsys.readouterr().out)["reliability"]
    assert {"confidence", "similarity"} <= set(found)
    assert found["confidence"]["kept"][0]["coverage"] == 100
    run("evaluate", trained, tiny_folder, "--accelerator", "cpu")
    told = capsys.readouterr().out
    assert "calibration error: confidence" in told
    assert "pixels kept" in told
