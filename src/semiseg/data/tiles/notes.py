"""What a person should know about the rasters of a data folder."""

from __future__ import annotations

from dataclasses import dataclass, field

from semiseg.core.text import percent
from semiseg.data.findings import Finding, on_files
from semiseg.data.formats.bands import INSTALL_GEO

_MUCH = 0.1  # of the labeled pixels; to train on so many by mistake spoils the model


@dataclass
class TileNotes:
    """What a person should know about rasters, by the names of files.

    Of `uncovered`, the values are the pixels that no polygon covers, and all labeled pixels.
    """

    tiles: dict[str, str] = field(default_factory=dict)
    covered: dict[str, str] = field(default_factory=dict)
    uncovered: dict[str, tuple[int, int]] = field(default_factory=dict)
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
            *self._outside(),
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

    def _outside(self) -> list[Finding]:
        """That pixels are background because no polygon covers them."""
        shares = {name: zeros / pixels for name, (zeros, pixels) in self.uncovered.items()}
        return on_files(
            "outside-polygons",
            "warning" if any(share > _MUCH for share in shares.values()) else "note",
            {name: f" ({percent(100 * share)} %)" for name, share in shares.items()},
            "Rasters with pixels in labeled tiles that no polygon covers, which become background",
            "If this land is merely unlabeled, add --outside ignore; if it is background, "
            "--outside background says so.",
        )
