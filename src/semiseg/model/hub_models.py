"""Whole models from the Hugging Face hub: `hf-hub:OWNER/NAME` in place of a run folder."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from semiseg.core.errors import ConfigError, HubError
from semiseg.core.files import HUB_PREFIX
from semiseg.model.metadata import METADATA_FILE, WEIGHTS_FILE

logger = logging.getLogger(__name__)


class HubModel(NamedTuple):
    """A model on the hub.

    Attributes:
        repository: `OWNER/NAME`.
        revision: a branch, a tag or a commit; None for the newest commit.
    """

    repository: str
    revision: str | None

    @classmethod
    def of(cls, run: Path) -> HubModel | None:
        """The model that stands in place of a run folder; None for a folder."""
        text = run.as_posix()
        if not text.startswith(HUB_PREFIX):
            return None
        repository, _, revision = text.removeprefix(HUB_PREFIX).partition("@")
        return cls(repository, revision or None)

    @property
    def path(self) -> Path:
        """The model in place of a run folder."""
        return Path(HUB_PREFIX + self.repository + (f"@{self.revision}" if self.revision else ""))


def local_run(run: Path) -> Path:
    """The folder with the files of a model, which may be on the hub.

    Args:
        run: a folder, which is given back, or `hf-hub:OWNER/NAME`, maybe with `@REVISION`. A model
            of the hub is downloaded, or taken from the cache of the hub.

    Raises:
        ConfigError: the name is no name of a model.
        HubError: the hub cannot be reached, or does not give the model.
    """
    model = HubModel.of(run)
    return run if model is None else _download(model)


def pinned(run: Path) -> Path:
    """The model with the commit that the hub gives now, so that a later use takes the same one.

    Raises:
        ConfigError: the name is no name of a model.
        HubError: the hub cannot be reached, or does not give the model.
    """
    model = HubModel.of(run)
    return run if model is None else model._replace(revision=_download(model).name).path


def _download(model: HubModel) -> Path:
    """The snapshot of the model in the cache of the hub; its name is the commit."""
    logger.info("loading %s from the hub or its cache", model.repository)
    try:
        with _bars_on_terminals_only():
            folder = Path(
                snapshot_download(
                    model.repository,
                    revision=model.revision,
                    allow_patterns=[WEIGHTS_FILE, METADATA_FILE],
                )
            )
    except HFValidationError as error:
        raise ConfigError(
            f"{model.path.as_posix()} names no model: write {HUB_PREFIX}OWNER/NAME, as on the page "
            "of the model."
        ) from error
    except Exception as error:  # the client raises many kinds; all mean: not available here
        raise HubError(_explain(error, model)) from error
    if not (folder / METADATA_FILE).is_file():
        raise HubError(
            f"{_page(model)} holds no model of semiseg: it has no {METADATA_FILE}. `semiseg export "
            f"RUN --format hub` writes one. Weights of an encoder are named by --weights "
            f"{HUB_PREFIX}{model.repository}."
        )
    return folder


@contextmanager
def _bars_on_terminals_only() -> Iterator[None]:
    """Keep the progress bars of the client out of files and pipes."""
    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _explain(error: Exception, model: HubModel) -> str:
    page, status = _page(model), None
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return (
            f"The model {model.repository} is gated: accept its license on {page}, then log in (hf "
            "auth login, or set HF_TOKEN)."
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{page} has no revision {model.revision!r}. Choose one that its page lists."
    if isinstance(error, RepositoryNotFoundError) or status in (401, 403):
        return (
            f"The hub does not give {model.repository} to you: there is no {page}, or it is "
            "private. Correct the name, or log in (hf auth login, or set HF_TOKEN)."
        )
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE is set, and it is not in the cache of the hub"
    return (
        f"The model {model.repository} could not be loaded from the hub ({reason}). Try again, or "
        "download its folder elsewhere (hf download) and name that."
    )


def _page(model: HubModel) -> str:
    return f"{constants.ENDPOINT}/{model.repository}"
