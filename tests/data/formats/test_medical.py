"""DICOM, NIfTI and stacks: one slice is an image, several are written as images first."""

import gzip

import numpy as np
import pytest
from PIL import Image

from semiseg.commands.check import check
from semiseg.commands.frames import frames
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.data.formats import image_formats, medical, stacks
from semiseg.data.formats.codes import read_codes
from semiseg.data.formats.images import decode_image, image_size, read_image, read_valid
from semiseg.data.formats.stacks import is_stack, read_pages
from semiseg.data.image_scan import scan_image
from semiseg.data.reader import read_dataset

pydicom = pytest.importorskip("pydicom")
nibabel = pytest.importorskip("nibabel")
tifffile = pytest.importorskip("tifffile")


def noise(*shape, low=0, high=4000, dtype=np.uint16, seed=0):
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def dicom(path, values, **tags):
    """A DICOM file of `(H, W)`, or of `(N, H, W)` frames."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file = pydicom.dataset.Dataset()
    file.file_meta = meta
    file.PatientName = "Doe^Jane"
    file.Rows, file.Columns = values.shape[-2:]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = 8 * values.itemsize
    file.HighBit, file.PixelRepresentation = 8 * values.itemsize - 1, int(values.dtype.kind == "i")
    if values.ndim == 3:
        file.NumberOfFrames = len(values)
    for name, value in tags.items():
        setattr(file, name, value)
    file.PixelData = values.tobytes()
    file.save_as(path, enforce_file_format=True)
    return path


def nifti(path, values):
    """A NIfTI file whose array has the axes right, anterior, superior."""
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    return path


def test_a_dicom_image_is_read_in_units_of_the_scanner(tmp_path):
    stored = noise(40, 50)
    path = dicom(tmp_path / "a.dcm", stored, RescaleSlope=1, RescaleIntercept=-1024)
    image = decode_image(path)
    assert image.depth == "deep gray"
    assert np.array_equal(image.values, stored.astype(int) - 1024)
    assert image_size(path) == (50, 40)
    rgb = np.asarray(read_image(path, Reading((-1024, 2976))))
    assert np.array_equal(rgb[..., 0], (stored * (255 / 4000)).round())


def test_an_inverted_dicom_image_is_turned_into_bright_on_dark(tmp_path):
    stored = noise(40, 50)
    path = dicom(tmp_path / "a.dcm", stored, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(decode_image(path).values, -stored.astype(int))


def test_the_window_that_all_dicom_files_share_is_black_and_white(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    window = {"WindowCenter": 40, "WindowWidth": 401, "RescaleSlope": 1, "RescaleIntercept": -1024}
    for i in range(4):
        dicom(tmp_path / f"images/{i}.dcm", noise(40, 50, seed=i), **window)
        Image.fromarray(noise(40, 50, high=2, dtype=np.uint8)).save(tmp_path / f"masks/{i}.png")
    data = read_dataset(tmp_path)
    assert not data.errors()
    assert data.reading.value_range == (-160.5, 239.5)
    dicom(tmp_path / "images/3.dcm", noise(40, 50, seed=3), RescaleSlope=1, RescaleIntercept=-1024)
    low, high = read_dataset(tmp_path).reading.value_range
    assert (low, high) == pytest.approx((-1024, 2975), abs=10)


def test_padding_of_a_dicom_image_is_no_data(tmp_path):
    stored = noise(40, 50, low=100)
    stored[:5] = 63
    tags = {"PixelPaddingValue": 63, "RescaleSlope": 2, "RescaleIntercept": -1000}
    path = dicom(tmp_path / "a.dcm", stored, **tags)
    assert decode_image(path).nodata == (-874.0,)
    assert np.array_equal(read_valid(path, AS_STORED)[:, 0], np.arange(40) >= 5)


def test_a_dicom_image_of_colors_is_read(tmp_path):
    rgb = noise(40, 50, 3, high=256, dtype=np.uint8)
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    path = dicom(tmp_path / "a.dcm", rgb[..., 0], **tags)
    file = pydicom.dcmread(path)
    file.PixelData = rgb.tobytes()
    file.save_as(path)
    assert np.array_equal(np.asarray(read_image(path)), rgb)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("shape", [(50, 40), (50, 40, 1)])
def test_a_nifti_slice_is_read_with_its_front_up(tmp_path, suffix, shape):
    array = noise(*shape, low=-1000, dtype=np.int16)
    path = nifti(tmp_path / f"a{suffix}", array)
    expected = array.reshape(50, 40).T[::-1]
    assert np.array_equal(decode_image(path).values, expected)
    assert image_size(path) == (50, 40)
    assert scan_image(path, AS_STORED).size == (50, 40)


@pytest.mark.parametrize("signs", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_nifti_slice_is_shown_in_the_same_way_however_it_is_stored(tmp_path, signs, swapped):
    array = noise(50, 40, dtype=np.int16)  # its axes point to the right and to the front
    affine = np.diag([*signs, 1, 1])
    stored = array[:: signs[0], :: signs[1]]
    if swapped:
        stored, affine = stored.T, affine[:, [1, 0, 2, 3]]
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(stored, affine), path)
    shown = decode_image(path).values
    assert shown.shape == (40, 50)
    assert shown[0, 0] == array[0, -1]  # left of the patient and front
    assert shown[0, -1] == array[-1, -1]  # right and front
    assert shown[-1, 0] == array[0, 0]  # left and back


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_the_slices_of_a_nifti_volume_go_from_the_feet_to_the_head(tmp_path, suffix):
    volume = noise(5, 4, 6, dtype=np.int16)  # right, front, head
    # Is stored with the axes head, left, front, as some scanners do.
    stored = volume[::-1].transpose(2, 0, 1)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = 1, -1, 1, 1
    path = tmp_path / f"a{suffix}"
    nibabel.save(nibabel.Nifti1Image(stored, affine), path)
    pages = [page.values for page in read_pages(path)]
    assert np.array_equal(pages, [volume[..., k].T[::-1] for k in range(6)])


def test_a_nifti_file_of_one_slice_from_the_front_shows_the_head_up(tmp_path):
    volume = noise(50, 1, 30, dtype=np.int16)
    path = nifti(tmp_path / "a.nii.gz", volume)
    assert image_size(path) == (50, 30)
    assert np.array_equal(decode_image(path).values, volume[:, 0].T[::-1])


def test_no_tag_about_the_patient_is_read_from_a_dicom_file(tmp_path, monkeypatch):
    tags = {"PatientID": "77", "PatientBirthDate": "19600101", "StudyDate": "20240101"}
    path = dicom(tmp_path / "a.dcm", noise(40, 50), RescaleSlope=2, RescaleIntercept=0, **tags)
    headers = []
    original = pydicom.dcmread
    monkeypatch.setattr(
        pydicom, "dcmread", lambda *args, **kw: headers.append(original(*args, **kw)) or headers[-1]
    )
    image_size(path)
    decode_image(path)
    assert len(headers) >= 2
    names = {element.keyword for header in headers for element in header}
    assert "RescaleSlope" in names
    assert names <= set(medical._TAGS)


def test_a_nifti_mask_holds_ids(tmp_path):
    ids = noise(50, 40, high=3, dtype=np.uint8)
    path = nifti(tmp_path / "a.nii.gz", ids.astype(np.float64))
    assert np.array_equal(read_codes(path).values, ids.T[::-1])


def test_volumes_are_refused_with_the_command_that_writes_their_slices(tmp_path):
    volumes = [
        nifti(tmp_path / "v.nii.gz", noise(50, 40, 6, dtype=np.int16)),
        dicom(tmp_path / "v.dcm", noise(6, 40, 50)),
    ]
    for path in volumes:
        for reader in (read_image, image_size):
            with pytest.raises(DataError, match=r"6 slices.*semiseg frames .*--out DATA/images"):
                reader(path)


def test_frames_writes_the_slices_of_a_nifti_volume_and_of_its_mask(tmp_path):
    volume = noise(50, 40, 6, low=-1000, dtype=np.int16)
    ids = noise(50, 40, 6, high=3, dtype=np.uint8)
    nifti(tmp_path / "case.nii.gz", volume)
    nifti(tmp_path / "ids.nii.gz", ids)
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    result = frames(tmp_path / "case.nii.gz", out=data / "images")
    assert "6 images written" in result.text()
    assert sorted(p.name for p in (data / "images").iterdir())[0] == "case_000000.tif"
    frames(tmp_path / "ids.nii.gz", out=tmp_path / "ids")
    (data / "masks").mkdir()
    for i in range(6):
        mask = np.asarray(Image.open(tmp_path / "ids" / f"ids_{i:06d}.png"))
        assert np.array_equal(mask, ids[..., i].T[::-1])
        Image.fromarray(mask.astype(np.uint8)).save(data / "masks" / f"case_{i:06d}.png")
        image = decode_image(data / "images" / f"case_{i:06d}.tif")
        assert np.array_equal(image.values, volume[..., i].T[::-1])
    report = check(data)
    assert report.ok
    assert report.counts["train"].labeled == 6
    again = frames(tmp_path / "ids.nii.gz", out=tmp_path / "ids")
    assert "6 files there already" in again.text()


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({}, np.uint8),
        ({"imagej": True, "metadata": {"axes": "ZYX"}}, np.uint16),
        ({"compression": "zlib"}, np.uint16),
        ({}, np.float32),
        ({}, np.int16),
        ({"metadata": None}, np.uint8),
    ],
)
def test_the_pages_of_a_tiff_keep_their_values(tmp_path, options, dtype):
    pages = noise(5, 40, 50, high=200, dtype=dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pages, photometric="minisblack", **options)
    assert is_stack(path)
    with pytest.raises(DataError, match=r"stack of 5 (pages|images) .*semiseg frames"):
        read_image(path)
    assert np.array_equal([page.values for page in read_pages(path)], pages)


def test_a_compressed_stack_and_a_stack_of_colors(tmp_path):
    pages = noise(4, 40, 50, 3, high=256, dtype=np.uint8)
    images = [Image.fromarray(page) for page in pages]
    path = tmp_path / "a.tif"
    images[0].save(path, save_all=True, append_images=images[1:], compression="tiff_lzw")
    assert np.array_equal([page.values for page in read_pages(path)], pages)


def test_an_imagej_stack_with_one_header_is_a_stack(tmp_path):
    pages = noise(4, 40, 50, high=256, dtype=np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pages, imagej=True, metadata={"axes": "ZYX"}, truncate=True)
    with pytest.raises(DataError, match=r"stack of 4 images.*ZYX"):
        read_image(path)
    assert np.array_equal([page.values for page in read_pages(path)], pages)
    description = "ImageJ=1.53\nimages=4\nslices=4\n"
    tifffile.imwrite(path, pages[0], description=description, metadata=None)
    with pytest.raises(DataError, match="fewer pages than it says"):
        read_image(path)


def test_frames_of_a_folder_writes_its_stacks_and_no_single_image(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    tifffile.imwrite(source / "a.tif", noise(3, 40, 50), photometric="minisblack")
    Image.fromarray(noise(40, 50)).save(source / "b.tif")
    frames(source, out=tmp_path / "out")
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["a_000000.png", "a_000001.png", "a_000002.png"]


def test_the_check_names_a_stack_in_a_folder_that_holds_nothing_else(tmp_path):
    pages = [Image.fromarray(page) for page in noise(6, 40, 50, high=256, dtype=np.uint8)]
    for name in ("train-volume.tif", "train-labels.tif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    report = check(tmp_path)
    assert not report.ok
    assert "semiseg frames" in report.findings[0].text
    assert "--axes CYX" in report.findings[0].text


def test_a_dicom_file_may_be_a_film_whose_frames_are_written(tmp_path):
    stored = noise(4, 40, 50)
    dicom(tmp_path / "film.dcm", stored)
    pages = [page.values for page in read_pages(tmp_path / "film.dcm")]
    assert np.array_equal(pages, stored)
    frames(tmp_path / "film.dcm", out=tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names[0] == "film_000000.png"  # the file's name, and nothing of the patient's
    assert not any(b"Doe" in path.read_bytes() for path in (tmp_path / "out").iterdir())


# --- damage, and missing packages


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["a.dcm", "a.nii", "a.nii.gz", "stack.tif"])
def test_damaged_files_are_errors_with_their_names(tmp_path, name):
    path = tmp_path / name
    if name == "a.dcm":
        dicom(path, noise(40, 50))
    elif name == "stack.tif":
        tifffile.imwrite(path, noise(3, 40, 50), photometric="minisblack")
    else:
        nifti(path, noise(50, 40, dtype=np.int16))
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for share in (0.0, 0.01, 0.05, 0.2, 0.5, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(DataError, match=name):
            read_image(path, Reading((0, 4000)))
        with pytest.raises(DataError, match=name):
            list(read_pages(path))
    for _ in range(30):
        garbled = bytearray(content)
        for place in rng.integers(0, min(len(garbled), 500), 8):
            garbled[place] = rng.integers(256)
        path.write_bytes(garbled)
        for reader in (lambda p: read_image(p, Reading((0, 4000))), lambda p: list(read_pages(p))):
            try:
                reader(path)
            except DataError:
                continue


def test_files_of_these_names_that_are_none_are_errors(tmp_path):
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + bytes(500))
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(1352)))
    for name in ("a.dcm", "a.nii.gz"):
        with pytest.raises(DataError, match=f"{name}.*damaged"):
            read_image(tmp_path / name)


def test_the_extra_is_named_where_it_is_missing(tmp_path, monkeypatch):
    nifti(tmp_path / "a.nii.gz", noise(50, 40, dtype=np.int16))
    monkeypatch.setattr(image_formats, "find_spec", lambda name: None)
    monkeypatch.setattr(stacks, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"semiseg\[medical\]"):
        read_image(tmp_path / "a.nii.gz")
    with pytest.raises(ConfigError, match=r"nibabel.*semiseg\[medical\]"):
        list(read_pages(tmp_path / "a.nii.gz"))
