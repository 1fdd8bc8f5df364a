"""The folder of a comparison: its settings are in `compare.yaml`, next to the run folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from semiseg._version import __version__
from semiseg.config.compare import CompareConfig
from semiseg.core.addresses import without_secrets
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.files import read_text, read_yaml, write_text

FILE = "compare.yaml"
FORMAT = 2
"""The version of `compare.yaml`; it grows when a key changes its meaning."""
_HEADER = "# semiseg "


def read_config(out: Path, data: Path) -> CompareConfig | None:
    """The settings of the comparison in a folder.

    Args:
        out: the folder.
        data: the data folder, which may have moved since.

    Returns:
        The settings, or None if the folder is empty or missing.

    Raises:
        RunError: the folder holds something else, or the file cannot be read.
    """
    file = out / FILE
    if not file.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise RunError(
                f"{out} exists, but is not a comparison (it has no {FILE}). semiseg does not "
                "change it. Choose another --out."
            )
        return None
    try:
        header = read_text(file).partition("\n")[0]
        content = read_yaml(file)
        if not isinstance(content, Mapping):
            raise ValueError("it does not hold settings by name")
    except (OSError, ValueError) as error:
        raise _unreadable(file, f"cannot be read ({error}).") from error
    if (older := content.get("format")) != FORMAT:
        author = header[2:] if header.startswith(_HEADER) else "another version of semiseg"
        raise RunError(
            f"{file} was written by {author} in format {older}; semiseg {__version__} reads format "
            f"{FORMAT}. Continue that comparison with the other version, or start "
            "another one with another --out."
        )
    values = {name: value for name, value in content.items() if name != "format"}
    try:
        return CompareConfig.from_values({**values, "data": data, "out": out}, source=str(file))
    except ConfigError as error:
        raise _unreadable(file, f"is damaged. {error}") from error


def write_config(config: CompareConfig) -> None:
    """Write `compare.yaml`, and create the folder if it is missing.

    Raises:
        RunError: the folder cannot be written.
    """
    out = config.grid.out
    content = {"format": FORMAT, **config.values()}
    if config.shared.data.unlabeled is not None:
        content["unlabeled"] = without_secrets(config.shared.data.unlabeled)
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / FILE, f"{_HEADER}{__version__}\n{body}", shared=True)
    except OSError as error:
        raise RunError(f"{out} cannot be written ({error}). Choose another --out.") from error


def _unreadable(file: Path, reason: str) -> RunError:
    return RunError(f"{file} {reason} Restore it, or start another comparison with another --out.")
