"""The page "Your data" is what the code's registries say."""

from __future__ import annotations

from pathlib import Path

import your_data

from semiseg.data.formats.image_formats import IMAGE_FORMATS
from semiseg.data.layout_registry import LAYOUTS
from semiseg.data.layouts.annotation_sources import ANNOTATION_FORMATS

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_is_what_the_code_says() -> None:
    page = (DOCS / "your-data.md").read_text(encoding="utf-8")
    assert page == your_data.page(), "run: python docs/your_data.py"


def test_the_page_names_every_layout_and_format() -> None:
    page = (DOCS / "your-data.md").read_text(encoding="utf-8")
    for title in [kind.title for kind in LAYOUTS] + [form.title for form in ANNOTATION_FORMATS]:
        assert f"### {title}" in page
    for form in IMAGE_FORMATS:
        assert all(f"`{suffix}`" in page for suffix in form.suffixes)
