"""Addresses of what lies on a server or in an object store, such as `s3://bucket/pool`."""

from __future__ import annotations

import re
from pathlib import Path

PROTOCOL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://")
"""The beginning of a URL; the letter of a Windows drive is none."""
_SECRETS = re.compile(
    r"(?P<start>\b[a-zA-Z][a-zA-Z0-9+.-]*://)(?:[^\s/?#'\"]*@)?(?P<path>[^\s?#'\"]*)"
    r"(?P<query>[?#][^\s'\"]*)?"
)


def is_url(text: str | Path) -> bool:
    """Whether a text is the URL of a file or folder rather than a path.

    Example:
        >>> is_url("s3://bucket/pool"), is_url("data/pool"), is_url("C:/pool")
        (True, False, False)
    """
    return isinstance(text, str) and PROTOCOL.match(text) is not None


def without_secrets(text: str) -> str:
    """A text whose URLs have lost their user, password, query and fragment.

    Example:
        >>> without_secrets("403: 'https://me:secret@host/000000.tar?X-Amz-Signature=abc'")
        "403: 'https://host/000000.tar'"
    """
    return _SECRETS.sub(r"\g<start>\g<path>", text)
