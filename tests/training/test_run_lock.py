"""One process at a time trains in a run folder, and a misspelled name to resume is noticed."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

import semiseg
from semiseg.core.errors import RunError
from semiseg.training import run_folder, run_lock
from semiseg.training.run_lock import lock_run

_HOLD = """
import sys, time
from pathlib import Path
from semiseg.training.run_lock import lock_run
with lock_run(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""


def test_a_second_process_is_refused_until_the_first_one_is_killed(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "_PATIENCE", 0)
    out = tmp_path / "run"
    words = [sys.executable, "-c", _HOLD, str(out)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(RunError, match="Another process trains in"):
            semiseg.train(tiny_folder, out=out, steps=1)
        with lock_run(tmp_path / "other"):
            pass
        process.kill()
    assert not out.exists()
    with lock_run(out):
        pass


def test_without_a_cache_folder_there_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "file"))
    with lock_run(tmp_path / "run"), lock_run(tmp_path / "run"):
        pass


@pytest.mark.parametrize("is_finished", [False, True])
def test_a_name_like_that_of_an_unfinished_run_is_noticed(
    tmp_path: Path, tiny_folder: Path, caplog: pytest.LogCaptureFixture, is_finished: bool
) -> None:
    (tmp_path / "field-css").mkdir()
    (tmp_path / "field-css" / run_folder.CONFIG).touch()
    if is_finished:
        (tmp_path / "field-css" / run_folder.SCORES).touch()
    with caplog.at_level(logging.INFO, "semiseg"), pytest.raises(semiseg.SemisegError):
        semiseg.train(tiny_folder, out=tmp_path / "field_cs", resume=True, labels="99999")
    hint = f"Did you mean {tmp_path / 'field-css'}?"
    assert (hint in caplog.text) is not is_finished
    assert "holds no run to resume" in caplog.text
