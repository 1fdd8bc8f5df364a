"""The settings of `distill`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from semiseg.config.methods.stored_labels import StoredLabelSettings
from semiseg.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class DistillSettings(StoredLabelSettings):
    """The settings of `distill`; see `docs/teacher.md`."""

    implementation: ClassVar[str] = "semiseg.methods.distill:Distill"

    teacher: Path | None = None
    """What labels the unlabeled images before the training: a finished run, or a folder of masks
    that are named like the images. Without `--method`, it means `--method distill`."""

    @property
    def earlier_run(self) -> Path | None:
        """The teacher; a folder of masks has no validation images."""
        return self.teacher

    def check(self) -> None:
        """Refer to the teacher by its whole path, so that a run can be resumed from anywhere."""
        if self.teacher is not None:
            object.__setattr__(self, "teacher", self.teacher.absolute())

    def check_folders(self, out: Path) -> None:
        """The teacher is not the run itself, and does not lie in it."""
        if self.teacher is not None and self.teacher.resolve().is_relative_to(out.resolve()):
            raise ConfigError(
                f"--teacher {self.teacher} lies in the run folder {out}, which the training would "
                "replace. Choose another folder for --out."
            )

    def check_start(self) -> None:
        """There is a teacher, and its folder exists."""
        if self.teacher is None:
            raise ConfigError(
                "distill learns from a teacher, but none is named. Name a finished run or a folder "
                "of masks with --teacher (in a comparison: --distill.teacher)."
            )
        if not self.teacher.exists():
            raise ConfigError(
                f"--teacher {self.teacher} does not exist. Name a finished run, or a folder of "
                "masks that are named like the images."
            )
