"""`css-stored` by hand: the loss on stored labels, the contrast of the student, the prototypes."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_methods import (
    CLASSES,
    Spy,
    at,
    build,
    labeled_batch,
    learn,
    run,
    same,
    snapshot,
    unlabeled_batch,
    values,
)

from semiseg.config.methods import default_settings
from semiseg.core.types import IGNORE_INDEX
from semiseg.losses.contrastive import draw_pixels
from semiseg.methods.css_stored import CssStored
from semiseg.methods.mixed_views import cut_mix
from semiseg.model.network import upsample
from semiseg.model.prototypes import shrink_labels

DIM = 8
SHARES = (0.5, 0.3, 0.2)  # of the classes in the labeled pixels
# So that some pixels of random confidences pass each threshold, and others do not.
EASY = {
    **{"confidence_threshold": 0.6, "valid_threshold": 0.4, "hard_threshold": 0.9},
    **{"representation_dim": DIM, "anchors": 16, "negatives": 12, "contrast_weight": 0.3},
}


def test_stored_labels_exist_at_the_first_step() -> None:
    """So no step of a later stage leaves the unlabeled images out, unlike those of `css`."""
    assert default_settings("css-stored").supervised_warmup == 0
    assert default_settings("css").supervised_warmup > 0


def stored(**settings: object) -> CssStored:
    """The method with prototypes of all classes and known shares of these."""
    method: CssStored = build("css-stored", **{**EASY, **settings})
    generator = torch.Generator().manual_seed(5)
    method.prototypes.copy_(torch.randn(CLASSES, DIM, generator=generator))
    method.seen.fill_(True)
    method.class_shares = torch.tensor(SHARES)
    return method


def cosine(first: list[float], second: list[float]) -> float:
    dot = sum(a * b for a, b in zip(first, second, strict=True))
    return dot / math.sqrt(sum(a * a for a in first) * sum(b * b for b in second))


def cross_entropies(logits: torch.Tensor, label: torch.Tensor) -> list[float]:
    """The cross-entropy of each pixel with a label, in loops and double precision."""
    rows = logits.double().permute(0, 2, 3, 1).reshape(-1, logits.shape[1]).tolist()
    return [
        math.log(sum(map(math.exp, row))) - row[target]
        for row, target in zip(rows, label.flatten().tolist(), strict=True)
        if target != IGNORE_INDEX
    ]


def test_the_losses_and_the_prototypes_by_hand() -> None:
    method = stored(class_balance="none", unsupervised_weight=2.0)
    student, before = Spy(method.student), method.prototypes.double().tolist()
    labeled, unlabeled, step = labeled_batch(32), unlabeled_batch(32), at()
    losses = run(method, labeled, unlabeled, step)
    # Stored maps are mixed as the images are.
    views, (label, confidence, valid) = cut_mix(
        step,
        unlabeled.strong_inputs,
        unlabeled.label.masked_fill(~unlabeled.valid, IGNORE_INDEX),
        unlabeled.confidence,
        unlabeled.valid,
    )
    assert torch.equal(student.inputs[0], torch.cat([labeled.image, views.image]))
    (output,) = student.outputs
    own, other = (
        upsample(part, (32, 32), (32, 32)) for part in output.logits.detach().double().split(2)
    )
    supervised = cross_entropies(own, labeled.mask)
    expected = sum(supervised) / len(supervised)
    assert losses.terms["supervised"].item() == pytest.approx(expected, rel=1e-5)
    kept = label.masked_fill(confidence < 0.6, IGNORE_INDEX)
    expected = 2 * sum(cross_entropies(other, kept)) / int(valid.sum())
    assert losses.terms["unsupervised"].item() == pytest.approx(expected, rel=1e-5)
    share = int((kept != IGNORE_INDEX).sum()) / int(valid.sum())
    assert losses.diagnostics["used"].item() == pytest.approx(share)
    share = int((label != IGNORE_INDEX).sum()) / int(valid.sum())
    assert losses.diagnostics["agree"].item() == pytest.approx(share)
    # Representation space: all pixels of labeled images, and those above the lower threshold.
    trusted = label.masked_fill(confidence < 0.4, IGNORE_INDEX)
    coarse = torch.cat([shrink_labels(m, 8, 8) for m in (labeled.mask, trusted)]).flatten()
    targets = coarse.tolist()
    pixels = output.representation.detach().double().permute(0, 2, 3, 1).reshape(-1, DIM).tolist()
    after = []
    for c in range(CLASSES):
        rows = [p for p, target in zip(pixels, targets, strict=True) if target == c]
        mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        after.append([0.99 * old + 0.01 * new for old, new in zip(before[c], mean, strict=True)])
    torch.testing.assert_close(losses.state["prototypes"], torch.tensor(after))
    # Hard: the softmax of cosines / 0.1 plus the logarithms of the shares is below the threshold.
    indicators = []
    for pixel, target in zip(pixels, targets, strict=True):
        if target == IGNORE_INDEX:
            indicators.append(0.0)
            continue
        scores = [SHARES[c] * math.exp(cosine(pixel, before[c]) / 0.1) for c in range(CLASSES)]
        indicators.append(scores[target] / sum(scores))
    hard = torch.tensor([i < 0.9 for i in indicators]) & (coarse != IGNORE_INDEX)
    count = int((coarse != IGNORE_INDEX).sum())
    assert 0 < int(hard.sum()) < count
    assert losses.diagnostics["hard"].item() == pytest.approx(int(hard.sum()) / count)
    generator = step.key.child("contrast").torch()
    draw = draw_pixels(coarse, hard, losses.state["prototypes"], 0.5, 16, 12, generator)
    total = 0.0
    for i, c in enumerate(draw.classes.tolist()):
        negatives = [pixels[n] for n in draw.negatives[i].tolist()]
        for anchor in draw.anchors[i].tolist():
            positive = math.exp(cosine(pixels[anchor], after[c]) / 0.5)
            others = sum(math.exp(cosine(pixels[anchor], n) / 0.5) for n in negatives)
            total -= math.log(positive / (positive + others)) / 16 * bool(draw.hard[i])
    expected = 0.3 * total / len(draw.classes)
    assert losses.terms["contrastive"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("balance", ["labels", "none"])
def test_without_contrast_it_learns_what_st_learns(balance: str) -> None:
    """Bit by bit: the losses, the gradients and the counts of the labels."""
    own = {"class_balance": balance, "confidence_threshold": 0.6}
    method, st = stored(contrast_weight=0.0, **own), build("st", restart=False, **own)
    st.class_shares = torch.tensor(SHARES)
    common = st.student.state_dict().keys()
    state = method.student.state_dict()
    st.student.load_state_dict({key: state[key] for key in common})
    for number in (50, 51):
        batches = labeled_batch(), unlabeled_batch(seed=number), at(number)
        ours, theirs = (learn(one, *batches) for one in (method, st))
        assert ours.terms["contrastive"] == 0
        assert ours.terms["unsupervised"] > 0
        for term in ("supervised", "unsupervised"):
            assert torch.equal(ours.terms[term], theirs.terms[term])
    parameters = dict(method.student.named_parameters())
    for name, parameter in st.student.named_parameters():
        assert torch.equal(parameters[name].grad, parameter.grad), name
    if balance == "labels":
        assert torch.equal(method.label_counts, st.label_counts)


def test_the_first_stage_learns_masks_and_representations() -> None:
    """It gets no unlabeled images; the same holds during a warm-up."""
    method = stored()
    losses = run(method, labeled_batch(), None, at(59))
    assert losses.terms.keys() == {"supervised", "contrastive"}
    supervised, state = build("supervised"), build("css-stored", **EASY).student.state_dict()
    common = supervised.student.state_dict().keys()
    supervised.student.load_state_dict({key: state[key] for key in common})
    alone = run(supervised, labeled_batch(), None, at(59))
    torch.testing.assert_close(losses.terms["supervised"], alone.terms["supervised"])
    assert losses.terms["contrastive"] > 0
    assert not torch.equal(losses.state["prototypes"], method.prototypes)
    assert "label_counts" not in losses.state
    warm = stored(supervised_warmup=0.6)
    spoiled = unlabeled_batch()
    spoiled.strong.fill_(torch.nan)
    early = run(warm, labeled_batch(), spoiled, at(59))
    assert values(early.terms) == values(losses.terms)
    assert "unsupervised" in run(warm, labeled_batch(), unlabeled_batch(), at(60)).terms


def test_the_first_batch_gives_the_classes_their_prototypes() -> None:
    method = build("css-stored", **EASY)
    assert not method.seen.any()
    learn(method, labeled_batch(), None, at())
    assert method.seen.all()
    assert method.prototypes.isfinite().all()


def test_pixels_on_which_the_spaces_disagreed_have_no_say() -> None:
    """Whatever their confidence: they are no label, and enter neither contrast nor prototypes."""
    unlabeled = unlabeled_batch()
    changed = unlabeled.confidence.clone()
    withdrawn = unlabeled.label == IGNORE_INDEX
    assert withdrawn.any()
    changed[withdrawn] = 1 - changed[withdrawn]
    results = []
    for confidence in (unlabeled.confidence, changed):
        method = stored()
        losses = learn(method, labeled_batch(), unlabeled._replace(confidence=confidence), at())
        results.append((values(losses.terms), snapshot(method)))
    assert results[0][0] == results[1][0]
    assert same(results[0][1], results[1][1])


def test_labels_of_low_confidence_leave_the_masks_alone() -> None:
    unlabeled = unlabeled_batch()._replace(confidence=torch.full((2, 64, 64), 0.3))
    method = stored()
    losses = run(method, labeled_batch(), unlabeled, at())
    assert losses.terms["unsupervised"] == 0
    assert losses.diagnostics["used"] == 0
    between = stored(confidence_threshold=0.2)  # now they are learned, and still not contrasted
    again = run(between, labeled_batch(), unlabeled, at())
    assert again.terms["unsupervised"] > 0
    assert torch.equal(again.state["prototypes"], losses.state["prototypes"])
    assert torch.equal(again.terms["contrastive"], losses.terms["contrastive"])


def test_no_network_but_the_student_runs_in_a_step() -> None:
    method = stored()
    teacher = Spy(method.teacher.network)
    learn(method, labeled_batch(), unlabeled_batch(), at())
    assert not teacher.outputs
    assert method.pseudo_labels(unlabeled_batch().weak, unlabeled_batch().valid, at()) is None


def test_images_without_stored_labels_are_refused() -> None:
    with pytest.raises(TypeError, match="no stored labels"):
        run(stored(), labeled_batch(), unlabeled_batch()._replace(label=None), at())


def test_a_model_is_released_with_its_prototypes_and_prior() -> None:
    method = stored()
    tensors = method.released_tensors(0.5)
    assert tensors.keys() == {"prototypes", "seen", "similarity_prior"}
    expected = 0.1 * torch.tensor(SHARES).log()
    torch.testing.assert_close(tensors["similarity_prior"], expected)
