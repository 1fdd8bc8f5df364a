"""The HTML templates, whose values are escaped."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError
from markupsafe import Markup

from semiseg.core.text import percent, plural
from semiseg.reporting.comparison_page import ComparisonPage
from semiseg.reporting.live_page import LivePage
from semiseg.reporting.run_page import RunPage

__all__ = ["UndefinedError", "render"]


def render(template: str, page: ComparisonPage | RunPage | LivePage) -> str:
    """Fill in a template. Names of classes and files come from outside, so all is escaped.

    Args:
        template: the name of the template in this folder.
        page: the values.

    Raises:
        UndefinedError: a value is missing.
    """
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["plural"] = plural
    script = (folder / "script.js").read_text(encoding="utf-8")
    style = (folder / "style.css").read_text(encoding="utf-8")
    # Both files are part of semiseg and hold no text from outside.
    environment.globals["script"] = Markup(script)  # nosec B704
    environment.globals["style"] = Markup(style)  # nosec B704
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals["script_hash"] = f"sha256-{digest}"
    return environment.get_template(template).render(page=page)
