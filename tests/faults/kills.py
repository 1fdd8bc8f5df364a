"""Kills at random instants and at each point where a run folder changes.

Half of the kills come at a random instant, the others at a point: before one of the calls by which
files are opened, written, synced, renamed and removed in the run folder, the quarters of a
checkpoint's bytes among them. After each kill the newest intact checkpoint is opened, and the
training goes on by the same command and `--resume`, mostly to be killed again.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from harness import VARIANTS, Points, Stage, live

from semiseg.training.checkpoint import SafeCheckpointIO, newest_intact


def after(seconds: float, number: signal.Signals = signal.SIGKILL) -> Callable[[int], None]:
    """Sends a signal at an instant, to the trainer alone."""

    def send(pid: int) -> None:
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    return send


def killed_again_and_again(stage: Stage, number: int, rng: random.Random) -> dict[str, Any]:
    """One training through several lives, and whether its end is right."""
    variant = list(VARIANTS)[number % len(VARIANTS)]
    out = stage.root / f"run{number}"
    kills, wrong, output, more = [], "", "", []
    while not wrong:
        fatal, kind = 0, "none"
        last = len(kills) >= 4 or (kills and rng.random() < 0.2)
        if not last and (number + len(kills)) % 2:
            fatal, kind = rng.randint(1, stage.points[variant].total()), "at a point"
        elif not last:
            kind = "at an instant"
        pause = rng.uniform(0, stage.seconds)
        life = live(
            stage.words(out, variant, *more),
            Points(out, fatal).install if fatal else lambda: None,
            after(pause) if kind == "at an instant" else lambda pid: None,
        )
        output, more = life.output, ["--resume"]
        if life.status != -signal.SIGKILL:
            wrong = stage.wrong(out, variant, life)
            break
        newest = newest_intact(out / "checkpoints")
        if newest is not None:
            SafeCheckpointIO().load_checkpoint(newest[0])
        kills.append((kind, newest[1] if newest else 0, finished(out)))
    if not wrong:
        shutil.rmtree(out)
    return {"kills": kills, "wrong": wrong, "said": output if wrong else "", "variant": variant}


def finished(out: Path) -> bool:
    """Whether the run needs nothing more."""
    return (out / "scores.json").is_file()


def summary(stage: Stage, runs: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """The figures of many runs."""
    kills = [kill for run in runs for kill in run["kills"]]
    return {
        "kills": len(kills),
        "kinds": dict(Counter(kind for kind, _, _ in kills)),
        "points on the way": {k: dict(v) for k, v in stage.points.items()},
        "newest checkpoint's step after a kill": dict(
            sorted(Counter(step for _, step, _ in kills).items())
        ),
        "trainings": len(runs),
        "ended as if left alone": sum(not run["wrong"] for run in runs),
        "wrong": [run for run in runs if run["wrong"]],
        "seconds": round(seconds),
    }


def kill_many(stage: Stage, kills: int, seed: int, minutes: float) -> dict[str, Any]:
    """Kill until there are so many kills, or the time is over."""
    start, runs = time.monotonic(), []
    tell = partial(print, end="\r", file=sys.stderr, flush=True)
    while True:
        kill_count = sum(len(run["kills"]) for run in runs)
        tell(f"{kill_count} of {kills} kills, {sum(bool(run['wrong']) for run in runs)} wrong ")
        if kill_count >= kills or time.monotonic() - start > 60 * minutes:
            return summary(stage, runs, time.monotonic() - start)
        rng = random.Random(f"{seed} {len(runs)}")
        runs.append(killed_again_and_again(stage, len(runs), rng))
