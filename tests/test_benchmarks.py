"""Each script of `benchmarks/` runs for a few seconds, with tiny sizes."""

from __future__ import annotations

import importlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from semiseg.core.reading import AS_STORED
from semiseg.data.reader import load_dataset

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SMALL = ["--steps", 2, "--size", 48, "--threads", 1]
WORDS = {
    "adjustment": ["DATA", "RUN"],
    "bands": [
        *("--side", 200, "--out", "OUT", "--", "--tile", 64, "--steps", 2, "--size", 48),
        *("--crop", 32, "--encoder", "lcnet_035", "--weights", "none", "--workers", 0),
    ],
    "binary": ["DATA", "--classes", "crop", "--out", "OUT"],
    "confirm": [
        *("ROOT", "--sets", "SET", "--seeds", 0, "--out", "OUT", "--rows", "OUT/rows.jsonl"),
        *("--variants", "supervised; supervised, same time; all masks"),
        *("--steps", 2, "--size", 48),
    ],
    "contrastive": ["--sides", 32, "--anchors", 4, "--draws", 300],
    "correct": ["RUN", "DATA", "--images", 2, "--rows", "OUT"],
    "correct_page": ["--width", 300, "--height", 200, "--repeats", 2],
    "differences": ["RUN", "RUN", "DATA"],
    "encoders": [
        *("DATA", "--out", "OUT", "--labels", 2, "--size", 48, "--steps", 2),
        *("--encoders", "lite0", "--methods", "supervised"),
    ],
    "factors": ["DATA", "--out", "OUT", "--only", "css", "--labels", 2, *SMALL],
    "first": ["--images", 20, "--crop", 64, "--repeats", 1],
    "frozen": ["RUN", "DATA", "--encoder", "lcnet_035", "--weights", "none"],
    "first_masks": [
        *("ROOT", "--sets", "SET", "--seeds", 0, "--out", "OUT"),
        *("--rows", "OUT/rows.jsonl", "--steps", 3, "--size", 48),
    ],
    "gpu": ["--limit-minutes", 0, "--out", "OUT"],
    "growth": ["--tiny", "--repeats", 1, "--plot", "OUT.png"],
    "inference": ["RUN", "DATA", "--images", 1, "--repeats", 1, "--large", 160, 120],
    "labels": ["RUN", "DATA", "--second", "RUN", "--frozen", "lcnet_035=none"],
    "likeness": ["DATA", "--labels", 4, "--draws", 2],
    "loader": ["--data", "DATA", "--size", 48, "--crop", 32, "--repeats", 1],
    "network": ["--ways", "linear", "--classes", 3, "--crop", 64, "--batch", 2, "--repeats", 1],
    "operations": ["--recipes", "voc-classic"],
    "parts": [
        *("--encoder", "lcnet_035", "--parts", "full", "last-2"),
        *("--crop", 64, "--repeats", 1),
    ],
    "pool": ["--images", 8, "--side", 16, "--small", 10, "--huge", 5000, "--repeats", 1],
    "pool_start": ["--images", 1000, 2000, "--repeats", 1],
    "pool_suggest": ["--images", 300, "--width", 16],
    "raster": ["--size", 300],
    "scale": ["--images", 1, 2, "--size", 64, 48, "--engines", "local"],
    "screen": [
        *("ROOT", "--sets", "SET", "--seeds", 0, "--variants", "supervised; css; all masks"),
        *("--out", "OUT", "--rows", "OUT/rows.jsonl", "--units", 3, "--size", 48),
    ],
    "step": [
        *("--methods", "supervised", "css", "--classes", 3, "--encoder", "lcnet_035"),
        *("--crop", 64, "--batch", 2, "--repeats", 2, "--weights", "none"),
    ],
    "suggest": ["DATA", "--out", "OUT", "--first", 2, "--more", 1, "--seeds", 0, *SMALL],
    "thresholds": ["RUN", "DATA", "--folds", "FOLD"],
    "unlike": ["DATA", "--references", 4, "--draws", 1, "--scenes", 4],
}
"""The command line of each script. DATA, ROOT, RUN, FOLD, OUT: folders or files. SET: a set."""

VIT = ["--encoder", "vit_tiny_patch16_224", "--encoder-training", "last-2", "--methods", "css"]

OF_CI = {"correct_page": "browser", "pool_start": "servers"}
"""Scripts that only .ci/run runs, with their marks."""

FORKED = ("contrastive", "first", "growth", "step")
"""Scripts that fork, or change the program while they measure it."""

FORKING = """
import json, os, runpy, sys
import semiseg.training.trainer  # imported once, for all scripts

failed = []
for path, words in json.loads(sys.stdin.read()):
    pid = os.fork()
    if pid == 0:
        sys.argv = [path, *words]
        sys.path.insert(0, os.path.dirname(path))
        runpy.run_path(path, run_name="__main__")
        sys.stdout.flush()
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        failed.append((path, words))
sys.exit(f"failed: {failed}" if failed else 0)
"""
"""A program that runs each of several scripts in a process of its own."""


def test_every_script_has_its_words():
    scripts = [path for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text("utf-8")]
    assert {path.stem for path in scripts} == set(WORDS)


@pytest.fixture
def folders(tiny_run, tiny_folder, tmp_path):
    """A run whose unlabeled images have masks, one with fewer labels, data, a folder to write."""
    run = shutil.copytree(tiny_run("css"), tmp_path / "run")
    masked = {path.stem for path in (tiny_folder / "train" / "masks").iterdir()}
    unlabeled = run / "split" / "unlabeled.txt"
    names = [name for name in unlabeled.read_text().splitlines() if name in masked]
    unlabeled.write_text("".join(f"{name}\n" for name in names))
    fold = shutil.copytree(run, tmp_path / "fold")
    labeled = (run / "split" / "labeled.txt").read_text().splitlines()
    (fold / "split" / "labeled.txt").write_text(f"{labeled[0]}\n")
    return {
        "DATA": tiny_folder,
        "ROOT": tiny_folder.parent,
        "SET": f"{tiny_folder.name}:2",
        "RUN": run,
        "FOLD": fold,
        "OUT": tmp_path / "out",
    }


@pytest.mark.programs
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(script, marks=getattr(pytest.mark, OF_CI[script]) if script in OF_CI else ())
        for script in WORDS
        if script not in FORKED
    ],
)
def test_a_benchmark_prints_its_table(script, folders, tmp_path, monkeypatch, capsys):
    if script == "correct_page" and not Path("/usr/bin/chromium").is_file():
        pytest.skip("there is no browser at /usr/bin/chromium")
    path = BENCHMARKS / f"{script}.py"
    words = [str(folders.get(word, word)) for word in WORDS[script]]
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "argv", [str(path), *words])
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    output = capsys.readouterr().out
    assert any(character.isdigit() for character in output)


@pytest.mark.programs
def test_the_benchmark_of_unlike_images_asks_a_model(script, folders, monkeypatch, capsys):
    words = ["unlike.py", str(folders["DATA"]), "--run", str(folders["RUN"]), "--images", "1"]
    monkeypatch.setattr(sys, "argv", words)
    script("unlike").main()
    assert "| gray | " in capsys.readouterr().out


@pytest.mark.programs
def test_the_benchmarks_that_measure_processes_print_their_tables(tmp_path):
    calls = [(script, WORDS[script]) for script in FORKED]
    calls.append(("step", [*WORDS["step"], *VIT]))
    picture = str(tmp_path / "growth.png")
    scripts = [
        (str(BENCHMARKS / f"{name}.py"), [picture if w == "OUT.png" else str(w) for w in words])
        for name, words in calls
    ]
    process = subprocess.run(
        [sys.executable, "-c", FORKING],
        input=json.dumps(scripts),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "SEMISEG_CACHE": str(tmp_path / "cache")},
    )
    assert process.returncode == 0, process.stderr
    tables = re.findall(r"^\|[-:| ]+\|\n\|.*\d", process.stdout, re.MULTILINE)
    assert len(tables) >= len(calls), process.stdout
    rows = re.findall(
        r"^\| (\w+) \| 3 \|.*\| ([\d.]+) \| ([\d.]+) \|$", process.stdout, re.MULTILINE
    )
    assert [name for name, *_ in rows] == ["supervised", "css", "css"]
    assert [float(ratio) for *_, ratio in rows][::2] == [1, 1]
    # A step holds its own passes, and more.
    assert all(float(own) > 0.5 for _, own, _ in rows)


@pytest.fixture
def script(monkeypatch):
    """Imports a script of `benchmarks/`."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


TINY_GPU = [
    *("--encoders", "lcnet_035", "--methods", "css", "--crop", "48", "--batch", "2"),
    *("--steps", "2", "--images", "2", "--workers", "0", "--accelerator", "cpu"),
    *("--backend", "eager"),
]


@pytest.fixture
def run_gpu(script, monkeypatch, tmp_path):
    """Runs `gpu.py`; `measure` takes the place of a process for each measurement."""
    gpu = script("gpu")

    def run(measure, *words):
        out = tmp_path / "gpu.json"
        monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(out), *TINY_GPU, *words])
        monkeypatch.setattr(gpu, "in_process", measure)
        gpu.main()
        return json.loads(out.read_text())

    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    yield gpu, run
    torch.use_deterministic_algorithms(False)


@pytest.mark.programs
def test_the_benchmark_of_gpus_measures_steps_prediction_and_a_resumed_training(run_gpu):
    gpu, run = run_gpu

    def measure(case, words, seconds):
        arguments = gpu.parser().parse_args(words)
        return {**case, "status": "ok", **gpu.measure(case, arguments), "seconds": 1.0}

    record = run(measure)
    assert record["complete"]
    assert record["device"]["kind"]
    assert record["versions"]["torch"] == torch.__version__
    cases = {}
    for result in record["results"]:
        cases.setdefault(result["case"], []).append(result)
        assert result["device"] == "cpu"
    ways = [(one["precision"], one["compile"]) for one in cases["step"]]
    assert ways == [("bf16-mixed", False), ("32-true", False), ("bf16-mixed", True)]
    for step in cases["step"]:
        assert step["steps"] == 2
        assert step["images_per_step"] == 4
        assert 0 < step["step_ms_without_loading"] <= step["step_ms"]
        assert step["peak_mib"] > 100
    (predict,) = cases["predict"]
    assert predict["images"] == 2
    assert predict["predict_images_per_second"] > 0
    assert [one["deterministic"] for one in cases["resume"]] == [False, True]
    for resume in cases["resume"]:
        assert resume["resumed_from_step"] < resume["steps"]
        assert resume["resumed_is_bit_exact"]
        assert resume["largest_difference_resumed"] == 0


@pytest.mark.programs
def test_a_measurement_that_fails_or_takes_too_long_costs_only_itself(run_gpu):
    gpu, run = run_gpu
    in_process = gpu.in_process

    def measure(case, words, seconds):
        if case["precision"] == "32-true":
            return in_process(case, words, 0.01)
        return in_process({**case, "method": "csss"}, words, seconds)

    record = run(measure, "--cases", "step")
    assert not record["complete"]
    assert [result["status"] for result in record["results"]] == ["failed", "cut", "failed"]
    assert "csss" in record["results"][0]["error"]


@pytest.mark.slow
def test_the_benchmark_of_gpus_leaves_out_what_the_time_does_not_allow(run_gpu):
    _, run = run_gpu
    record = run(None, "--limit-minutes", "0.1")
    assert {result["status"] for result in record["results"]} == {"left out"}
    assert not record["complete"]


@pytest.mark.slow
def test_rows_of_another_number_of_labels_or_another_commit_are_told_apart(script, tmp_path):
    screen = script("screen")
    a = SimpleNamespace(
        sets={"one": 2}, seeds=[0, 1], rows=tmp_path / "rows.jsonl", units=30, size=48
    )

    def keys():
        settings = screen.settings_of(screen.VARIANTS["css"], "one", a)
        return settings, [screen.key_of("one", seed, settings) for seed in a.seeds]

    settings, own = keys()
    rows = [
        screen.Row(key, "one", seed, settings, 50.0, None, 1.0, f"commit{seed}", f"cpu{seed}")
        for seed, key in enumerate(own)
    ]
    a.rows.write_text("".join(f"{json.dumps(row._asdict())}\n" for row in rows))
    *_, row, note, last = screen.table(["css"], a)
    assert row == "| css | 50.0 |  |  | 2 | 1 |"
    assert "several commits: commit0, commit1" in note
    assert "several processors (cpu0, cpu1)" in last
    pair = screen.settings_of(screen.VARIANTS["css-stored, both"], "one", a)
    few = screen.settings_of(screen.VARIANTS["supervised"], "one", a)
    with a.rows.open("a") as lines:
        for words, score, released in [(few, 40.0, 45.0), (pair, 52.0, 52.0)]:
            key = screen.key_of("one", 0, words)
            row = screen.Row(key, "one", 0, words, score, released, 1.0, "commit0", "cpu0")
            lines.write(f"{json.dumps(row._asdict())}\n")
    table = list(screen.table(["supervised", "css-stored, both"], a))
    assert table[2].startswith("| supervised | 45.0 |")  # what was released, beside a pair
    assert table[3].startswith("| css-stored, both | 52.0 | +7.0 |")
    assert list(screen.table(["supervised"], a))[2].startswith("| supervised | 40.0 |")
    a.sets = {"one": 3}
    assert not set(keys()[1]) & set(own)
    *_, row = screen.table(["css"], a)
    assert row == "| css |  |  |  | 0 |  |"


@pytest.mark.slow
def test_neighbors_vouch_for_a_doubtful_pixel_and_raise_the_other_class_at_a_border(script):
    refine = script("labels").refine
    own = np.full((2, 5, 6), 0.95, np.float32)
    own[:, 2, 2] = 0.55
    own[1] = 1 - own[0]
    persistence = np.array([0.9, 0.9], np.float32)
    refined = refine(own, persistence)
    weight = np.exp(-0.5)
    # p + b (n - max(p n, p E)) for both classes, written out for the doubtful pixel.
    expected = [p + weight * (n - max(p * n, p * 0.9)) for p, n in ((0.55, 0.95), (0.45, 0.05))]
    np.testing.assert_allclose(refined[:, 2, 2], expected, rtol=1e-5)
    assert np.ptp(refined[:, 2, 2]) > np.ptp(own[:, 2, 2])
    border = np.zeros((2, 4, 6), np.float32)
    border[0, :, :3] = border[1, :, 3:] = 1
    changed = refine(border, persistence) - border
    assert not changed[border == 1].any()
    np.testing.assert_allclose(changed[0, :, 3], weight, rtol=1e-6)
    assert not changed[0, :, 4:].any()


@pytest.mark.slow
def test_the_annotator_takes_the_tool_that_gains_most_for_each_click(script):
    correct = script("correct")
    truth = np.zeros((40, 60), np.uint8)
    truth[10:20, 10:30] = 1
    truth[0, :10] = 255
    empty = np.full_like(truth, 255)

    def look(row, column):
        return np.where(truth == truth[row, column], np.uint8(200), np.uint8(199))

    # One fill gives all of the canvas a class. The rectangle takes two clicks, of the brush that is
    # as wide as it is high, or of Alike, which is exact.
    row = correct.mend(correct.Correction(truth, empty, 2, look))
    assert row.tools == {"fill": 1, "alike": 1}
    assert row.clicks == {85: 3, 90: 3}
    assert row.painted == {85: 40 * 60 - 10 + 200, 90: 40 * 60 - 10 + 200}
    correction = correct.Correction(truth, empty, 2)
    correction.do(*correction.next_action())
    assert correction.iou() == pytest.approx(100 * (2400 - 210) / 2390 / 2)
    patch = correction._largest[1]
    actions = list(correction._actions(patch, correction._gains(1)))
    outline = [action for action in actions if action.tool == "polygon" and action.clicks == 4]
    assert outline[0].gain == 200
    assert (outline[0].pixels == (truth[outline[0].box] == 1)).all()
    spoiled = [action.gain for action in actions if action.tool == "fill"]
    assert spoiled == [200 - (2400 - 210)]
    # A dot of five pixels: the middles of pixels within 2.5 pixels, as on the page.
    dot = [action for action in actions if action.tool == "brush" and action.clicks == 1][1]
    assert [int(n) for n in dot.pixels.sum(axis=1) if n] == [3, 5, 5, 5, 3]
    # Without Alike, strokes mend the rectangle, and the sums stay those of the whole image.
    row = correct.mend(correction)
    wrong = (correction.mask != truth) & (truth != 255)
    missing, more = (wrong & (truth == 1)).sum(), (wrong & (truth == 0)).sum()
    ious = (2190 - more) / (2190 + missing), (200 - missing) / (200 + more)
    assert correction.iou() == pytest.approx(100 * sum(ious) / 2)
    assert correction.iou() >= 90
    assert set(row.tools) <= {"brush", "polygon"}
    assert row.all_painted >= 200 - missing + more
    assert correct.ratio([2, 4, 6], [4, 8, 12]) == "0.50 (0.50 to 0.50)"


@pytest.mark.slow
def test_the_smallest_threshold_reaches_the_wanted_precision(script):
    thresholds = script("thresholds")
    trust = np.array([0.2, 0.4, 0.6, 0.8, 0.9], np.float32)
    judgment = thresholds.Judgment(np.array([0, 0, 1, 1, 1], np.uint8), trust)
    counts = thresholds._count(judgment, np.array([1, 1, 1, 1, 255], np.uint8))
    assert counts[0].tolist() == [4, 2]
    assert thresholds.STEPS[thresholds.smallest(counts, 0.5)] == 0
    assert thresholds.STEPS[thresholds.smallest(counts, 0.6)] == 0.21
    assert thresholds.STEPS[thresholds.smallest(counts, 0.9)] == 0.41
    counts[:, 1] = 0
    assert thresholds.STEPS[thresholds.smallest(counts, 0.9)] == 0.95


@pytest.mark.slow
def test_the_most_trusted_pixels_come_first_and_withheld_ones_never(script):
    labels = script("labels")
    order = labels.ranked(np.array([0.1, -1, 0.9, 0.5, 0.7], np.float32))
    assert order.tolist() == [2, 4, 3, 0]
    right = np.array([True, False, True, True, False])
    assert [labels.count_right(right, wanted) for wanted in (100, 75, 70, 60)] == [1, 4, 4, 5]
    assert labels.count_right(~right[:1], 50) == 0


@pytest.mark.slow
def test_a_frozen_judge_learns_colors_and_judges_each_image_without_itself(script, tiny_folder):
    frozen = script("frozen")
    folder = load_dataset(tiny_folder)
    samples = [sample for sample in folder.train if sample.mask is not None]
    judge = frozen.FrozenJudge("lcnet_035", "none", samples, folder.classes, AS_STORED, size=64)
    counts = judge.confusion.double()
    assert judge.network.training is False
    assert counts.diagonal().sum() / counts.sum() > 0.5
    probabilities = judge.probabilities(samples[0], (20, 30))
    np.testing.assert_allclose(probabilities.sum(axis=0), np.ones((20, 30)), rtol=1e-5)
