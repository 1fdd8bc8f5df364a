"""What a log file says of the progress of a long job."""

import functools
import os
import sys

from semiseg.core.console import ProgressLines, attached, progress


def test_a_line_a_minute_says_how_far_it_is_and_how_long_it_takes(log):
    now = [0.0]
    lines = ProgressLines("predict", period=60, clock=lambda: now[0])
    for now[0], completed in ((30, 100), (60, 250), (90, 400), (130, 500), (400, 1000)):
        lines.update(completed, 1000)
    assert [record.getMessage() for record in log.records] == [
        "predict: 250 of 1,000 (25.0 %), about 3 min left",
        "predict: 500 of 1,000 (50.0 %), about 2 min left",
    ]


def test_what_was_done_before_took_no_time_now(log):
    now = [0.0]
    lines = ProgressLines("steps", period=60, clock=lambda: now[0], before=600)
    for now[0], completed in ((60, 600), (120, 700)):
        lines.update(completed, 1000)
    assert [record.getMessage() for record in log.records] == [
        "steps: 700 of 1,000 (70.0 %), about 6 min left"
    ]


def test_a_pipe_gets_the_lines_too(monkeypatch):
    now = iter(range(0, 600, 61))
    lines = functools.partial(ProgressLines, clock=lambda: next(now))
    monkeypatch.setattr("semiseg.core.console.ProgressLines", lines)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    source, target = os.pipe()
    with os.fdopen(source) as reader:
        with os.fdopen(target, "w") as pipe, monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", pipe)
            with attached(), progress("predict", lines=True) as bar:
                bar.update(1, 4)
                bar.update(2, 4)
        assert reader.read().splitlines() == [
            "· predict: 1 of 4 (25.0 %), about 3 min left",
            "· predict: 2 of 4 (50.0 %), about 2 min left",
        ]
