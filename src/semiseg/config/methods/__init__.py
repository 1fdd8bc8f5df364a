"""The methods by name, each with its default settings. A new method adds one line to `METHODS`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from semiseg.config.methods.augseg import AugSegSettings
from semiseg.config.methods.auto import (
    DEFAULT_METHOD,
    FALLBACK_METHOD,
    ONLINE_METHOD,
    AutoSettings,
)
from semiseg.config.methods.base import (
    MethodSettings,
    PrototypicalSettings,
    SecondNetwork,
    SemiSupervisedSettings,
    UnlabeledSettings,
)
from semiseg.config.methods.cct import CctSettings
from semiseg.config.methods.cps import CpsSettings
from semiseg.config.methods.css import CssSettings
from semiseg.config.methods.css_stored import CssStoredSettings
from semiseg.config.methods.cutmix import CutMixSettings
from semiseg.config.methods.distill import DistillSettings
from semiseg.config.methods.fixmatch import FixMatchPaperSettings, FixMatchSettings
from semiseg.config.methods.mean_teacher import MeanTeacherSettings
from semiseg.config.methods.pcr import PcrSettings
from semiseg.config.methods.prcl import PrclSettings
from semiseg.config.methods.ps_mt import PsMtPaperSettings, PsMtSettings
from semiseg.config.methods.reco import RecoSettings
from semiseg.config.methods.st import (
    StPaperSettings,
    StPlusPlusPaperSettings,
    StPlusPlusSettings,
    StSettings,
)
from semiseg.config.methods.stored_labels import StagedSettings, StoredLabelSettings
from semiseg.config.methods.supervised import SupervisedSettings
from semiseg.config.methods.two_spaces import TwoSpacesSettings
from semiseg.config.methods.u2pl import U2plSettings
from semiseg.config.methods.unimatch import UniMatchPaperSettings, UniMatchSettings
from semiseg.config.methods.unimatch_v2 import UniMatchV2PaperSettings, UniMatchV2Settings
from semiseg.config.settings import AUTO
from semiseg.core.errors import ConfigError, nearest

__all__ = [
    "DEFAULT_METHOD",
    "FALLBACK_METHOD",
    "METHODS",
    "ONLINE_METHOD",
    "AugSegSettings",
    "AutoSettings",
    "CctSettings",
    "CpsSettings",
    "CssSettings",
    "CssStoredSettings",
    "CutMixSettings",
    "DistillSettings",
    "FixMatchSettings",
    "MeanTeacherSettings",
    "MethodSettings",
    "PcrSettings",
    "PrclSettings",
    "PrototypicalSettings",
    "PsMtSettings",
    "RecoSettings",
    "SecondNetwork",
    "SemiSupervisedSettings",
    "StPlusPlusSettings",
    "StSettings",
    "StagedSettings",
    "StoredLabelSettings",
    "SupervisedSettings",
    "TwoSpacesSettings",
    "U2plSettings",
    "UniMatchSettings",
    "UniMatchV2Settings",
    "UnlabeledSettings",
    "default_settings",
    "method_hint",
]

METHODS: dict[str, MethodSettings] = {
    "supervised": SupervisedSettings(),
    "mean_teacher": MeanTeacherSettings(),
    "cutmix": CutMixSettings(),
    "fixmatch": FixMatchSettings(),
    # The whole loss of the papers of this family has the factor 1/2.
    "fixmatch-paper": FixMatchPaperSettings(
        box="small", supervised_weight=0.5, unsupervised_weight=0.5, supervised_warmup=0.0
    ),
    "unimatch": UniMatchSettings(),
    "unimatch-paper": UniMatchPaperSettings(
        box="small",
        supervised_weight=0.5,
        unsupervised_weight=0.25,
        feature_weight=0.25,
        supervised_warmup=0.0,
    ),
    "unimatch-v2": UniMatchV2Settings(),
    # The decay 0.996 remembers 250 steps, of about 40,000 on Pascal VOC.
    "unimatch-v2-paper": UniMatchV2PaperSettings(
        box="small",
        supervised_weight=0.5,
        unsupervised_weight=0.5,
        teacher_memory=0.00625,
        supervised_warmup=0.0,
    ),
    "augseg": AugSegSettings(),
    # The program's values on VOC with 92 masks. Its teacher remembers 1,000 of 52,400 steps, and is
    # a copy of the student in the first of 80 epochs.
    "augseg-paper": AugSegSettings(
        teacher_memory=0.019, supervised_warmup=0.0, average_after=0.0125
    ),
    "cps": CpsSettings(),
    # The values for VOC with CutMix. The program changes no colors, and has no warm-up.
    "cps-paper": CpsSettings(learned_view="weak", supervised_warmup=0.0),
    "cct": CctSettings(),
    # The 30 decoders of the program for VOC, whose first class is the background.
    "cct-paper": CctSettings(
        noise_decoders=6,
        drop_decoders=6,
        dropout_decoders=6,
        cutout_decoders=6,
        context_decoders=2,
        object_decoders=2,
        adversarial_decoders=2,
        background="first",
        auxiliary_decoder="shuffle",
        supervised_warmup=0.0,
    ),
    "ps-mt": PsMtSettings(),
    # The program's values on VOC. Its teachers change after each of 80 epochs and remember 250 of
    # about 26,000 steps; its supervised epochs are a few steps long.
    "ps-mt-paper": PsMtPaperSettings(
        switch_every=0.0125,
        unsupervised_weight=1.5,
        teacher_memory=0.0095,
        supervised_warmup=0.001,
    ),
    "st": StSettings(),
    # The published views, Cutout and plain mean; the published schedule has no CutMix.
    "st-paper": StPaperSettings(
        label_scales=(0.5, 0.75, 1.0, 1.5, 2.0), cutout=True, mix=False, class_balance="none"
    ),
    "st-plus-plus": StPlusPlusSettings(),
    "st-plus-plus-paper": StPlusPlusPaperSettings(
        label_scales=(0.5, 0.75, 1.0, 1.5, 2.0), cutout=True, mix=False, class_balance="none"
    ),
    "distill": DistillSettings(),
    # The "Baseline" of Tab. 1: CSS without the collaboration of the two spaces.
    "contrastive": CssSettings(
        collaboration="logit",
        indicator="confidence",
        class_prior="uniform",
        class_balance="none",
    ),
    "reco": RecoSettings(),
    # The program's values, on VOC. Its teacher remembers 100 of 40,000 steps.
    "reco-paper": RecoSettings(
        confidence_threshold=0.97,
        contrast_weight=1.0,
        anchors=256,
        negatives=512,
        representation_dim=256,
        teacher_memory=0.0025,
        supervised_warmup=0.0,
    ),
    "prcl": PrclSettings(),
    # The program's values, on VOC with 662 masks: its teacher remembers 100 of 16,800 steps.
    "prcl-paper": PrclSettings(
        confidence_threshold=0.97,
        contrast_weight=1.0,
        temperature=100.0,
        reduction="mean",
        prototype_precision="sum",
        min_variance=1e-6,
        anchors=256,
        negatives=512,
        representation_dim=256,
        teacher_memory=0.006,
        supervised_warmup=0.0,
    ),
    "u2pl": U2plSettings(),
    # The paper's values, on VOC. Its teacher remembers 100 of 49,600 steps, and the first of 80
    # epochs is supervised.
    "u2pl-paper": U2plSettings(
        mix_probability=0.5,
        bank_size=30_000,
        anchors=256,
        representation_dim=256,
        teacher_memory=0.002,
        supervised_warmup=0.0125,
    ),
    "pcr": PcrSettings(),
    # The values on VOC of the published configuration: one of 80 epochs uses labeled images only,
    # and the teacher remembers 100 of about 50,000 steps.
    "pcr-paper": PcrSettings(
        prototypes_per_class=4, grid=32, teacher_memory=0.002, supervised_warmup=0.0125
    ),
    "css": CssSettings(),
    # What the paper says; where it is silent, the program's value if that can work. The paper has
    # one temperature for Eq. 5 and 9; with the program's 0.5, the indicator of Eq. 5 would be dead.
    "css-paper": CssSettings(
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
    "css-program": CssSettings(
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
    "css-stored": CssStoredSettings(),
}


def default_settings(method: str) -> MethodSettings:
    """The default settings of a method.

    Raises:
        ConfigError: there is no such method.
    """
    if method not in METHODS:
        raise ConfigError(f"There is no method '{method}'. {nearest(method, METHODS)}")
    return METHODS[method]


def method_of_auto(names: Iterable[str]) -> str:
    """The method that settings without a method mean.

    Args:
        names: the settings; those that all methods share do not count.

    Returns:
        The first of the methods of `auto` that has all of them, `DEFAULT_METHOD` if none has.
    """
    given = set(names) & {f.name for other in METHODS.values() for f in dataclasses.fields(other)}
    fitting = (
        method
        for method in (DEFAULT_METHOD, ONLINE_METHOD)
        if given <= {f.name for f in dataclasses.fields(METHODS[method])}
    )
    return next(fitting, DEFAULT_METHOD)


def method_hint(name: str, method: str, known: Iterable[str]) -> str:
    """What to do about a setting that a method does not have, as a sentence.

    Args:
        name: the unknown setting.
        method: the method of the training, or `auto`.
        known: the settings that would be allowed.
    """
    owners = [m for m, s in METHODS.items() if name in {f.name for f in dataclasses.fields(s)}]
    if owners:
        listed = " or ".join(filter(None, (", ".join(owners[:-1]), owners[-1])))
        if method == AUTO:
            choices = f"{DEFAULT_METHOD}, {ONLINE_METHOD} or {FALLBACK_METHOD}"
            method = f"{choices}, unless you name a method"
        return f"It belongs to --method {listed}; this training uses {method}."
    return nearest(name, known)
