"""A raster of a stranger fetches nothing from a network."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from semiseg.core.errors import DataError
from semiseg.core.reading import Reading
from semiseg.data.formats.bands import open_raster
from semiseg.data.formats.images import read_image

rasterio = pytest.importorskip("rasterio")

_VRT = """<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename relativeToVRT="0">/vsicurl/{}</SourceFilename>
<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"""


class Server(socketserver.TCPServer):
    requests: list[str]


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    http = Server(("127.0.0.1", 0), Handler)
    http.requests = []
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield http
    http.shutdown()
    http.server_close()
    thread.join()


def _address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/x.tif"


def _write(path: Path) -> None:
    with rasterio.open(path, "w", width=64, height=64, count=1, dtype="uint8") as file:
        file.write(np.ones((1, 64, 64), np.uint8))


def test_a_vrt_with_the_name_of_a_tiff_is_refused_and_fetches_nothing(
    tmp_path: Path, server: Server
) -> None:
    path = tmp_path / "field.tif"
    path.write_text(_VRT.format(_address(server)))
    with pytest.raises(DataError, match=r"field\.tif"):
        read_image(path, Reading(bands=(1,)))
    with pytest.raises(OSError, match="not recognized"), open_raster(path):
        pass
    assert server.requests == []


def test_an_overview_that_is_a_vrt_is_refused(tmp_path: Path, server: Server) -> None:
    _write(tmp_path / "field.tif")
    (tmp_path / "field.tif.ovr").write_text(_VRT.format(_address(server)))
    with pytest.raises(OSError, match=r"field\.tif\.ovr"), open_raster(tmp_path / "field.tif"):
        pass
    assert server.requests == []


def test_an_overview_somewhere_else_is_not_fetched(tmp_path: Path, server: Server) -> None:
    path = tmp_path / "field.tif"
    _write(path)
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{_address(server)}")
    with open_raster(path) as file:
        assert file.read(1, out_shape=(4, 4)).tolist() == np.ones((4, 4)).tolist()
        assert file.overviews(1) == []
    assert server.requests == []
