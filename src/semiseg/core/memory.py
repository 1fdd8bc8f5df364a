"""The memory of this machine."""

from __future__ import annotations

import os


def physical_memory() -> int | None:
    """The bytes of memory that are built in; None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no such call, others no such names
        return None
