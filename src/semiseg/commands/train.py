"""`train`: a training, and then its report."""

from __future__ import annotations

from pathlib import Path

from semiseg.commands.layers import configuration
from semiseg.config.train import TrainConfig
from semiseg.reporting.live import LiveReport
from semiseg.reporting.report import write_report
from semiseg.training.trainer import Run
from semiseg.training.trainer import train as run_training


def train(
    data: Path | str | TrainConfig,
    *,
    overwrite: bool = False,
    resume: bool = False,
    **settings: object,
) -> Run:
    """Train a segmentation model from a few labeled and many unlabeled images.

    Args:
        data: the data folder, or a configuration with all settings.
        overwrite: replace an existing run folder.
        resume: continue a training that was stopped, from its newest checkpoint and with its
            settings. On a CPU the result equals that of an uninterrupted training, bit by bit.
        settings: the settings of `TrainConfig` and of the method, by name.

    Returns:
        The run folder and its scores.

    Raises:
        SemisegError: the data, a setting or the run folder cannot be used. The message says what to
            do, and an existing run folder stays as it was.
        Interrupted: Ctrl-C or SIGTERM stopped the training; `resume` continues it.
    """
    config = configuration(data, settings)
    live = live_report()
    try:
        run = run_training(config, overwrite=overwrite, resume=resume, watcher=live)
    except BaseException:
        if live is not None:
            live.end("stopped")
        raise
    # The report gets the data's place of now: a finished run may have been trained elsewhere.
    if not write_report(run.folder, config.data.data) and live is not None:
        live.end("done")
    return run


def live_report() -> LiveReport | None:
    """What shows the training in a browser while it runs; the tests need none."""
    return LiveReport()
