"""`compare`: several methods, numbers of labels and seeds, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from semiseg.config.plan import STEPS
from semiseg.core.errors import ConfigError, RunError

if TYPE_CHECKING:
    from semiseg.comparison.result import Comparison


def compare(
    data: Path,
    *,
    methods: str = "supervised,css",
    labels: str = "all",
    seeds: str = "0",
    steps: int = STEPS,
    out: Path = Path("runs/comparison"),
    equal: Literal["steps", "time"] = "steps",
    **options: object,
) -> Comparison:
    """Train several methods with several numbers of labels and seeds, and compare them.

    Finished runs in the folder are kept and unfinished ones resumed, so that the same command goes
    on where it was stopped, and one with further methods, labels or seeds adds these. Where no
    image is left unlabeled, `supervised` alone is trained: with `all` it is the ceiling.

    Args:
        data: the data folder, see `train`.
        methods: the methods, with commas between them.
        labels: masks to use, with commas between them: each as for `train`, such as `23,46,all`.
        seeds: seeds of the runs, with commas between them.
        steps: optimizer steps of each run.
        out: the folder to write: a run folder for each run, the tables and the plot.
        equal: `steps`, or `time`: `supervised` then gets as many steps as fit into the time that
            the slowest other method takes for `steps`.
        options: further settings of `train`, for all runs; and settings of one method as a mapping
            under its name (`css={"anchors": 128}`, on the command line `--css.anchors 128`).

    Returns:
        The rows of all finished runs in the folder, and what failed.

    Raises:
        SemisegError: the data, a setting or the folder cannot be used; nothing was trained. What
            goes wrong in a single run is told in the result.
        Interrupted: Ctrl-C was pressed; the same command goes on.
    """
    # Imported here, so that `semiseg --help` need not wait for torch.
    from semiseg.comparison.runs import Runner
    from semiseg.comparison.settings import settle

    out = Path(out)
    wanted = _listed("methods", methods)
    given = {**options, "steps": steps}
    workers = given.pop("workers", None)
    shared = settle(out, equal, wanted, given)
    runner = Runner(Path(data), out, shared, {"workers": workers})
    tasks = runner.tasks(wanted, _listed("labels", labels), _listed("seeds", seeds))
    try:
        out.mkdir(parents=True, exist_ok=True)
        shared.save(out)
    except OSError as error:
        raise RunError(f"{out} cannot be written ({error}). Choose another --out.") from error
    return runner.run(tasks)


def _listed(name: str, value: str) -> list[str]:
    """The parts between the commas."""
    found = list(dict.fromkeys(part.strip() for part in str(value).split(",") if part.strip()))
    if not found:
        raise ConfigError(f"--{name} is empty; at least one is needed.")
    return found
