"""`download`: a published data set, where a library fetches it without a registration."""

from __future__ import annotations

from pathlib import Path

from semiseg.core.errors import ConfigError, DataError, nearest


def download(name: str, *, out: Path) -> Path:
    """Fetch a published data set, where that needs no registration.

    Args:
        name: the data set, such as `voc`.
        out: the folder to unpack it in.

    Returns:
        The data folder, to train on.

    Raises:
        ConfigError: there is no such data set, or it has to be fetched by hand; says where.
        DataError: it could not be fetched.
    """
    from semiseg.data.datasets import DATASETS

    if name not in DATASETS:
        raise ConfigError(f"There is no data set '{name}'. {nearest(name, DATASETS)}")
    dataset = DATASETS[name]
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        folder = dataset.download(Path(out))
    except (OSError, RuntimeError) as error:  # RuntimeError: a file with another checksum
        raise DataError(
            f"{dataset.title} could not be fetched ({error}). Try again, or get it from "
            f"{dataset.home}."
        ) from error
    if folder is None:
        raise ConfigError(
            f"{dataset.title} has to be fetched by hand, from {dataset.home} (license: "
            f"{dataset.license}). How to unpack it is drawn in docs/datasets.md."
        )
    return folder
