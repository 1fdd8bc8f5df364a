"""`download`: a published data set that needs no registration."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings.folders import DownloadSettings
from semiseg.core.errors import ConfigError, DataError, nearest
from semiseg.data.datasets import DATASETS


class Download(NamedTuple):
    """A data set that was downloaded.

    Attributes:
        folder: the data folder, ready for a training.
    """

    folder: Path

    def text(self) -> str:
        """The folder, and the command to continue with."""
        return f"{self.folder}: semiseg check {self.folder}"


@command(DownloadSettings)
def download(settings: DownloadSettings) -> Download:
    """Download a published data set that needs no registration.

    Returns:
        The data folder.

    Raises:
        ConfigError: there is no such data set, or you must download it yourself. The message says
            where.
        DataError: the download failed.
    """
    if settings.name not in DATASETS:
        raise ConfigError(
            f"There is no data set '{settings.name}'. {nearest(settings.name, DATASETS)}"
        )
    dataset = DATASETS[settings.name]
    try:
        settings.out.mkdir(parents=True, exist_ok=True)
        folder = dataset.download(settings.out)
    except (OSError, RuntimeError) as error:  # RuntimeError: a file with another checksum
        raise DataError(
            f"semiseg could not download {dataset.title} ({error}). Try again, or download it "
            f"yourself from {dataset.home}."
        ) from error
    if folder is None:
        raise ConfigError(
            f"semiseg cannot download {dataset.title}. Download it yourself from {dataset.home} "
            f"(license: {dataset.license}). docs/datasets.md shows how to unpack it."
        )
    return Download(folder)
