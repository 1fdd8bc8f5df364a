"""What a run with stages says: where it goes on, what each stage has reached, how to resume."""

from __future__ import annotations

import logging
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import semiseg
from semiseg.config.train import TrainConfig
from semiseg.core.choices import Candidate
from semiseg.core.errors import Interrupted
from semiseg.core.files import file_sha256, write_json
from semiseg.core.scores import Adjustment, MeanIou, Scores, SplitRecord, Timing
from semiseg.core.types import Sample
from semiseg.evaluation.choice import ImageCounts, cross_fit
from semiseg.reporting.run_files import read_curves
from semiseg.reporting.run_page import headline
from semiseg.training.labeling import store
from semiseg.training.labeling.store import ImageLabels, Source
from semiseg.training.labels_in_use import (
    ClassLabels,
    LabelsInUse,
    read_in_use,
    write_in_use,
)
from semiseg.training.stage import Stage, stages_of
from semiseg.training.stage_notes import (
    describe_start,
    log_middle_stages,
    results_of_stages,
    used_images,
)
from semiseg.training.val_counts import write_counts

NAMES = [f"image {i}" for i in range(8)]
SPLIT = SplitRecord(0, "a", "b", "c", {"labeled": 2, "unlabeled": 6, "val": len(NAMES)})


def three_stages(out: Path) -> tuple[Stage, ...]:
    config = TrainConfig.from_values(
        {"method": "st", "steps": 10, "stage_shares": (1, 8, 1), "data": "data", "out": out}
    )
    return stages_of(config, unlabeled=True)


def counts_of(right: int) -> ImageCounts:
    """One network that gives so many of 100 pixels the right one of two classes, or a few more."""
    true = np.full((len(NAMES), 2), 50, np.int32)
    wrong = np.array([(100 - right) // 2 - i % 2 for i in range(len(NAMES))], np.int32)[:, None]
    return ImageCounts(
        (Candidate(1, "student", 0.0),), true, true[None], (true - wrong).astype(np.int32)[None]
    )


def scores_of(counts: ImageCounts, method: str, steps: int) -> Scores:
    choice = cross_fit(counts, NAMES)[0]
    return Scores(
        method=method,
        miou=MeanIou(choice.miou, choice.miou, choice.miou),
        per_class={},
        which="student",
        adjustment=Adjustment(0.0, choice.miou),
        choice=choice,
        labels=2,
        steps=steps,
        skipped_steps=0,
        seconds=1.0,
        timing=Timing(0.1, 0.1),
        split=SPLIT,
        versions={},
    )


def finish(stages: tuple[Stage, ...], right: tuple[int, int, int]) -> tuple[Scores, ImageCounts]:
    """Write what the earlier stages leave behind; give the scores and the counts of the last."""
    counts = [counts_of(pixels) for pixels in right]
    for stage, own in zip(stages[:-1], counts, strict=False):
        stage.config.out.mkdir(parents=True)
        scores = scores_of(own, stage.config.method, int(stage.config.schedule.steps))
        write_json(stage.config.out / "scores.json", scores.to_dict())
        write_counts(stage.config.out, NAMES, own)
    last = counts[-1].in_stage(3)
    return scores_of(counts[0].joined(last), "st", 10), last


@pytest.mark.parametrize(
    ("right", "is_better"), [((60, 80, 64), True), ((70, 80, 60), True), ((60, 70, 80), False)]
)
def test_a_middle_stage_that_is_better_than_the_released_model_is_named(
    right: tuple[int, int, int], is_better: bool, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """Where the last stage is released, where stage 1 is, and where stage 2 is worse than both."""
    stages = three_stages(tmp_path / "run")
    scores, last = finish(stages, right)
    assert scores.choice.chosen.stage == (1 if right[0] > right[2] else 3)
    log_middle_stages(stages, scores, last, NAMES)
    reached = [counts_of(pixels).score(0) for pixels in right]
    assert (
        "mIoU of the model of each stage on val: "
        f"stage 1 (supervised, 1 step) {reached[0]:.1f}, stage 2 (st, 8 steps) {reached[1]:.1f}, "
        f"stage 3 (st, 1 step) {reached[2]:.1f}"
    ) in log.text
    warnings = [one.getMessage() for one in log.records if one.levelno == logging.WARNING]
    assert len(warnings) == is_better
    if is_better:
        released = reached[0] if right[0] > right[2] else reached[2]
        assert warnings[0].startswith(
            f"stage 2 has mIoU {reached[1]:.1f} on val, better than the released model "
            f"({released:.1f}) by more than one standard error ("
        )
        assert f"{tmp_path / 'run' / 'stages' / '2'} holds the model of stage 2" in warnings[0]


def test_the_results_need_the_folders_of_the_stages(tmp_path: Path) -> None:
    stages = three_stages(tmp_path / "run")
    scores, _ = finish(stages, (60, 80, 64))
    assert [one[:3] for one in results_of_stages(stages, scores)] == [
        (1, "supervised", 1),
        (2, "st", 8),
        (3, "st", 1),
    ]
    (stages[1].config.out / "scores.json").unlink()
    assert results_of_stages(stages, scores) == ()


def test_the_report_knows_the_labels_and_the_curves_of_all_stages(tmp_path: Path) -> None:
    stages = three_stages(tmp_path / "run")
    scores, _ = finish(stages, (60, 80, 64))
    for stage, step in zip(stages, (0, 3, 0), strict=True):
        rows = f"step,train/loss,val/miou_student\n{step},0.5,\n{step + 1},,40\n"
        (stage.config.out / "metrics.csv").write_text(rows)
    curves = read_curves(stages)  # the stages have 1, 8 and 1 steps
    assert curves["train/loss"] == [(0, 0.5), (4, 0.5), (9, 0.5)]
    assert curves["val/miou_student"] == [(1, 40.0), (5, 40.0), (10, 40.0)]
    assert stages[1].until_now() == stages[:2]
    labels = stages[1].config.out / "labels"
    labels.mkdir()
    write_json(labels / "in_use.json", {"images": 4, "used": 61.5, "masks": 1, "right": 90.0})
    expected = [None, LabelsInUse(4, 61.5, 1, 90.0), None]
    assert [stage.labels for stage in results_of_stages(stages, scores)] == expected


def test_the_report_counts_the_unlabeled_images_that_were_used(tmp_path: Path) -> None:
    stages = three_stages(tmp_path / "run")
    scores, _ = finish(stages, (60, 80, 64))

    def say() -> str:
        return headline(scores, results_of_stages(stages, scores)).split(", st")[0]

    def label(stage: Stage, *names: str) -> None:
        store.label_pool(
            lambda samples: (store.no_labels() for _ in samples),
            [Sample(name, tmp_path / str(i), None) for i, name in enumerate(names)],
            stage.config.out / "labels",
            Source(kind="model", sha256="0", size=1),
        )

    label(stages[1], "a", "b", "b")
    assert say() == "With 2 masks and 6 unlabeled images"  # it does not know stage 3
    label(stages[2], "b", "c")
    results = results_of_stages(stages, scores)
    assert [one.images for one in results] == [(), ("a", "b", "b"), ("b", "c")]
    assert used_images(results) == 4
    assert say() == "With 2 masks and 6 unlabeled images, of which 4 were used"
    label(stages[2], "b", "c", "d", "e")
    assert say() == "With 2 masks and 6 unlabeled images"


def test_a_resumed_run_names_its_stage_and_the_step_of_that_stage(tmp_path: Path) -> None:
    stages = three_stages(tmp_path / "run")
    assert describe_start(stages) == "going on in stage 1 of 3 after step 0 of 1"
    finish(stages, (60, 80, 64))
    (stages[1].config.out / "scores.json").unlink()
    checkpoints = stages[1].config.out / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "new").write_bytes(b"weights")
    (checkpoints / "new").rename(
        checkpoints / f"step000003-{file_sha256(checkpoints / 'new')[:16]}.ckpt"
    )
    assert describe_start(stages) == "going on in stage 2 of 3 after step 3 of 8"
    supervised = TrainConfig.from_values(
        {"method": "supervised", "steps": 9, "data": "data", "out": tmp_path / "other"}
    )
    assert describe_start(stages_of(supervised, unlabeled=True)) == "going on after step 0 of 9"


@pytest.mark.parametrize(
    ("settings", "remedies"),
    [
        (
            {"method": "css-stored"},
            "lower --confidence-threshold (it is 0.95), give stage 1 more steps (--steps, "
            "--stage-shares), or label more masks",
        ),
        (
            {"method": "st"},  # its threshold is 0
            "give stage 1 more steps (--steps, --stage-shares), or label more masks",
        ),
        (
            {"method": "distill", "teacher": "other"},
            "lower --confidence-threshold (it is 0.5), name a better --teacher, or label more "
            "masks",
        ),
    ],
)
def test_the_remedies_for_labels_that_are_not_used(
    settings: dict[str, object], remedies: str
) -> None:
    config = TrainConfig.from_values({**settings, "data": "data", "out": "run"})
    (warning,) = LabelsInUse(images=4, used=0.04, masks=0, right=None).warnings(config)
    assert warning.startswith("almost no stored labels are used (0.04 % of the pixels)")
    assert warning.endswith(remedies)
    for used in (None, 1.0, 50.0):
        assert not LabelsInUse(images=4, used=used, masks=0, right=None).warnings(config)


def test_classes_whose_stored_labels_are_not_used_are_named(tmp_path: Path) -> None:
    """Those below the threshold, and those on which the judges disagree; `rare` is too rare."""
    by_class = {
        "road": ClassLabels(assigned=90.0, agreed=99.0, used=60.0),
        "pole": ClassLabels(assigned=1.0, agreed=80.0, used=0.9),
        "sign": ClassLabels(assigned=0.5, agreed=0.4, used=0.0),
        "rare": ClassLabels(assigned=0.05, agreed=50.0, used=0.0),
        "none": ClassLabels(assigned=0.0, agreed=None, used=None),
    }
    config = TrainConfig.from_values({"method": "css-stored", "data": "data", "out": "run"})
    in_use = LabelsInUse(images=4, used=54.0, masks=0, right=None, by_class=by_class)
    words = "some classes are not used: {}. Almost no pixel that is assigned to them {}, so "
    below, disagreed = in_use.warnings(config)
    assert below.startswith(words.format("pole", "passes --confidence-threshold 0.95"))
    cause = "gets the same class from the second judge of a label"
    assert disagreed.startswith(words.format("sign", cause))
    (few,) = replace(in_use, used=0.5).warnings(config)
    assert few.startswith("almost no stored labels are used")
    write_in_use(tmp_path, in_use)
    assert read_in_use(tmp_path) == in_use


@pytest.mark.slow
def test_ctrl_c_while_images_are_labeled_says_how_to_resume(
    tiny_folder: Path,
    tmp_path: Path,
    log: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And with a threshold that no label reaches, the resumed run warns."""
    encode, count = store._encode, []

    def press(labels: ImageLabels, source: Source) -> bytes:
        count.append(1)
        if len(count) == 2:
            raise KeyboardInterrupt
        return encode(labels, source)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(store, "_encode", press)
        with pytest.raises(Interrupted) as stopped:
            semiseg.train(
                tiny_folder,
                out=out,
                **{"method": "st", "confidence_threshold": 1.0, "labels": "2", "steps": 4},
                **{"weights": "none", "encoder": "lcnet_035", "size": 48, "crop": 32, "batch": 2},
                **{"validations": 1, "workers": 0, "threads": 1, "accelerator": "cpu"},
            )
    command = shlex.join(["semiseg", "train", str(tiny_folder), "--out", str(out), "--resume"])
    assert str(stopped.value) == (
        "interrupted while images were labeled for stage 2 of 2; the finished labels are kept. "
        f"Go on with: {command}"
    )
    assert len(list((out / "labels").glob("*.png"))) == 1
    assert "almost no stored labels are used" not in log.text
    semiseg.train(tiny_folder, out=out, resume=True)
    assert "going on in stage 2 of 2 after step 0 of 2" in log.text
    assert "almost no stored labels are used (0.00 % of the pixels)" in log.text
    page = semiseg.report(out, out=tmp_path / "page.html").path.read_text()
    assert 'id="stages"' in page
    assert '<tr><th scope="row">1</th><td>supervised</td><td class="number">2</td>' in page
    assert '<tr><th scope="row">2</th><td>st</td><td class="number">2</td>' in page
    assert f'<td class="number">{len(list((out / "labels").glob("*.png")))} of ' in page
    assert "Stored labels of each class" in page
    assert '<p class="warning">The labels for stage 2: almost no stored labels are used' in page
