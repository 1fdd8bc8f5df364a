"""The pages of the commands and of the settings are what the code says."""

from __future__ import annotations

import dataclasses
from typing import Literal

import pytest
import reference_pages

from semiseg.commands.verbs import COMMON, VERBS
from semiseg.config.methods import METHODS
from semiseg.config.published import as_published, published_scores
from semiseg.config.settings import AUTO, help_texts
from semiseg.config.train import GROUPS, group_of

PAGES = reference_pages.pages()


@pytest.mark.parametrize("file", PAGES, ids=str)
def test_a_page_is_what_the_code_says(file):
    text = (reference_pages.DOCS / file).read_text(encoding="utf-8")
    assert text == PAGES[file], "run: python docs/reference_pages.py"


def test_no_page_is_of_a_command_that_is_gone():
    written = {file.stem for file in (reference_pages.DOCS / "commands").glob("*.md")}
    assert written == {*VERBS, "index"}


def test_every_setting_has_an_entry():
    page = (reference_pages.DOCS / "settings.md").read_text(encoding="utf-8")
    assert [name for name in group_of() if f"### `{name}`\n" not in page] == []
    methods = (reference_pages.DOCS / "method-settings.md").read_text(encoding="utf-8")
    assert [name for name in METHODS if f"`{name}`" not in methods] == []


def test_every_published_score_stands_in_a_row_of_its_method_and_source():
    page = (reference_pages.DOCS / "published.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    names = [*dict.fromkeys(entry.dataset for entry in published_scores())]
    entries = sorted(published_scores(), key=lambda entry: names.index(entry.dataset))
    for row, entry in zip(rows, entries, strict=True):
        assert row[0].startswith(f"`{entry.method}`")
        assert row[-5:-3] == [entry.source, entry.encoder]
        assert [c for c in row[1:-5] if c != "-"] == [*map(as_published, entry.scores.values())]


def test_none_is_an_allowed_value_where_it_is_a_name_of_its_own():
    assert reference_pages.values(Literal["labels", "none"]) == "labels or none"
    assert reference_pages.values(Literal["first", "none"] | Literal["auto"]) == "first or none"
    assert reference_pages.values(int | None) == "a whole number"


def test_the_common_settings_come_first():
    page = (reference_pages.DOCS / "settings.md").read_text(encoding="utf-8")
    table, _, rest = page.partition("## Method:")
    assert len(rest) > len(table)
    for name in COMMON:
        assert f"`--{name.replace('_', '-')}`" in table


def test_a_setting_that_the_plan_decides_says_how():
    groups = [*GROUPS.values(), *map(type, METHODS.values())]
    silent = {
        field.name
        for group in groups
        for field in dataclasses.fields(group)
        if field.default == AUTO and "`auto`" not in help_texts(group)[field.name]
    }
    assert silent == set()
