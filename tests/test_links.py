"""Links between the Markdown files lead to files and headings that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "examples", "tests", "benchmarks")
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(
        file
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*.md"))
        if "_build" not in file.parts and "log" not in file.parts
    ),
]
LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|\bsrc=\"([^\"]+)\"")


def prose(file: Path) -> str:
    """The text of a page without its code."""
    text = re.sub(r"^ *```.*?^ *```", "", file.read_text(encoding="utf-8"), flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", "code", text)


def anchors(file: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub and Sphinx make them."""
    text = re.sub(r"^ *```.*?^ *```", "", file.read_text(encoding="utf-8"), flags=re.S | re.M)
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found


def broken(file: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    wrong = []
    for match in LINK.finditer(prose(file)):
        link = match[1] or match[2]
        if re.match(r"[a-z][a-z+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        if not target.exists():
            wrong.append(f"{link}: there is no such file")
        elif anchor and anchor not in anchors(target):
            wrong.append(f"{link}: there is no such heading")
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_wrong_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A title\n\n## `b_c` and *d*\n\n[up](#a-title) [good](page.md#b_c-and-d) [far](http://x/y)\n"
        "[gone](gone.md) [no](#none) ![picture](gone.png)\n\n```\n[code](gone.md)\n```\n"
    )
    assert [link.partition(":")[0] for link in broken(page)] == ["gone.md", "#none", "gone.png"]


def test_every_page_of_the_docs_is_in_the_table_of_contents() -> None:
    docs = ROOT / "docs"
    listed = {docs / "index.md"}
    for page in (page for page in PAGES if page.is_relative_to(docs)):
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            names = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed |= {page.parent / f"{name.strip()}.md" for name in names}
    images = docs / "gallery" / "nuclei"  # the images of a notebook, with a README of their own
    pages = {page for page in PAGES if page.is_relative_to(docs) and page.parent != images}
    assert pages - listed == set()
