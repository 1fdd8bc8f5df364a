"""`fixmatch`: its loss by hand, who labels, and the methods that it becomes."""

import pytest
import torch
from tiny_methods import Spy, at, build, labeled_batch, run, snapshot, unlabeled_batch
from view_loss import draws, view_loss

from semiseg.augment.mixing import draw_boxes, draw_small_boxes
from semiseg.methods import build_method
from semiseg.model.network import Network

SIZE = 32


def batch(size=SIZE):
    return labeled_batch(size), unlabeled_batch(size), at()


def gradients(method, *terms):
    torch.stack(terms).sum().backward()
    return {name: p.grad.clone() for name, p in method.student.named_parameters()}


def equal(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.parametrize("box", ["half", "small"])
@pytest.mark.parametrize("source", ["student", "teacher"])
def test_the_loss_by_hand(source, box):
    """Cross-entropy at confident pixels, over all valid ones; labels move with their boxes."""
    method = build("fixmatch", labels_from=source, box=box, confidence_threshold=0.5)
    student, teacher = Spy(method.student), Spy(method.teacher.network)
    labeled, unlabeled, step = batch()
    losses = run(method, labeled, unlabeled, step)
    outputs = [output.logits for output in student.outputs]
    if source == "student":
        assert torch.equal(student.inputs[0], torch.cat([labeled.image, unlabeled.weak]))
        weak, strong = outputs[0][2:], outputs[1]
        assert not teacher.inputs
    else:
        assert torch.equal(student.inputs[0][:2], labeled.image)
        weak, strong = teacher.outputs[0].logits, outputs[0][2:]
        assert len(outputs) == 1
    draw = draw_boxes if box == "half" else draw_small_boxes
    partners, boxes = draws(step, 2, SIZE, draw=draw)
    assert boxes.any()
    expected, taught, pixels = view_loss(weak, strong, unlabeled.valid, 0.5, partners, boxes)
    assert 0 < taught < pixels
    assert losses.terms["unsupervised"].item() == pytest.approx(expected, rel=1e-4)
    assert losses.diagnostics["used"].item() == pytest.approx(taught / pixels)


def test_with_the_labels_of_the_teacher_it_is_cutmix():
    """Bit by bit: the losses, the share of taught pixels and the gradients."""
    ours = build("fixmatch", labels_from="teacher", confidence_threshold=0.5)
    theirs = build("cutmix", confidence_threshold=0.5)
    results = [run(method, *batch()) for method in (ours, theirs)]
    assert equal(results[0].terms, results[1].terms)
    assert equal(results[0].diagnostics, results[1].diagnostics)
    assert equal(
        *(gradients(m, *r.terms.values()) for m, r in zip((ours, theirs), results, strict=True))
    )


@pytest.mark.parametrize("source", ["student", "teacher"])
def test_at_the_threshold_one_the_losses_are_those_of_supervised(source):
    """The loss on unlabeled images is exactly 0 and changes no bit of a gradient."""
    method = build("fixmatch", labels_from=source, confidence_threshold=1.0)
    losses = run(method, *batch())
    assert losses.terms["unsupervised"] == 0
    assert losses.diagnostics["used"] == 0
    both = gradients(method, *losses.terms.values())
    alone = build("fixmatch", labels_from=source, confidence_threshold=1.0)
    assert equal(both, gradients(alone, run(alone, *batch()).terms["supervised"]))
    # Unlabeled images still take part in the batch norms. Without these it is `supervised`.
    results = []
    for name in ("fixmatch", "supervised"):
        settings = {"labels_from": source, "confidence_threshold": 1.0}
        frozen = build(name, **(settings if name == "fixmatch" else {})).double()
        frozen.student.eval()
        labeled, unlabeled, step = batch()
        labeled = labeled._replace(image=labeled.image.double())
        unlabeled = unlabeled._replace(
            weak=unlabeled.weak.double(), strong=unlabeled.strong.double()
        )
        terms = run(frozen, labeled, unlabeled, step).terms
        results.append((terms["supervised"], gradients(frozen, *terms.values())))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-12)


def test_labels_of_the_student_have_no_gradient():
    method = build("fixmatch", confidence_threshold=0.5)
    student = Spy(method.student)
    terms = run(method, *batch()).terms
    first, second = (output.logits for output in student.outputs)
    assert terms["unsupervised"] > 0
    graph = {"allow_unused": True, "retain_graph": True}
    assert torch.autograd.grad(terms["unsupervised"], first, **graph)[0] is None
    assert torch.autograd.grad(terms["unsupervised"], second, **graph)[0].any()
    assert not torch.autograd.grad(terms["supervised"], first, **graph)[0][2:].any()


def test_labels_for_the_diagnostics_leave_the_student_in_its_mode():
    method = build("fixmatch")
    unlabeled, before = unlabeled_batch(SIZE), snapshot(method)
    labels = method.pseudo_labels(unlabeled.weak, unlabeled.valid, at())
    assert method.student.training
    assert not labels.final.requires_grad
    assert equal(before, method.state_dict())
    alone = method.pseudo_labels(unlabeled.weak[:1], unlabeled.valid[:1], at())
    torch.testing.assert_close(alone.confidence, labels.confidence[:1])


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("fixmatch", {"supervised": 0.5, "unsupervised": 0.5}),
        ("unimatch", {"supervised": 0.5, "unsupervised": 0.25, "feature_dropout": 0.25}),
        ("unimatch-v2", {"supervised": 0.5, "unsupervised": 0.5}),
    ],
)
def test_the_presets_weigh_as_the_papers_do(name, factors):
    """`(L_x + L_u) / 2`; for UniMatch `(L_x + L_1 / 4 + L_2 / 4 + L_f / 2) / 2`."""
    settings = {"confidence_threshold": 0.4}
    ones = dict.fromkeys(("supervised_weight", "unsupervised_weight"), 1.0)
    if name == "unimatch":
        ones["feature_weight"] = 1.0
    preset = run(build(f"{name}-paper", **settings), *batch()).terms
    plain = run(build(f"{name}-paper", **settings, **ones), *batch()).terms
    assert plain.keys() == factors.keys()
    for term, factor in factors.items():
        assert plain[term] > 0
        assert preset[term].item() == pytest.approx(factor * plain[term].item())


def test_a_single_class_teaches_nothing_new():
    method = build_method("fixmatch", Network(1, "lcnet_035", weights="none")).train()
    labeled, unlabeled, step = batch()
    labeled = labeled._replace(mask=labeled.mask.clamp(max=0))
    losses = run(method, labeled, unlabeled, step)
    assert losses.diagnostics["used"] == 1
    assert losses.terms["unsupervised"] == 0
    torch.stack(list(losses.terms.values())).sum().backward()
