"""What a report says to cite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from semiseg.config.methods import default_settings

_SEMISEG = "semiseg: semantic segmentation from a few labeled and many unlabeled images"


class Citation(NamedTuple):
    """A work to cite.

    Attributes:
        reason: what it is cited for.
        work: the work.
        caution: how its scores and those of the run differ; empty if this needs no word.
    """

    reason: str
    work: str
    caution: str = ""


def citations(methods: Iterable[str], versions: Mapping[str, str]) -> list[Citation]:
    """The papers of methods, and semiseg itself.

    Args:
        methods: the methods, such as `css` or `css-paper`.
        versions: version numbers by name, from the scores of a run.

    Example:
        >>> [one.reason for one in citations(["supervised", "cps", "css-stored"], {})]
        ['cps', 'the idea of css-stored', 'the program']
    """
    works = []
    for method in dict.fromkeys(methods):
        settings = default_settings(method)
        if not settings.paper:
            continue
        if published := settings.own_form_of:
            caution = (
                f"{method} is a form of {published} of our own, not the published {published}. Do "
                f"not report its scores as those of {published}."
            )
            works.append(Citation(f"the idea of {method}", settings.paper, caution))
        else:
            works.append(Citation(method, settings.paper))
    version = f", version {versions['semiseg']}" if "semiseg" in versions else ""
    works.append(Citation("the program", f'The semiseg authors, "{_SEMISEG}"{version}, 2026'))
    return works
