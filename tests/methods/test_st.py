"""`st` and `st-plus-plus` by hand: Cutout, the loss, the reliability, and the division of steps."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_methods import at, build, labeled_batch, run, unlabeled_batch

from semiseg.config.methods import METHODS, StPlusPlusSettings, StSettings
from semiseg.config.stages import Between, divide_steps, images_between, most_steps
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError, SettingError
from semiseg.core.types import IGNORE_INDEX, Unlabeled
from semiseg.methods.st import cut_out
from semiseg.model.network import upsample
from semiseg.training.reliability import choose_reliable, reliability, snapshot_steps
from semiseg.training.stage import stages_of

PLAIN = {"class_balance": "none", "mix": False}


def test_the_presets_have_the_published_values() -> None:
    for name, stages in {"st-paper": 2, "st-plus-plus-paper": 3}.items():
        settings = METHODS[name]
        assert isinstance(settings, StSettings)
        assert settings.preferred_photometry == "strong"
        assert settings.label_scales == (0.5, 0.75, 1.0, 1.5, 2.0)
        assert settings.confidence_threshold == 0
        assert settings.cutout
        assert not settings.mix
        assert settings.shares_of_stages == pytest.approx([1 / stages] * stages)
    assert METHODS["st-plus-plus-paper"].reliable_share == 0.5


def test_cutout_covers_boxes_with_noise_and_changes_nothing_else() -> None:
    image = torch.full((8, 3, 40, 48), 2.0)
    changed, covered = cut_out(image, at())
    assert covered.flatten(1).any(dim=1).sum() in range(1, 8)
    inside = covered.unsqueeze(1).expand_as(image)
    assert (changed[~inside] == 2).all()
    assert ((changed[inside] >= 0) & (changed[inside] < 1)).all()
    assert len(changed[inside].unique()) > 0.9 * inside.sum()
    assert all(map(torch.equal, cut_out(image, at()), (changed, covered)))
    assert not torch.equal(cut_out(image, at(key=1))[1], covered)


def cross_entropy(logits: torch.Tensor, label: torch.Tensor) -> list[float]:
    """The cross-entropy of each pixel with a label, in loops and double precision."""
    losses = []
    for scores, target in zip(
        logits.double().permute(0, 2, 3, 1).reshape(-1, logits.shape[1]),
        label.flatten(),
        strict=True,
    ):
        if target != IGNORE_INDEX:
            values = scores.tolist()
            losses.append(math.log(sum(map(math.exp, values))) - values[int(target)])
    return losses


def test_the_loss_is_the_mean_over_pixels_that_no_box_covers() -> None:
    method = build("st-paper", **PLAIN)
    labeled, unlabeled = labeled_batch(32), unlabeled_batch(32)
    step = next(at(key=key) for key in range(9) if cut_out(unlabeled.strong, at(key=key))[1].any())
    losses = run(method, labeled, unlabeled, step)
    image, covered = cut_out(unlabeled.strong, step)
    step.key.seed_globals()
    logits = method.student(torch.cat([labeled.image, image])).logits.detach()
    own, other = (upsample(part, (32, 32), (32, 32)) for part in logits.split(2))
    label = unlabeled.label.clone()
    label[covered] = IGNORE_INDEX
    label[~unlabeled.valid] = IGNORE_INDEX
    assert covered.any()
    expected = sum(cross_entropy(other, label)) / int((unlabeled.valid & ~covered).sum())
    assert losses.terms["unsupervised"].item() == pytest.approx(expected, rel=1e-5)
    supervised = cross_entropy(own, labeled.mask)
    expected = sum(supervised) / len(supervised)
    assert losses.terms["supervised"].item() == pytest.approx(expected, rel=1e-5)


def test_with_cutmix_and_without_cutout_the_loss_is_that_of_distill() -> None:
    st, distill = build("st", confidence_threshold=0.5), build("distill")
    distill.load_state_dict(st.state_dict())
    losses = [run(m, labeled_batch(), unlabeled_batch(), at()).terms for m in (st, distill)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("name", ["st", "st-paper"])
def test_labels_without_confidence_give_exactly_nothing(name: str) -> None:
    method = build(name, confidence_threshold=1.0)
    losses = run(method, labeled_batch(), unlabeled_batch(), at())
    assert losses.terms["unsupervised"].item() == 0
    losses.terms["unsupervised"].backward()
    assert not any(p.grad.any() for p in method.student.parameters() if p.grad is not None)


def test_cutout_and_cached_features_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match=r"--feature-views 4 .* but --cutout"):
        TrainConfig.from_values({"data": "DATA", "method": "st-paper", "feature_views": 4})
    TrainConfig.from_values({"data": "DATA", "method": "st", "feature_views": 4})
    unlabeled = unlabeled_batch(32)
    features = (torch.zeros(2, 8, 2, 2),)
    cached: Unlabeled = unlabeled._replace(strong_features=features)
    with pytest.raises(ValueError, match="do not show the boxes"):
        build("st-paper", **PLAIN).changed_views(cached, at())


def miou(label: np.ndarray, last: np.ndarray) -> float:
    """The mean IoU of two labelings over the classes that one of them has, in loops."""
    present = sorted({*label.flatten().tolist(), *last.flatten().tolist()})
    values = []
    for one in present:
        pairs = list(zip((label == one).flat, (last == one).flat, strict=True))
        values.append(sum(a and b for a, b in pairs) / sum(a or b for a, b in pairs))
    return sum(values) / len(values)


def test_the_reliability_is_the_mean_agreement_with_the_last_labels() -> None:
    random = np.random.default_rng(0)
    labels = [random.choice(np.array([0, 1, 3], np.uint8), (5, 7)) for _ in range(3)]
    labels[2][0, 0] = 4  # a class of the last labels alone
    expected = (miou(labels[0], labels[2]) + miou(labels[1], labels[2])) / 2
    assert reliability(labels, 6) == pytest.approx(expected, abs=1e-12)
    assert reliability([labels[2]] * 3, 6) == 1
    nothing_common = [np.zeros((2, 2), np.uint8)] * 2 + [np.ones((2, 2), np.uint8)]
    assert reliability(nothing_common, 6) == 0


def test_the_more_reliable_half_is_chosen_in_the_order_of_the_images() -> None:
    assert choose_reliable([0.2, 0.9, 0.4, 0.8], 0.5) == [1, 3]
    assert choose_reliable([0.5, 0.5, 0.5], 0.5) == [0, 1]  # alike: the earlier ones, rounded up
    assert choose_reliable([0.3], 0.5) == [0]
    assert choose_reliable([0.1, 0.2], 0.0) == [1]
    assert choose_reliable([0.1, 0.2], 1.0) == [0, 1]


def test_snapshots_are_after_each_third() -> None:
    assert snapshot_steps(3) == (1, 2, 3)
    assert snapshot_steps(100) == (34, 67, 100)
    assert snapshot_steps(1) == (1, 1, 1)


@pytest.mark.parametrize("steps", [3, 10, 999, 1000])
def test_the_steps_of_all_stages_are_the_steps_of_the_run(steps: int) -> None:
    for shares in [(1.0,), (0.5, 0.5), (1 / 3, 1 / 3, 1 / 3), (0.25, 0.25, 0.5)]:
        parts = divide_steps(steps, shares)
        assert sum(parts) == steps
        for part, share in zip(parts, shares, strict=True):
            assert abs(part - steps * share) < 1
    with pytest.raises(ConfigError, match="--steps 2 is too few for 3 stages"):
        divide_steps(2, (1 / 3, 1 / 3, 1 / 3))


def planned(method: str, **values: object) -> TrainConfig:
    return TrainConfig.from_values(
        {"data": "DATA", "method": method, "out": "runs/a", "steps": 90, "validations": 5, **values}
    )


def test_stages_have_their_methods_steps_and_folders() -> None:
    config = planned("st-plus-plus", stage_shares=(1, 1, 2), cutout=True, seed=3, lr=0.1)
    stages = stages_of(config, unlabeled=True)
    assert [stage.config.method for stage in stages] == ["supervised", "st", "st-plus-plus"]
    assert [stage.config.schedule.steps for stage in stages] == [22, 23, 45]
    assert [str(stage.config.out) for stage in stages] == [
        "runs/a/stages/1",
        "runs/a/stages/2",
        "runs/a",
    ]
    assert [stage.config.validation.validations for stage in stages] == [3, 1, 5]
    assert [stage.keeps_snapshots for stage in stages] == [True, False, False]
    assert all(stage.config.schedule.seed == 3 for stage in stages)
    assert all(stage.config.optimizer.lr == 0.1 for stage in stages)
    second = stages[1].config.settings
    assert isinstance(second, StSettings)
    assert second.cutout
    assert second.stage_shares == (1, 1)  # the default of `st`
    assert str(stages[0]) == "stage 1 of 3: supervised, 22 steps"
    assert [stage.config for stage in stages_of(config, unlabeled=False)] == [config]
    (single,) = stages_of(planned("cutmix"), unlabeled=True)
    assert single.title == ""
    assert str(single.config.out) == "runs/a"


def test_the_number_of_shares_is_that_of_the_stages() -> None:
    stages = stages_of(planned("st-paper", stage_shares=(2, 3, 1, 3)), unlabeled=True)
    assert [stage.config.method for stage in stages] == ["supervised", "st", "st", "st-paper"]
    assert [stage.config.schedule.steps for stage in stages] == [20, 30, 10, 30]
    assert [stage.config.validation.validations for stage in stages] == [1, 1, 1, 5]
    assert not any(stage.goes_on or stage.steps_before or stage.steps_after for stage in stages)
    assert stages[1].config.settings.cutout


def test_stages_that_go_on_share_a_schedule_after_the_first_one() -> None:
    stages = stages_of(planned("st", stage_shares=(2, 3, 1, 3), restart=False), unlabeled=True)
    assert [stage.goes_on for stage in stages] == [False, True, True, True]
    assert [(stage.steps_before, stage.steps_after) for stage in stages] == [
        (0, 0),
        (0, 40),
        (30, 30),
        (40, 0),
    ]


def test_the_shares_are_one_for_each_stage() -> None:
    with pytest.raises(SettingError, match="two numbers above 0 or more, one for each stage"):
        replace(StSettings(), stage_shares=(1,))
    with pytest.raises(SettingError, match="three numbers above 0, one for each stage"):
        replace(StPlusPlusSettings(), stage_shares=(1, 1, 1, 1))
    with pytest.raises(SettingError, match="--label-scales"):
        replace(StSettings(), label_scales=())


def test_what_is_done_between_the_stages_is_counted() -> None:
    """In images of a validation, which runs two networks."""
    settings = replace(StSettings(), label_scales=(0.5, 2.0))
    assert settings.passes_of_label == 2 * (0.25 + 4)
    # A step draws 3 images, half of the steps learn from them, and each label serves 1.5 draws.
    assert images_between(settings, 10, 3, 3) == (2 * 3, 10 * 4.25, 4.25)
    again = replace(settings, stage_shares=(1, 1, 2))  # two labelings, and a further validation
    assert images_between(again, 10, 3, 3) == (4 * 3, 10 * 2 * 4.25, 1.5 * 4.25)
    plus = replace(StPlusPlusSettings(), label_scales=(1.0,), stage_shares=(2, 1, 1))
    assert images_between(plus, 10, 3, 3) == (6 * 3 + 10 * 1.5, 10, 1)
    assert images_between(settings, 0, 3, 3) == Between()
    assert images_between(METHODS["cutmix"], 10, 3, 3) == Between()


def test_a_short_training_labels_what_its_steps_draw() -> None:
    between = Between(fixed=10, labeling=60, labeling_of_step=0.5)
    assert [between.at(steps) for steps in (0, 20, 120, 1000)] == [10, 20, 70, 70]
    assert most_steps(90, 1.0, between[1:]) == 60
    assert most_steps(90, 1.0, (between.labeling, 1.0)) == 45
    assert most_steps(190, 1.0, between[1:]) == 130
    assert most_steps(190, 1.0, between[1:], (30, 0.1)) == pytest.approx(190 / 1.6)
