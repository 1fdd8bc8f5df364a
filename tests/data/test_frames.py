"""Frames of videos that the tests write themselves."""

import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg.cli import main
from semiseg.commands.settings.writing import FramesSettings
from semiseg.core.errors import ConfigError, DataError, SettingError
from semiseg.data.formats.video import Frame, Spacing, read_frames
from semiseg.data.frames import find_videos, write_frames

av = pytest.importorskip("av", reason="PyAV is missing: pip install 'semiseg[video]'")


def scenes(count=30, still=()):
    """Frames of 96 x 64 on which a red square moves to the right, except in the still ones."""
    place, pictures = 0, []
    for number in range(count):
        place += 0 if number in still else 2
        picture = np.full((64, 96, 3), 40, np.uint8)
        picture[10:40, place : place + 20] = (200, 30, 30)
        pictures.append(picture)
    return pictures


def write_video(path, pictures, rate=10):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def turn(path):
    """Let the metadata say that the video was taken upright: a quarter turn clockwise."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    numbers = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    content[matrix : matrix + 36] = b"".join(n.to_bytes(4, "big", signed=True) for n in numbers)
    path.write_bytes(content)


def names(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def square(path):
    """The first column of the red square, and the size of the picture."""
    with Image.open(path) as file:
        pixels = np.array(file.convert("RGB")).astype(int)
    red = pixels[..., 0] - pixels[..., 2] > 80
    return int(np.argmax(red.any(axis=0))), pixels.shape[:2]


@pytest.mark.parametrize(
    ("every", "numbers"),
    [
        ("1s", [0, 10, 20]),
        ("0.5s", [0, 5, 10, 15, 20, 25]),
        ("2m", [0]),
        ("7", [0, 7, 14, 21, 28]),
        ("0.01s", list(range(30))),
    ],
)
def test_frames_are_written_at_the_distance(tmp_path, every, numbers):
    video = write_video(tmp_path / "drive.mp4", scenes())
    result = semiseg.frames(video, out=tmp_path / "out", every=every, similar=True)
    assert names(tmp_path / "out") == [f"drive_{n:06d}.jpg" for n in numbers]
    assert result.videos[video].written == len(numbers)
    for number in numbers:
        column, size = square(tmp_path / "out" / f"drive_{number:06d}.jpg")
        assert abs(column - 2 * (number + 1)) <= 1
        assert size == (64, 96)


def test_near_duplicates_are_left_out_and_counted(tmp_path, capsys):
    still = range(5, 20)
    video = write_video(tmp_path / "a.mp4", scenes(still=still))
    main(["frames", str(video), "--every", "5", "--out", str(tmp_path / "out")])
    assert names(tmp_path / "out") == [f"a_{n:06d}.jpg" for n in (0, 5, 20, 25)]
    text = capsys.readouterr().out
    assert "4 images written" in text
    assert "2 frames left out, nearly the same as the one before (--similar" in text


def test_brightness_alone_makes_no_new_image_but_a_small_object_does(tmp_path):
    dark = Image.new("RGB", (640, 480), (60, 60, 60))
    bright = Image.new("RGB", (640, 480), (90, 90, 90))
    with_object = bright.copy()
    with_object.paste((200, 60, 60), (100, 100, 130, 130))
    frames = [Frame(i, image) for i, image in enumerate((dark, bright, with_object))]
    count = write_frames(frames, tmp_path / "v")
    assert names(tmp_path) == ["v_000000.jpg", "v_000002.jpg"]
    assert (count.written, count.similar, count.existing, count.problem) == (2, 1, 0, None)


def test_png_has_no_loss_and_existing_files_are_kept(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    other = Image.new("RGB", (30, 20))
    assert write_frames([Frame(3, image)], tmp_path / "v", "png").written == 1
    path = tmp_path / "v_000003.png"
    np.testing.assert_array_equal(np.array(Image.open(path)), np.array(image))
    assert write_frames([Frame(3, other)], tmp_path / "v", "png").existing == 1
    np.testing.assert_array_equal(np.array(Image.open(path)), np.array(image))
    assert write_frames([Frame(3, other)], tmp_path / "v", "png", overwrite=True).written == 1
    np.testing.assert_array_equal(np.array(Image.open(path)), np.array(other))


def test_a_turned_video_is_upright(tmp_path):
    video = write_video(tmp_path / "phone.mov", scenes(3))
    turn(video)
    frame = next(read_frames(video, Spacing(None, 1)))
    assert frame.image.size == (64, 96)
    pixels = np.array(frame.image).astype(int)
    red = pixels[..., 0] - pixels[..., 2] > 80
    # The square lay near the upper left corner; after a quarter turn clockwise, near the right.
    rows, columns = (np.flatnonzero(red.any(axis=axis)) for axis in (1, 0))
    assert abs(rows[0] - 2) <= 1
    assert abs(columns[-1] - (63 - 10)) <= 1


def test_a_folder_of_videos_keeps_its_names(tmp_path):
    for name in ("a.mp4", "a.avi", "deep/b.mkv", "Upper.MOV"):
        write_video(tmp_path / "in" / name, scenes(2))
    (tmp_path / "in" / "notes.txt").write_text("no video")
    assert set(find_videos(tmp_path / "in")) == {"a_mp4", "a_avi", "deep/b", "Upper"}
    assert set(find_videos(tmp_path / "in" / "*.mp4")) == {"a"}
    result = semiseg.frames(tmp_path / "in", out=tmp_path / "out")
    expected = ["Upper", "a_avi", "a_mp4", "deep/b"]
    assert names(tmp_path / "out") == [f"{name}_000000.jpg" for name in expected]
    assert "4 images written" in result.text()
    assert "from 4 videos" in result.text()


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100])
def test_a_file_that_is_no_video_is_named_and_the_others_are_written(tmp_path, content):
    write_video(tmp_path / "in" / "good.mp4", scenes(2))
    (tmp_path / "in" / "bad.mp4").write_bytes(content)
    with pytest.raises(DataError, match=r"1 of 2 videos .* others are written\.\n.*bad\.mp4"):
        semiseg.frames(tmp_path / "in", out=tmp_path / "out")
    assert names(tmp_path / "out") == ["good_000000.jpg"]


def test_a_video_that_breaks_off_gives_its_first_frames_and_says_so(tmp_path, log):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(30)]
    video = write_video(tmp_path / "cut.mkv", noise, rate=2)
    content = video.read_bytes()
    video.write_bytes(content[: len(content) * 2 // 3])
    result = semiseg.frames(video, out=tmp_path / "out", every="5")
    files = names(tmp_path / "out")
    assert files[:2] == ["cut_000000.jpg", "cut_000005.jpg"]
    assert result.videos[video].written == len(files) < 6
    assert "cut.mkv breaks off after " in log.text
    assert " of 15 seconds" in log.text


def test_sound_without_pictures_is_named(tmp_path):
    path = tmp_path / "song.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    with pytest.raises(DataError, match=r"song\.mkv holds no pictures"):
        semiseg.frames(path, out=tmp_path / "out")


@pytest.mark.parametrize("every", ["", "0", "-1", "soon", "1x", "0s"])
def test_a_distance_that_is_none_is_refused(every):
    with pytest.raises(SettingError, match=r"--every .* a number of frames such as 10"):
        FramesSettings("v.mp4", out="out", every=every)


def test_what_is_not_there_is_said(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="does not exist"):
        semiseg.frames(tmp_path / "none.mp4", out=tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no videos.*\.mp4"):
        semiseg.frames(tmp_path / "empty", out=tmp_path / "out")
    with pytest.raises(DataError, match="matches no video"):
        semiseg.frames(tmp_path / "*.mp4", out=tmp_path / "out")
    (tmp_path / "v.mp4").touch()
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ConfigError, match=r"pip install 'semiseg\[video\]'"):
        semiseg.frames(tmp_path / "v.mp4", out=tmp_path / "out")
