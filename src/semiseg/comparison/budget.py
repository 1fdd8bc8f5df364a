"""`compare --budget`: one time for all runs together, and what fits where it is too short."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass

from semiseg.comparison.pace import describe_run, fitting_steps, run_seconds
from semiseg.config.facts import Line
from semiseg.core.errors import BudgetError
from semiseg.core.scores import Timing
from semiseg.core.text import duration, plural

_RESERVE = 0.05  # share of a budget for checkpoints, and a machine that gets busier
_START = 8.0  # seconds of a run for its start and its report, beside reading the data
_FURTHER_VALIDATIONS = 2  # the shapes of the released model, and the report, take as long as one
_SIZE_GRID = 16
_MIN_ADVISED_SIDE = 64  # smaller images show too little to be worth a training


@dataclass(frozen=True)
class Budget:
    """A time for all missing runs of a comparison, which take equal time.

    Attributes:
        text: the time as the user wrote it.
        seconds: the same in seconds.
        runs: the number of missing runs.
        seeds: the seeds of these runs, in their order.
        validations: the validations of each run.
        spent: the seconds until now: reading the data, and measuring the methods.
        saved: those of them that the next call does not need, since semiseg remembers the speed.
        reading: the seconds that each run needs to read the data.
    """

    text: str
    seconds: float
    runs: int
    seeds: tuple[int, ...]
    validations: int
    spent: float
    saved: float
    reading: float

    def run_seconds(self, timings: Iterable[Timing]) -> float:
        """The seconds of each run with its validations, without what comes before and after it."""
        return self._share(self.seconds, self.spent, self.runs, timings)

    def too_short(
        self,
        timings: Mapping[str, Timing],
        least: Mapping[str, int],
        measure_smaller: Callable[[], tuple[int, int, Mapping[str, Timing]] | None],
    ) -> BudgetError | None:
        """The error that says what fits; None if each method gets its least number of steps.

        Args:
            timings: the seconds of a step of each method.
            least: the least number of steps of each method.
            measure_smaller: gives the size of the runs, a smaller one, and the timings there; None
                if the size cannot be chosen. It is called only if the budget is too short.
        """
        share = self.run_seconds(timings.values())
        short = [m for m in timings if self._steps(share, timings[m]) < least[m]]
        if not short:
            return None
        steps = max(least[method] for method in short)
        problem = (
            f"--budget {self.text} is too short for {plural(self.runs, 'run')}: each would "
            f"get {duration(max(0, share))}, and {steps} steps of {', '.join(short)} take longer"
        )
        longest = max(short, key=lambda m: run_seconds(steps, timings[m], self.validations))
        parts = describe_run(longest, steps, timings[longest], self.validations)
        needed = {m: run_seconds(least[m], t, self.validations) for m, t in timings.items()}
        spent = self.spent - self.saved
        if self._share(self.seconds, spent, self.runs, timings.values()) >= max(needed.values()):
            return BudgetError(
                f"{problem}. Measuring the speed took {duration(self.saved)} of it. semiseg "
                "remembers the speed, so the same command fits now."
            )
        return BudgetError(
            f"{problem} ({parts}).",
            self._ways(timings, max(needed.values()), least, measure_smaller),
        )

    def _ways(
        self,
        timings: Mapping[str, Timing],
        needed: float,
        least: Mapping[str, int],
        measure_smaller: Callable[[], tuple[int, int, Mapping[str, Timing]] | None],
    ) -> tuple[str, ...]:
        """What fits: flags with values, of which one is enough."""
        spent, own = self.spent - self.saved, list(timings.values())
        overhead = self._overhead(own)
        ways = [f"--budget {_spelled((self.runs * (needed + overhead) + spent) / (1 - _RESERVE))}"]
        for count in range(len(self.seeds) - 1, 0, -1):
            runs = math.ceil(self.runs * count / len(self.seeds))
            if self._share(self.seconds, spent, runs, own) >= needed:
                ways.append(f"--seeds {','.join(map(str, self.seeds[:count]))}")
                break
        if (measured := measure_smaller()) is not None:
            size, small, others = measured
            for side in range((size - 1) // _SIZE_GRID * _SIZE_GRID, small - 1, -_SIZE_GRID):
                at_side = {
                    m: _between((size, t), (small, others[m]), side)
                    for m, t in timings.items()
                    if m in others
                }
                share = self._share(self.seconds, spent, self.runs, at_side.values())
                if all(self._steps(share, t) >= least[m] for m, t in at_side.items()):
                    ways.append(f"--size {side}")
                    break
        return tuple(ways)

    def _share(self, seconds: float, spent: float, runs: int, timings: Iterable[Timing]) -> float:
        """The seconds of each of so many runs."""
        return ((1 - _RESERVE) * seconds - spent) / runs - self._overhead(timings)

    def _overhead(self, timings: Iterable[Timing]) -> float:
        """The seconds of a run besides its steps and validations."""
        validation = max((t.validation for t in timings), default=0.0)
        return self.reading + _START + _FURTHER_VALIDATIONS * validation

    def _steps(self, seconds: float, timing: Timing) -> int:
        return fitting_steps(seconds, timing, self.validations)


def smaller_side(size: int) -> int | None:
    """A size to measure below another one; None if images would be too small."""
    side = max(_MIN_ADVISED_SIDE, size // 2 // _SIZE_GRID * _SIZE_GRID)
    return side if side < size else None


def _between(large: tuple[int, Timing], small: tuple[int, Timing], side: int) -> Timing:
    """The timing at a size between two others: what a step takes grows with the pixels."""
    squares = (float(small[0] ** 2), float(large[0] ** 2))

    def at(low: float, high: float) -> float:
        return Line.through((squares[0], low), (squares[1], high)).at(side**2)

    return Timing(*map(at, astuple(small[1]), astuple(large[1])))


def _spelled(seconds: float) -> str:
    """A time as `--budget` reads it, rounded up to two digits.

    Example:
        >>> _spelled(61), _spelled(1_234), _spelled(9_000)
        ('70s', '21m', '2h30m')
    """
    if seconds <= 120:
        return f"{math.ceil(seconds / 10) * 10}s"
    minutes = math.ceil(seconds / 60)
    if minutes <= 120:
        return f"{minutes}m"
    hours, rest = divmod(math.ceil(minutes / 10) * 10, 60)
    return f"{hours}h" + f"{rest}m" * bool(rest)
