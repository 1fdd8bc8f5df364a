"""Methods around a tiny network, and batches for them, for the tests of all methods."""

import dataclasses
import functools
import io

import torch
import torch.nn.functional as F

from semiseg.config.methods import (
    METHODS,
    MethodSettings,
    PrototypicalSettings,
    TwoSpacesSettings,
    default_settings,
)
from semiseg.core.rng import Key
from semiseg.core.types import Inputs, Labeled, Step, Unlabeled
from semiseg.methods import build_method
from semiseg.model.network import Network

CLASSES = 3


def one_of_each():
    """One name for each implementation; presets run the same code with other values.

    It is the name with the default values of its settings, if there is one.
    """
    names = {}
    for name in sorted(METHODS, key=lambda name: METHODS[name] != type(METHODS[name])()):
        names.setdefault(METHODS[name].implementation, name)
    return sorted(names.values(), key=list(METHODS).index)


SMALL: dict[type[MethodSettings], dict[str, object]] = {
    PrototypicalSettings: {"representation_dim": 8},
    TwoSpacesSettings: {"anchors": 16, "negatives": 16},
}
"""Settings that make a method cheap, by the class that has them. They hold for its presets, too."""


def small(name):
    """The settings with which a method costs little, whatever its preset says."""
    kinds = reversed(type(METHODS[name]).__mro__)
    return {setting: value for kind in kinds for setting, value in SMALL.get(kind, {}).items()}


def at(number=50, total=100, key=0):
    return Step(number, total, Key.of(key, number))


def labeled_batch(size=64, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.randint(CLASSES, (batch, 8, 8), generator=generator)
    mask = F.interpolate(mask.unsqueeze(1).float(), size=(size, size)).squeeze(1).long()
    mask[:, : size // 8] = 255
    return Labeled(torch.rand(batch, 3, size, size, generator=generator), mask)


def unlabeled_batch(size=64, batch=2, seed=1):
    """With two strong views; a method that learns from one takes the first."""
    generator = torch.Generator().manual_seed(seed)
    weak = torch.rand(batch, 3, size // 8, size // 8, generator=generator)
    weak = F.interpolate(weak, size=(size, size), mode="bilinear")
    weak = weak * torch.linspace(0.2, 1, batch).view(-1, 1, 1, 1)
    strong = (weak + 0.1 * torch.rand(batch, 3, size, size, generator=generator)).clamp(max=1)
    valid = torch.ones(batch, size, size, dtype=torch.bool)
    valid[0, :, : size // 4] = False
    label = torch.randint(CLASSES, (batch, 1, 8, 8), generator=generator)
    label = F.interpolate(label.float(), size=(size, size)).squeeze(1).long()
    label[:, size // 2 :] = 255  # the two spaces of who stored it disagree
    confidence = torch.rand(batch, size, size, generator=generator)
    more = (0.9 * weak + 0.1 * torch.rand(batch, 3, size, size, generator=generator)).clamp(max=1)
    return Unlabeled(
        weak, strong, valid, label=label, confidence=confidence, more_strong=(Inputs(more),)
    )


def build(name, **settings):
    """A method whose networks answer each pixel differently, as trained ones do."""
    key = (name, *sorted(settings.items()))
    if key in _ASKED:
        method = torch.load(io.BytesIO(_pickled(name, **settings)), weights_only=False)
    else:  # most settings are those of one test, for which pickling would be in vain
        _ASKED.add(key)
        method = _built(name, **settings)
    torch.manual_seed(0)
    return method


_ASKED = set()


@functools.lru_cache(maxsize=32)
def _pickled(name, **settings):
    """The method, pickled: that is read back three times as fast as it is copied."""
    return _bytes(_built(name, **settings))


def _bytes(module):
    file = io.BytesIO()
    torch.save(module, file)
    return file.getvalue()


@functools.cache
def _network():
    """A network, pickled, and the state of the random numbers after its weights."""
    torch.manual_seed(0)
    return _bytes(Network(CLASSES, "lcnet_035", weights="none")), torch.get_rng_state()


def _built(name, **settings):
    content, random_state = _network()
    network = torch.load(io.BytesIO(content), weights_only=False)
    torch.set_rng_state(random_state)
    own = dataclasses.replace(default_settings(name), **settings)
    method = build_method(name, network, own).train()
    students = torch.nn.ModuleList(method.students())
    norms = [m for m in students.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # all statistics are those of the one forward below
    with torch.no_grad():
        for student in method.students():
            output = student(unlabeled_batch(batch=8, seed=9).weak)
            student.logit_head.weight.mul_(2 / output.logits.std())
    for norm in norms:
        norm.momentum = 0.1
    method.after_step(0, 100)
    return method


def run(method, labeled, unlabeled, step):
    """`compute`, with dropout drawn from the step's key as in training."""
    step.key.seed_globals()
    return method.compute(labeled, unlabeled, step)


def learn(method, labeled, unlabeled, step):
    """A whole step but for the optimizer's: a backward pass, the state, the teacher."""
    losses = run(method, labeled, unlabeled, step)
    torch.stack(list(losses.terms.values())).sum().backward()
    method.commit(losses)
    method.after_step(step.number, step.total)
    return losses


def values(scalars):
    return {name: value.item() for name, value in scalars.items()}


def snapshot(method):
    return {name: value.clone() for name, value in method.state_dict().items()}


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


class Spy:
    """Keeps the inputs and the outputs of a network."""

    def __init__(self, network):
        self.inputs, self.outputs = [], []
        network.register_forward_hook(self)

    def __call__(self, _module, inputs, output):
        self.inputs.append(inputs[0])
        self.outputs.append(output)
