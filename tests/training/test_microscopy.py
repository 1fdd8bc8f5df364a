"""From OME-TIFFs of five channels, and from DICOM slices, to a model and its masks."""

import json

import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg.commands.check import check
from semiseg.core.reading import Reading
from semiseg.data.formats.images import read_image
from semiseg.data.reader import read_dataset

nibabel = pytest.importorskip("nibabel")
pydicom = pytest.importorskip("pydicom")
tifffile = pytest.importorskip("tifffile")

NAMES = ["DNA", "ER", "RNA", "AGP", "Mito"]
TINY = {
    "method": "supervised",
    "weights": "none",
    "encoder": "lcnet_035",
    "size": 48,
    "crop": 32,
    "batch": 2,
    "steps": 2,
    "validations": 1,
    "workers": 0,
}


def draw(folder, write):
    """Six labeled images of 40 x 50: the nuclei are bright in the first channel alone."""
    for split, count in (("train", 4), ("val", 2)):
        for kind in ("images", "masks"):
            (folder / split / kind).mkdir(parents=True)
        for i in range(count):
            rng = np.random.default_rng([len(split), i])
            mask = np.zeros((40, 50), np.uint8)
            mask[5 + 5 * i : 20 + 5 * i, 10:30] = 1
            values = rng.integers(100, 900, (5, 40, 50)).astype(np.uint16)
            values[0] += 20_000 * mask.astype(np.uint16)
            write(folder / split / "images" / f"{split}{i}", values)
            Image.fromarray(mask).save(folder / split / "masks" / f"{split}{i}.png")


def write_cells(path, values, names=NAMES):
    metadata = {"axes": "CYX", "Channel": {"Name": names}}
    file = path.with_suffix(".tif")
    tifffile.imwrite(file, values, ome=True, photometric="minisblack", metadata=metadata)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    draw(folder, write_cells)
    return folder


def test_check_lists_the_channels_with_their_names_and_says_where_they_come_from(cells):
    report = check(cells)
    assert report.ok
    assert [band.name for band in report.bands] == NAMES
    assert [band.type for band in report.bands] == ["uint16"] * 5
    assert report.bands[0].range[1] > 20_000
    assert report.bands[1].range[1] < 1000
    notes = {finding.kind: finding.text for finding in report.findings}
    assert "CYX, as OME-XML says" in notes["axes"]


def test_stacks_of_different_sizes_share_one_note(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for i in range(4):
        values = np.random.default_rng(i).integers(0, 900, (3, 40 + i, 50)).astype(np.uint16)
        write_cells(tmp_path / "images" / f"{i}", values, NAMES[:3])
        Image.fromarray((values[0] > 400).astype(np.uint8)).save(tmp_path / "masks" / f"{i}.png")
    notes = [finding for finding in check(tmp_path).findings if finding.kind == "axes"]
    assert len(notes) == 1
    assert len(notes[0].files) == 4
    assert "Three channels are red, green and blue" in notes[0].text


def test_a_stack_that_breaks_off_is_called_damaged_and_prints_nothing_else(tmp_path, capfd):
    draw(tmp_path, write_cells)
    path = tmp_path / "train/images/train0.tif"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    errors = [finding for finding in check(tmp_path).findings if finding.severity == "error"]
    assert [finding.kind for finding in errors] == ["unreadable-image"]
    assert "train0.tif" in errors[0].text
    assert capfd.readouterr() == ("", "")


def test_stacks_are_not_cut_into_tiles(cells):
    assert check(cells, tile=24).counts == check(cells).counts


def test_channels_are_chosen_by_their_names(cells):
    assert read_dataset(cells).reading.bands == (1, 2, 3, 4, 5)
    assert check(cells, bands=("mito", "DNA")).bands[0].number == 5


def test_a_training_reads_all_channels_and_predict_reads_them_again(cells, tmp_path):
    semiseg.train(cells, out=tmp_path / "run", **TINY)
    metadata = json.loads((tmp_path / "run/model.json").read_text())
    assert metadata["network"]["channels"] == 5
    assert metadata["bands"] == [1, 2, 3, 4, 5]
    semiseg.predict(tmp_path / "run", cells / "val/images", out=tmp_path / "masks")
    assert Image.open(tmp_path / "masks/val0.png").size == (50, 40)


def test_axes_in_dataset_yaml_are_those_of_a_flag_and_travel_with_the_model(tmp_path):
    data = tmp_path / "data"
    draw(data, lambda path, v: tifffile.imwrite(path.with_suffix(".tif"), v, metadata=None))
    assert not check(data).ok
    assert "--axes CYX" in check(data).findings[0].text
    assert check(data, axes="CYX").ok
    (data / "dataset.yaml").write_text("axes: CYX\n")
    assert read_dataset(data).reading.axes == "CYX"
    semiseg.train(data, out=tmp_path / "run", **TINY)
    metadata = json.loads((tmp_path / "run/model.json").read_text())
    assert metadata["axes"] == "CYX"
    (data / "dataset.yaml").unlink()
    semiseg.predict(tmp_path / "run", data / "val/images", out=tmp_path / "masks")
    assert Image.open(tmp_path / "masks/val1.png").size == (50, 40)
    (data / "dataset.yaml").write_text("axes: XY\n")
    assert "`axes`" in check(data).findings[0].text


def test_three_channels_are_rgb_and_each_has_its_own_range(tmp_path):
    draw(tmp_path, lambda path, values: write_cells(path, values[:3], NAMES[:3]))
    data = read_dataset(tmp_path)
    assert data.reading.channels == 3
    assert data.reading.value_range is None
    nuclei, *others = data.reading.ranges
    assert nuclei[1] > 20_000
    assert all(high < 1000 for low, high in others)
    image = np.asarray(read_image(tmp_path / "val/images/val0.tif", data.reading))
    assert image[..., 1].std() > 60  # the weak channel is not black
    same = check(tmp_path, value_range=tuple(end for ends in data.reading.ranges for end in ends))
    assert same.ok
    shared = read_dataset(tmp_path, reading=Reading((0, 21_000)))
    assert shared.reading.ranges is None


def test_predict_writes_the_masks_of_nifti_slices_as_nifti_too(tmp_path):
    data = tmp_path / "data"
    affine = np.diag([-2.0, 1.0, 1.0, 1.0])

    def write(path, values):
        stored = values[0, ::-1].T[::-1]
        nibabel.save(nibabel.Nifti1Image(stored.astype(np.int16), affine), f"{path}.nii.gz")

    draw(data, write)
    semiseg.train(data, out=tmp_path / "run", **TINY)
    masks = tmp_path / "masks"
    semiseg.predict(tmp_path / "run", data / "val/images", out=masks)
    assert sorted(p.name for p in masks.glob("val0*")) == ["val0.nii.gz", "val0.png"]
    written = nibabel.load(masks / "val0.nii.gz")
    assert np.array_equal(written.affine, affine)
    shown = np.asarray(Image.open(masks / "val0.png"))
    assert np.array_equal(np.asarray(written.dataobj), shown[::-1].T[::-1])


def write_slice(path, values):
    file = pydicom.dataset.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    file.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.PatientName, file.PatientID, file.StudyDate = "Doe^Jane", "ID776655", "20240229"
    file.Rows, file.Columns = values.shape[1:]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = 16
    file.HighBit, file.PixelRepresentation = 15, 0
    file.PixelData = values[0].tobytes()
    file.save_as(path.with_suffix(".dcm"), enforce_file_format=True)


def test_nothing_about_a_patient_is_in_a_run_its_report_or_its_predictions(tmp_path):
    data = tmp_path / "data"
    draw(data, write_slice)
    run = tmp_path / "run"
    semiseg.train(data, out=run, **TINY)
    semiseg.report(run)
    semiseg.predict(run, data / "val/images", out=tmp_path / "masks", overlay=True)
    written = [p for folder in (run, tmp_path / "masks") for p in folder.rglob("*") if p.is_file()]
    assert any(path.suffix == ".html" for path in written)
    for path in written:
        content = path.read_bytes()
        for word in (b"Doe", b"Jane", b"ID776655", b"20240229"):
            assert word not in content, path
    # Reports and lists keep the names of files; the model does not.
    for name in ("model.json", "model.safetensors"):
        assert b"train0" not in (run / name).read_bytes()
