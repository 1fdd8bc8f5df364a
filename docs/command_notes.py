"""What docs/reference_pages.py adds to the settings of a command: examples, files, exit status."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Notes:
    """What the settings of a command do not say.

    Attributes:
        examples: command lines, each below a sentence that says what it does.
        guide: the guides about this command, as links.
        files: the files that it writes, each with what it holds.
        status: exit statuses that other commands do not have, with their meaning.
    """

    examples: dict[str, str]
    guide: str
    files: dict[str, str]
    status: dict[int, str]


RUN_FILES = {
    "`OUT/config.yaml`": "all settings",
    "`OUT/plan.yaml`": "the plan: each setting with its value and reason",
    "`OUT/split/`": "the lists of the images that were used",
    "`OUT/metrics.csv`": "the training log",
    "`OUT/checkpoints/`": "the two newest checkpoints, for `--resume`",
    "`OUT/scores.json`, `OUT/confusion.csv`": "the scores and the confusion matrix on `val`",
    "`OUT/model.safetensors`, `OUT/model.json`": "the trained model",
    "`OUT/diagnostics/`": "the quality of the pseudo-labels, for methods that have some",
    "`OUT/report.html`": "a page for your browser: the training while it runs, then its results",
}

NOTES = {
    "check": Notes(
        {
            "Check a folder:": "semiseg check DATA",
            "Say where images and masks lie, and draw some of them:": (
                "semiseg check DATA --images photos --masks drawn --picture check.png"
            ),
            "Which classes would 4 labeled images hold?": "semiseg check DATA --labels 4",
            "Print the findings for a program:": "semiseg check DATA --json",
        },
        "[Check the data](../check.md), [Say what lies where](../folders.md)",
        {"the file of `--picture`": "up to 12 labeled images with their masks over them"},
        {1: "the data have an error"},
    ),
    "init": Notes(
        {
            "Write down what semiseg finds:": "semiseg init DATA",
            "Name the folders first:": "semiseg init DATA --images photos --masks drawn",
        },
        "[Say what lies where](../folders.md#write-it-down-once-datasetyaml)",
        {
            "`DATA/dataset.yaml`": "the folders, the groups and the way to read the images",
            "`DATA/classes.yaml`": "the names, ids and colors of the classes",
        },
        {},
    ),
    "plan": Notes(
        {
            "Show the settings of a training:": "semiseg plan DATA",
            "Fit the training into two hours:": "semiseg plan DATA --budget 2h",
        },
        "[The plan](../plan.md)",
        {},
        {},
    ),
    "train": Notes(
        {
            "Train with the settings of the plan:": "semiseg train DATA --out runs/first",
            "Use 23 masks, hide the others, and stop after two hours:": (
                "semiseg train DATA --labels 23 --budget 2h --out runs/first"
            ),
            "Continue a training that was stopped:": "semiseg train DATA --out runs/first --resume",
            "Go on from a finished model, with corrected masks:": (
                "semiseg train --config runs/first/config.yaml --start-from runs/first "
                "--corrected next --out runs/second"
            ),
        },
        "[Getting started](../getting-started.md#train), [the plan](../plan.md), "
        "[methods](../methods.md), [encoders](../encoders.md)",
        RUN_FILES,
        {143: "SIGTERM stopped the training; `--resume` continues it"},
    ),
    "evaluate": Notes(
        {
            "Score a model on `val`; `--split test` scores `test`:": (
                "semiseg evaluate runs/first DATA --split val"
            ),
            "Print the scores for a program:": "semiseg evaluate runs/first DATA --json",
        },
        "[Evaluate](../predict.md#evaluate), [the scores](../scores.md)",
        {},
        {},
    ),
    "predict": Notes(
        {
            "Write masks and overlays:": "semiseg predict runs/first IMAGES --out masks --overlay",
            "Write 255 where the model is not sure, and a table of all images:": (
                "semiseg predict runs/first IMAGES --out masks --abstain 0.8 --table"
            ),
            "Segment the first of two parts, on one of two machines:": (
                "semiseg predict runs/first IMAGES --out parts --shard 1/2"
            ),
        },
        "[Predict](../predict.md), [rasters](../rasters.md)",
        {
            "`OUT/NAME.png`": "the mask; a GeoTIFF for a GeoTIFF",
            "`OUT/colors/`, `OUT/overlays/`, `OUT/probabilities/`": "with the flags of these names",
            "`OUT/confidence/`, `OUT/reliability/`": "with the flags of these names",
            "`OUT/predictions.csv`": "with `--table` or `--merge`",
            "`OUT/ledger/`": "with `--table` or `--shard`: what became of each image",
        },
        {},
    ),
    "compare": Notes(
        {
            "Compare three methods with two numbers of masks and three seeds:": (
                "semiseg compare DATA --methods supervised,cutmix,css --labels 23,all "
                "--seeds 0,1,2 --out runs/comparison"
            ),
            "See the runs and their time first, and fit them into two hours:": (
                "semiseg compare DATA --labels 23 --budget 2h --out runs/short --dry-run"
            ),
            "Set something for one method:": (
                "semiseg compare DATA --methods supervised,css --css.anchors 128 --out runs/anchors"
            ),
        },
        "[Compare methods](../compare.md)",
        {
            "`OUT/METHOD-LABELS-SEED/`": "a run folder for each training",
            "`OUT/comparison.md`, `.csv`, `.json`, `.png`": "the table and the plot",
            "`OUT/compare.yaml`": "the settings that all runs share",
            "`OUT/report.html`": "all of this as a page for your browser",
        },
        {2: "a command line or a file that cannot be used, or a run that failed"},
    ),
    "report": Notes(
        {
            "Write the report of a run again:": "semiseg report runs/first",
            "The data have moved:": "semiseg report runs/first --data DATA --out page.html",
        },
        "[The report](../report.md)",
        {"`RUN/report.html`, or the file of `--out`": "the page, with its pictures"},
        {},
    ),
    "open": Notes(
        {
            "Show the report of a run, or watch a training that runs:": "semiseg open runs/first",
            "Show the report of a comparison:": "semiseg open runs/comparison",
        },
        "[The report](../report.md)",
        {},
        {},
    ),
    "suggest": Notes(
        {
            "Choose the images to label first; there is no model yet:": (
                "semiseg suggest IMAGES -n 20 --out first"
            ),
            "Choose the next images, and draw their masks for CVAT:": (
                "semiseg suggest runs/first IMAGES -n 20 --format cvat --out next"
            ),
            "Choose 200 images of a pool of millions:": (
                "semiseg suggest runs/first s3://bucket/pool -n 200 --out next"
            ),
        },
        "[Choose images](../predict.md#choose-the-first-images-to-label), "
        "[of a pool](../pools.md#choose-images-of-a-pool-to-label), "
        "[correct masks](../correct-masks.md)",
        {
            "`OUT/suggested.txt`": "the list of the images",
            "`OUT/suggested.csv`": "the list with the reasons",
            "`OUT/suggested.png`": "a picture of the images",
            "`OUT/train/images/`": "copies of the images",
            "`OUT/train/masks/`": "the masks of the model, or an empty folder without a run",
            "`OUT/classes.yaml`": "the classes, if there is a run",
            "`OUT/features/`": "the features of all images of a pool, with which a call goes on",
        },
        {},
    ),
    "correct": Notes(
        {
            "Choose images and correct their masks in the browser:": (
                "semiseg correct runs/first IMAGES --out next"
            ),
            "Go on with the masks that the folder holds:": "semiseg correct runs/first --out next",
        },
        "[Correct masks](../correct-masks.md#correct-in-the-browser)",
        {
            "`OUT/`": "the same files as those of [`suggest`](suggest.md)",
            "`OUT/correct.json`": "which masks you accepted or skipped",
            "`OUT/loop.json`": "the rounds, if you trained on in the browser",
        },
        {},
    ),
    "export": Notes(
        {
            "Write an ONNX model:": "semiseg export runs/first --out model.onnx",
            "Write a smaller one, which is faster on many CPUs:": (
                "semiseg export runs/first --precision int8 --out model.onnx"
            ),
            "Write a folder for the Hugging Face hub:": (
                "semiseg export runs/first --format hub --license cc-by-4.0 --out folder"
            ),
        },
        "[Export a model](../export.md)",
        {
            "the file of `--out`": "`onnx` and `qgis`: the model with its classes and its size",
            "`OUT/model.safetensors`, `model.json`, `config.json`, `README.md`": (
                "`hub`: the model and its card"
            ),
        },
        {},
    ),
    "demo": Notes(
        {"Draw scenes, train two models on them and compare the two:": "semiseg demo --out demo"},
        "[Getting started](../getting-started.md)",
        {
            "`OUT/data/`": "the drawn scenes, as a data folder",
            "`OUT/runs/`": "the run folders of `supervised` and `css`",
            "`OUT/demo.png`": "three scenes with the errors of both models",
        },
        {},
    ),
    "convert": Notes(
        {
            "Write the annotations of any tool as masks:": "semiseg convert DATA --out masks",
            "Write corrected annotations with the ids of a run:": (
                "semiseg convert tool --like runs/first --out tool-corrected"
            ),
        },
        "[In a labeling tool](../correct-masks.md#in-a-labeling-tool), "
        "[all formats](../your-data.md#annotation-files)",
        {
            "`OUT/train/images/`, `OUT/train/masks/`": "the images and masks; also `val`, `test`",
            "`OUT/classes.yaml`": "the names, ids and colors of the classes",
        },
        {},
    ),
    "split": Notes(
        {
            "Choose a sixteenth of the masks:": (
                "semiseg split DATA --labels 1/16 --seed 0 --out lists"
            ),
            "Reserve a fifth of the labeled images for a test:": (
                "semiseg split DATA --test 0.2 --out lists"
            ),
        },
        "[Lists of labeled images](../datasets.md#lists-of-labeled-images), "
        "[A test set](../own-data.md#a-test-set)",
        {
            "`OUT/labeled.txt`, `unlabeled.txt`, `val.txt`": "the names of the images, one a line",
            "`OUT/test.txt`": "with `--test`: the images with masks that score a model",
            "`OUT/reserved.txt`": "with `--test`: all images that no training may use",
        },
        {},
    ),
    "download": Notes(
        {"Fetch Pascal VOC:": "semiseg download voc --out data"},
        "[Published data sets](../datasets.md)",
        {"`OUT/`": "the data set in its official tree"},
        {},
    ),
    "pack": Notes(
        {
            "Pack a folder:": "semiseg pack IMAGES --out POOL",
            "Make larger tar files:": "semiseg pack IMAGES --out POOL --shard-size 256MB",
        },
        "[Pools](../pools.md)",
        {
            "`OUT/000000.tar`, ...": "the images",
            "`OUT/index.bin`, `names.txt`, `manifest.json`": "where each image lies, and hashes",
            "`OUT/left_out.txt`": "the images that cannot be read, if there are any",
        },
        {},
    ),
    "frames": Notes(
        {
            "Write one frame a second:": "semiseg frames VIDEO --every 1s --out DATA/unlabeled",
            "Write the slices of a stack:": "semiseg frames STACK --axes ZCYX --out DATA/images",
        },
        "[Images from videos](../frames.md)",
        {"`OUT/VIDEO_000012.jpg`": "the frames; PNG or TIFF files for the slices of a stack"},
        {},
    ),
    "doctor": Notes(
        {"Show what is installed and what is missing:": "semiseg doctor"},
        "[Check the installation](../doctor.md)",
        {},
        {1: "something that semiseg needs is broken"},
    ),
}
"""The notes of each command, by its name."""
