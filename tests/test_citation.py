"""What a report says to cite."""

import re
from pathlib import Path

import pytest

from semiseg.config.methods import METHODS
from semiseg.reporting.citation import citations

DOCS = Path(__file__).parents[1] / "docs" / "methods.md"


@pytest.mark.parametrize("method", METHODS)
def test_the_paper_of_a_method_is_that_of_the_docs(method):
    """`contrastive` is the baseline in the paper of css, and `distill` has no paper of its own."""
    name = re.sub("-(paper|program)$", "", method)
    sections = dict(re.findall(r"^## `([\w-]+)`\n(.*?)(?=^## )", DOCS.read_text(), re.M | re.S))
    source = {"st-plus-plus": "st", "contrastive": "css", "css-stored": "css"}.get(name, name)
    text = " ".join(sections[source].split())
    paper = METHODS[method].paper
    if source in ("supervised", "distill"):
        assert not paper
    else:
        assert re.search(rf"\*\*Papers?:\*\* {re.escape(paper)}\W", text)
        assert re.search(r", \w+ 20\d\d(, arXiv \d{4}\.\d{5})?$", paper)


def test_our_own_form_of_a_method_is_not_cited_as_the_method():
    (paper, program) = citations(["css-stored"], {"semiseg": "0.2.0"})
    assert paper.reason == "the idea of css-stored"
    assert paper.work.startswith('Wang et al., "Space Engage: Collaborative Space Supervision')
    assert paper.caution == (
        "css-stored is a form of CSS of our own, not the published CSS. Do not report its scores "
        "as those of CSS."
    )
    assert "version 0.2.0" in program.work
    for method in ("css", "css-paper", "css-program"):
        assert citations([method], {})[0] == (method, paper.work, "")
