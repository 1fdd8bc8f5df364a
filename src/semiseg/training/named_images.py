"""The lists of a run, such as `RUN/split/unlabeled.txt`, name images without folder and suffix."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from semiseg.core.errors import SemisegError
from semiseg.data.reader import read_dataset
from semiseg.training.run_data import arrangement_of, data_of, dataset_of, settings_of


class RunImages:
    """The images of a run by the names that its lists give them; see `NamedImages`.

    The data folder is read only when a name is asked for.

    Args:
        run: the run folder, or a model.
        images: what a person names as the images. A list in the folder `split` of a run means the
            images of that run.
    """

    def __init__(self, run: Path, images: Path) -> None:
        owner = images.absolute().parent.parent
        is_own = images.parent.name == "split" and (owner / "config.yaml").is_file()
        self._run = owner if is_own else run

    def find(self, name: str) -> Path | None:
        """The file of an image; None if the run has no such image, or its data cannot be read."""
        return self._files.get(name)

    def describe(self) -> str:
        """What was looked at in vain, as a sentence; empty for a model that names no data."""
        named = settings_of(self._run).get("data")
        if not named:
            return ""
        if self._files:
            return f"{named}, the data of {self._run}, has no image of this name."
        return (
            f"{named}, the data of {self._run}, cannot be read. If you moved this folder, name it "
            "as the images, or write a list of whole paths."
        )

    @cached_property
    def _files(self) -> dict[str, Path]:
        root = data_of(self._run)
        if root is None:
            return {}
        try:
            flags = arrangement_of(self._run, root)
            samples = read_dataset(root, dataset=dataset_of(self._run), flags=flags).samples
        except (SemisegError, OSError, ValueError):
            return {}
        splits = [samples[split] for split in ("train", "unlabeled", "val", "test")]
        files: dict[str, Path] = {}
        for sample in (sample for split in splits for sample in split):
            files.setdefault(sample.name, sample.image)
        return files
