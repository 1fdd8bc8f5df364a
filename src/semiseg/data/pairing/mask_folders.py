"""Where data folders keep their masks: files that are not images to segment or to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Set
from pathlib import Path

from semiseg.core.files import is_folder
from semiseg.data.pairing.roles import Role, role_of


class MaskFolders:
    """Knows which folders hold masks, by their names and those of the folders beside them.

    Args:
        root: the folder of the images, absolute.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._subfolders: dict[Path, tuple[Path, ...]] = {}
        self._beside_images: dict[Path, bool] = {}  # answers are asked for again by each file
        self._beside_masks: dict[Path, bool] = {}

    def holds(self, file: Path, stems: Set[Path]) -> bool:
        """Whether a file lies where a data folder has its masks.

        Its folder, or one above it, has a name for masks and lies beside a folder of images, such
        as `masks` beside `images` or `train_gt` beside `train`. Or the folder lies beside an image
        of the file's name.

        Args:
            file: below the root, absolute.
            stems: all images below the root, without their suffixes, absolute.
        """
        for folder in file.parents:
            if folder == self._root:
                break
            if self.lies_beside_images(folder):
                return True
        masks = file.parent
        return _role(masks).content == "masks" and masks.parent / file.stem in stems

    def lies_beside_images(self, folder: Path) -> bool:
        """Whether a folder has a name for masks and lies beside one of images.

        Args:
            folder: below the root, absolute.
        """
        if folder not in self._beside_images:
            self._beside_images[folder] = any(
                _are_images_and_masks(other, folder) for other in self._beside(folder)
            )
        return self._beside_images[folder]

    def has_one_for(self, file: Path) -> bool:
        """Whether the masks of an image would lie in a folder of their own.

        Args:
            file: below the root, absolute.
        """
        for folder in file.parents:
            if folder not in self._beside_masks:
                self._beside_masks[folder] = any(
                    _are_images_and_masks(folder, other) for other in self._beside(folder)
                )
            if self._beside_masks[folder]:
                return True
            if folder == self._root:
                break
        return False

    def _beside(self, folder: Path) -> Iterator[Path]:
        """The other folders in the same folder."""
        parent = folder.parent
        if parent not in self._subfolders:
            self._subfolders[parent] = _list(parent)
        return (other for other in self._subfolders[parent] if other != folder)


def _are_images_and_masks(images: Path, masks: Path) -> bool:
    """Whether one of two folders beside each other holds the masks of the images in the other."""
    role, other = _role(masks), _role(images)
    if role.content != "masks" or other.content == "masks":
        return False
    same_split = other.split != "" and other.split == role.split
    named_after = masks.name.lower().startswith(images.name.lower())  # `field1` and `field1_gt`
    return other.content == "images" or same_split or named_after


def _role(folder: Path) -> Role:
    if folder.name.startswith("Segmentation"):  # VOC's SegmentationObject, too
        return Role("masks")
    return role_of(folder.name)


def _list(folder: Path) -> tuple[Path, ...]:
    """The folders in a folder."""
    try:
        return tuple(path for path in folder.iterdir() if is_folder(path))
    except OSError:
        return ()
