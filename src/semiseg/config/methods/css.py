"""The settings of `css` and of its presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from semiseg.config.methods.two_spaces import ClassBalance, TwoSpacesSettings
from semiseg.config.settings import Share

Collaboration: TypeAlias = Literal["mix", "cross", "logit", "representation"]
Indicator: TypeAlias = Literal["own", "confidence", "similarity"]
ValidIndicator: TypeAlias = Literal["same", "confidence", "similarity"]
Schedule: TypeAlias = Literal["constant", "ramp_down", "ramp_up"]
UnsupervisedMean: TypeAlias = Literal["all", "kept", "program"]
PrototypeSource: TypeAlias = Literal["teacher", "student"]


@dataclass(frozen=True, kw_only=True)
class CssSettings(TwoSpacesSettings):
    """The settings of `css`. Equation numbers are those of the paper; see `docs/css.md`."""

    implementation: ClassVar[str] = "semiseg.methods.css:CSS"

    collaboration: Collaboration = "mix"
    """How the labels of the two spaces become one (Sec. 3.3): `mix` keeps the labels on which both
    agree, `cross` lets each space label for the other, `logit` and `representation` use one space
    only."""
    indicator: Indicator = "own"
    """The measure of trust in a label (Tab. 7). `own`: for pseudo-labels, the indicator of the
    space that the label comes from, and the similarity in the contrastive loss. `confidence` or
    `similarity`: this one in both."""
    valid_indicator: ValidIndicator = "same"
    """The indicator that `valid_threshold` is compared with: the `same` as for `hard_threshold`, or
    always the `similarity` or the `confidence`."""
    contrast_schedule: Schedule = "constant"
    """How that weight changes at the share `t` of the steps: it is `constant`, falls (`ramp_down`,
    times `exp(-5 t^2)`) or rises (`ramp_up`, times `exp(-5 (1-t)^2)`)."""
    unsupervised_mean: UnsupervisedMean = "all"
    """The pixels over which the loss on unlabeled images is averaged: `all` that show image, those
    that are `kept`, or as in the authors' `program`; see `losses.pseudo.share_weighted_loss`."""
    prototypes_from: PrototypeSource = "teacher"
    """The representations that the prototypes are means of: the `teacher`'s of the weak view, or
    the `student`'s of the mixed strong view."""
    class_balance: ClassBalance = "labels"
    """`labels` weighs pseudo-labeled pixels so that each class counts about as much as in the loss
    on labeled images; see `losses.pseudo.balanced_weights`. `none` uses the class weights only. It
    has no effect with the mean of the `program`, which has no class weights."""
    cross_after: Share = 0.2
    """With `cross`: the share of the steps before which the label of the logit space is used."""
