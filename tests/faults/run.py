"""What happens to a training when machines do what they do: real trainings, killed and resumed.

    python tests/faults/run.py --kills 500

A training's end must be that of the training that was left alone: the released weights, the whole
state (student, teacher, optimizer), the metrics, the scores, and no file more. Kills are drawn from
`--seed`, see `kills`; the other faults are listed in `others`. Prints a summary as JSON; what went
wrong is kept, with all the output.
"""

from __future__ import annotations

import argparse
import json
import sys

import others
import ranks
from harness import staged
from kills import kill_many


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=600, help="no new kill after these")
    parser.add_argument("--only", default="", help="faults of others.py whose names hold this")
    arguments = parser.parse_args()
    with staged() as stage:
        summary = kill_many(stage, arguments.kills, arguments.seed, arguments.minutes)
        print(file=sys.stderr)
        summary["others"] = others.all_of(stage, arguments.only)
        summary["two processes"] = ranks.all_of(stage, arguments.only)
        print(json.dumps(summary, indent=2))
        problems = [*summary["others"].values(), *summary["two processes"].values()]
        if summary["wrong"] or any(words and not words.startswith("skipped") for words in problems):
            sys.exit(1)


if __name__ == "__main__":
    main()
