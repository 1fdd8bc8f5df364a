"""What every method promises, and CSS by hand: its labels, indicators, masks and mixing."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from tiny_methods import (
    CLASSES,
    Spy,
    at,
    build,
    labeled_batch,
    learn,
    one_of_each,
    run,
    same,
    small,
    snapshot,
    unlabeled_batch,
    values,
)

from semiseg.config.groups import BalanceConfig
from semiseg.config.methods import METHODS, CssSettings
from semiseg.core.errors import ConfigError, SettingError
from semiseg.core.types import Inputs, Output
from semiseg.data.formats.masks import Classes
from semiseg.inference.scenes import prior_of
from semiseg.losses.collaboration import Spaces, Targets, class_prior, collaborate, indicator_of
from semiseg.losses.contrastive import contrastive_loss, draw_pixels
from semiseg.losses.pseudo import balanced_weights
from semiseg.methods import Method, build_method, method_class
from semiseg.methods.css import CSS
from semiseg.methods.mixed_views import cut_mix
from semiseg.methods.prcl import PRCL
from semiseg.methods.prototypical import Prototypical
from semiseg.model.encoders import Normalization
from semiseg.model.metadata import ModelMetadata
from semiseg.model.network import Network
from semiseg.model.prototypes import class_means, shrink_labels, similarity
from semiseg.model.release import Release, load_release, save_release
from semiseg.training.class_balance import set_loss

MODES = ["mix", "cross", "logit", "representation"]
# So low that a network without training teaches itself something.
EASY = {
    "confidence_threshold": 0.35,
    "valid_threshold": 0.35,
    "representation_dim": 8,
    "anchors": 16,
    "negatives": 16,
}


def css(**settings):
    return build("css", **{**EASY, **settings})


def targets_at(method, output, first, valid, step):
    """The targets of the images from `first` on, by the teacher's output for all images."""
    return method._targets(Spaces(*(m[first:] for m in method._spaces(output))), valid, step)


def mix(strong, targets, step):
    mixed, maps = cut_mix(step, Inputs(strong), *targets)
    return mixed.image, Targets(*maps)


# Contracts: whoever is in METHODS is tested by being there. What costs time is tested once for each
# implementation, and with small settings; what a preset changes has its own tests.


@pytest.fixture(params=one_of_each())
def name(request):
    return request.param


@pytest.fixture
def method(name):
    return build(name, **small(name))


def batches():
    """With unlabeled images and without, at the first step, half way and at the last."""
    for number in (0, 50, 99):
        for unlabeled in (unlabeled_batch(), None):
            yield labeled_batch(), unlabeled, at(number)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_built_by_its_name_with_its_default_settings(name):
    method = build_method(name, Network(CLASSES, "lcnet_035", weights="none"))
    assert type(method) is method_class(name)
    assert method.settings == METHODS[name]
    assert isinstance(method.settings.uses_unlabeled, bool)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in one_of_each()])
def test_each_preset_takes_a_step(name):
    method = build(name, **small(name))
    losses = learn(method, labeled_batch(), unlabeled_batch(), at())
    assert all(term.isfinite() for term in losses.terms.values())
    assert all(value.isfinite() for value in losses.diagnostics.values())


def test_unknown_method_is_answered_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"'supervise'.*Did you mean 'supervised'\?"):
        method_class("supervise")


def test_losses_are_finite_scalars_with_a_graph(method):
    for labeled, unlabeled, step in batches():
        losses = run(method, labeled, unlabeled, step)
        assert losses.terms
        for term in losses.terms.values():
            assert term.shape == ()
            assert term.isfinite()
            assert term >= 0
        assert sum(losses.terms.values()).requires_grad
        for value in (*losses.diagnostics.values(), *losses.state.values()):
            assert not value.requires_grad
        assert all(value.shape == () for value in losses.diagnostics.values())


@pytest.mark.parametrize("batch", [unlabeled_batch, lambda: None], ids=["unlabeled", "labels"])
def test_gradients_reach_the_student_and_nobody_else(method, batch):
    learn(method, labeled_batch(), batch(), at())
    trained = {id(parameter) for parameter in method.trained_parameters()}
    assert {id(parameter) for parameter in method.student.parameters()} <= trained
    for key, parameter in method.named_parameters():
        if id(parameter) in trained:
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
        else:
            assert not parameter.requires_grad, key
            assert parameter.grad is None, key
    for student in method.students():
        assert student.logit_head.weight.grad.any()
        assert next(student.encoder.parameters()).grad.any()
        head = student.representation_head
        assert head is None or head[-1].weight.grad.any()


def test_compute_changes_no_state(method):
    """But for the students' own batch-norm statistics."""
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    students = tuple(f"{k}." for k, m in method.named_children() if m in method.students())
    for labeled, unlabeled, step in batches():
        before = snapshot(method)
        run(method, labeled, unlabeled, step)
        changed = [k for k, v in method.state_dict().items() if not torch.equal(v, before[k])]
        assert changed
        for key in changed:
            assert key.startswith(students)
            assert key.endswith(statistics)


def test_commit_writes_the_new_state_and_nothing_else(method):
    for unlabeled in (unlabeled_batch(), None):
        losses = run(method, labeled_batch(), unlabeled, at())
        before = snapshot(method)
        method.commit(losses)
        after = method.state_dict()
        assert losses.state.keys() <= after.keys()
        for key, value in after.items():
            assert torch.equal(value, losses.state.get(key, before[key])), key
        assert after.keys() == before.keys()


def test_the_teacher_follows_after_the_step(method):
    assert method.networks()["student"] is method.student
    if method.teacher is None:
        assert tuple(method.networks().values()) == method.students()
        method.after_step(0, 100)
        return
    assert method.networks()["teacher"] is method.teacher.network
    before = {k: v.clone() for k, v in method.teacher.network.state_dict().items()}
    learn(method, labeled_batch(), unlabeled_batch(), at(0))
    optimizer = torch.optim.SGD(method.student.parameters(), lr=0.1)
    optimizer.step()
    method.after_step(0, 100)
    assert same(method.teacher.network.state_dict(), method.student.state_dict())
    assert not same(method.teacher.network.state_dict(), before)
    assert not any(m.training for m in method.teacher.modules())


def test_several_steps_with_an_optimizer_lower_the_loss_on_labels(method):
    labeled, unlabeled = labeled_batch(32), unlabeled_batch(32)
    optimizer = torch.optim.AdamW(method.student.parameters(), lr=3e-3)
    losses = []
    for number in range(12):
        optimizer.zero_grad()
        step = at(number, 12)
        losses.append(learn(method, labeled, unlabeled, step).terms["supervised"].item())
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]


def test_the_same_key_gives_the_same_bits(name, method):
    def all_of(method, unlabeled, key):
        losses = run(method, labeled_batch(), unlabeled, at(key=key))
        return {**losses.terms, **losses.diagnostics, **losses.state}

    for unlabeled in (unlabeled_batch(), None):
        first = all_of(build(name, **small(name)), unlabeled, 0)
        assert same(first, all_of(method, unlabeled, 0))
        other = all_of(method, unlabeled, 1)
        assert values(first | {k: v.sum() for k, v in first.items()}) != {
            k: v.sum().item() for k, v in other.items()
        }


def test_nothing_to_learn_is_no_accident(method):
    """Every label ignored, every unlabeled pixel padding: zeros, and gradients of zero."""
    labeled, unlabeled = labeled_batch(), unlabeled_batch()
    labeled.mask.fill_(255)
    unlabeled.valid.fill_(False)
    losses = learn(method, labeled, unlabeled, at())
    assert all(value == 0 for value in values(losses.terms).values())
    for value in (*losses.diagnostics.values(), *losses.state.values()):
        assert value.isfinite().all()
    for parameter in method.student.parameters():
        assert not parameter.grad.any()


def test_a_method_starts_from_a_released_model(name, tmp_path):
    """Classes are matched by name; the teacher starts as the student does.

    Other students take the encoder, and stay different.
    """
    trained = build(name, **small(name))
    learn(trained, labeled_batch(), unlabeled_batch(), at())
    trained.student.set_normalization(Normalization((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)))
    colors = ((0, 0, 0), (1, 1, 1), (2, 2, 2))
    classes = Classes(("sky", "tree", "road"), colors, "ids", (0, 1, 2))
    metadata = ModelMetadata(network=trained.student.spec, classes=classes, size=64)
    save_release(tmp_path, Release(trained.student, trained.released_tensors(), metadata))
    torch.manual_seed(1)
    settings = dataclasses.replace(METHODS[name], **small(name))
    method = build_method(name, Network(CLASSES, "lcnet_035", weights="none"), settings)
    fresh = {k: v.clone() for k, v in method.student.state_dict().items()}
    new = method.start_from(load_release(tmp_path), ("road", "car", "sky"))
    assert new == ("car",)
    ours, theirs = method.student.state_dict(), trained.student.state_dict()
    for key, value in ours.items():
        if key.startswith("logit_head."):
            assert torch.equal(value, torch.stack([theirs[key][2], fresh[key][1], theirs[key][0]]))
        else:
            assert torch.equal(value, theirs[key]), key
    for network in method.networks().values():
        if network is not method.student and network in method.students():
            assert same(network.encoder.state_dict(), method.student.encoder.state_dict())
            assert not same(network.state_dict(), ours)
        else:
            assert same(network.state_dict(), ours)
        assert network.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
        assert network.spec == trained.student.spec
    for key in method.released_tensors().keys() & {"prototypes", "seen"}:
        ours, theirs = (m.released_tensors()[key] for m in (method, trained))
        assert torch.equal(ours, torch.stack([theirs[2], torch.zeros_like(theirs[1]), theirs[0]]))


def test_crops_need_not_be_multiples_of_anything(method):
    for size in (33, 50):
        losses = learn(method, labeled_batch(size), unlabeled_batch(size), at())
        assert all(term.isfinite() for term in losses.terms.values())


HALVES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@pytest.mark.parametrize(
    "precision", ["bf16-mixed", pytest.param("16-mixed", marks=pytest.mark.variants)]
)
def test_mixed_precision_keeps_the_state_in_its_own(method, precision):
    """Both are settings of `train`."""
    for number in (0, 50):
        with torch.autocast("cpu", HALVES[precision]):
            losses = run(method, labeled_batch(32), unlabeled_batch(32), at(number))
        assert all(term.isfinite() for term in losses.terms.values())
        for key, value in losses.state.items():
            assert value.dtype == method.get_buffer(key).dtype
            assert value.isfinite().all()
        torch.stack([term.float() for term in losses.terms.values()]).sum().backward()
        method.commit(losses)


@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.variants), 50])
def test_mixed_precision_changes_the_losses_little(method, number):
    """Also on the first step, when no class has a prototype.

    Four images each, since batch norm over fewer magnifies roundings. What is said of unlabeled
    images is left out: in this untrained network many pseudo-labels lie near a threshold, and the
    consistency is the difference of two predictions nearly alike. So is the contrast of PRCL: its
    anchors have very unequal losses, and a pixel that crosses the hard threshold moves the draws.
    """
    labeled, unlabeled = labeled_batch(batch=4), unlabeled_batch(batch=4)
    if number:
        learn(method, labeled, unlabeled, at(number - 1))

    def terms(dtype, enabled=True):
        with torch.autocast("cpu", dtype, enabled=enabled):
            losses = run(method, labeled, unlabeled, at(number))
        left_out = ("unsupervised", "consistency", "feature_dropout")
        left_out += ("contrastive",) if isinstance(method, PRCL) else ()
        return {k: v for k, v in values(losses.terms).items() if not k.startswith(left_out)}

    expected = pytest.approx(terms(torch.bfloat16, enabled=False), rel=0.05)
    for name, dtype in HALVES.items():
        assert terms(dtype) == expected, name


# CSS: the whole step


@pytest.mark.parametrize("mode", MODES)
def test_css_has_three_terms_in_every_mode(mode):
    method = css(collaboration=mode)
    for number in (20, 21, 22):
        losses = learn(method, labeled_batch(seed=number), unlabeled_batch(), at(number))
        assert losses.terms.keys() == {"supervised", "unsupervised", "contrastive"}
        assert all(term.isfinite() for term in losses.terms.values())
        assert losses.diagnostics.keys() == {"used", "agree", "hard"}
        assert all(0 <= value <= 1 for value in values(losses.diagnostics).values())
    assert losses.terms["unsupervised"] > 0
    assert losses.diagnostics["used"] > 0
    assert losses.terms["contrastive"] > 0
    assert method.seen.all()


def test_css_modes_teach_different_things():
    """From the same state, so that the settings are seen to do something."""
    terms = {}
    for mode in MODES:
        method = css(collaboration=mode)
        learn(method, labeled_batch(), unlabeled_batch(), at(50))
        losses = run(method, labeled_batch(), unlabeled_batch(), at(51))
        terms[mode] = losses.terms["unsupervised"].item(), losses.terms["contrastive"].item()
    assert len(set(terms.values())) == 4, terms
    # Both teach logit space what representation space says.
    assert terms["cross"][0] == terms["representation"][0]


def test_css_cross_is_logit_until_the_prototypes_are_good():
    def terms(mode, number):
        method = css(collaboration=mode, cross_after=0.3)
        learn(method, labeled_batch(), unlabeled_batch(), at(0))
        return values(run(method, labeled_batch(), unlabeled_batch(), at(number)).terms)

    assert terms("cross", 29) == terms("logit", 29)
    assert terms("cross", 30) != terms("logit", 30)


def test_css_learns_from_labels_alone_in_the_warm_up():
    """Unlabeled images are not looked at: here they would spoil every number."""
    spoiled = unlabeled_batch()
    spoiled.weak.fill_(torch.nan)
    spoiled.strong.fill_(torch.nan)
    ours = run(css(supervised_warmup=0.1), labeled_batch(), spoiled, at(9))
    alone = run(css(supervised_warmup=0.1), labeled_batch(), None, at(9))
    assert ours.terms.keys() == {"supervised", "contrastive"}
    assert values(ours.terms) == values(alone.terms)
    assert same(ours.state, alone.state)
    assert ours.terms["contrastive"] > 0
    assert ours.state["seen"].all()
    after = run(css(supervised_warmup=0.1), labeled_batch(), unlabeled_batch(), at(10))
    assert "unsupervised" in after.terms


def test_css_terms_are_those_of_the_student_s_one_forward():
    """Labeled and mixed strong images together; `L_s` and `L_c` recomputed from the output."""
    method = css(contrast_weight=0.5, hard_threshold=0.36, valid_threshold=0.3)
    labeled, unlabeled = labeled_batch(), unlabeled_batch()
    learn(method, labeled, unlabeled, at(50))
    student, teacher = Spy(method.student), Spy(method.teacher.network)
    step = at(51)
    losses = run(method, labeled, unlabeled, step)
    (student_input,), (student_output,) = student.inputs, student.outputs
    (teacher_input,), (teacher_output,) = teacher.inputs, teacher.outputs
    assert torch.equal(teacher_input, torch.cat([labeled.image, unlabeled.weak]))
    assert torch.equal(student_input[:2], labeled.image)
    plain = targets_at(method, teacher_output, 2, unlabeled.valid, step)
    strong, mixed = mix(unlabeled.strong, plain, step)
    assert torch.equal(student_input[2:], strong)

    logits = F.interpolate(student_output.logits, size=(64, 64), mode="bilinear")
    supervised = F.cross_entropy(logits[:2], labeled.mask, ignore_index=255)
    torch.testing.assert_close(losses.terms["supervised"], supervised)
    taught_sum = F.cross_entropy(logits[2:], mixed.pseudo_label, ignore_index=255, reduction="sum")
    torch.testing.assert_close(losses.terms["unsupervised"], taught_sum / mixed.valid.sum())

    truth = shrink_labels(labeled.mask, 16, 16)
    labels = torch.cat([truth, mixed.representation]).flatten()
    units = F.normalize(teacher_output.representation[:2], dim=1).movedim(1, -1)
    certainty = (units @ F.normalize(method.prototypes, dim=1).t() / 0.1).softmax(dim=-1)
    certainty = certainty.gather(-1, truth.clamp(max=2).unsqueeze(-1)).squeeze(-1)
    ours = method._contrast_indicator(
        Spaces(*(m[:2] for m in method._spaces(teacher_output))), truth
    )
    torch.testing.assert_close(ours, certainty.masked_fill(truth == 255, 0), rtol=1e-3, atol=1e-5)
    hard = (torch.cat([ours, mixed.indicator]).flatten() < 0.36) & (labels != 255)
    assert 0.1 < hard.sum() / (labels != 255).sum() < 0.9
    new = losses.state["prototypes"]
    draw = draw_pixels(labels, hard, new, 0.5, 16, 16, step.key.child("contrast").torch())
    pixels = student_output.representation.movedim(1, -1).flatten(end_dim=-2)
    contrastive = 0.5 * contrastive_loss(pixels, new, draw, 0.5)
    torch.testing.assert_close(losses.terms["contrastive"], contrastive)
    share = hard.sum() / (labels != 255).sum()
    torch.testing.assert_close(losses.diagnostics["hard"], share)


def test_css_contrast_weight_is_a_factor():
    terms = [
        values(run(css(contrast_weight=w), labeled_batch(), unlabeled_batch(), at()).terms)
        for w in (0.0, 1.0, 2.0)
    ]
    assert terms[0]["contrastive"] == 0
    assert terms[2]["contrastive"] == pytest.approx(2 * terms[1]["contrastive"])
    assert terms[1]["contrastive"] > 0
    assert len({t["supervised"] for t in terms}) == 1


def test_css_prototypes_are_the_teacher_s_of_the_weak_view():
    """Not the student's, nor touched by the strong view and its mixing."""
    method = css()
    learn(method, labeled_batch(), unlabeled_batch(), at(50))

    def state(**changed):
        unlabeled = unlabeled_batch()._replace(**changed)
        return run(method, labeled_batch(), unlabeled, at(51)).state

    expected = state()
    assert same(expected, state(strong=torch.full((2, 3, 64, 64), 0.5)))
    assert not same(expected, state(weak=unlabeled_batch(seed=5).weak))
    with torch.no_grad():
        for parameter in method.student.parameters():
            parameter.mul_(1.5)
    assert same(expected, state())


@pytest.mark.parametrize("mode", MODES)
def test_css_padding_gets_no_pseudo_label_and_enters_no_prototype(mode):
    """With padding alone only the labeled pixels are left."""
    method = css(collaboration=mode, confidence_threshold=0.0, valid_threshold=0.0)
    labeled, unlabeled = labeled_batch(), unlabeled_batch()
    learn(method, labeled, unlabeled, at(50))
    before = method.prototypes.clone()
    unlabeled.valid.fill_(False)
    losses = run(method, labeled, unlabeled, at(51))
    assert losses.terms["unsupervised"] == 0
    assert losses.diagnostics["used"] == 0
    representation = method.teacher(labeled.image).representation.movedim(1, -1).flatten(0, 2)
    means, _ = class_means(representation, shrink_labels(labeled.mask, 16, 16).flatten(), CLASSES)
    expected = 0.99 * before + 0.01 * means
    torch.testing.assert_close(losses.state["prototypes"], expected, rtol=1e-4, atol=1e-6)
    losses.terms["unsupervised"].backward(retain_graph=True)
    assert not method.student.logit_head.weight.grad.isnan().any()


def test_css_a_padded_part_gets_no_pseudo_label():
    method = css(confidence_threshold=0.0, valid_threshold=0.0, collaboration="logit")
    unlabeled = unlabeled_batch()
    method.teacher(unlabeled.weak)
    targets = targets_at(method, method.teacher(unlabeled.weak), 0, unlabeled.valid, at())
    assert torch.equal(targets.pseudo_label == 255, ~unlabeled.valid)
    coarse = shrink_labels(unlabeled.valid, 16, 16)
    assert torch.equal(targets.representation == 255, ~coarse)
    assert 0 < (~coarse).sum() < coarse.numel() / 2


def test_css_releases_its_prototypes():
    method = css()
    learn(method, labeled_batch(), unlabeled_batch(), at())
    released = method.released_tensors()
    assert same(released, {"prototypes": method.prototypes, "seen": method.seen})
    assert released["seen"].all()
    method.class_shares = torch.tensor([0.5, 0.3, 0.2])
    prior = method.released_tensors()["similarity_prior"]
    torch.testing.assert_close(prior, 0.1 * method.class_shares.log())
    method.settings = dataclasses.replace(method.settings, class_prior="uniform")
    assert same(method.released_tensors(), released)


# Settings: rows of the table in docs/css.md, and the paper's ablations


INDICATOR_NAMES = ["own", "confidence", "similarity"]
VARIANTS = pytest.mark.variants


@pytest.mark.parametrize(
    ("mode", "indicator"),
    [
        pytest.param(mode, name, marks=() if "mix" in mode or "own" in name else VARIANTS)
        for mode in MODES
        for name in INDICATOR_NAMES
    ],
)
def test_css_each_cell_of_the_ablations_of_labels_and_indicators(mode, indicator):
    """Tab. 6 and 7: the label from each space or both, trusted by each indicator."""
    method = css(collaboration=mode, indicator=indicator)
    for number in (0, 19, 20, 50):
        losses = learn(method, labeled_batch(), unlabeled_batch(), at(number))
        assert all(term.isfinite() for term in losses.terms.values())
    assert losses.terms["unsupervised"] > 0
    assert losses.terms["contrastive"] > 0


@pytest.mark.parametrize(
    "setting",
    [
        {"confidence_threshold": 0.5},
        {"valid_threshold": 0.5},
        {"hard_threshold": 0.97},
        {"valid_indicator": "confidence"},
        {"valid_indicator": "similarity", "indicator": "confidence"},
        {"indicator_temperature": 0.5},
        {"temperature": 0.1},
        {"anchors": 64},
        {"negatives": 64},
        {"contrast_weight": 0.1},
        {"contrast_schedule": "ramp_down"},
        {"contrast_schedule": "ramp_up"},
        {"unsupervised_mean": "kept"},
        {"unsupervised_mean": "program"},
        {"prototypes_from": "student"},
        {"prototype_momentum": 0.9},
        {"unseen_prototypes": "zeros"},
        {"class_prior": "uniform"},
        {"class_balance": "none"},
        {"representation_dim": 16},
        {"teacher_memory": 0.01},
        {"supervised_warmup": 0.0},
        {"collaboration": "cross", "cross_after": 0.0},
    ],
    ids=str,
)
def test_css_each_number_of_the_ablations(setting):
    method = css(**setting)
    for number in (0, 6, 50):
        losses = learn(method, labeled_batch(), unlabeled_batch(), at(number))
        assert losses.terms.keys() >= {"supervised", "contrastive"}
        assert all(term.isfinite() for term in losses.terms.values())
    assert method.settings == CssSettings(**{**EASY, **setting})


@pytest.mark.parametrize(
    "setting",
    [
        {"collaboration": "vote"},
        {"indicator": "both"},
        {"valid_indicator": "own"},
        {"unsupervised_mean": "batch"},
        {"prototypes_from": "both"},
        {"unseen_prototypes": "random"},
        {"class_prior": "val"},
        {"class_balance": "val"},
        {"contrast_schedule": "linear"},
    ],
    ids=str,
)
def test_css_a_choice_that_there_is_not_is_refused(setting):
    (name,) = setting
    with pytest.raises(SettingError) as caught:
        CssSettings(**setting)
    assert (caught.value.setting, caught.value.value) == (name, setting[name])


@pytest.mark.parametrize("mean", ["all", "kept", "program"])
def test_css_unsupervised_loss_is_divided_as_the_setting_says(mean):
    method = css(unsupervised_mean=mean)
    unlabeled = unlabeled_batch()
    learn(method, labeled_batch(), unlabeled, at(50))
    student, teacher = Spy(method.student), Spy(method.teacher.network)
    losses = run(method, labeled_batch(), unlabeled, at(51))
    _, mixed = mix(
        unlabeled.strong,
        targets_at(method, teacher.outputs[0], 2, unlabeled.valid, at(51)),
        at(51),
    )
    logits = F.interpolate(student.outputs[0].logits[2:], size=(64, 64), mode="bilinear")
    every = F.cross_entropy(logits, mixed.logit, ignore_index=255, reduction="none")
    confident = every * mixed.confident
    share = mixed.confident.sum((1, 2), keepdim=True) / (mixed.logit != 255).sum(
        (1, 2), keepdim=True
    )
    expected = {
        "all": confident.sum() / mixed.valid.sum(),
        "kept": confident[mixed.pseudo_label != 255].mean(),
        "program": (share * every)[every > 0].mean(),
    }
    assert 0 < (mixed.pseudo_label != 255).sum() < mixed.valid.sum()
    torch.testing.assert_close(losses.terms["unsupervised"], expected[mean])


def test_css_pseudo_labels_count_by_the_weights_of_the_classes():
    method = css()
    unlabeled = unlabeled_batch()
    learn(method, labeled_batch(), unlabeled, at(50))
    plain = run(method, labeled_batch(), unlabeled, at(51)).terms["unsupervised"]
    method.class_weights = torch.full((CLASSES,), 3.0)
    weighed = run(method, labeled_batch(), unlabeled, at(51)).terms["unsupervised"]
    assert plain > 0
    torch.testing.assert_close(weighed, 3 * plain)


def test_css_a_class_with_few_pseudo_labels_has_a_larger_weight():
    """The weight compares the pseudo-labels up to this step with the labels."""
    settings = {"collaboration": "logit"}
    method, plain = (css(class_balance=how, **settings) for how in ("labels", "none"))
    shares = torch.tensor([0.2, 0.3, 0.5])
    for m in (method, plain):
        m.class_shares = shares
        learn(m, labeled_batch(), unlabeled_batch(), at(50))
    first = method.label_counts
    assert first.any()
    assert plain.label_counts is None
    assert method.state_dict().keys() - plain.state_dict().keys() == {"label_counts"}
    student, teacher = Spy(method.student), Spy(method.teacher.network)
    losses = run(method, labeled_batch(), unlabeled := unlabeled_batch(), at(51))
    targets = targets_at(method, teacher.outputs[0], 2, unlabeled.valid, at(51))
    _, mixed = mix(unlabeled.strong, targets, at(51))
    counts = torch.bincount(mixed.pseudo_label[mixed.pseudo_label != 255], minlength=3)
    assert (counts > 0).sum() > 1
    torch.testing.assert_close(losses.state["label_counts"], 0.97 * first + counts)
    weights = balanced_weights(shares, losses.state["label_counts"], None)
    assert weights.max() > 1.2 * weights.min()
    logits = F.interpolate(student.outputs[0].logits[2:], size=(64, 64), mode="bilinear")
    every = F.cross_entropy(logits, mixed.pseudo_label, weights, ignore_index=255, reduction="sum")
    torch.testing.assert_close(losses.terms["unsupervised"], every / mixed.valid.sum())
    others = run(plain, labeled_batch(), unlabeled_batch(), at(51)).terms
    assert others["unsupervised"] != losses.terms["unsupervised"]


def test_css_prototypes_from_the_student_are_of_what_it_saw():
    """Its representations of labeled and mixed images, by their labels after the mixing."""
    method = css(prototypes_from="student")
    labeled, unlabeled = labeled_batch(), unlabeled_batch()
    learn(method, labeled, unlabeled, at(50))
    student, teacher = Spy(method.student), Spy(method.teacher.network)
    losses = run(method, labeled, unlabeled, at(51))
    plain = targets_at(method, teacher.outputs[0], 2, unlabeled.valid, at(51))
    _, mixed = mix(unlabeled.strong, plain, at(51))
    labels = torch.cat([shrink_labels(labeled.mask, 16, 16), mixed.representation]).flatten()
    pixels = student.outputs[0].representation.detach().movedim(1, -1).flatten(0, 2)
    means, counts = class_means(pixels, labels, CLASSES)
    assert (counts > 0).all()
    expected = 0.99 * method.prototypes + 0.01 * means
    torch.testing.assert_close(losses.state["prototypes"], expected, rtol=1e-4, atol=1e-6)
    assert not losses.state["prototypes"].requires_grad


@pytest.mark.parametrize(
    ("schedule", "number", "factor"),
    [("ramp_down", 50, 0.2865), ("ramp_up", 50, 0.2865), ("ramp_up", 90, 0.9512)],
)
def test_css_the_contrast_s_weight_follows_its_schedule(schedule, number, factor):
    constant, other = (
        run(css(contrast_schedule=s), labeled_batch(), unlabeled_batch(), at(number)).terms
        for s in ("constant", schedule)
    )
    ratio = other["contrastive"] / constant["contrastive"]
    assert ratio.item() == pytest.approx(factor, abs=1e-4)
    assert torch.equal(other["unsupervised"], constant["unsupervised"])


# CSS by hand: four images, each of one color in every map, so that sizes play no part

# Prototypes along the axes; representations that lean towards one of them.
AXES = 2.0 * torch.eye(3)
LOGITS = torch.tensor([[3.0, 0, 0], [0, 3, 0], [0.0, 0.1, 0], [0, 0, 9]])
SIGHTS = torch.tensor([[1.0, 0.7, 0], [0, 0, 5], [0.0, 1, 0.8], [0.45, 0, 0.5]])
LOGIT_LABEL = [0, 1, 1, 2]
SIGHT_LABEL = [0, 2, 1, 2]


def by_hand(mode="mix", present=(True, True, True), **settings):
    method = css(representation_dim=3)  # built once: `__init__` reads none of the other settings
    method.settings = dataclasses.replace(method.settings, collaboration=mode, **settings)
    method.prototypes.copy_(AXES * torch.tensor(present).unsqueeze(1))
    method.seen.copy_(torch.tensor(present))
    return method


def teacher_word():
    """The teacher's word on four images of 8 x 8 pixels."""
    logits, sights = (x.view(4, 3, 1, 1).expand(4, 3, 2, 2) for x in (LOGITS, SIGHTS))
    return Output(logits, sights)


def targets_of(method, number=50, valid=None):
    valid = torch.ones(4, 8, 8, dtype=torch.bool) if valid is None else valid
    return targets_at(method, teacher_word(), 0, valid, at(number))


def single(maps):
    """The one value that each image shows."""
    flat = maps.flatten(1)
    assert (flat == flat[:, :1]).all()
    return flat[:, 0].tolist()


# Each parts the images otherwise in at least one of the two spaces.
THRESHOLDS = (0.3, 0.5, 0.85, 0.95, 0.995)
CONFIDENCE = LOGITS.softmax(dim=1).amax(dim=1)
INDICATORS = (F.normalize(SIGHTS, dim=1) / 0.1).softmax(dim=1)


@pytest.mark.parametrize(
    ("mode", "number", "logit", "representation"),
    [
        ("mix", 50, [0, 255, 1, 2], [0, 255, 1, 2]),
        ("logit", 50, LOGIT_LABEL, LOGIT_LABEL),
        ("representation", 50, SIGHT_LABEL, SIGHT_LABEL),
        ("cross", 19, LOGIT_LABEL, LOGIT_LABEL),
        ("cross", 20, SIGHT_LABEL, LOGIT_LABEL),
    ],
)
def test_css_collaboration_by_hand(mode, number, logit, representation):
    method = by_hand(mode, confidence_threshold=0.0, valid_threshold=0.0, cross_after=0.2)
    targets = targets_of(method, number)
    assert single(targets.pseudo_label) == logit
    assert single(targets.representation) == representation
    assert targets.agree.double().mean() == 0.75
    indicator = [INDICATORS[i, c].item() if c != 255 else 0 for i, c in enumerate(representation)]
    assert single(targets.indicator) == pytest.approx(indicator, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "trust"),
    [
        ("mix", CONFIDENCE),
        ("logit", CONFIDENCE),
        ("representation", INDICATORS.amax(dim=1)),
        ("cross", INDICATORS.amax(dim=1)),
    ],
)
def test_css_pseudo_labels_reach_the_threshold_of_their_own_space(mode, trust):
    """Confidence for labels of logit space, similarity for those of representation space."""
    free = single(targets_of(by_hand(mode, confidence_threshold=0.0)).pseudo_label)
    for threshold in THRESHOLDS:
        targets = targets_of(by_hand(mode, confidence_threshold=threshold))
        expected = [label if t >= threshold else 255 for label, t in zip(free, trust, strict=True)]
        assert single(targets.pseudo_label) == expected
    assert min(abs(t - h) for t in trust for h in THRESHOLDS) > 1e-3


def test_css_a_withdrawn_label_is_still_one_that_was_trusted():
    """In the second image the spaces disagree. The program's weight counts its pixels."""
    targets = targets_of(by_hand("mix", confidence_threshold=0.9))
    assert single(targets.logit)[1] == single(targets.pseudo_label)[1] == 255
    assert single(targets.confident) == [c > 0.9 for c in CONFIDENCE.tolist()]
    assert single(targets.confident)[1]


@pytest.mark.slow
def test_css_contrast_believes_labels_from_the_threshold_of_similarity_on():
    """Whatever the confidence is."""
    for mode, labels in (("logit", LOGIT_LABEL), ("representation", SIGHT_LABEL)):
        own = [INDICATORS[i, c].item() for i, c in enumerate(labels)]
        for threshold in THRESHOLDS:
            targets = targets_of(by_hand(mode, valid_threshold=threshold))
            expected = [c if t >= threshold else 255 for c, t in zip(labels, own, strict=True)]
            assert single(targets.representation) == expected


@pytest.mark.slow
@pytest.mark.parametrize("indicator", ["confidence", "similarity"])
@pytest.mark.parametrize("mode", ["logit", "representation"])
def test_css_one_indicator_in_both_spaces_by_hand(mode, indicator):
    """Tab. 7: what is trusted in `L_u`, believed and hard in `L_c` is one indicator's word."""
    labels = LOGIT_LABEL if mode == "logit" else SIGHT_LABEL
    table = LOGITS.softmax(dim=1) if indicator == "confidence" else INDICATORS
    trust = [table[i, c].item() for i, c in enumerate(labels)]
    assert min(abs(t - h) for t in trust for h in THRESHOLDS) > 1e-3
    for h in THRESHOLDS:
        settings = {"confidence_threshold": h, "valid_threshold": h, "indicator": indicator}
        targets = targets_of(by_hand(mode, **settings))
        expected = [c if t >= h else 255 for c, t in zip(labels, trust, strict=True)]
        assert single(targets.pseudo_label) == expected
        assert single(targets.representation) == expected
        assert single(targets.indicator) == pytest.approx(trust, rel=1e-4)


@pytest.mark.slow
def test_css_valid_pixels_by_confidence_are_hard_by_similarity():
    """Row 4: what enters `L_c` and what is an anchor there need not ask the same."""
    own = [INDICATORS[i, c].item() for i, c in enumerate(LOGIT_LABEL)]
    for h in THRESHOLDS:
        targets = targets_of(by_hand("logit", valid_threshold=h, valid_indicator="confidence"))
        expected = [c if t >= h else 255 for c, t in zip(LOGIT_LABEL, CONFIDENCE, strict=True)]
        assert single(targets.representation) == expected
        assert single(targets.indicator) == pytest.approx(own, rel=1e-4)


def test_css_a_prototype_of_zeros_is_nearer_than_any_at_an_obtuse_angle():
    """Row 5: class 1 was not seen; the second image lies opposite to what was."""
    logits = torch.tensor([[3.0, 0, 0], [3, 0, 0]]).view(2, 3, 1, 1).expand(2, 3, 2, 2)
    sights = torch.tensor([[1.0, 0, 0], [-1, 0, -1]]).view(2, 3, 1, 1).expand(2, 3, 2, 2)
    nearest = {}
    for unseen in ("masked", "zeros"):
        method = by_hand("representation", (True, False, True), unseen_prototypes=unseen)
        spaces = method._spaces(Output(logits, sights))
        nearest[unseen] = single(spaces.representation_label)
    assert nearest == {"masked": [0, 0], "zeros": [0, 1]}
    # In mix, a class without a prototype then has no say, and the first step teaches class 0 alone.
    method = by_hand("mix", (False, False, False), unseen_prototypes="zeros")
    assert single(method._spaces(teacher_word()).representation_label) == [0, 0, 0, 0]


def test_a_prior_makes_densities_comparable_with_weighed_probabilities():
    """Logits of a loss that weighs classes are `log(w p)`; Bayes' rule gives the same from `f`."""
    shares, weights = torch.tensor([0.6, 0.3, 0.1]), torch.tensor([0.5, 2.0, 7.0])
    density = torch.tensor([0.1, 0.2, 0.4])
    p = density * shares / (density * shares).sum()
    ours = (density.log() + class_prior(shares, weights)).softmax(dim=0)
    torch.testing.assert_close(ours, (weights * p).log().softmax(dim=0))
    torch.testing.assert_close(class_prior(shares, None), shares.log())


def test_no_prior_forbids_a_class():
    shares, weights = torch.tensor([0.0, 0.5, 0.5]), torch.tensor([0.0, 1.0, 1.0])
    prior = class_prior(shares, weights)
    torch.testing.assert_close(prior, torch.tensor([1e-4, 0.5, 0.5]).log())
    nothing = class_prior(torch.zeros(3), weights)
    assert torch.equal(nothing, nothing[:1].expand(3))  # masks without a pixel favor no class
    assert nothing.isfinite().all()


@pytest.mark.parametrize("tau", [0.05, 0.1, 0.5])
def test_css_releases_the_prior_that_it_was_trained_with(tau):
    method = by_hand("mix", indicator_temperature=tau)
    method.class_shares = torch.tensor([0.7, 0.25, 0.05])
    torch.manual_seed(0)
    sights = torch.randn(4, 3, 16, 16)
    spaces = method._spaces(Output(torch.randn(4, 3, 16, 16), sights))
    near = similarity(sights, method.prototypes, method.seen) + prior_of(method.released_tensors())
    assert torch.equal(near.argmax(dim=1), spaces.representation_label)
    assert not torch.equal(sights.argmax(dim=1), spaces.representation_label)


@pytest.mark.parametrize("name", ["contrastive", "css-paper", "css-program"])
def test_presets_know_neither_prior_nor_balance(name):
    method = build(name, **EASY)
    learn(method, labeled_batch(), unlabeled_batch(), at(50))
    plain = run(method, labeled_batch(), unlabeled_batch(), at(51)).terms
    method.class_shares = torch.tensor([0.9, 0.09, 0.01])
    assert same(run(method, labeled_batch(), unlabeled_batch(), at(51)).terms, plain)
    assert "similarity_prior" not in method.released_tensors()


@pytest.mark.parametrize(("prior", "label"), [("loss", 0), ("uniform", 1)])
def test_css_a_doubtful_representation_is_of_the_more_frequent_class(prior, label):
    """It lies a little nearer to a rare one."""
    method = by_hand("mix", class_prior=prior)
    method.class_weights = torch.tensor([0.7, 2.0, 1.5])
    method.class_shares = torch.tensor([0.8, 0.05, 0.15])
    logits = torch.tensor([1.0, 1.5, 0.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    sights = torch.tensor([0.5, 0.6, 0.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    spaces = method._spaces(Output(logits, sights))
    assert single(spaces.logit_label) == [1]
    assert single(spaces.representation_label) == [label]


def test_training_tells_css_how_frequent_classes_are():
    method = css()
    settings = BalanceConfig(class_weights="none")
    set_loss(method, settings, [30, 10, 0])
    assert method.class_shares.tolist() == [0.75, 0.25, 0.0]
    assert method.class_weights is None
    losses = learn(method, labeled_batch(), unlabeled_batch(), at(50))
    assert all(term.isfinite() for term in losses.terms.values())


@pytest.mark.parametrize("tau", [0.05, 0.1, 1.0])
def test_css_indicator_by_hand(tau):
    """`softmax_c(s / tau_r)` at the label's class, 0 where there is none."""
    sight = torch.tensor([0.9, -0.2, 0.5]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    label = torch.tensor([[[0, 1], [2, 255]]])
    ours = indicator_of(sight / tau, label).flatten()
    soft = (torch.tensor([0.9, -0.2, 0.5]) / tau).softmax(dim=0)
    torch.testing.assert_close(ours, torch.cat([soft, torch.zeros(1)]))


def test_css_a_class_without_a_prototype_keeps_its_logit_label():
    """Representation space has no opinion on class 1 yet, and cannot have it as nearest."""
    settings = {"confidence_threshold": 0.0, "valid_threshold": 0.0}
    targets = targets_of(by_hand("mix", (True, False, True), **settings))
    assert single(targets.pseudo_label) == [0, 1, 1, 2]
    targets = targets_of(by_hand("representation", (True, False, True), **settings))
    assert 1 not in single(targets.pseudo_label)
    # Its similarity indicator is 0: such pixels enter no contrast as long as that is asked for.
    targets = targets_of(by_hand("mix", (True, False, True)))
    assert single(targets.indicator)[1:3] == [0, 0]
    assert single(targets.representation) == [0, 255, 255, 2]


@pytest.mark.parametrize("mode", MODES)
def test_css_without_any_prototype_the_logit_label_stands(mode):
    method = by_hand(mode, (False, False, False), confidence_threshold=0.0, valid_threshold=0.0)
    targets = targets_of(method)
    assert single(targets.pseudo_label) == LOGIT_LABEL
    assert single(targets.representation) == LOGIT_LABEL
    assert targets.indicator.isfinite().all()


def test_css_collaborates_pixel_by_pixel():
    spaces = Spaces(
        logits=torch.zeros(1, 3, 2, 3),
        similarity=torch.zeros(1, 3, 2, 3),
        logit_label=torch.tensor([[[0, 0, 1], [1, 2, 2]]]),
        representation_label=torch.tensor([[[0, 1, 1], [0, 0, 1]]]),
    )
    for final in collaborate("mix", spaces, torch.tensor([True, True, False])):
        assert final.tolist() == [[[0, 255, 1], [255, 2, 2]]]
    logit, representation = collaborate("cross", spaces, torch.tensor([True, True, True]))
    assert logit is spaces.representation_label
    assert representation is spaces.logit_label


def test_css_mixing_moves_everything_together():
    """Each image, label, indicator and mask shows the number of the picture it comes from."""
    number = torch.arange(6)
    fine, coarse = (number.view(-1, 1, 1).expand(6, s, s).contiguous() for s in (64, 16))
    valid = fine % 2 == 0
    plain = Targets(fine, ~valid, valid, valid, coarse, coarse / 10)
    strong = fine.unsqueeze(1).expand(-1, 3, -1, -1) / 10
    image, mixed = mix(strong, plain, at())
    assert torch.equal(image, mixed.logit.unsqueeze(1).expand(-1, 3, -1, -1) / 10)
    assert torch.equal(mixed.valid, mixed.logit % 2 == 0)
    assert torch.equal(mixed.representation, shrink_labels(mixed.logit, 16, 16))
    assert torch.equal(mixed.indicator, mixed.representation / 10)
    assert torch.equal(mixed.agree, mixed.valid)
    assert torch.equal(mixed.confident, ~mixed.valid)
    for own, sources in enumerate(mixed.logit):
        share = (sources != own).double().mean().item()
        assert len(sources.unique()) == 2
        assert share == pytest.approx(0.5, abs=0.02)
    again, _ = mix(strong, plain, at())
    other, _ = mix(strong, plain, at(51))
    assert torch.equal(image, again)
    assert not torch.equal(image, other)


def test_css_a_single_unlabeled_image_is_mixed_with_itself():
    unlabeled = unlabeled_batch(batch=1)
    method = css(confidence_threshold=0.0)
    student = Spy(method.student)
    losses = learn(method, labeled_batch(), unlabeled, at())
    assert torch.equal(student.inputs[0][2:], unlabeled.strong)
    assert losses.terms["unsupervised"] > 0


# Pseudo-labels of a method


@pytest.mark.parametrize("number", [19, 50])
@pytest.mark.parametrize("mode", MODES)
def test_css_pseudo_labels_are_those_of_the_loss(mode, number):
    method = by_hand(mode, confidence_threshold=0.9)
    method.teacher.forward = lambda *_inputs: teacher_word()
    valid = torch.ones(4, 8, 8, dtype=torch.bool)
    valid[0, :, :3] = False
    labels = method.pseudo_labels(torch.zeros(4, 3, 8, 8), valid, at(number))
    assert torch.equal(labels.final, targets_of(method, number, valid).pseudo_label)
    assert (labels.final[~valid] == 255).all()
    assert single(labels.logit_label) == LOGIT_LABEL
    assert single(labels.representation_label) == SIGHT_LABEL
    for ours, theirs in (
        (labels.confidence, CONFIDENCE),
        (labels.similarity, INDICATORS.amax(dim=1)),
    ):
        everywhere = theirs.view(4, 1, 1).expand(4, 8, 8)
        torch.testing.assert_close(ours, everywhere, rtol=1e-4, atol=1e-6)


def test_pseudo_labels_of_each_method(method):
    """Of the teacher, if there is one, on the weak view, before any mixing; no state is changed."""
    unlabeled = unlabeled_batch()
    before = snapshot(method)
    labels = method.pseudo_labels(unlabeled.weak, unlabeled.valid, at())
    assert same(before, snapshot(method))
    assert (labels is None) == (type(method).pseudo_labels is Method.pseudo_labels)
    if labels is None:
        return
    assert (labels.final[~unlabeled.valid] == 255).all()
    if method.teacher is None:
        return
    logits = F.interpolate(method.teacher(unlabeled.weak).logits, size=(64, 64), mode="bilinear")
    confidence, label = logits.softmax(dim=1).max(dim=1)
    torch.testing.assert_close(labels.confidence, confidence)
    assert torch.equal(labels.logit_label, label)
    has_space = isinstance(method, Prototypical)
    assert (labels.representation_label is not None) == has_space
    assert (labels.similarity is not None) == has_space
    trusted = labels.final != 255
    assert not has_space or method.settings.collaboration in ("mix", "logit")
    assert torch.equal(labels.final[trusted], label[trusted])


# Mean Teacher and CutMix


@pytest.mark.parametrize("name", ["mean_teacher", "cutmix"])
def test_methods_of_logit_space_alone_build_no_representation_head(name):
    method = build(name)
    assert method.student.representation_head is None
    assert method.released_tensors() == {}
    assert not list(method.buffers(recurse=False))


@pytest.mark.parametrize("name", ["mean_teacher", "cutmix"])
def test_the_warm_up_uses_labels_alone(name):
    spoiled = unlabeled_batch()
    spoiled.weak.fill_(torch.nan)
    spoiled.strong.fill_(torch.nan)
    ours = run(build(name, supervised_warmup=0.1), labeled_batch(), spoiled, at(9))
    alone = run(build("supervised"), labeled_batch(), None, at(9))
    assert values(ours.terms) == values(alone.terms)
    after = run(build(name, supervised_warmup=0.1), labeled_batch(), unlabeled_batch(), at(10))
    assert len(after.terms) == 2


@pytest.mark.parametrize(("number", "ramp"), [(20, 0.2865), (40, 1.0), (90, 1.0)])
def test_mean_teacher_by_hand(number, ramp):
    """The squared distance of the softmaxes where there is image, its weight ramped up."""
    method = build("mean_teacher", consistency_weight=3.0, ramp_up=0.4)
    student, teacher = Spy(method.student), Spy(method.teacher.network)
    unlabeled = unlabeled_batch()
    losses = run(method, labeled_batch(), unlabeled, at(number))
    assert torch.equal(student.inputs[0][2:], unlabeled.strong)
    assert torch.equal(teacher.inputs[0], unlabeled.weak)
    ours, theirs = student.outputs[0].logits[2:], teacher.outputs[0].logits
    distance = (ours.softmax(dim=1) - theirs.softmax(dim=1)).square().sum(dim=1)
    expected = distance[shrink_labels(unlabeled.valid, 16, 16)].mean()
    torch.testing.assert_close(losses.diagnostics["distance"], expected)
    ratio = losses.terms["consistency"] / expected
    assert ratio.item() == pytest.approx(3 * ramp, rel=1e-3)


def test_mean_teacher_without_a_ramp_has_its_weight_at_once():
    method = build("mean_teacher", ramp_up=0.0, supervised_warmup=0.0)
    losses = run(method, labeled_batch(), unlabeled_batch(), at(0))
    ratio = losses.terms["consistency"] / losses.diagnostics["distance"]
    assert ratio.item() == pytest.approx(5)


def test_cutmix_by_hand():
    """Confident labels of the weak view, mixed as the strong view is."""
    method = build("cutmix", confidence_threshold=0.5, unsupervised_weight=2.0)
    student, unlabeled = Spy(method.student), unlabeled_batch()
    losses = run(method, labeled_batch(), unlabeled, at())
    final = method.pseudo_labels(unlabeled.weak, unlabeled.valid, at()).final
    strong, (label, valid) = cut_mix(at(), unlabeled.strong_inputs, final, unlabeled.valid)
    assert torch.equal(student.inputs[0][2:], strong.image)
    logits = F.interpolate(student.outputs[0].logits[2:], size=(64, 64), mode="bilinear")
    total = F.cross_entropy(logits, label, ignore_index=255, reduction="sum")
    torch.testing.assert_close(losses.terms["unsupervised"], 2 * total / valid.sum())
    share = (label != 255).sum() / valid.sum()
    assert 0 < share < 1
    torch.testing.assert_close(losses.diagnostics["used"], share)


# Presets


@pytest.mark.slow
@pytest.mark.parametrize("name", ["contrastive", "css-paper", "css-program"])
def test_a_preset_is_css_with_other_defaults(name):
    changed = METHODS[name].changes(METHODS["css"])
    assert changed
    assert method_class(name) is CSS
    small = {k: v for k, v in EASY.items() if k not in changed}
    preset, css_itself = build(name, **small), build("css", **small, **changed)
    for number in (50, 51):
        step = labeled_batch(), unlabeled_batch(), at(number)
        assert values(learn(preset, *step).terms) == values(learn(css_itself, *step).terms)
    other = build(name, **{**small, "temperature": 0.3, "representation_dim": 8})
    assert (other.settings.temperature, other.prototypes.shape[1]) == (0.3, 8)
