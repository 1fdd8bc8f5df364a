"""A process that trains beside others does not outlive the one that started it."""

from __future__ import annotations

import os
import threading
import time


def end_with_parent(period: float = 5.0) -> None:
    """End this process soon after its parent's end, which it may not notice in any other way.

    On GPUs a process that waits for another one in a sum over both waits for many minutes. Where
    the connection tells of the other's end, there is time to say so.

    Args:
        period: seconds between two looks; three of them are the longest time that this takes.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(period)
        time.sleep(2 * period)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
