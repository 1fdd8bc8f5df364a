"""Locks that end with their process, and disks that have none."""

import errno

import pytest
from filelock import Timeout

from semiseg.core.locks import acquire_lock, locked
from semiseg.inference.ledger import open_ledger
from semiseg.inference.ledger_file import Header


def test_one_process_at_a_time_holds_a_lock(tmp_path):
    with locked(tmp_path / "lock"), pytest.raises(Timeout):
        acquire_lock(tmp_path / "lock")
    with locked(tmp_path / "lock"):
        pass


def test_a_file_that_a_killed_process_left_is_no_lock_on_a_disk_without_locks(
    tmp_path, monkeypatch
):
    fcntl = pytest.importorskip("fcntl")

    def flock(_handle, _operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    header = Header(1, 2, "hash", ("crop", "weed"))
    (tmp_path / "ledger").mkdir()
    for lock in (tmp_path / "lock", tmp_path / "ledger" / ".1-of-2.lock"):
        lock.write_text("123\nanother-machine\n456\n")  # as filelock marks it
    assert acquire_lock(tmp_path / "lock") is None
    with open_ledger(tmp_path, header, overwrite=False) as ledger:
        assert not ledger.records
