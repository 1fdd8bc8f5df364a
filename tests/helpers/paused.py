"""Trainings in processes of their own, which wait so that a test can kill them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

PAUSING = """
import sys
import time
from pathlib import Path

from semiseg.cli import main
from semiseg.training.checkpoint import SafeCheckpointIO

paused, go_on, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
save, saved = SafeCheckpointIO.save_checkpoint, []

def save_or_pause(*arguments, **options):
    if len(saved) == count:
        paused.touch()
        while not go_on.exists():
            time.sleep(0.01)
    save(*arguments, **options)
    saved.append(1)

SafeCheckpointIO.save_checkpoint = save_or_pause
main(sys.argv[4:])
"""
"""A training that stops before its next checkpoint until a file appears: no test waits for luck."""


class Paused:
    """A training in a process of its own, which pauses when it has so many checkpoints.

    Args:
        words: the words of `semiseg`.
        room: a folder for two files.
        checkpoints: the checkpoints.
    """

    def __init__(self, words, room, checkpoints):
        self.go_on, paused = room / "go_on", room / "paused"
        words = [PAUSING, paused, self.go_on, checkpoints, *words]
        self.process = subprocess.Popen(
            [sys.executable, "-c", *(str(word) for word in words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        while not paused.exists():
            assert self.process.poll() is None, self.process.stdout.read()
            time.sleep(0.02)

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def interrupt(self):
        """Press Ctrl-C, let it go on, and return what it prints."""
        self.process.send_signal(signal.SIGINT)
        self.go_on.touch()
        return self.process.communicate()[0]
