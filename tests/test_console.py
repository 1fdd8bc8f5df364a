"""What a log file says of the progress of a long job."""

from semiseg.core.console import ProgressLines


def test_a_line_a_minute_says_how_far_it_is_and_how_long_it_takes(log):
    now = [0.0]
    lines = ProgressLines("predict", period=60, clock=lambda: now[0])
    for now[0], completed in ((30, 100), (60, 250), (90, 400), (130, 500), (400, 1000)):
        lines.update(completed, 1000)
    assert [record.getMessage() for record in log.records] == [
        "predict: 250 of 1,000 (25.0 %), about 3 min left",
        "predict: 500 of 1,000 (50.0 %), about 2 min left",
    ]
