"""An outside model that answers clicks, with the inputs and outputs of SAM and SAM 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from semiseg.core.errors import ConfigError
from semiseg.core.reading import AS_STORED
from semiseg.correction.access import Access
from semiseg.correction.assistant import Assistant, Click
from semiseg.correction.server import application

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

HEAD = '<ir_version: 8, opset_import: ["" : 18]>\n'
POOL = "AveragePool<kernel_shape=[{stride},{stride}], strides=[{stride},{stride}]>"
ENCODER = """encoder (float[1,3,64,64] image) => (float[1,3,16,16] embeddings) {{
    embeddings = {pool}(image)
}}"""
PREPARING_ENCODER = """encoder (float[height,width,3] input_image)
    => (float[1,3,16,16] embeddings) {{
    channels_first = Transpose<perm=[2,0,1]>(input_image)
    axis = Constant<value_ints=[0]>()
    batch = Unsqueeze(channels_first, axis)
    unit = Constant<value_float=100.0>()
    scaled = Div(batch, unit)
    size = Shape<start=2>(batch)
    full = Constant<value_ints=[1024,1024]>()
    missing = Sub(full, size)
    start = Constant<value_ints=[0,0,0,0,0,0]>()
    pads = Concat<axis=0>(start, missing)
    padded = Pad(scaled, pads)
    embeddings = {pool}(padded)
}}"""
SAM2_ENCODER = """encoder (float[1,3,64,64] image)
    => (float[1,3,64,64] high_res_feats_0, float[1,3,64,64] high_res_feats_1,
        float[1,3,16,16] image_embed) {{
    high_res_feats_0 = Identity(image)
    high_res_feats_1 = Identity(image)
    image_embed = {pool}(image)
}}"""
# A mask of what has the color of a wanted point, and not that of an unwanted one.
DECODER = """decoder (float[1,3,16,16] {map}, {more}float[1,n,2] point_coords,
        float[1,n] point_labels, float[1,1,16,16] mask_input, float[1] has_mask_input{size})
    => (float[1,m,h,w] masks, float[1,m] iou_predictions{low}) {{
    cells_shape = Constant<value_ints=[1,3,256]>()
    cells = Reshape({map}, cells_shape)
    stride = Constant<value_float={stride}.0>()
    divided = Div(point_coords, stride)
    whole = Floor(divided)
    first = Constant<value_int=0>()
    second = Constant<value_int=1>()
    columns = Gather<axis=2>(whole, first)
    rows = Gather<axis=2>(whole, second)
    across = Constant<value_float=16.0>()
    starts = Mul(rows, across)
    places = Add(starts, columns)
    batch_axis = Constant<value_ints=[0]>()
    flat = Squeeze(places, batch_axis)
    index = Cast<to=7>(flat)
    colors = Gather<axis=2>(cells, index)
    axis2 = Constant<value_ints=[2]>()
    axis3 = Constant<value_ints=[3]>()
    axis1 = Constant<value_ints=[1]>()
    all_cells = Unsqueeze(cells, axis2)
    all_colors = Unsqueeze(colors, axis3)
    differences = Sub(all_cells, all_colors)
    sizes = Abs(differences)
    distances = ReduceSum<keepdims=0>(sizes, axis1)
    one = Constant<value_float=1.0>()
    zero = Constant<value_float=0.0>()
    far = Constant<value_float=-100.0>()
    scores = Sub(one, distances)
    wanted = Equal(point_labels, one)
    unwanted = Equal(point_labels, zero)
    wanted_rows = Unsqueeze(wanted, axis2)
    unwanted_rows = Unsqueeze(unwanted, axis2)
    wanted_scores = Where(wanted_rows, scores, far)
    unwanted_scores = Where(unwanted_rows, scores, far)
    nearest = ReduceMax<keepdims=0>(wanted_scores, axis1)
    nearest_unwanted = ReduceMax<keepdims=0>(unwanted_scores, axis1)
    lead = Sub(nearest, nearest_unwanted)
    logits = Min(nearest, lead)
    mask_shape = Constant<value_ints=[1,1,16,16]>()
    mask = Reshape(logits, mask_shape)
    {outputs}
}}"""
SAM_OUTPUTS = """masks = Identity(mask)
    low_res_masks = Identity(mask)
    quality = Constant<value_floats=[0.9]>()
    quality_shape = Constant<value_ints=[1,1]>()
    iou_predictions = Reshape(quality, quality_shape)"""
SAM2_OUTPUTS = """other = Neg(mask)
    masks = Concat<axis=1>(other, mask, other)
    quality = Constant<value_floats=[0.1,0.8,0.3]>()
    quality_shape = Constant<value_ints=[1,3]>()
    iou_predictions = Reshape(quality, quality_shape)"""
SAM = {
    "map": "image_embeddings",
    "more": "",
    "size": ", float[2] orig_im_size",
    "low": ", float[1,1,16,16] low_res_masks",
    "outputs": SAM_OUTPUTS,
}
SAM2 = {
    "map": "image_embed",
    "more": "float[1,3,64,64] high_res_feats_0, float[1,3,64,64] high_res_feats_1, ",
    "size": "",
    "low": "",
    "outputs": SAM2_OUTPUTS,
}
PAIRS = {
    "sam": (ENCODER, SAM, 4),
    "sam_that_prepares": (PREPARING_ENCODER, SAM, 64),
    "sam2": (SAM2_ENCODER, SAM2, 4),
}


def write_pair(folder: Path, kind: str) -> None:
    encoder, names, stride = PAIRS[kind]
    texts = {
        "a_decoder": DECODER.format(stride=stride, **names),
        "encoder": encoder.format(pool=POOL.format(stride=stride)),
    }
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        onnx.save(onnx.parser.parse_model(HEAD + text), folder / f"{name}.onnx")


def draw(path: Path, turned: bool) -> None:
    """Three stripes of 32 x 32 pixels: two reds, and blue."""
    pixels = np.zeros((32, 96, 3), np.uint8)
    pixels[:, :32] = 200, 20, 20
    pixels[:, 32:64] = 160, 20, 20
    pixels[:, 64:] = 20, 20, 200
    Image.fromarray(pixels.transpose(1, 0, 2) if turned else pixels).save(path)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", PAIRS)
def test_clicks_select_and_take_away(tmp_path, kind, turned):
    write_pair(tmp_path / "model", kind)
    draw(tmp_path / "stripes.png", turned)
    assistant = Assistant(str(tmp_path / "model"), AS_STORED)

    def select(*clicks):
        points = [Click(*((y, x) if turned else (x, y)), wanted) for x, y, wanted in clicks]
        selected = assistant.select(tmp_path / "stripes.png", points) >= 128
        selected = selected.T if turned else selected
        assert selected.shape == (32, 96)
        inner = [slice(8, 24), slice(40, 56), slice(72, 88)]
        shares = [selected[8:24, columns].mean() for columns in inner]
        assert all(share in (0, 1) for share in shares)
        return shares

    assert select((0.15, 0.5, True)) == [1, 1, 0]
    assert select((0.15, 0.5, True), (0.5, 0.5, False)) == [1, 0, 0]
    assert select((0.9, 0.2, True)) == [0, 0, 1]
    assert select((0.9, 0.2, True), (0.15, 0.8, True)) == [1, 1, 1]


def test_two_files_may_be_named_in_any_order(tmp_path):
    write_pair(tmp_path, "sam")
    draw(tmp_path / "stripes.png", False)
    files = [str(tmp_path / "a_decoder.onnx"), str(tmp_path / "encoder.onnx")]
    maps = [
        Assistant(",".join(order), AS_STORED).select(
            tmp_path / "stripes.png", [Click(0.1, 0.5, True)]
        )
        for order in (files, files[::-1])
    ]
    assert np.array_equal(*maps)


def test_other_files_are_refused_with_what_was_found(tmp_path):
    with pytest.raises(ConfigError, match="Here are 0: none"):
        Assistant(str(tmp_path), AS_STORED)
    write_pair(tmp_path, "sam")
    encoder = str(tmp_path / "encoder.onnx")
    with pytest.raises(ConfigError, match=r"encoder.onnx takes image \(1 x 3 x 64 x 64\)"):
        Assistant(f"{encoder},{encoder}", AS_STORED)
    with pytest.raises(ConfigError, match=r"There is no file gone.onnx"):
        Assistant(f"{encoder},gone.onnx", AS_STORED)
    write_pair(tmp_path / "other", "sam2")
    mixed = f"{encoder},{tmp_path / 'other' / 'a_decoder.onnx'}"
    with pytest.raises(ConfigError, match=r"high_res_feats_0 .* the encoder gives embeddings"):
        Assistant(mixed, AS_STORED)
    (tmp_path / "broken.onnx").write_bytes(b"no ONNX")
    with pytest.raises(ConfigError, match=r"broken.onnx of --assistant cannot be read"):
        Assistant(f"{encoder},{tmp_path / 'broken.onnx'}", AS_STORED)


def test_the_page_asks_the_assistant(tmp_path, corrections, rounds):
    write_pair(tmp_path / "model", "sam")
    assistant = Assistant(str(tmp_path / "model"), corrections.content.view.model.reading)
    headers = {"Authorization": "Bearer secret"}
    address = "http://127.0.0.1:8123"
    corrections.assistant = assistant
    app = application(corrections, rounds, Access(8123, "secret"))
    client = TestClient(app, base_url=address, headers=headers)
    assert client.get("/api/queue").json()["has_assistant"]
    answer = client.get("/api/assist/0?click=0.5,0.25,1&click=0.1,0.1,0")
    clicks = [Click(0.5, 0.25, True), Click(0.1, 0.1, False)]
    expected = assistant.select(corrections.content.items[0].image, clicks)
    assert answer.content == expected.tobytes()
    for wrong in ("", "click=2,0,1", "click=0.5,0.5", "click=a,b,1", "click=0,0,1&" * 101):
        assert client.get(f"/api/assist/0?{wrong}").status_code == 400
    corrections.assistant = None
    assert client.get("/api/assist/0?click=0.5,0.25,1").status_code == 404
