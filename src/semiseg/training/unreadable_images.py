"""The images of a pool that cannot be read: counted, named once, and too many of them end a run."""

from __future__ import annotations

import logging

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback

from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.core.types import Batch
from semiseg.data.pools.pool_sample import are_too_many
from semiseg.model.distributed import sum_over_ranks, world_size

logger = logging.getLogger(__name__)


class UnreadableImages(Callback):
    """Counts the images of a pool that cannot be read, in all processes together.

    Other images take their places, see `training.pool_images`. It must come before the callback
    that saves checkpoints, which hold the count.

    Args:
        batch: the unlabeled images of a micro batch, of all processes.

    Attributes:
        count: the images so far, in the whole training.
    """

    def __init__(self, batch: int) -> None:
        self.batch, self.count = batch, 0

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count, and warn of the first image.

        Raises:
            DataError: too many images cannot be read.
        """
        own = torch.tensor(len(batch.unreadable), device=pl_module.device)
        new = int(sum_over_ranks(own))
        if not new:
            return
        names = _of_all_ranks(batch.unreadable)
        if not self.count:
            logger.warning(
                "an image of the pool cannot be read, and another one takes its place: %s. semiseg "
                "counts such images",
                names[0],
            )
        self.count += new
        drawn = (batch.number + 1) * self.batch
        if are_too_many(self.count, drawn):
            raise DataError(
                f"{self.count:,} of the first {drawn:,} images from the pool cannot be read, the "
                f"last of them {names[-1]}.",
                "Pack the pool again without such images, and start a new run.",
            )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say how many there were."""
        if self.count:
            logger.warning(
                "%s of the pool could not be read, and others took their places",
                plural(self.count, "image"),
            )

    def state_dict(self) -> dict[str, int]:
        """The count, for a checkpoint."""
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Restore the count of a checkpoint."""
        self.count = state_dict["count"]


def _of_all_ranks(names: tuple[str, ...]) -> list[str]:
    """The names that all processes have, in the order of the processes."""
    if world_size() == 1:
        return list(names)
    parts: list[tuple[str, ...]] = [()] * world_size()
    dist.all_gather_object(parts, names)
    return [name for part in parts for name in part]
