"""The methods by name; a new one is a file of its own and a name in `METHODS`."""

from __future__ import annotations

from semiseg.core.errors import ConfigError, nearest
from semiseg.methods.base import Method
from semiseg.methods.css import CSS
from semiseg.methods.cutmix import CutMix
from semiseg.methods.mean_teacher import MeanTeacher
from semiseg.methods.presets import preset
from semiseg.methods.supervised import Supervised

_ALL: tuple[type[Method], ...] = (
    Supervised,
    MeanTeacher,
    CutMix,
    # The "Baseline" of Tab. 1: CSS without the second judge.
    preset(
        "contrastive",
        CSS,
        collaboration="logit",
        indicator="confidence",
        class_prior="uniform",
        class_balance="none",
    ),
    CSS,
    # What the paper says; where it is silent, the program's value if it can work. It has one
    # temperature for Eq. 5 and 9, and at the program's 0.5 that of Eq. 5 would be dead.
    preset(
        "css-paper",
        CSS,
        confidence_threshold=0.97,
        contrast_weight=1.0,
        indicator_temperature=0.1,
        temperature=0.1,
        unsupervised_mean="kept",
        class_prior="uniform",
        class_balance="none",
        representation_dim=256,
    ),
    # What the authors' program does. Its teacher remembers 100 of 40,000 steps.
    preset(
        "css-program",
        CSS,
        confidence_threshold=0.97,
        contrast_weight=1.0,
        indicator_temperature=0.5,
        valid_indicator="confidence",
        contrast_schedule="ramp_down",
        unsupervised_mean="program",
        prototypes_from="student",
        unseen_prototypes="zeros",
        class_prior="uniform",
        class_balance="none",
        representation_dim=256,
        teacher_memory=0.0025,
        supervised_warmup=0.0,
    ),
)
METHODS: dict[str, type[Method]] = {method.name: method for method in _ALL}


def method_class(name: str) -> type[Method]:
    """The method of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in METHODS:
        raise ConfigError(f"There is no method '{name}'. {nearest(name, METHODS)}")
    return METHODS[name]
