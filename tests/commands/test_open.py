"""`semiseg open`: what it opens, and what it says where there is nothing to open."""

import subprocess
import sys

import pytest

from semiseg.cli import main
from semiseg.commands import open_report as module
from semiseg.commands.open_report import open_report
from semiseg.core.errors import RunError


@pytest.fixture
def opened(monkeypatch):
    """The addresses that a browser was asked for, on a machine with a display."""
    addresses = []
    monkeypatch.setattr(module, "_has_display", lambda: True)
    monkeypatch.setattr(module.webbrowser, "open", lambda uri: addresses.append(uri) is None)
    return addresses


def test_the_report_opens_in_the_browser(tmp_path, opened, capsys, monkeypatch):
    run = tmp_path / "a run"
    run.mkdir()
    (run / "report.html").touch()
    monkeypatch.chdir(tmp_path)
    main(["open", "a run"])
    assert opened == [(run / "report.html").as_uri()]
    assert capsys.readouterr().out == f"{run / 'report.html'}\n"
    assert open_report(run / "report.html").path == run / "report.html"


def test_without_a_display_the_path_is_printed(tmp_path, monkeypatch, capsys):
    (tmp_path / "report.html").touch()
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    main(["open", str(tmp_path)])
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'report.html'}\nThere is no display")


@pytest.mark.parametrize(
    ("files", "remedy"),
    [
        (["config.yaml", "scores.json"], "has no report.html. Write it: semiseg report "),
        (["comparison.json"], "has no report.html. Write it: semiseg report "),
        (["config.yaml"], "has no report.html yet"),
        (["runs/css/report.html", "runs/supervised/report.html"], "Name one of the runs in it: "),
        ([], "holds no run and no comparison"),
    ],
)
def test_where_there_is_no_report_the_message_says_what_to_do(tmp_path, opened, files, remedy):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(RunError, match=remedy):
        open_report(tmp_path)
    assert opened == []


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(RunError, match="There is no folder"):
        open_report(tmp_path / "gone")


@pytest.mark.slow
def test_it_needs_no_torch(tmp_path):
    code = (
        "import sys; from semiseg.cli import main\n"
        f"try:\n    main(['open', {str(tmp_path)!r}])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'lightning', 'matplotlib'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
