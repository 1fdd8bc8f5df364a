"""The setting that names the axes of stacks: TIFFs of several pages, and NIfTI files."""

from __future__ import annotations

import re

from semiseg.core.errors import SettingError

_TIFF = re.compile(r"(?!.*(.).*\1)[A-RT-WZ]*(YX|YXS|SYX)")
_NIFTI = re.compile(r"(?!.*(.).*\1)XYZ[A-WZ]*")


def check_axes(axes: str | None) -> None:
    """Refuse axes that no stack can have.

    Raises:
        SettingError: the text is none of letters, each of them once, with Y and X at their places.
    """
    if axes is not None and not _TIFF.fullmatch(axes) and not _NIFTI.fullmatch(axes):
        raise SettingError(
            "axes",
            axes,
            allowed="capital letters that end with YX, such as CYX or TZCYX, or that begin with "
            "XYZ for NIfTI, such as XYZC",
            flag="--axes",
        )
