"""`dry_run`: what a training would cost, measured with one small step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from torch.utils.data import DataLoader

from semiseg.commands.train import arguments, configuration
from semiseg.config.methods import default_settings
from semiseg.config.plan import check
from semiseg.config.train import TrainConfig
from semiseg.core.errors import HubError
from semiseg.core.types import Batch
from semiseg.methods.semi_supervised import SemiSupervised
from semiseg.training import session
from semiseg.training.failures import unbegun
from semiseg.training.parts import build, settle_place
from semiseg.training.rehearsal import STEPS, Rehearsal, rehearse
from semiseg.training.train import settings_of


def dry_run(data: Path | str | TrainConfig, **settings: object) -> Rehearsal:
    """Build what `train` would build, take one step of 2 + 2 images at half crop, and extrapolate.

    Nothing is written. If the weights of the encoder cannot be downloaded, they are random.

    Args:
        data: the data folder, or a configuration with all settings.
        settings: as for `train`.

    Returns:
        The parameters, operations, memory and time.

    Raises:
        SemisegError: as `train`.
    """
    config = configuration(data, settings)
    s, options = settings_of(config.data.data, arguments(config))
    world = s.devices * s.num_nodes
    s.devices = s.num_nodes = 1
    place = settle_place(s, options)
    check(vars(s), world)
    meant = place._replace(world=world)
    with unbegun():
        try:
            parts = build(s, options, meant, resume=False)
        except HubError as error:
            session.say([f"{error} The dry run goes on with random weights."])
            s.weights = "none"
            parts = build(s, options, meant, resume=False)
    method = parts.module.method
    if isinstance(method, SemiSupervised):
        # The steps of the warm-up are smaller than the others.
        method.settings = replace(method.settings, supervised_warmup=0.0)

    def loader(crop: int) -> DataLoader[Batch]:
        small = {"batch": 2, "steps": STEPS, "accumulate": 1, "crop": crop, "workers": 0}
        classes = parts.folder.classes
        return session.training_loader(
            parts.split,
            classes,
            SimpleNamespace(**{**vars(s), **small}),
            place,
            0,
            parts.focus,
        )

    both = default_settings(s.method).uses_unlabeled and bool(parts.split.unlabeled)
    with unbegun():
        return rehearse(parts.module, loader, s, place.kind, world, both)
