"""What a person sees while a training runs: a bar, and a line at each look."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.data import DataLoader

from semiseg.core.text import duration
from semiseg.core.types import Batch
from semiseg.inference.scenes import Scene
from semiseg.training.checkpoint import is_look
from semiseg.training.diagnostics import Diagnostics
from semiseg.training.module import TrainingModule


class Looks(Callback):
    """Validates now and then and after the last step, and says what was found.

    Lightning's own validation within an epoch cannot be resumed exactly: what of it is repeated
    depends on where in its loops the checkpoint was written.

    Args:
        loader: the validation images.
        looks: how many there are in the whole training.
        console: where to write.
        diagnostics: looks at the pseudo-labels, or None.
    """

    def __init__(
        self,
        loader: DataLoader[Scene],
        looks: int,
        console: Console,
        diagnostics: Diagnostics | None,
    ) -> None:
        self.loader, self.looks, self.console = loader, looks, console
        self.diagnostics = diagnostics
        self._warned: list[tuple[bool, str]] = []

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Look if it is time; between the micro batches of a step it never is."""
        step = trainer.global_step
        if (batch_idx + 1) % trainer.accumulate_grad_batches or not isinstance(
            pl_module, TrainingModule
        ):
            return
        if not is_look(step, pl_module.steps, self.looks):
            return
        looked = pl_module.look(self.loader, last=step == pl_module.steps)
        found = {k: v["miou"] for k, v in looked.items()}
        values = {f"val/miou_{k}": v for k, v in found.items() if v is not None}
        if not trainer.is_global_zero:
            return
        if self.diagnostics is not None:
            values |= self.diagnostics.look(pl_module)
        for logger in trainer.loggers:
            logger.log_metrics(values, step)
            logger.save()
        said = ", ".join(f"{name} {shown(score)}" for name, score in found.items())
        self.console.print(
            f"step {step}/{pl_module.steps}  mIoU on val: {said}  {describe(trainer)}"
            f"{self._left(pl_module, step)}",
            highlight=False,
            soft_wrap=True,
        )
        warnings = pl_module.looks[-1].get("pseudo", {}).get("warnings", [])
        self._warn(warnings, early=2 * step <= pl_module.steps)

    def _left(self, module: TrainingModule, step: int) -> str:
        """What steps and looks still take, for whoever reads a log, which has no bar.

        Nothing where no step was timed yet: after resuming, or with a look after each.
        """
        steps = module.steps - step
        if not steps or not module.step_seconds:
            return ""
        looks = min(steps, self.looks - len(module.looks))
        timing = module.timing()
        return f"  about {duration(steps * timing.step + looks * timing.validation)} left"

    def _warn(self, sentences: list[str], early: bool) -> None:
        """Say what is new: an indicator that died, not one that was dead at the last look, too.

        In the first half of the steps the student learns so much yet that it may pass by itself;
        the warning is then a note.
        """
        kinds = [(early, sentence.partition(":")[0]) for sentence in sentences]
        for kind, sentence in zip(kinds, sentences, strict=True):
            if kind not in self._warned:
                told = f"warning: {sentence}"
                if early:
                    told = f"note: so far, {sentence}; this may pass, see the next looks"
                self.console.print(told, markup=False, highlight=False, soft_wrap=True)
        self._warned = kinds


LOG_EVERY = 10
"""Steps between two rows of the metrics, and between two changes of the bar's words."""


class Watch(Callback):
    """A bar with the losses, the share of pixels taught and the time left.

    Where the output is no terminal nothing is drawn.

    Args:
        console: where to write.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("step {task.completed}/{task.total}"),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self.task = self.progress.add_task("", total=None)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show the bar."""
        self.progress.update(self.task, total=trainer.max_steps, completed=trainer.global_step)
        self.progress.start()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Move the bar; to read the values, a device has to be waited for, so now and then."""
        whole = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if whole and isinstance(pl_module, TrainingModule) and pl_module.guard.flawed:
            self.console.print(
                f"warning: step {trainer.global_step} is skipped: its loss or gradient is not "
                f"finite ({pl_module.guard.skipped} so far)",
                highlight=False,
                soft_wrap=True,
            )
        self.progress.update(self.task, completed=trainer.global_step)
        if batch_idx % LOG_EVERY == 0:
            self.progress.update(self.task, description=describe(trainer))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the bar away."""
        self.progress.stop()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Leave the terminal as it was."""
        self.progress.stop()


def describe(trainer: L.Trainer) -> str:
    """The newest losses and shares in words: `supervised 0.41  taught 63 %`."""
    words = []
    for name, value in trainer.callback_metrics.items():
        kind, _, word = name.partition("/")
        if kind == "train" and word != "loss":
            share = word in ("taught", "agree", "hard")
            number = float(value)
            words.append(f"{word} {100 * number:.0f} %" if share else f"{word} {number:.2f}")
    return "  ".join(words)


def shown(score: float | None) -> str:
    """A score for people: one decimal, or a dash where there is none."""
    return "-" if score is None else f"{score:.1f}"
