"""The images that a run was trained and validated on, if its data still exist."""

from __future__ import annotations

from pathlib import Path

from semiseg.config.settings import AUTO
from semiseg.config.train import TrainConfig
from semiseg.core.addresses import is_url
from semiseg.core.errors import ConfigError, DataError, RunError, SemisegError
from semiseg.core.files import read_text, read_yaml
from semiseg.core.run_names import LEFT_OUT
from semiseg.core.types import NOTHING_SAID, Arrangement, Sample
from semiseg.data.image_lists import read_list
from semiseg.data.reader import read_samples

_SCORED = ("train", "val")


def settings_of(run: Path) -> dict[str, object]:
    """The contents of a run's `config.yaml`; empty if it cannot be read."""
    try:
        content = read_yaml(run / "config.yaml")
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def config_of(run: Path) -> TrainConfig | None:
    """The settings of a run; None if they cannot be read."""
    try:
        return TrainConfig.from_values(settings_of(run))
    except SemisegError:
        return None


def dataset_of(run: Path) -> str | None:
    """The published data set that a run was trained on; None to recognize it."""
    name = settings_of(run).get("dataset", AUTO)
    return name if isinstance(name, str) and name != AUTO else None


def data_of(run: Path) -> Path | None:
    """The data folder that a run was trained on; None if it is unknown or gone."""
    data = settings_of(run).get("data")
    try:
        return Path(data) if data and isinstance(data, str) and Path(data).is_dir() else None
    except (OSError, ValueError):
        return None


def arrangement_of(run: Path, data: Path | None = None) -> Arrangement:
    """Where the images and masks of a run lie in a data folder, as its settings say.

    Args:
        run: the run folder.
        data: the data folder; None for that of the run. In another folder, what the settings say
            counts only if it has such folders; the folders of corrected masks always count. The
            list of reserved images names those of the run's data, so it counts only if these are
            gone: then they were moved.
    """
    config = config_of(run)
    if config is None:
        return NOTHING_SAID
    flags, root = config.data.arrangement, config.data.data
    if data is None or data.resolve() == root.resolve():
        return flags
    folders = [folder for folder in (flags.images, flags.masks) if folder is not None]
    if flags.unlabeled is not None and not is_url(flags.unlabeled):
        folders.append(Path(flags.unlabeled))
    if root.is_dir():
        flags = flags._replace(reserved=None)
    same = all(not f.is_absolute() and (data / f).is_dir() for f in folders)
    return flags if same else NOTHING_SAID._replace(corrected=flags.corrected)


def samples_of(run: Path, data: Path | None = None) -> tuple[list[Sample], list[Sample]]:
    """The labeled and the validation images; none if the run or its data cannot be read.

    Args:
        run: the run folder.
        data: the data folder, if it was moved since the training.
    """
    data = data or data_of(run)
    if data is None:
        return [], []
    try:
        flags = arrangement_of(run, data)
        train, val = (read_samples(data, split, dataset_of(run), flags) for split in _SCORED)
        labeled = read_list(run / "split" / "labeled.txt", train)
        validation = read_list(run / "split" / "val.txt", [s for s in val if s.mask] or train)
    except (SemisegError, OSError, ValueError):
        return [], []
    # Without its list, which may have named masks, a run has fewer of them.
    return [sample for sample in labeled if sample.mask is not None], validation


def samples_of_test(run: Path, data: Path | None = None) -> list[Sample]:
    """The images of `test`, with masks or without; none if the run or its data cannot be read.

    Args:
        run: the run folder.
        data: the data folder, if it was moved since the training.
    """
    data = data or data_of(run)
    if data is None:
        return []
    try:
        return list(read_samples(data, "test", dataset_of(run), arrangement_of(run, data)))
    except (SemisegError, OSError, ValueError):
        return []


def scored_samples(
    run: Path, data: Path, split: str, dataset: str | None, flags: Arrangement = NOTHING_SAID
) -> list[Sample]:
    """The images of a split that have masks.

    Args:
        run: the run folder. It lists the validation images where the data have no `val`.
        data: the data folder.
        split: `train`, `val` or `test`.
        dataset: the published data set, or None to recognize it.
        flags: where images and masks lie.

    Raises:
        DataError: there are none.
    """
    samples = [s for s in read_samples(data, split, dataset, flags) if s.mask is not None]
    held_out = run / "split" / "val.txt"
    if not samples and split == "val" and held_out.is_file():
        train = read_samples(data, "train", dataset, flags)
        samples = read_list(held_out, [s for s in train if s.mask is not None])
    if not samples:
        remedy = f"Put masks into {data / split / 'masks'}, or choose another --split."
        if split == "val" and not held_out.is_file():
            remedy += (
                f" {run} does not say which images its training held out: to score those, name the "
                "run folder of the training instead, or add --listed RUN/split/val.txt."
            )
        raise DataError(
            f"{data} has no masks of {split} that belong to images, so semiseg cannot score the "
            "predictions.",
            remedy,
        )
    return samples


def listed_samples(
    file: Path, data: Path, dataset: str | None, flags: Arrangement = NOTHING_SAID
) -> list[Sample]:
    """The images with masks that a file lists, of all splits.

    Args:
        file: the list, with one name on each line.
        data: the data folder.
        dataset: the published data set, or None to recognize it.
        flags: where images and masks lie.

    Raises:
        ConfigError: there is no such file.
        DataError: the file cannot be read, or names an image that does not exist or has no mask.
    """
    if not file.is_file():
        raise ConfigError(f"--listed {file}: there is no such file.")
    flags = flags._replace(reserved=None)  # reserved images may be listed too, as those of train
    splits = [read_samples(data, split, dataset, flags) for split in ("train", "val", "test")]
    samples = [sample for split in splits for sample in split]
    maskless = [sample for sample in samples if sample.mask is None]
    refused = {"is an image without a mask, and cannot be scored. Remove the line": maskless}
    return read_list(file, [s for s in samples if s.mask is not None], refused)


def held_out(config: TrainConfig, resume: bool) -> list[str]:
    """The names of the validation images of this run, or of the run that it starts from.

    They must stay out of the training. Without a run to start from, they are those of the teacher,
    if that is a run: it was not trained on them.

    Raises:
        RunError: the list cannot be read.
    """
    run = config.out if resume else config.network.start_from or config.settings.earlier_run
    return [] if run is None else _read_names(run / "split" / "val.txt")


def read_left_out(run: Path) -> list[str]:
    """The names of the images that could not be read when a run began.

    Raises:
        RunError: the list cannot be read.
    """
    return _read_names(run / LEFT_OUT)


def _read_names(file: Path) -> list[str]:
    """The names in a list of a run; none if there is no such list."""
    if not file.is_file():
        return []
    try:
        return read_text(file).split("\n")
    except (OSError, ValueError) as error:
        raise RunError(f"{file} cannot be read ({error}). Restore it, or start again.") from error
