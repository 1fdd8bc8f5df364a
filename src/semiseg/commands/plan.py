"""`plan`: what a training would be, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from semiseg.training.train import settings_of

if TYPE_CHECKING:
    from semiseg.core.types import Plan


def plan(data: Path, **settings: Any) -> Plan:  # noqa: ANN401 - as `train` has them
    """What `train` would do with a data folder, each setting with its reason; nothing is trained.

    Args:
        data: the data folder.
        settings: as for `train`. With a `budget` a few steps are measured.

    Returns:
        The settings, what will hardly help, and the expected time where it was measured.

    Raises:
        SemisegError: as `train`.
    """
    from semiseg.training.failures import unbegun
    from semiseg.training.parts import settle_place
    from semiseg.training.planning import prepare

    s, options = settings_of(data, settings)
    place = settle_place(s, options)
    with unbegun():
        return prepare(s, options, place, resume=False).plan
