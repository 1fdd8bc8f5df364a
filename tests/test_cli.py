import csv
import dataclasses
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydantic
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import semiseg
from semiseg.cli import main
from semiseg.commands.verbs import COMMON, VERBS
from semiseg.config.methods import METHODS
from semiseg.config.settings import flag, help_texts
from semiseg.config.train import GROUPS
from semiseg.core.scores import ClassScores, MeanIou, read_scores


def run(*words):
    main([str(w) for w in words])


def refused(capsys, *words):
    """The sentence on stderr of a command that must exit with 2 and without a traceback."""
    with pytest.raises(SystemExit) as stop:
        run(*words)
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


TINY = [
    *("--weights", "none", "--size", "48", "--crop", "32", "--batch", "2", "--steps", "4"),
    *("--validations", "2", "--workers", "0", "--accelerator", "cpu", "--encoder", "lcnet_035"),
]


@pytest.fixture(scope="module")
def trained(tiny_run):
    return tiny_run("css")


@pytest.mark.slow
def test_a_run_knows_its_data_from_wherever_it_is_read(tmp_path, tiny_folder, monkeypatch):
    monkeypatch.chdir(tiny_folder.parent)
    run("train", tiny_folder.name, "--method", "supervised", "--out", tmp_path / "run", *TINY)
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["data"] == str(tiny_folder)


@pytest.mark.slow
def test_a_run_knows_its_list_from_wherever_it_is_read(tmp_path, tiny_folder, monkeypatch):
    name = sorted((tiny_folder / "train" / "images").iterdir())[0].name
    (tmp_path / "few.txt").write_text(f"{name}\n")
    monkeypatch.chdir(tmp_path)
    words = ("--method", "supervised", "--labels", "few.txt", "--out", "run", *TINY)
    run("train", tiny_folder, *words)
    assert yaml.safe_load(Path("run/config.yaml").read_text())["labels"] == str(
        tmp_path / "few.txt"
    )
    run("train", tiny_folder, *words, "--resume")  # the same list, as it was named first
    monkeypatch.chdir(tiny_folder)
    run("train", tiny_folder, "--out", tmp_path / "run", "--resume")


@pytest.mark.slow
def test_a_training_ends_with_its_worst_class_and_its_page(
    capsys, tmp_path, tiny_folder, monkeypatch
):
    write = "semiseg.commands.train.write_report"
    monkeypatch.setattr(write, lambda folder, data: (folder / "report.html").touch())
    out = tmp_path / "run"
    run("train", tiny_folder, "--method", "supervised", "--out", out, *TINY)
    scores = json.loads((out / "scores.json").read_text())
    ious = {k: v["iou"] for k, v in scores["per_class"].items() if v["iou"] is not None}
    worst = min(ious, key=ious.get)
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"{out}: mIoU {scores['miou']['released']:.1f} % on 2 images of val, lowest for {worst} "
        f"({ious[worst]:.1f} %); see {out / 'report.html'}"
    )
    record = read_scores(out / "scores.json")
    one = replace(
        record,
        miou=MeanIou(100.0, 100.0, 100.0),
        per_class={
            "a": ClassScores(100.0, 100.0, 100.0, 100.0, 9),
            "b": ClassScores(None, None, None, None, 0),
        },
        split=replace(record.split, images={"labeled": 1, "unlabeled": 1, "val": 1}),
    )
    assert one.summary() == "mIoU 100.0 % on 1 image of val"


@pytest.mark.slow
def test_help_and_errors_need_no_numerical_library():
    """So they answer at once, on any machine. One process answers all: what it loads adds up."""
    lines = [
        "--version",
        "--help",
        "train --help",
        "plan --help-all",
        "compare --help",
        "train --stepz 3",
        "train DATA --lr -1",
    ]
    code = (
        "import sys; from semiseg.cli import main\n"
        f"for line in {lines!r}:\n"
        "    try:\n        main(line.split())\n"
        "    except SystemExit as stop:\n        assert stop.code in (0, None, 2), line\n"
        "    heavy = {'torch', 'numpy', 'PIL', 'lightning', 'timm'} & set(sys.modules)\n"
        "    assert not heavy, (line, heavy)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr


@pytest.mark.slow
def test_a_plan_needs_neither_torch_nor_lightning(tiny_folder):
    words = ["plan", str(tiny_folder), "--accelerator", "cpu"]
    code = (
        f"import sys; from semiseg.cli import main\nmain({words!r})\n"
        "heavy = {'torch', 'lightning', 'timm', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


@pytest.mark.slow
def test_the_module_runs_as_a_program():
    words = [sys.executable, "-m", "semiseg", "--version"]
    process = subprocess.run(words, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == f"semiseg {semiseg.__version__}"


@pytest.fixture
def help_of(capsys, monkeypatch):
    """A function that gives the help of a command, without line breaks in its texts."""
    monkeypatch.setenv("COLUMNS", "1000")

    def help_text(*words):
        run(*words)
        return capsys.readouterr().out

    return help_text


def flags_in(text):
    """The flags that a help text explains, in their order."""
    return re.findall(r"^│ [ *]*(?:[A-Z]+ )?(--[\w.-]+)", text, re.MULTILINE)


def test_semiseg_alone_says_what_to_do_first(capsys):
    main([])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    lines = [re.search(r"semiseg [a-z]+( \S+)*", line) for line in text.splitlines()[1:]]
    commands = [match[0].split() for match in lines if match]
    assert {words[1] for words in commands} <= set(VERBS)
    assert len(commands) == 8


def test_the_help_names_each_command(help_of):
    text = help_of("--help")
    for name, verb in VERBS.items():
        assert re.search(rf"^│ {name} +{re.escape(verb.summary)}", text, re.MULTILINE)


def test_the_short_help_has_the_most_common_settings_first(help_of):
    flags = flags_in(help_of("train", "--help"))
    common = [name for name in flags if name != "--data"][: len(COMMON)]
    assert sorted(common) == sorted(flag(name) for name in COMMON)
    rest = {"--config", "--recipe", "--print-config", "--dry-run", "--overwrite", "--resume"}
    assert set(flags[len(COMMON) + 1 :]) == rest | {"--quiet"}
    assert "--help-all" in help_of("train", "--help")


def test_the_whole_help_has_each_setting_once_with_its_text(help_of):
    text = help_of("train", "--help-all")
    flags = flags_in(text)
    assert len(flags) == len(set(flags))
    for group in (*GROUPS.values(), type(METHODS["css-stored"])):
        for field in dataclasses.fields(group):
            assert flag(field.name) in flags
            if field.name != "data":
                assert " ".join(help_texts(group)[field.name].split()) in text
    assert re.findall(r"^╭─ (.*?) ─", text, re.MULTILINE)[-2:] == ["Settings of css-stored", "Run"]


def test_help_shows_the_settings_of_the_method(help_of):
    assert "--confidence-threshold" in help_of("train", "--method", "css", "--help")
    assert "--confidence-threshold" not in help_of("train", "--method", "supervised", "--help")
    assert "--unsupervised-weight" in help_of("plan", "--help", "--method=cutmix")


def test_help_shows_the_method_of_a_recipe_and_of_a_file(help_of, tmp_path):
    (tmp_path / "settings.yaml").write_text("method: mean_teacher\n")
    assert "--ramp-up" in help_of("train", "--config", tmp_path / "settings.yaml", "--help")
    text = help_of("train", "--recipe", "voc-classic", "--help")
    assert "Settings of css-paper" in text


def test_help_shows_ranges_and_defaults(help_of):
    text = help_of("train", "--help-all")
    assert re.search(r"--ohem .*\[a number from 0 to 1\] \[default: 0.0\]", text)
    assert re.search(r"--steps .*\[a whole number of at least 1\] \[default: auto\]", text)
    assert re.search(r"--scale .*\[default: 0.75,1.5\]", text)
    assert re.search(r"--diagnostics +--no-diagnostics .*\[default: on\]", text.replace("│", " "))


FORMER = {
    "check": "data dataset classes range picture json",
    "evaluate": "run data split dataset accelerator json",
    "predict": "run images out colors overlay probabilities confidence reliability abstain tta "
    "overwrite accelerator",
    "report": "run out data accelerator",
    "suggest": "run images out n data overwrite accelerator",
    "export": "run out format",
    "demo": "out steps seed",
    "split": "data labels out seed dataset classes",
    "download": "name out",
}
"""The flags of the commands before they were built from settings; `train` has a test above."""


@pytest.mark.parametrize("command", FORMER)
def test_no_flag_is_lost(help_of, command):
    assert {f"--{name}" for name in FORMER[command].split()} <= set(
        flags_in(help_of(command, "--help"))
    )


@pytest.mark.slow
def test_a_reader_that_has_enough_sees_no_traceback(tiny_folder):
    words = [sys.executable, "-m", "semiseg", "check", str(tiny_folder), "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141


def test_the_help_of_compare_has_the_settings_of_each_method_below_its_name(help_of):
    text = help_of("compare", "--help-all")
    assert {"--css.anchors", "--css-paper.anchors", "--cutmix.unsupervised-weight"} <= set(
        flags_in(text)
    )
    assert "--batch" in flags_in(text)
    assert "--recipe" not in flags_in(text)
    assert "Settings of supervised" not in text


@pytest.mark.parametrize(
    ("words", "defaults"),
    [
        (["--method", "css-paper"], {"unsupervised-mean": "kept", "temperature": "0.1"}),
        (["--method=css-program"], {"prototypes-from": "student", "supervised-warmup": "0.0"}),
        (["--method", "contrastive"], {"collaboration": "logit", "indicator": "confidence"}),
        (["--method", "css"], {"collaboration": "mix", "unsupervised-mean": "all"}),
        (["--method", "mean_teacher"], {"ramp-up": "0.4"}),
    ],
    ids=str,
)
def test_help_shows_the_defaults_of_the_preset(help_of, words, defaults):
    text = help_of("train", *words, "--help")
    for name, value in defaults.items():
        assert re.search(rf"--{name} .*\[default: {value}\]", text)


@pytest.mark.slow
def test_a_run_s_config_repeats_a_preset_with_every_setting(tmp_path, tiny_folder):
    """What was given and what was not; from Python as from the shell."""
    first, again = tmp_path / "first", tmp_path / "again"
    settings = {"weights": "none", "size": 48, "crop": 32, "batch": 2, "steps": 2, "validations": 1}
    settings |= {"workers": 0, "accelerator": "cpu", "encoder": "lcnet_035"}
    semiseg.train(tiny_folder, method="css-program", anchors=9, out=first, **settings)
    config = yaml.safe_load((first / "config.yaml").read_text())
    preset = METHODS["css-program"].values()
    own = {k: v for k, v in config.items() if k in preset}
    expected = {**preset, "anchors": 9}
    assert own == expected
    assert config["method"] == "css-program"
    run("train", tiny_folder, "--config", first / "config.yaml", "--out", again)
    ours, theirs = (load_file(f / "model.safetensors") for f in (first, again))
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert json.loads((again / "scores.json").read_text())["method"] == "css-program"
    # It is finished, and knows its preset's defaults as its own.
    run("train", tiny_folder, "--method", "css-program", "--out", first, "--resume")


@pytest.mark.slow
def test_the_run_folder_holds_what_the_docs_say(trained):
    names = {p.name for p in trained.iterdir()}
    assert {
        "config.yaml",
        "checkpoints",
        "metrics.csv",
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


@pytest.mark.slow
def test_scores_json_has_its_keys_and_the_means_of_its_classes(trained):
    scores = json.loads((trained / "scores.json").read_text())
    assert {
        "method",
        "miou",
        "per_class",
        "which",
        "choice",
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
    assert miou["best"] == pytest.approx(
        max(*student, *teacher, scores["choice"]["best_miou"]), rel=1e-4
    )
    for values in scores["per_class"].values():
        assert set(values) == {"iou", "dice", "precision", "recall", "pixels"}
    ious = [v["iou"] for v in scores["per_class"].values() if v["iou"] is not None]
    assert scores["miou"]["released"] == pytest.approx(np.mean(ious))
    assert set(scores["split"]) >= {"labeled", "unlabeled", "val"}


@pytest.mark.slow
def test_evaluate_prints_the_same_figure_as_the_training(capsys, trained, tiny_folder):
    scores = json.loads((trained / "scores.json").read_text())
    run("evaluate", trained, tiny_folder, "--json", "--accelerator", "cpu")
    evaluation = json.loads(capsys.readouterr().out)
    assert evaluation["miou"] == scores["choice"]["miou"]
    # The same network is chosen on each half and on the whole of so few images.
    assert evaluation["per_class"] == scores["per_class"]
    assert evaluation["shapes"] == scores["shapes"]
    run("evaluate", trained, tiny_folder, "--accelerator", "cpu")
    table = capsys.readouterr().out
    assert all(name in table for name in evaluation["per_class"])
    assert f"{evaluation['miou']:.1f}" in table
    assert "too high" not in table
    run("evaluate", trained, tiny_folder, "--accelerator", "cpu", "--split", "train")
    assert "so the scores are too high" in capsys.readouterr().out


@pytest.mark.slow
def test_evaluate_refuses_a_split_without_masks(capsys, trained, tiny_folder):
    message = refused(capsys, "evaluate", trained, tiny_folder, "--split", "test")
    assert re.search(r"\btest\b", message.replace(str(tiny_folder), "").replace(str(trained), ""))


@pytest.mark.slow
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


@pytest.mark.slow
def test_predict_names_the_unreadable_image_and_writes_the_others(capsys, trained, tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no image")
    message = refused(capsys, "predict", trained, tmp_path / "in", "--out", tmp_path / "out")
    assert "bad.png" in message
    assert (tmp_path / "out" / "good.png").is_file()


@pytest.mark.slow
def test_predict_does_not_segment_the_masks_of_its_former_call(capsys, trained, tmp_path):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "a.jpg")
    words = ["predict", trained, tmp_path, "--out", tmp_path / "masks", "--overlay"]
    for more, count in ([], 1), ([], 0), (["--overwrite"], 1):
        run(*words, *more)
        assert f"{count} mask{'s' * (count != 1)} written" in capsys.readouterr().out


@pytest.mark.slow
def test_predict_never_replaces_its_input(capsys, trained, tmp_path):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    refused(capsys, "predict", trained, tmp_path, "--out", tmp_path)
    assert (tmp_path / "a.png").read_bytes() == before


@pytest.mark.slow
def test_the_loaded_model_predicts_from_files_pictures_and_arrays(trained, tiny_folder):
    model = semiseg.load(trained, accelerator="cpu")
    path = next((tiny_folder / "val" / "images").iterdir())
    with Image.open(path) as file:
        picture = file.convert("RGB")
    predictions = [model.predict(x) for x in (path, str(path), picture, np.array(picture))]
    for other in predictions[1:]:
        np.testing.assert_array_equal(predictions[0].mask, other.mask)
    assert predictions[0].mask.shape == picture.size[::-1]
    assert predictions[0].mask.dtype == np.uint8
    assert predictions[0].confidence.shape == predictions[0].mask.shape
    assert ((predictions[0].confidence > 0) & (predictions[0].confidence <= 1)).all()


@pytest.mark.slow
def test_an_existing_run_is_kept_unless_overwriting_is_asked_for(capsys, tiny_folder, tmp_path):
    words = ["train", tiny_folder, "--method", "supervised", "--out", tmp_path / "run", *TINY]
    run(*words)
    beside = [tmp_path / f"run.{ending}" for ending in ("old", "part")]
    for folder in beside:  # the user's
        folder.mkdir()
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    message = refused(capsys, *words, "--seed", 1)
    assert "--overwrite" in message
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    run(*words, "--seed", 1, "--overwrite")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() != before
    assert sorted(tmp_path.iterdir()) == [tmp_path / "run", *beside]


def test_overwrite_leaves_a_folder_alone_that_is_no_run(capsys, tiny_folder, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    message = refused(capsys, "train", tiny_folder, "--out", tmp_path, "--overwrite", *TINY)
    assert str(tmp_path) in message
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.slow
def test_the_config_of_a_run_repeats_it(trained, tmp_path):
    config = trained / "config.yaml"
    run("train", "--config", config, "--out", tmp_path / "again")
    ours, theirs = (d / "model.safetensors" for d in (trained, tmp_path / "again"))
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--method", "cs"], "css"),
        (["--method", "CPS"], "Did you mean 'cps'?"),
        (["--method", "UniMatch_V2"], "Did you mean 'unimatch-v2'?"),
        (["--optimizer", "AdamW"], "Did you mean 'adamw'?"),
        (["--confidence_treshold", "0.5"], "Did you mean --confidence-threshold?"),
        (["--encoder", "tf_efficientnet_lit0"], "tf_efficientnet_lite0"),
        (["--decoder", "deeplabv3"], "deeplabv3plus"),
        (["--labels", "0"], "at least 1"),
        (["--labels", "1000"], "1000"),
        (["--labels", "nothing.txt"], "nothing.txt"),
        (["--steps", "0"], "--steps"),
        (["--batch", "1"], "2 or more"),
        (["--crop", "8"], "of at least 32"),
        (["--weights", "nowhere.pth"], "nowhere.pth"),
        (["--accelerator", "abacus"], "abacus"),
        (["--classes", "nowhere.yaml"], "nowhere.yaml"),
        (["--confidence-treshold", "0.5"], "Did you mean --confidence-threshold?"),
        (["--stepz", "3"], "Did you mean --steps?"),
        (["--steps", "many"], "--steps many is not allowed. Allowed: a whole number"),
        (["--lr", "high"], "--lr high is not allowed. Allowed: a number of at least 0"),
        (["--optimizer", "adam"], "Did you mean 'adamw'?"),
        (["--range", "9,3"], "the smaller one first"),
        (["--lr", "-1"], "--lr"),
        (["--workers", "-1"], "--workers"),
        (["--atrous-rates", "0,6,12"], "--atrous-rates 0,6,12 is not allowed"),
        (["--lr="], "--lr '' is not allowed"),
        (["--anchors", "0"], "--anchors"),
        (["--temperature", "0"], "above 0"),
        (["--lr-warmup", "3"], "from 0 to below 1"),
        (["--confidence-threshold", "95"], "from 0 to 1"),
        (["--method", "cutmix", "--anchors", "9"], "It belongs to --method"),
        (["--recipe", "voc-clasic"], "Did you mean 'voc-classic'?"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
    ids=" ".join,
)
def test_a_wrong_setting_is_one_sentence_and_nothing_is_written(
    capsys, tiny_folder, tmp_path, words, expected
):
    out = tmp_path / "out"
    *notes, message = refused(
        capsys, "train", tiny_folder, "--out", out, *TINY, *words
    ).splitlines()
    assert expected in message
    assert message.startswith("semiseg: ")
    assert all(note.startswith(("· ", "warning: ")) for note in notes)
    assert not out.exists()


@pytest.mark.parametrize(
    ("line", "expected"), [("stepz: 3", "'steps'"), ("lr: -1", "--lr -1"), ("- 3", "settings")]
)
def test_a_wrong_line_of_the_configuration_is_one_sentence_with_the_file(
    capsys, tiny_folder, tmp_path, line, expected
):
    file = tmp_path / "config.yaml"
    file.write_text(f"{line}\n")
    message = refused(capsys, "train", tiny_folder, "--config", file)
    assert expected in message
    assert str(file) in message


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian", "x"], "Did you mean 'train'?"),
        (["train", "data", "--step", "5"], "Did you mean --steps?"),
        (["compare", "data", "--recipe", "x"], "no setting --recipe. See: semiseg compare"),
        (["compare", "data", "--seed", "1"], "Did you mean --seeds?"),
        (["compare", "data", "--css.anchor", "1"], "Did you mean --css.anchors?"),
        (["plan", "data", "--resume"], "no setting --resume."),
        (["check", "data", "--range", "4000"], "two numbers with a comma between them"),
        (["check", "data", "more"], "'more' is one argument too many. See: semiseg check --help"),
        (["check", "data", "--picture"], "--picture needs a value."),
        (["check", "data", "--json=maybe"], "--json is on or off and takes no value."),
        (["train", "data", "--cutout", "0.3"], "--cutout is on or off and takes no value. Leave"),
        (["train", "data", "--no-diagnostics", "off"], "--no-diagnostics is on or off"),
        (["train"], "The data folder is missing."),
        (
            ["check"],
            "DATA is missing. It comes first, also beside --images and --masks. "
            "See: semiseg check --help",
        ),
        (["predict", "run"], "IMAGES is missing. See: semiseg predict --help"),
        (["predict", "run", "images"], "--out is missing. See: semiseg predict --help"),
        (["evaluate", "run", "data", "--split", "exam"], "train, val or test"),
        (["suggest", "run", "images", "--out", "out", "-n", "0"], "of at least 1"),
        (["suggest", "run", "pool", "--engine", "ray"], "use --shard 1/64, 2/64 and so on, then"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_is_one_sentence(capsys, words, expected):
    message = refused(capsys, *words)
    assert expected in message
    assert message.count("\n") == 1


@pytest.fixture(params=["alone", "beside pydantic"])
def settings_of(request, monkeypatch):
    """A function that gives what a command would be called with.

    Where a program has imported pydantic, cyclopts checks all values with it too.
    """
    calls = []
    if request.param == "alone":
        monkeypatch.delitem(sys.modules, "pydantic", raising=False)
    else:
        monkeypatch.setitem(sys.modules, "pydantic", pydantic)

    def command(*args, **settings):
        calls.append((args[0].values() if args else {}) | settings)
        raise SystemExit

    monkeypatch.setattr("semiseg.commands.verbs.load_command", lambda name: command)

    def settings(*words):
        with pytest.raises(SystemExit):
            run(*words)
        return calls.pop()

    return settings


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--range", "0,4095"], "value_range", [0, 4095]),
        (["--range=0,4095"], "value_range", [0, 4095]),
        (["--range=-1000,1000"], "value_range", [-1000, 1000]),
        (["--range", "-1000,1000"], "value_range", [-1000, 1000]),
        (["--atrous-rates", "6,12,18"], "atrous_rates", [6, 12, 18]),
        (["--no-diagnostics"], "diagnostics", False),
        (["--diagnostics"], "diagnostics", True),
        (["--lr", "1e-3"], "lr", 0.001),
        (["--size", "96", "--size", "auto"], "size", "auto"),
        (["--labels", "1/8"], "labels", "1/8"),
        (["--logger", "csv,wandb"], "logger", ["csv", "wandb"]),
        (["--method", "css-paper"], "temperature", 0.1),
        (["--classes", "none"], "classes", None),
        (["--resume"], "resume", True),
        ([], "overwrite", False),
    ],
    ids=str,
)
def test_values_are_those_of_the_settings(settings_of, words, name, value):
    assert settings_of("train", "DATA", *words)[name] == value


def test_a_flag_wins_over_a_file_and_a_file_over_a_recipe(settings_of, tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("steps: 7\nsize: 64\nlr: 1e-3\n")
    words = ["train", "DATA", "--size", "96", "--recipe", "camvid-cpu", "--config", file]
    settings = settings_of(*words)
    assert [settings[k] for k in ("steps", "size", "lr", "batch", "labels")] == [
        *(7, 96, 0.001, 4, "23"),
    ]
    assert (
        settings_of("train", "DATA", "--recipe", "camvid-cpu", "--budget", "5m")["steps"] == "auto"
    )


def test_a_null_in_a_file_wins_over_a_recipe(settings_of, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("atrous_rates: null\n")
    settings = settings_of("train", "DATA", "--recipe", "cityscapes", "--config", file)
    assert settings["output_stride"] == 8
    assert settings["atrous_rates"] is None


def test_the_data_folder_may_stand_in_the_file(settings_of, tmp_path):
    (tmp_path / "settings.yaml").write_text("data: there\n")
    assert settings_of("train", "--config", tmp_path / "settings.yaml")["data"] == "there"


def test_compare_gets_the_settings_of_its_methods(settings_of):
    words = ["--methods", "css,css-paper", "--css.anchors", 9, "--css-paper.anchors", 8]
    settings = settings_of("compare", "DATA", *words, "--size", 48)
    assert (settings["css"]["anchors"], settings["css-paper"]["anchors"]) == (9, 8)
    assert settings["size"] == 48


@pytest.mark.slow
def test_print_config_prints_what_config_reads(settings_of, capsys, tmp_path):
    run("train", "DATA", "--method", "cutmix", "--lr", "0.1", "--print-config")
    file = tmp_path / "settings.yaml"
    file.write_text(capsys.readouterr().out)
    again = settings_of("train", "--config", file)
    assert (again["data"], again["method"], again["lr"]) == ("DATA", "cutmix", 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_flags_and_choices(tmp_path, shell, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "completion"
    run("--install-completion", "--shell", shell, "--output", file)
    script = file.read_text()
    for word in ("train", "confidence-threshold", "adamw", "css-paper.anchors"):
        assert word in script


def test_a_wrong_folder_is_one_sentence(capsys, tmp_path):
    message = refused(capsys, "train", tmp_path / "nowhere", "--out", tmp_path / "out", *TINY)
    assert "nowhere" in message
    assert not (tmp_path / "out").exists()


def test_an_output_below_a_file_is_one_sentence(capsys, tiny_folder, tmp_path):
    (tmp_path / "file").write_text("")
    message = refused(capsys, "train", tiny_folder, "--out", tmp_path / "file" / "run", *TINY)
    assert "cannot be written" in message


def test_a_folder_without_a_model_is_one_sentence(capsys, tiny_folder, tmp_path):
    message = refused(capsys, "evaluate", tmp_path, tiny_folder)
    assert "model.safetensors" in message


@pytest.mark.programs
def test_the_demo_compares_both_methods_and_says_what_comes_next(capsys, tmp_path):
    run("demo", "--out", tmp_path / "demo", "--steps", 4)
    output = capsys.readouterr().out
    assert "supervised" in output
    assert "css-stored" in output
    assert "semiseg train DATA" in output
    with Image.open(tmp_path / "demo" / "demo.png") as picture:
        assert picture.width > picture.height / 4
    for method in ("supervised", "css-stored"):
        assert (tmp_path / "demo" / "runs" / method / "scores.json").is_file()
    assert (tmp_path / "demo" / "data" / "classes.yaml").is_file()


def test_the_demo_does_not_write_into_a_stranger_s_folder(capsys, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("mine")
    refused(capsys, "demo", "--out", tmp_path)
    assert list(tmp_path.rglob("*.*")) == [tmp_path / "data" / "mine.txt"]
    assert (tmp_path / "data" / "mine.txt").read_text() == "mine"


@pytest.mark.slow
def test_evaluate_reports_reliability(capsys, trained, tiny_folder):
    run("evaluate", trained, tiny_folder, "--json", "--accelerator", "cpu")
    evaluation = json.loads(capsys.readouterr().out)
    assert evaluation["device"] == "cpu"
    assert evaluation["images_per_second"] * evaluation["seconds"] == pytest.approx(
        evaluation["images"]
    )
    reliability = evaluation["reliability"]
    assert {"confidence", "similarity"} <= set(reliability)
    assert reliability["confidence"]["kept"][0]["coverage"] == 100
    run("evaluate", trained, tiny_folder, "--accelerator", "cpu")
    output = capsys.readouterr().out
    assert "calibration error: confidence" in output
    assert " on cpu: " in output.splitlines()[-1]
    assert "images per second" in output.splitlines()[-1]
    assert "pixels kept" in output
