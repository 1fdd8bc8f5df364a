"""Masks of NIfTI slices, written back over the voxels of their images."""

import numpy as np
import pytest
from PIL import Image

from semiseg.data.formats.codes import read_codes
from semiseg.data.formats.images import decode_image
from semiseg.inference.voxels import has_voxels, save_voxels

nibabel = pytest.importorskip("nibabel")


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_a_mask_lies_over_the_voxels_of_its_image(tmp_path, axes, signs):
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 200, [50, 40, 1] if axes[2] == 2 else [1, 50, 40]).astype(np.int16)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for i, axis in enumerate(axes):
        affine[axis, i] = signs[i] * 1.5
    affine[:3, 3] = 10, -20, 30
    path = tmp_path / "a.nii.gz"
    source = nibabel.Nifti1Image(stored, affine)
    source.header["descrip"] = b"Doe^Jane"
    nibabel.save(source, path)
    mask = Image.fromarray(decode_image(path).values.astype(np.uint8) // 100)
    save_voxels(mask, path, tmp_path / "out" / "a.nii.gz")
    written = nibabel.load(tmp_path / "out" / "a.nii.gz")
    assert np.array_equal(np.asarray(written.dataobj), stored // 100)
    assert np.array_equal(written.affine, affine)
    assert b"Doe" not in written.header.binaryblock
    # semiseg reads it as the mask of its image.
    assert np.array_equal(read_codes(tmp_path / "out" / "a.nii.gz").values, np.asarray(mask))


def test_a_file_of_two_axes_keeps_them(tmp_path):
    values = np.arange(20, dtype=np.int16).reshape(5, 4)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-1, 1, 1, 1])), tmp_path / "a.nii")
    mask = Image.fromarray(decode_image(tmp_path / "a.nii").values.astype(np.uint8))
    for name in ("b.nii.gz", "c.nii.gz"):
        save_voxels(mask, tmp_path / "a.nii", tmp_path / name)
    assert np.array_equal(np.asarray(nibabel.load(tmp_path / "b.nii.gz").dataobj), values)
    assert (tmp_path / "b.nii.gz").read_bytes() == (tmp_path / "c.nii.gz").read_bytes()


def test_only_nifti_images_have_voxels(tmp_path):
    assert has_voxels(tmp_path / "a.nii")
    assert has_voxels(tmp_path / "a.nii.gz")
    assert not has_voxels(tmp_path / "a.dcm")
    assert not has_voxels(tmp_path / "a.png")
