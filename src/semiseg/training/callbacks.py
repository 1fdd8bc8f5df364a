"""What happens beside the steps of a training: validations, log records, a progress bar."""

from __future__ import annotations

import logging
from contextlib import ExitStack

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from semiseg.core.console import Bar, progress
from semiseg.core.text import duration, percent
from semiseg.core.types import Batch
from semiseg.inference.scenes import Scene
from semiseg.training.checkpoint import is_validation_step, next_validation_step
from semiseg.training.diagnostics import Diagnostics
from semiseg.training.module import TrainingModule
from semiseg.training.watching import Watch

logger = logging.getLogger(__name__)

LOG_EVERY = 10
"""Steps between two rows of the metrics, and between two changes of the progress bar's text."""

_SHARES = ("used", "agree", "hard")  # metrics that are shares of the pixels


class Validations(Callback):
    """Validates at even intervals and after the last step, and logs the scores.

    Lightning's own validation within an epoch cannot be resumed exactly: which parts are repeated
    depends on the place in its loops where the checkpoint was written.

    Args:
        loader: the validation images.
        count: the number of validations in the whole training.
        diagnostics: measures the pseudo-labels; None for no diagnostics.
        title: the stage of the training in words; empty for the only one.
        watch: shows each validation, and the step now and then, to somebody who watches; None for
            nobody.
    """

    def __init__(
        self,
        loader: DataLoader[Scene],
        count: int,
        diagnostics: Diagnostics | None,
        title: str = "",
        watch: Watch | None = None,
    ) -> None:
        self.loader, self.count, self.diagnostics = loader, count, diagnostics
        self.title, self.watch = title, watch
        self._last_warnings: set[tuple[bool, str]] = set()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show that the steps begin."""
        if (
            self.watch is not None
            and trainer.is_global_zero
            and isinstance(pl_module, TrainingModule)
        ):
            step = trainer.global_step
            self.watch.begin(step, next_validation_step(step, pl_module.steps, self.count))

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Validate if it is time; never between the micro batches of a step."""
        step = trainer.global_step
        if (batch_idx + 1) % trainer.accumulate_grad_batches or not isinstance(
            pl_module, TrainingModule
        ):
            return
        if not is_validation_step(step, pl_module.steps, self.count):
            if self.watch is not None and trainer.is_global_zero and self.watch.is_due():
                self._advance(self.watch, pl_module, step)
            return
        validation = pl_module.validate(self.loader, last=step == pl_module.steps)
        mean_iou = {name: scores["miou"] for name, scores in validation["networks"].items()}
        if not trainer.is_global_zero:
            return
        values = {f"val/miou_{k}": v for k, v in mean_iou.items() if v is not None}
        if self.diagnostics is not None:
            values |= self.diagnostics.measure(pl_module)
        for table in trainer.loggers:
            table.log_metrics(values, step)
            table.save()
        scores = ", ".join(f"{network} {percent(score)}" for network, score in mean_iou.items())
        logger.info(
            "%sstep %d/%d  mIoU on val: %s  %s%s",
            f"{self.title}, " if self.title else "",
            step,
            pl_module.steps,
            scores,
            describe(trainer),
            self._remaining_time(pl_module, step),
        )
        measured = validation["pseudo_labels"]
        self._warn(measured["warnings"] if measured else [], early=2 * step <= pl_module.steps)
        if self.watch is not None:
            rest = self._remaining_seconds(pl_module, step)
            validations = min(pl_module.steps - step, self.count - len(pl_module.validations))
            self.watch.show(
                pl_module,
                rest,
                rest and rest / max(1, validations),
                next_validation_step(step, pl_module.steps, self.count),
            )

    def _advance(self, watch: Watch, module: TrainingModule, step: int) -> None:
        """Show a step between two validations."""
        rest, to_next = None, None
        if module.step_seconds:
            timing = module.timing()
            steps = next_validation_step(step, module.steps, self.count) - step
            to_next = steps * timing.step + timing.validation
        if module.validation_seconds:  # before, nobody knows how long the validations take
            rest = self._remaining_seconds(module, step)
        watch.advance(step, rest, to_next)

    def _remaining_time(self, module: TrainingModule, step: int) -> str:
        """The expected time for the rest in words, since a log has no progress bar."""
        seconds = self._remaining_seconds(module, step)
        return f"  about {duration(seconds)} left" if seconds else ""

    def _remaining_seconds(self, module: TrainingModule, step: int) -> float | None:
        """The expected seconds of the rest; 0 after the last step.

        None where no step was timed yet: after resuming, or with a validation after each step.
        """
        steps = module.steps - step
        if not steps:
            return 0.0
        if not module.step_seconds:
            return None
        validations = min(steps, self.count - len(module.validations))
        timing = module.timing()
        return steps * timing.step + validations * timing.validation

    def _warn(self, sentences: list[str], early: bool) -> None:
        """Log the warnings that the last validation did not have.

        In the first half of the training the student still learns so much that the cause may
        disappear; the record is then a note.
        """
        kinds = [(early, sentence.partition(":")[0]) for sentence in sentences]
        for kind, sentence in zip(kinds, sentences, strict=True):
            if kind in self._last_warnings:
                continue
            if early:
                logger.info("note: so far, %s; this may pass, see the next validations", sentence)
            else:
                logger.warning("%s", sentence)
        self._last_warnings = set(kinds)


class ProgressBar(Callback):
    """Shows the step, the losses and the remaining time, and warns about skipped steps.

    Args:
        title: the stage of the training in words; empty for the only one.
    """

    def __init__(self, title: str = "") -> None:
        self.title = title
        self._display = ExitStack()
        self._bar = Bar(None)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the bar, or log a line each minute where there is no terminal."""
        text = f"{self.title}, steps" if self.title else "steps"
        self._bar = self._display.enter_context(
            progress(text, unit="step", lines=True, before=trainer.global_step)
        )
        self._bar.update(trainer.global_step, trainer.max_steps)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Move the bar; change its text now and then, since reading the values waits for a GPU."""
        complete = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if complete and isinstance(pl_module, TrainingModule) and pl_module.guard.flawed:
            logger.warning(
                "step %d is skipped: its loss or gradient is not finite (%d so far)",
                trainer.global_step,
                pl_module.guard.skipped,
            )
        text = None
        if batch_idx % LOG_EVERY == 0:
            text = "  ".join(filter(None, (self.title, describe(trainer))))
        self._bar.update(trainer.global_step, trainer.max_steps, text)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remove the bar."""
        self._display.close()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Leave the terminal as it was."""
        self._display.close()


def describe(trainer: L.Trainer) -> str:
    """The newest losses and shares in words, such as `supervised 0.41  used 63 %`."""
    words = []
    for name, value in trainer.callback_metrics.items():
        kind, _, word = name.partition("/")
        if kind == "train" and word != "loss":
            number = float(value)
            words.append(
                f"{word} {100 * number:.0f} %" if word in _SHARES else f"{word} {number:.2f}"
            )
    return "  ".join(words)
