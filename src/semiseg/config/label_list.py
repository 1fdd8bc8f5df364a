"""What `--labels` means: an amount of masks, or a list of images."""

from __future__ import annotations

from pathlib import Path


def label_list(labels: str) -> Path | None:
    """The list that `--labels` names; None for `all`, a number or a share.

    Example:
        >>> label_list("1/8"), label_list("lists/labeled.txt").name
        (None, 'labeled.txt')
    """
    is_amount = bool(labels) and all(c in "0123456789.%/-+" for c in labels)
    return None if labels == "all" or is_amount else Path(labels)
