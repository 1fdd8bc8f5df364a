"""The page of a training that runs: what it says, and that it costs no bit of the training."""

import shutil

import pytest

import semiseg
from semiseg.core.errors import Interrupted
from semiseg.reporting.live import LiveReport
from semiseg.reporting.live_page import LIVE_MARK, live_page
from semiseg.reporting.report import report, write_report

RELOADS = 'http-equiv="refresh"'


class Watched:
    """A finished run, what a watcher was shown in it, and the page after each of these times.

    Beside that, the same for the steps between the validations.
    """

    def __init__(self, folder, shown, pages, steps, step_pages):
        self.folder, self.shown, self.pages = folder, shown, pages
        self.steps, self.step_pages = steps, step_pages


@pytest.fixture(scope="module")
def watched(tiny_folder, tiny_settings, tmp_path_factory):
    shown, pages, steps, step_pages = [], [], [], []

    def page_of(progress):
        return (progress.stage.run.out / "report.html").read_text(encoding="utf-8")

    class Kept(LiveReport):
        def show(self, progress):
            super().show(progress)
            shown.append(progress)
            pages.append(page_of(progress))

        def advance(self, progress):
            super().advance(progress)
            steps.append(progress.step)
            step_pages.append(page_of(progress))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("semiseg.training.watching.PERIOD", 0.0)
        patch.setattr("semiseg.commands.train.live_report", Kept)
        patch.setattr("semiseg.commands.train.write_report", write_report)
        out = tmp_path_factory.mktemp("live") / "run"
        run = semiseg.train(tiny_folder, method="css", out=out, **tiny_settings)
    return Watched(run.folder, shown, pages, steps, step_pages)


@pytest.mark.slow
def test_somebody_who_watches_changes_no_bit(watched, tiny_run):
    for name in ("model.safetensors", "metrics.csv", "confusion.csv"):
        assert (watched.folder / name).read_bytes() == (tiny_run("css") / name).read_bytes()


@pytest.mark.slow
def test_each_validation_is_shown_and_the_report_comes_last(watched):
    assert [progress.step for progress in watched.shown] == [0, 2, 4]
    begun, middle, last = watched.pages
    assert all(LIVE_MARK in page and RELOADS in page for page in watched.pages)
    assert "Step 0 of 4: the next scores come at step 2." in begun
    assert "<img" not in begun
    scores = watched.shown[1].scores
    assert f"Step 2 of 4: {watched.shown[1].network} has {scores['miou']:.1f}" in middle
    for layer in ("image", "truth", "prediction", "errors"):
        assert middle.count(f'alt="{layer} of ') == len(watched.shown[1].images) == 2
    assert 'alt="mean IoU on val at each validation"' in middle
    assert "All steps are done" in last
    final = (watched.folder / "report.html").read_text(encoding="utf-8")
    assert LIVE_MARK not in final
    assert RELOADS not in final


@pytest.mark.slow
def test_steps_between_validations_are_shown_too(watched):
    assert watched.steps == [1, 3]
    first, second = watched.step_pages
    assert "Step 1 of 4: the next scores come at step 2" in first
    scores = watched.shown[1].scores
    assert f"Step 3 of 4: {watched.shown[1].network} had {scores['miou']:.1f}" in second
    assert "mIoU on val at step 2" in second
    assert second.count("<img") == watched.pages[1].count("<img") > 0
    assert RELOADS in first
    assert RELOADS in second


@pytest.mark.slow
def test_the_scores_of_an_image_are_those_of_its_mask(watched):
    progress = watched.shown[-1]
    for image, drawn in zip(progress.images, live_page(progress, "training").images, strict=True):
        ious = []
        for c in range(len(progress.classes)):
            true, predicted = image.truth == c, image.labels == c
            if true.any():
                ious.append((true & predicted).sum() / (true | predicted).sum())
        assert drawn.miou == pytest.approx(100 * sum(ious) / len(ious))


@pytest.mark.slow
def test_a_stopped_training_says_how_to_go_on(watched, tiny_folder, tmp_path, monkeypatch):
    progress = _moved(watched.shown[1], tmp_path)

    def stop(config, *, watcher, **words):
        watcher.show(progress)
        raise Interrupted("stopped", 130)

    monkeypatch.setattr("semiseg.commands.train.live_report", LiveReport)
    monkeypatch.setattr("semiseg.commands.train.run_training", stop)
    with pytest.raises(Interrupted):
        semiseg.train(tiny_folder, out=tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The training stopped after step 2 of 4." in page
    assert f"semiseg train {tiny_folder} --out {tmp_path} --resume" in page
    assert RELOADS not in page


@pytest.mark.slow
def test_a_failure_is_reported_once_and_changes_nothing(watched, tmp_path, log, monkeypatch):
    def fail(progress, state):
        raise ValueError("no ink")

    monkeypatch.setattr("semiseg.reporting.live.live_page", fail)
    live = LiveReport()
    for progress in watched.shown:
        live.show(_moved(progress, tmp_path))
    assert log.text.count("no ink") == 1
    assert list(tmp_path.iterdir()) == []
    LiveReport().end("stopped")  # nothing began, so there is nothing to write


@pytest.mark.slow
def test_a_report_without_images_replaces_the_page(watched, tmp_path, log):
    run = shutil.copytree(watched.folder, tmp_path / "run")
    (run / "report.html").write_text(watched.pages[-1], encoding="utf-8")
    report(run, data=tmp_path / "gone")
    assert LIVE_MARK not in (run / "report.html").read_text(encoding="utf-8")
    assert "shows no images" in log.text


def _moved(progress, out):
    """The progress of a run in another folder."""
    stage = progress.stage
    return progress._replace(
        stage=stage._replace(run=stage.run.replaced(out=out), config=stage.config)
    )
