"""What `--labels` means: an amount of masks, or a list of images."""

from __future__ import annotations

import os
from pathlib import Path


def label_list(labels: str) -> Path | None:
    """The list that `--labels` names; None for `all`, a number or a share.

    Example:
        >>> label_list("1/8"), label_list("lists/labeled.txt").name
        (None, 'labeled.txt')
    """
    is_amount = bool(labels) and all(c in "0123456789.%/-+" for c in labels)
    return None if labels == "all" or is_amount else Path(labels)


def absolute_labels(labels: str) -> str:
    """`--labels` as it means the same from every working folder: a list by its absolute path."""
    file = label_list(labels)
    return labels if file is None else os.path.normpath(file.absolute())


def labels_name(labels: str) -> str:
    """`--labels` as tables show it: of a list, the folder and the name.

    Example:
        >>> labels_name("1/8"), labels_name("/data/splits/23/labeled.txt")
        ('1/8', '23/labeled')
    """
    file = label_list(labels)
    return labels if file is None else "/".join(filter(None, (file.parent.name, file.stem)))
