"""`--method auto`: which method a training gets, what it says, and what a run remembers of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import semiseg
from semiseg.cli import main
from semiseg.config.data import DataConfig
from semiseg.config.facts import AS_GIVEN, EncoderChoice, Facts, Line, MethodChoice, Pace, Reason
from semiseg.config.method_choice import choose_method
from semiseg.config.methods import AutoSettings, CssSettings, CssStoredSettings, CutMixSettings
from semiseg.config.network import LIGHT_ENCODER
from semiseg.config.plan import Plan, make_plan
from semiseg.config.recipes import recipe
from semiseg.config.settings import AUTO
from semiseg.config.sizing import DEFAULT_COST
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError, UnknownSettingError
from semiseg.core.reading import AS_STORED
from semiseg.core.types import Likeness
from semiseg.scenes.draw import write_scenes
from semiseg.training import run_folder

FACTS = Facts(
    side=240,
    labeled=23,
    unlabeled=344,
    validation_images=121,
    pixels={"road": 9000, "sky": 3000},
    likeness=Likeness(apart=0.3, among=0.3),
    device="cpu",
    world=1,
    reading=AS_STORED,
    val=101,
    encoder=EncoderChoice(LIGHT_ENCODER, Reason("device", "a CPU")),
    method=MethodChoice(AUTO, AS_GIVEN),
)
NONE = FACTS._replace(unlabeled=0, likeness=None)
FEW = FACTS._replace(unlabeled=22)
UNLIKE = FACTS._replace(likeness=Likeness(apart=1.2, among=0.3))
DOUBTFUL = {"none": NONE, "few": FEW, "unlike": UNLIKE}


def config(**values: object) -> TrainConfig:
    return TrainConfig.from_values({"data": "DATA", **values})


def planned(facts: Facts, pace: Pace | None = None, **values: object) -> Plan:
    settings = config(**values)
    return make_plan(settings, choose_method(settings, facts), pace)


# --- the setting


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        ({}, AutoSettings()),
        ({"anchors": 9}, CssStoredSettings(anchors=9)),
        ({"anchors": 256}, CssStoredSettings()),
        ({"agreement": "both"}, CssStoredSettings(agreement="both")),
        ({"collaboration": "cross"}, CssSettings(collaboration="cross")),
    ],
    ids=["none", "of both", "a default", "of css-stored", "of css"],
)
def test_auto_has_no_settings_or_those_of_the_method_that_they_mean(
    values: dict[str, object], settings: object
) -> None:
    one = config(**values)
    assert (one.method, one.settings) == (AUTO, settings)
    assert one.out == Path("runs/auto")  # also with such a setting: a bare --resume finds the run
    assert TrainConfig.from_values(yaml.safe_load(yaml.safe_dump(one.values()))) == one
    assert config(method=AUTO, **values) == one
    assert one.given() == {name: value for name, value in values.items() if value != 256}
    assert one.replaced(steps=5).method == AUTO
    assert "method" in one.open_settings()


def test_a_teacher_means_distill() -> None:
    for method in ({}, {"method": AUTO}):
        assert config(teacher="runs/teacher", **method).method == "distill"


def test_a_setting_of_another_method_needs_that_method() -> None:
    with pytest.raises(UnknownSettingError) as caught:
        config(reliable_share=0.5)
    assert caught.value.hint.startswith("It belongs to --method st-plus-plus")
    assert "uses css-stored, css or supervised, unless you name a method" in caught.value.hint
    with pytest.raises(UnknownSettingError, match="'anchors'"):
        config(anchor=3)
    with pytest.raises(ConfigError, match="CutMixSettings"):
        TrainConfig(settings=CutMixSettings(), data=DataConfig(data=Path("DATA")))


def test_a_recipe_names_its_method_unless_the_user_asks_for_auto() -> None:
    assert config(**recipe("camvid-cpu")).method == "css"
    open_again = config(**recipe("voc-classic", AUTO))
    assert (open_again.method, open_again.settings) == (AUTO, AutoSettings())
    assert open_again.views.crop == 512


def test_a_comparison_names_its_methods() -> None:
    with pytest.raises(ConfigError, match="There is no method 'auto'"):
        semiseg.compare("DATA", methods="auto,css")


# --- the choice


def test_css_stored_where_there_are_many_unlabeled_images_that_look_alike() -> None:
    plan = planned(FACTS)
    entry = plan.entries[0]
    assert (entry.setting, entry.value, entry.source) == ("method", "css-stored", "data")
    assert entry.reason == (
        "there are 344 unlabeled images for 23 labeled ones, and both look alike"
    )
    assert plan.config.method == "css-stored"
    assert plan.config.settings == CssStoredSettings()
    assert plan.warnings == ()
    assert plan.value("steps") == 1500
    assert "it teaches nothing" in plan.entry("teacher_memory").reason
    assert "the teacher is" in planned(FACTS, method="css").entry("teacher_memory").reason
    assert "half an hour" in plan.entry("steps").reason
    # With few labeled images, nobody can say whether they look alike.
    assert planned(FACTS._replace(likeness=None)).entries[0].reason.endswith("23 labeled ones")
    # As many unlabeled images as labeled ones are enough.
    assert planned(FACTS._replace(unlabeled=23)).config.method == "css-stored"


@pytest.mark.parametrize(
    ("facts", "values", "reason"),
    [
        (FACTS._replace(is_pool=True), {}, "the unlabeled images are in a pool"),
        (FACTS, {"steps": 2}, "--steps 2 is too few for the stages of css-stored"),
    ],
    ids=["pool", "few steps"],
)
def test_css_where_labels_should_not_be_stored(
    facts: Facts, values: dict[str, object], reason: str
) -> None:
    plan = planned(facts, **values)
    assert plan.config.method == "css"
    assert plan.value("steps") == values.get("steps", 1000)
    assert reason in plan.entries[0].reason
    assert planned(facts, method="css-stored").config.method == "css-stored"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none", "there are no unlabeled images"),
        ("few", "fewer unlabeled images (22) than labeled ones (23)"),
        ("unlike", "the unlabeled images differ from the labeled ones in color and texture"),
    ],
)
def test_supervised_where_css_will_not_pay(name: str, reason: str) -> None:
    plan = planned(DOUBTFUL[name])
    entry = plan.entries[0]
    assert (entry.value, entry.source) == ("supervised", "data")
    assert reason in entry.reason
    assert plan.config.method == "supervised"
    assert "method" not in plan.config.open_settings()
    assert any(line.startswith("method supervised: ") for line in plan.summary())
    assert "unlabeled" not in plan.entry("batch").reason
    # What the user did not expect is a warning, with what to do.
    assert len(plan.warnings) == (0 if name == "none" else 1)
    assert all("--method css-stored" in warning for warning in plan.warnings)


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_the_user_names_stays_and_gets_a_warning(name: str) -> None:
    for values in ({"method": "css"}, {"anchors": 9}, {"collaboration": "mix"}):
        plan = planned(DOUBTFUL[name], **values)
        method = "css-stored" if "anchors" in values else "css"
        assert plan.config.method == method
        assert plan.entries[0].source == "user"
        assert plan.value("steps") == (1500 if method == "css-stored" else 1000)
        assert len(plan.warnings) == (0 if name == "none" else 1)
        assert all("--method supervised" in warning for warning in plan.warnings)
    assert planned(FACTS, method="cutmix").entries[0].reason == "as given"
    given = planned(UNLIKE, anchors=9, hard_threshold=0.7).entries[0].reason
    assert given == "settings of css-stored are given: --hard-threshold, --anchors"


def test_a_training_that_replaces_the_default_takes_as_long() -> None:
    assert planned(NONE).value("steps") == 1000 * DEFAULT_COST == 2700
    assert "as long as a training with css-stored" in planned(NONE).entry("steps").reason
    vit = EncoderChoice("vit", AS_GIVEN, patch=14)
    assert planned(NONE._replace(encoder=vit)).value("steps") == 1000
    gpu = NONE._replace(device="cuda", side=512)
    assert planned(gpu, method="supervised").value("steps") == 4500
    assert planned(gpu).value("steps") == 12_000
    # Only what is open changes, and a budget is the time anyway.
    assert planned(NONE, steps=700).value("steps") == 700
    assert planned(NONE, method="supervised").value("steps") == 1000
    pace = Pace(Line(0.1, 0.9 / (4 * 224**2)), Line(0, 0.05 / 240**2), float("inf"), 10.0)
    within = planned(NONE, pace, budget="20m")
    assert within.seconds is not None
    assert within.seconds <= 1200
    assert [entry.setting for entry in within.entries[:2]] == ["method", "budget"]
    explicit = planned(NONE, pace, budget="20m", method="supervised")
    assert within.value("steps") == explicit.value("steps")
    assert within.value("size") == explicit.value("size")


# --- from the data to the run


@pytest.fixture(scope="session")
def labeled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawn scenes with masks, and one without."""
    root = tmp_path_factory.mktemp("labeled") / "data"
    return write_scenes(root, labeled=6, unlabeled=1, val=2, size=(48, 64))


def test_the_plan_reads_the_data(labeled_folder: Path, tiny_folder: Path) -> None:
    labels = {"labels": "2", "accelerator": "cpu"}
    assert semiseg.plan(tiny_folder, **labels).config.method == "css-stored"
    plan = semiseg.plan(labeled_folder, accelerator="cpu")
    assert plan.config.method == "supervised"
    assert "(1) than labeled ones (6)" in plan.entries[0].reason
    assert semiseg.plan(labeled_folder, **labels).config.method == "css-stored"
    kept = semiseg.plan(labeled_folder, accelerator="cpu", method="css")
    assert kept.config.method == "css"
    assert any("--method supervised" in warning for warning in kept.warnings)


def test_the_command_shows_the_method_first(
    labeled_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plan", str(labeled_folder), "--accelerator", "cpu"])
    output, messages = capsys.readouterr()
    assert output.splitlines()[1].split()[:3] == ["method", "supervised", "data"]
    assert "supervised learns from 6 images with masks; 2 images of val score it" in messages
    main(["train", "--help"])
    assert "[default: auto]" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_keeps_the_method(
    labeled_folder: Path,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.yaml").write_text(
        "{method: auto, weights: none, encoder: lcnet_035, decoder: fpn, size: 48, crop: 32, "
        "batch: 2, steps: 2, validations: 1, workers: 0, threads: 1, accelerator: cpu}"
    )
    words = ["train", str(labeled_folder), "--config", "settings.yaml"]
    main(words)
    messages = capsys.readouterr().err
    assert "method supervised: there are fewer unlabeled images (1) than labeled ones" in messages
    assert "so the training leaves them out" in messages
    run = tmp_path / "runs" / "auto"
    assert run_folder.read_config(run).method == "supervised"
    record = yaml.safe_load((run / "plan.yaml").read_text())
    assert (record["plan"][0]["setting"], record["plan"][0]["value"]) == ("method", "supervised")
    assert "than labeled ones" in record["plan"][0]["reason"]
    # The same call resumes it; nothing is decided again.
    (run / "scores.json").unlink()
    main(["train", str(labeled_folder), "--resume"])
    assert run_folder.finished(run).method == "supervised"
    main([*words, "--resume"])
    assert "nothing to resume" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", str(labeled_folder), "--resume", "--method", "css", "--out", str(run)])
    assert "--method css contradicts the run" in capsys.readouterr().err
    # So does a repetition, also on data for which the plan would choose css.
    words = ["--labels", "2", "--config", str(run / "config.yaml"), "--out", "again"]
    main(["train", str(tiny_folder), *words])
    assert run_folder.read_config(tmp_path / "again").method == "supervised"
    assert run_folder.read_config(tmp_path / "again").out == Path("again")
