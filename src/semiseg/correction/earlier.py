"""What is missing or was lost before `correct` begins: the data of the run, and an earlier loop."""

from __future__ import annotations

import logging
from pathlib import Path

from semiseg.config.command_line import shorten
from semiseg.core import shell
from semiseg.core.errors import ConfigError, DataError
from semiseg.correction.loop import scores_of
from semiseg.training.run_data import config_of

logger = logging.getLogger(__name__)


def check_data(run: Path, data: Path | None) -> None:
    """Warn if the data folder of a run is gone: masks can be corrected, but not trained on.

    Args:
        run: the run folder.
        data: the data folder that a person names, if it moved.

    Raises:
        ConfigError: the person names a folder that does not exist.
    """
    if data is not None:
        if not data.is_dir():
            raise ConfigError(f"There is no folder {data}. Correct --data.")
        return
    config = config_of(run)
    if config is not None and not config.data.data.is_dir():
        logger.warning(
            "the data folder %s of %s is gone, and no training of the page works without it. If "
            "you moved it, start again with its new place: --data FOLDER",
            config.data.data,
            run,
        )


def refuse_missing_data(data: Path) -> None:
    """Refuse a training whose data folder is gone.

    Args:
        data: the data folder.

    Raises:
        DataError: there is no such folder.
    """
    if not data.is_dir():
        raise DataError(
            f"There is no data folder {data}.",
            "If you moved it, stop semiseg, and start it again with its new place: --data FOLDER.",
        )


def warn_of_lost_loop(run: Path, out: Path) -> None:
    """Say which runs learned from corrected masks that are gone, as a new loop knows none of them.

    Args:
        run: the run folder that the new loop begins with.
        out: its folder of images and masks.
    """
    lost = [one for one in run.parent.glob(f"{run.name}-*") if _lost_masks(one)]
    if not lost:
        return
    newest = max(lost, key=lambda one: (len(one.name), one.name))
    number = 2
    while (free := out.with_name(f"{out.name}-{number}")).exists():
        number += 1
    words = ["semiseg", "correct", shorten(newest), "IMAGES", "--out", shorten(free)]
    logger.warning(
        "%s learned from corrected masks that are gone (%s). A new loop begins with %s, and does "
        "not know it. To begin with that model instead: %s",
        shorten(newest),
        shorten(_lost_masks(newest)[0]),
        shorten(run),
        shell.join(words),
    )


def _lost_masks(run: Path) -> list[Path]:
    """The folders that `correct` made for a finished run and that are gone."""
    config = config_of(run) if scores_of(run) is not None else None
    folders = () if config is None else config.data.corrected
    return [one for one in folders if one.name.startswith("accepted-") and not one.is_dir()]
