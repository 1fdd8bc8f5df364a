"""The plot of docs/results.md shows the figures of its tables."""

from __future__ import annotations

import results_plot


def test_the_tables_are_read_as_they_stand():
    page = (
        "| A | 1 |\n\n### Number of masks\n\n"
        "| A | 8 masks | 20 masks |\n|---|---|---|\n"
        "| supervised | 50.0* | 60.5 |\n| css | 55.1 | |\n"
        "\n### Next\n\n| B | 8 |\n"
    )
    expected = {"supervised": [(8, 50.0, True), (20, 60.5, False)], "css": [(8, 55.1, False)]}
    assert results_plot.tables(page) == {"A": expected}


def test_the_page_has_both_data_sets():
    data = results_plot.tables((results_plot.DOCS / "results.md").read_text(encoding="utf-8"))
    assert set(data) == {"CamVid", "Peanut"}
    assert all(set(methods) == {"supervised", "css"} for methods in data.values())
