"""The requests of the page that start and follow a training, and open the next round."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from semiseg.config.command_line import shorten
from semiseg.correction.loop import is_comparable, scores_of
from semiseg.correction.rounds import Content, Rounds


class TrainingRequests:
    """Answers requests about trainings and rounds.

    Nothing in them names a file or a setting: the server decides both.

    Args:
        rounds: the rounds and the trainings.
        number: gives the number of the round that the page shows.
        show: makes the page show a round.
    """

    def __init__(
        self, rounds: Rounds, number: Callable[[], int], show: Callable[[Content], None]
    ) -> None:
        self.rounds, self._number, self._show = rounds, number, show

    def routes(self) -> list[Route]:
        """All requests that are answered."""
        actions = {
            "training": self.rounds.trainer.start,
            "training/stop": self.rounds.trainer.stop,
            "training/resume": self.rounds.trainer.resume,
            "rounds": self.rounds.choose_next,
        }
        return [
            Route("/api/training", self.report),
            *(
                Route(f"/api/{path}", self._doing(action), methods=["POST"])
                for path, action in actions.items()
            ),
        ]

    async def report(self, _request: Request) -> Response:
        """How far the training is, and the scores of all runs."""
        return JSONResponse(await run_in_threadpool(self._report))

    def _doing(self, action: Callable[[], None]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(_request: Request) -> Response:
            await run_in_threadpool(action)
            return JSONResponse(await run_in_threadpool(self._report))

        return answer

    def _report(self) -> dict[str, object]:
        rounds = self.rounds
        loop, report = rounds.loop, rounds.trainer.report()
        if len(loop.record.rounds) != self._number():  # this server, or another one, went on
            self._show(rounds.content())
        training, progress = loop.training, report.progress
        start = None if training is None else scores_of(Path(training.start_from))
        final = None if report.run is None else scores_of(report.run)
        # Scores of other validation images say nothing about which model is better.
        before = start.miou.released if start and is_comparable(start, final or start) else None
        return {
            "state": report.state,
            "round": self._number(),
            "accepted": sum(1 for _ in loop.accepted()),
            "masks": 0 if training is None else training.masks,
            "run": "" if report.run is None else shorten(report.run),
            "step": progress.step,
            "steps": progress.steps,
            "seconds_left": report.seconds_left,
            "miou": progress.miou if progress.final is None else progress.final,
            "before": before,
            "start_from": "" if training is None else shorten(Path(training.start_from)),
            "best": shorten(loop.best_run()),
            "error": report.error,
            "command": rounds.trainer.command(),
            "can_go_on": rounds.can_go_on(),
            "is_choosing": rounds.is_choosing,
            "history": [{"run": run, "miou": miou} for run, miou in rounds.history()],
        }
