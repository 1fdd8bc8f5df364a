"""What a person should know about the rasters of a data folder."""

from __future__ import annotations

from dataclasses import dataclass, field

from semiseg.data.findings import Finding, on_files
from semiseg.data.formats.bands import INSTALL_GEO


@dataclass
class TileNotes:
    """What a person should know about rasters, by the names of files."""

    tiles: dict[str, str] = field(default_factory=dict)
    covered: dict[str, str] = field(default_factory=dict)
    beyond: dict[str, str] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    empty: dict[str, str] = field(default_factory=dict)
    whole: dict[str, str] = field(default_factory=dict)
    errors: list[Finding] = field(default_factory=list)

    def findings(self, tile: int) -> list[Finding]:
        """All of them."""
        rest = "The other pixels are ignored, and tiles without a labeled pixel are unlabeled."
        return [
            *self.errors,
            *on_files(
                "tiles",
                "note",
                self.tiles,
                f"Rasters that are read in tiles of {tile} x {tile} pixels",
                "--tile says another side; --tile 0 reads each raster as one image.",
            ),
            *on_files(
                "mask-position",
                "note",
                self.covered,
                "Masks that cover a part of their raster",
                rest,
            ),
            *on_files(
                "mask-position",
                "note",
                self.beyond,
                "Masks that reach beyond their raster, where they are not used",
            ),
            *on_files(
                "mask-position",
                "note",
                self.moved,
                "Masks in another coordinate reference system than their raster: semiseg "
                "transforms them",
            ),
            *on_files(
                "no-data",
                "warning",
                self.empty,
                "Rasters without data in any pixel, which are not used",
                "Check that they were exported to the end.",
            ),
            *on_files(
                "needs-extra",
                "warning",
                self.whole,
                "Large rasters that are reduced and read as one image each",
                f"To learn from their pixels in tiles: {INSTALL_GEO}.",
            ),
        ]
