import dataclasses
import io
import socket
import sys
import threading
import time

import pytest
import torch
import torchvision
from rich.console import Console

from tinytorch_course import data
from tinytorch_course.data import download, idx_sets
from tinytorch_course.errors import InputError


def use(monkeypatch, *mirrors):
    """Let MNIST be fetched from these mirrors."""
    monkeypatch.setitem(idx_sets.SOURCES, "mnist", dataclasses.replace(idx_sets.SOURCES["mnist"], mirrors=mirrors))


def fallback(data_dir):
    """The notice with which "auto" takes the digits; nothing may be left in ``data_dir``."""
    notices = []
    dataset = data.load("auto", data_dir, notify=notices.append)
    assert dataset.name == "digits"
    assert len(dataset.train.images) == 1297
    assert not data_dir.exists()
    (notice,) = notices
    assert "\n" not in notice
    assert notice.startswith(f"MNIST is not in {data_dir / 'MNIST' / 'raw'} and could not be downloaded (")
    assert "t10k-labels-idx1-ubyte (or their .gz) there, or choose the folder that holds MNIST/raw with --da" in notice
    assert notice.endswith("; using the 1,797 embedded digits instead")
    return notice


def wait_for_threads():
    """Until what was given up has ended."""
    for thread in threading.enumerate():
        if isinstance(thread, download._Attempt):
            assert thread.daemon  # Python may exit while it hangs
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_a_download_is_whole_quiet_and_torchvisions(tiny, healthy, tmp_path, monkeypatch, capfd, name):
    monkeypatch.setenv("TINYTORCH_MIRROR", f"{healthy}/")
    monkeypatch.setenv("FORCE_COLOR", "1")
    data_dir = tmp_path / "not" / "there"
    dataset = data.load(name, data_dir)
    assert dataset.name == "mnist"
    assert torch.equal(dataset.test.images[:, 0], tiny.images[200:])
    theirs = torchvision.datasets.MNIST(data_dir, train=True, download=True)  # finds everything
    assert torch.equal(theirs.data, tiny.images[:200])
    assert [path.name for path in data_dir.iterdir()] == ["MNIST"]
    assert sorted(path.name for path in (data_dir / "MNIST" / "raw").iterdir()) == sorted(tiny.contents)
    assert capfd.readouterr() == ("", "")


def test_what_is_there_is_not_downloaded(tiny, serve, send, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setenv("TINYTORCH_MIRROR", serve(lambda handler: asked.append(handler.path)))
    tiny.write(tmp_path)
    data.load("mnist", tmp_path)
    assert asked == []


def test_a_proxy_is_asked_where_there_is_one(tiny, serve, send, tmp_path, monkeypatch):
    proxy = serve(lambda handler: send(handler, tiny.archives[handler.path.removeprefix("http://mnist.invalid/")]))
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("TINYTORCH_MIRROR", "http://mnist.invalid")
    assert data.load("mnist", tmp_path).name == "mnist"


def test_other_files_in_the_folder_stay(tiny, healthy, tmp_path, monkeypatch):
    use(monkeypatch, healthy)
    raw = tiny.write(tmp_path, {"README": b"mine"})
    data.load("mnist", tmp_path)
    assert (raw / "README").read_bytes() == b"mine"
    assert len(list(raw.iterdir())) == 5


def test_official_archives_with_their_md5s(real_data, serve, send, tmp_path, monkeypatch):
    archives = real_data / "FashionMNIST" / "raw"
    if not (archives / "train-images-idx3-ubyte.gz").is_file():
        pytest.skip("needs Fashion-MNIST's four .gz files in $TINYTORCH_DATA/FashionMNIST/raw")
    server = serve(lambda handler: send(handler, (archives / handler.path.lstrip("/")).read_bytes()))
    monkeypatch.setenv("TINYTORCH_MIRROR", server)
    dataset = data.load("fashion-mnist", tmp_path)
    assert [len(split.images) for split in dataset[3:6]] == [55_000, 5_000, 10_000]
    assert dataset.classes == tuple(torchvision.datasets.FashionMNIST.classes)
    theirs = torchvision.datasets.FashionMNIST(tmp_path, train=False)
    assert torch.equal(dataset.test.images[:, 0], theirs.data)
    assert torch.equal(dataset.test.labels, theirs.targets)


# Servers that do not give what they are asked for. -----------------------------------------------------------------


def refuses(handler, tiny, send):
    send(handler, b"no", status=403)


def breaks_off(handler, tiny, send):
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\n\x1f\x8bz")


def sends_a_page(handler, tiny, send):
    send(handler, b"<!DOCTYPE html><title>Log in to the hotel's network</title>")


def sends_a_flipped_bit(handler, tiny, send):
    archive = tiny.archives[handler.path.lstrip("/")]
    send(handler, archive[:-1] + bytes([archive[-1] ^ 1]))


def redirects_for_ever(handler, tiny, send):
    handler.send_response(302)
    handler.send_header("Location", handler.path)
    handler.end_headers()


def redirects_ever_further(handler, tiny, send):
    handler.send_response(302)
    handler.send_header("Location", f"/{len(handler.path)}{handler.path}")
    handler.end_headers()


def redirects_to_a_file(handler, tiny, send):
    handler.send_response(302)
    handler.send_header("Location", "file:///etc/hostname")
    handler.end_headers()


def sends_another_file(handler, tiny, send):
    send(handler, tiny.archives["t10k-labels-idx1-ubyte.gz"])


def sends_nothing(handler, tiny, send):
    send(handler, b"")


def says_nonsense(handler, tiny, send):
    handler.wfile.write(b"220 mail.example ESMTP\r\n")


def never_stops(handler, tiny, send):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(1 << 16))


def sends_a_byte_now_and_then(handler, tiny, send):
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.over.wait(0.2):
        handler.wfile.write(b"x")


BAD_SERVERS = {
    refuses: "it answered HTTP 403 (Forbidden)",
    breaks_off: "it broke off after 3 of 100,000 bytes of train-images-idx3-ubyte.gz",
    sends_a_page: "it sent a web page instead of train-images-idx3-ubyte.gz",
    sends_a_flipped_bit: "its train-images-idx3-ubyte.gz has the wrong checksum",
    redirects_for_ever: "it redirects in a circle",
    redirects_ever_further: "it redirects in a circle",
    redirects_to_a_file: "it answered HTTP 302",
    sends_another_file: "its train-images-idx3-ubyte.gz has the wrong checksum",
    sends_nothing: "it sent nothing instead of train-images-idx3-ubyte.gz",
    says_nonsense: "BadStatusLine 220 mail.example ESMTP",
    never_stops: "it sends more than the files hold",
    sends_a_byte_now_and_then: "only ",
}


@pytest.mark.parametrize("answer", BAD_SERVERS, ids=lambda answer: answer.__name__)
def test_a_bad_server_is_named_and_passed_over(tiny, serve, send, healthy, tmp_path, monkeypatch, patience, answer):
    patience(0.5 if answer is sends_a_byte_now_and_then else 1.5)
    server = serve(lambda handler: answer(handler, tiny, send))
    host = server.removeprefix("http://")
    use(monkeypatch, server)
    assert f"({host}: {BAD_SERVERS[answer]}" in fallback(tmp_path / "data")
    patience(1.5)
    use(monkeypatch, server, healthy)
    assert data.load("mnist", tmp_path).name == "mnist"
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]


def test_a_silent_host_is_given_up(tiny, silent, healthy, tmp_path, monkeypatch, patience):
    patience(0.3)
    use(monkeypatch, silent, f"{silent}/elsewhere")
    assert fallback(tmp_path / "data").count("nothing arrived within") == 2
    patience(2)
    use(monkeypatch, silent, healthy)
    assert data.load("auto", tmp_path).name == "mnist"


def test_all_in_all_a_silent_host_costs_ten_seconds(tiny, silent, tmp_path, monkeypatch, patience):
    assert download.GIVE_UP_AFTER < 7  # what is left of ten seconds, the imports need
    patience(1.5)
    use(monkeypatch, silent, f"{silent}/a", f"{silent}/b")
    began = time.monotonic()
    fallback(tmp_path / "data")
    assert 1 < time.monotonic() - began < 3 * 1.5  # once, not for each host


def test_a_closed_port(tiny, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    use(monkeypatch, f"http://127.0.0.1:{port}")
    assert f"127.0.0.1:{port}: it could not be reached (Connection refused)" in fallback(tmp_path / "data")


def test_an_unknown_host(tiny, tmp_path, monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    notice = fallback(tmp_path / "data")
    assert "ossci-datasets.s3.amazonaws.com: it could not be reached (Name or service not known)" in notice
    assert "storage.googleapis.com: it could not be reached (Name or service not known)" in notice


def test_name_resolution_that_hangs(tiny, tmp_path, monkeypatch, patience):
    patience(1)
    over = threading.Event()

    def hang(*args, **kwargs):
        over.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    assert "storage.googleapis.com: nothing arrived within" in fallback(tmp_path / "data")
    over.set()
    wait_for_threads()
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_that_is_no_address(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYTORCH_MIRROR", "mirror")
    assert "(mirror: ValueError unknown url type: 'mirror/train-images-idx3-ubyte.gz')" in fallback(tmp_path / "data")


def test_a_slow_link_that_lives_may_go_on(tiny, serve, tmp_path, monkeypatch, patience):
    patience(1.2)
    monkeypatch.setattr(download, "PROGRESS", 30_000)

    def answer(handler):
        archive = tiny.archives[handler.path.lstrip("/")]
        handler.send_response(200)
        handler.end_headers()
        for start in range(0, len(archive), 32_768):  # of which torchvision writes every single one
            handler.wfile.write(archive[start : start + 32_768])
            time.sleep(0.3)

    monkeypatch.setenv("TINYTORCH_MIRROR", serve(answer))
    began = time.monotonic()
    assert data.load("auto", tmp_path).name == "mnist"
    assert time.monotonic() - began > 1.2


def test_a_link_that_is_too_slow_is_given_up(tiny, serve, tmp_path, monkeypatch, patience):
    patience(1)
    over = threading.Event()

    def answer(handler):
        archive = tiny.archives[handler.path.lstrip("/")]
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(archive[:70_000])
        over.wait(30)
        handler.wfile.write(archive[70_000:])

    monkeypatch.setenv("TINYTORCH_MIRROR", serve(answer))
    notice = fallback(tmp_path / "data")
    over.set()  # the rest comes, too late: nothing of it may be found afterwards
    assert "only 0.07 MB arrived within" in notice
    wait_for_threads()
    assert list(tmp_path.iterdir()) == []


def test_the_folders_above_are_removed_too(tmp_path, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: a connection is refused
        monkeypatch.setenv("TINYTORCH_MIRROR", f"http://127.0.0.1:{closed.getsockname()[1]}")
        fallback(tmp_path / "not" / "there")
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_answers_too_late_leaves_nothing(tiny, serve, send, tmp_path, monkeypatch, patience):
    patience(0.5)
    over = threading.Event()

    def answer(handler):
        over.wait(30)
        send(handler, tiny.archives[handler.path.lstrip("/")])

    monkeypatch.setenv("TINYTORCH_MIRROR", serve(answer))
    tmp_path = tmp_path / "data"
    fallback(tmp_path)
    over.set()
    wait_for_threads()
    assert not tmp_path.exists()


# What has arrived is kept. --------------------------------------------------------------------------------------------


@pytest.fixture
def big(tiny, monkeypatch):
    """Everything that was fetched is worth keeping, and every kilobyte counts as progress."""
    monkeypatch.setattr(download, "WORTH_KEEPING", 1)
    monkeypatch.setattr(download, "PROGRESS", 1000)
    return tiny


class Ranges:
    """A server that can go on in the middle, but breaks off after ``most`` bytes of an answer."""

    def __init__(self, tiny, most, knows_ranges=True):
        self.tiny, self.most, self.knows_ranges = tiny, most, knows_ranges
        self.asked = []  # name and Range of each request

    def __call__(self, handler):
        name, wanted = handler.path.lstrip("/"), handler.headers.get("Range")
        self.asked.append((name, wanted))
        data = self.tiny.archives[name]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.knows_ranges else 0
        if start >= len(data):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        handler.wfile.write(data[start : start + self.most])


def test_what_breaks_off_goes_on_where_it_was(big, serve, tmp_path, monkeypatch):
    server = Ranges(big, 70_000)
    use(monkeypatch, serve(server))
    assert torch.equal(data.load("mnist", tmp_path).test.images[:, 0], big.images[200:])
    ranges = [wanted for name, wanted in server.asked if name == "train-images-idx3-ubyte.gz"]
    assert ranges[:3] == [None, "bytes=70000-", "bytes=140000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]


def test_a_server_without_ranges_is_no_endless_loop(big, serve, healthy, tmp_path, monkeypatch):
    server = Ranges(big, 70_000, knows_ranges=False)
    use(monkeypatch, serve(server), healthy)
    assert data.load("mnist", tmp_path).name == "mnist"
    assert len(server.asked) == 2  # the second answer got no further


def test_the_next_run_goes_on(big, serve, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PROGRESS", 1_000_000)  # so that nothing goes on in the first run
    weak, strong = Ranges(big, 70_000), Ranges(big, 10**9)
    use(monkeypatch, serve(weak))
    with pytest.raises(
        InputError, match=r"it broke off after 70,000 of .* kept for the next time: try `tinytorch data"
    ):
        data.load("mnist", tmp_path)
    use(monkeypatch, serve(strong))
    assert data.load("mnist", tmp_path).name == "mnist"
    assert strong.asked[0] == ("train-images-idx3-ubyte.gz", "bytes=70000-")
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]


def test_the_next_mirror_goes_on_where_one_broke_off(big, serve, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PROGRESS", 1_000_000)  # so that the first gets one attempt
    weak, strong, notices = Ranges(big, 70_000), Ranges(big, 10**9), []
    use(monkeypatch, serve(weak), serve(strong))
    with download.fetched(idx_sets.SOURCES["mnist"].job(), tmp_path, notify=notices.append) as folder:
        assert {path.name for path in folder.iterdir()} == set(big.archives)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == big.archives
    assert len(weak.asked) == 1
    assert strong.asked[0] == ("train-images-idx3-ubyte.gz", "bytes=70000-")
    (notice,) = notices
    assert "it broke off after 70,000 of" in notice


def test_whole_archives_are_not_fetched_again(big, serve, send, tmp_path, monkeypatch):
    first = "train-images-idx3-ubyte.gz"
    one = serve(lambda h: send(h, big.archives[first]) if first in h.path else send(h, b"no", 404))
    use(monkeypatch, one)
    with pytest.raises(InputError, match="HTTP 404"):
        data.load("mnist", tmp_path)
    rest = Ranges(big, 10**9)
    use(monkeypatch, serve(rest))
    assert data.load("mnist", tmp_path).name == "mnist"
    assert first not in [name for name, _ in rest.asked]


def test_a_wrong_beginning_is_fetched_anew(big, serve, tmp_path, monkeypatch):
    parts = big.source.job().parts(tmp_path)
    parts.mkdir()
    (parts / "train-images-idx3-ubyte.gz.part").write_bytes(bytes(5000))  # of another file, perhaps
    (parts / "t10k-images-idx3-ubyte.gz.part").write_bytes(bytes(10**6))  # longer than the file: HTTP 416
    (parts / "train-labels-idx1-ubyte.gz").write_bytes(b"damaged since")
    server = Ranges(big, 10**9)
    use(monkeypatch, serve(server))
    assert data.load("mnist", tmp_path).name == "mnist"
    assert server.asked[:2] == [("train-images-idx3-ubyte.gz", "bytes=5000-"), ("train-images-idx3-ubyte.gz", None)]


def test_only_archives_are_kept_for_the_next_time(big, serve, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PROGRESS", 1_000_000)  # so that nothing goes on in the first run
    parts = big.source.job().parts(tmp_path)
    (parts / "folder").mkdir(parents=True)
    (parts / "folder" / "inside").write_text("of an older version")
    use(monkeypatch, serve(Ranges(big, 70_000)))
    with pytest.raises(InputError, match="kept for the next time"):
        data.load("mnist", tmp_path)
    assert [path.name for path in parts.iterdir()] == ["train-images-idx3-ubyte.gz.part"]


def test_what_is_left_over_does_not_count_as_sent(big, serve, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "POLL", 0.0001)  # the watcher looks between any two pieces
    job = big.source.job()
    job.parts(tmp_path).mkdir()
    left_over = job.parts(tmp_path) / f"{job.archives[-1][0]}.part"  # the last to be fetched
    left_over.write_bytes(bytes(3 * job.total_bytes))
    use(monkeypatch, serve(Ranges(big, 10**9)))
    assert data.load("mnist", tmp_path).name == "mnist"


def test_two_at_once_both_end_well(big, serve, tmp_path, monkeypatch):
    use(monkeypatch, serve(Ranges(big, 10**9)))
    job = idx_sets.SOURCES["mnist"].job()
    with download.fetched(job, tmp_path) as one, download.fetched(job, tmp_path) as other:
        assert one != other
        assert {path.name for path in one.iterdir()} == {path.name for path in other.iterdir()} == set(big.archives)
    assert list(tmp_path.iterdir()) == []


def test_patience_waits_for_a_slow_mirror(big, serve, tmp_path, monkeypatch, patience):
    patience(0.5)
    monkeypatch.setattr(download, "PROGRESS", 10**9)

    def answer(handler):
        archive = big.archives[handler.path.lstrip("/")]
        handler.send_response(200)
        handler.end_headers()
        for start in range(0, len(archive), 10_000):
            handler.wfile.write(archive[start : start + 10_000])
            time.sleep(0.05)

    use(monkeypatch, serve(answer))
    job, notices = idx_sets.SOURCES["mnist"].job(), []
    with pytest.raises(download.DownloadError, match="arrived within"), download.fetched(job, tmp_path):
        pass
    with download.fetched(job, tmp_path, patient=True, notify=notices.append) as folder:
        assert {path.name for path in folder.iterdir()} == set(big.archives)
    assert len(notices) == 1


def test_a_mirror_of_ones_own_comes_before_all_others(tiny, healthy, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYTORCH_MIRROR", "http://127.0.0.1:1")
    with download.fetched(idx_sets.SOURCES["mnist"].job(), tmp_path, mirror=f"{healthy}/") as folder:
        assert {path.name for path in folder.iterdir()} == set(tiny.archives)


def test_an_interrupted_download_leaves_nothing(tiny, silent, tmp_path, monkeypatch):
    def interrupt(*args):
        time.sleep(0.5)  # the thread has begun to wait for the silent host
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "_watch", interrupt)
    use(monkeypatch, silent)
    with pytest.raises(KeyboardInterrupt):
        data.load("mnist", tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mkdir", "write", "extract_archive"])
def test_a_folder_that_cannot_be_written(tiny, healthy, tmp_path, monkeypatch, name):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    use(monkeypatch, healthy)
    if name == "mkdir":
        monkeypatch.setattr(download.Path, "mkdir", full)
    elif name == "write":
        real = open
        monkeypatch.setattr(download, "open", lambda path, mode: full() if mode == "ab" else real(path, mode), False)
    else:
        monkeypatch.setattr(torchvision.datasets.utils, name, full)
    with pytest.raises(InputError) as refused:
        data.load("mnist", tmp_path / "data")
    assert str(refused.value) == (
        f"MNIST is not in {tmp_path}/data/MNIST/raw and could not be downloaded to {tmp_path}/data "
        "(No space left on device): choose a folder that can be written with data_dir"
    )
    assert list(tmp_path.iterdir()) == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("term", "shown"), [("xterm", True), ("dumb", False)])
def test_progress_is_shown_on_a_terminal(tiny, healthy, tmp_path, monkeypatch, term, shown):
    use(monkeypatch, healthy)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert Console(stderr=True).is_terminal
    data.load("mnist", tmp_path)
    assert ("Downloading MNIST" in sys.stderr.getvalue()) == shown
