"""A tiny MNIST, and servers on 127.0.0.1 that serve it, or misbehave."""

import contextlib
import dataclasses
import gzip
import hashlib
import os
import socket
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import torchvision

from tinytorch_course.data import download, idx_sets
from tinytorch_course.data.splits import About

REAL_DATA = os.environ.get("TINYTORCH_DATA")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """No proxy between the tests and 127.0.0.1, and none of the caller's folders and mirrors."""
    for name in ("http_proxy", "HTTP_PROXY", "TINYTORCH_MIRROR", "TINYTORCH_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies of the first test


@pytest.fixture
def real_data():
    """The folder that $TINYTORCH_DATA names."""
    if not REAL_DATA or not (Path(REAL_DATA) / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
        pytest.skip("needs real MNIST: set TINYTORCH_DATA to the folder that holds MNIST/raw")
    return Path(REAL_DATA)


@pytest.fixture
def patience(monkeypatch):
    """Sets the time after which a download is given up."""
    return lambda seconds: monkeypatch.setattr(download, "GIVE_UP_AFTER", seconds)


class TinyMnist:
    """200 training and 50 test images of noise, known to the code under test as MNIST."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randint(0, 256, (250, 28, 28), dtype=torch.uint8, generator=generator)
        self.labels = torch.randint(0, 10, (250,), dtype=torch.uint8, generator=generator)
        contents = {
            "train-images-idx3-ubyte": _idx(self.images[:200]),
            "train-labels-idx1-ubyte": _idx(self.labels[:200]),
            "t10k-images-idx3-ubyte": _idx(self.images[200:]),
            "t10k-labels-idx1-ubyte": _idx(self.labels[200:]),
        }
        self.contents = contents
        self.archives = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in contents.items()}
        self.resources = [(name, hashlib.md5(data).hexdigest()) for name, data in self.archives.items()]
        self.source = dataclasses.replace(
            idx_sets.MNIST,
            about=About("MNIST", tuple("0123456789"), default_epochs=1, val_size=40),
            archive_bytes=sum(map(len, self.archives.values())),
            files=tuple(
                idx_sets.IdxFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in contents.items()
            ),
        )

    def write(self, data_dir, contents=None):
        """Put the files (or ``contents``) where torchvision expects them."""
        raw = self.source.place(data_dir)
        raw.mkdir(parents=True)
        for name, data in (self.contents if contents is None else contents).items():
            (raw / name).write_bytes(data)
        return raw


def _idx(tensor):
    sizes = b"".join(size.to_bytes(4, "big") for size in tensor.shape)
    return bytes([0, 0, 8, tensor.dim()]) + sizes + tensor.numpy().tobytes()


@pytest.fixture
def tiny(monkeypatch):
    tiny = TinyMnist()
    monkeypatch.setitem(idx_sets.SOURCES, "mnist", tiny.source)
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", tiny.resources)
    return tiny


@pytest.fixture
def send():
    """``send(handler, data, status=200)`` answers a request."""

    def answer(handler, data, status=200):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


@pytest.fixture
def serve():
    """Starts servers: ``serve(answer)`` returns the URL of one that calls ``answer(handler)`` for every request."""
    with contextlib.ExitStack() as stack:

        def start(answer):
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self):
                    with contextlib.suppress(OSError):  # the client may leave at any time
                        answer(self)

                def log_message(self, *args):
                    pass

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.over = threading.Event()  # for answers that would go on for ever
            server.daemon_threads = True
            server.block_on_close = False
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            stack.callback(server.over.set)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


@pytest.fixture
def healthy(serve, send, tiny):
    """The URL of a server that has the four archives of the tiny MNIST."""
    return serve(lambda handler: send(handler, tiny.archives[handler.path.lstrip("/")]))


@pytest.fixture
def silent():
    """The URL of a host that accepts the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def serve_files(serve, send, monkeypatch):
    """``serve_files({name: bytes})`` makes a server with these files the mirror; returns the names asked for."""

    def start(files):
        asked = []

        def answer(handler):
            asked.append(handler.path.lstrip("/"))
            send(handler, files[asked[-1]]) if asked[-1] in files else send(handler, b"no", 404)

        monkeypatch.setenv("TINYTORCH_MIRROR", serve(answer))
        return asked

    return start


@pytest.fixture
def as_idx():
    """The bytes of an IDX file that holds a uint8 tensor."""
    return _idx
