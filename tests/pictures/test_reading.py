import io
import os
import struct
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pictures.drawing import saved
from tinytorch_course.errors import InputError
from tinytorch_course.pictures import reading
from tinytorch_course.pictures.reading import Source, find_sources, read_picture


def half_dark(mode="L", size=(8, 4)):
    """Left half black, right half white."""
    image = Image.new("L", size, 255)
    image.paste(0, (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "format"),
    [
        ("1", "PNG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("P", "GIF"),
        ("RGB", "BMP"),
        ("RGBA", "PNG"),
        ("CMYK", "TIFF"),
        ("L", "WEBP"),
        ("I;16", "PNG"),
        ("I", "TIFF"),
        ("F", "TIFF"),
    ],
)
def test_every_kind_of_pixel(mode, format):
    image = half_dark()
    if mode[0] in "IF":
        values = np.asarray(image).astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode])
        image = Image.fromarray(values * (257 if mode == "I;16" else 1))
    else:
        image = image.convert(mode)
    colors = read_picture(Source("x", saved(image, format, **({"lossless": True} if format == "WEBP" else {}))))
    assert colors.shape == (4, 8, 3)
    assert colors.dtype == np.float32
    assert colors[:, :4].max() < 0.01
    assert colors[:, 4:].min() > 0.99


def test_a_photograph_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    colors = read_picture(Source("x", saved(half_dark("RGB", (80, 40)), "JPEG", exif=exif, quality=95)))
    assert colors.shape == (80, 40, 3)
    assert colors[:30].max() < 0.1
    assert colors[50:].min() > 0.9


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_large_pictures_become_small_and_no_line_vanishes(format):
    image = Image.new("L", (2048, 1024), 255)
    image.paste(0, (1000, 0, 1002, 1024))  # two pixels of 2048
    colors = read_picture(Source("x", saved(image, format)))
    assert colors.shape == (128, 256, 3)
    assert colors.min(axis=(0, 2)).argmin() == 125
    assert colors.min() < 0.85


def transparent(ink, alpha, paper=None):
    """A vertical stroke of one brightness on nothing, or on paper of some opacity."""
    values = np.zeros((10, 10, 4), np.uint8)
    if paper is not None:
        values[...] = (paper, paper, paper, alpha)
    values[:, 4:6] = (ink, ink, ink, 255)
    return Source("x", saved(Image.fromarray(values, "RGBA")))


@pytest.mark.parametrize(
    ("picture", "stroke", "ground"),
    [
        (transparent(0, 0), 0, 1),  # black ink on nothing: on white paper
        (transparent(255, 0), 1, 0),  # white ink on nothing: on black
        (transparent(0, 20, 255), 0, 1),  # black on white that is hardly there
        (transparent(0, 255, 255), 0, 1),
        (transparent(255, 255, 0), 1, 0),
    ],
)
def test_transparency_becomes_paper_that_shows_the_ink(picture, stroke, ground):
    colors = read_picture(picture)
    assert colors[:, 4:6].mean() == pytest.approx(stroke)
    assert colors[:, :4].mean() == pytest.approx(ground)


def png_that_claims(width, height):
    """A PNG file of a few bytes that says it has so many pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


PHOTO = saved(half_dark("RGB", (200, 100)), "JPEG")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"hello, world", "x is not a picture that can be read: it begins with b'hello, world'; save it as PNG"),
        (PHOTO[: len(PHOTO) // 2], "x is a damaged picture"),
        (saved(half_dark())[:-30], "x is a damaged picture"),
        (png_that_claims(15_000, 14_000), "x claims to have more than 150,000,000 pixels: shrink it"),
        (png_that_claims(60_000, 60_000), "x claims to have more than 150,000,000 pixels: shrink it"),
    ],
    ids=["text", "half a photograph", "cut off", "many pixels", "a bomb"],
)
def test_what_is_no_picture(data, words):
    with pytest.raises(InputError) as refused:
        read_picture(Source("x", data))
    assert str(refused.value).startswith(words)
    assert "\n" not in str(refused.value)


def test_files_and_folders(tmp_path):
    for name in ("b.PNG", "a.jpeg", "notes.txt", ".hidden", "inner/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "d.png").mkdir()  # a folder, whatever it is called
    sources = find_sources([str(tmp_path), str(tmp_path / "notes.txt")])
    assert [source.data.name for source in sources] == ["a.jpeg", "b.PNG", "notes.txt"]
    with pytest.raises(InputError, match=r"a\.jpeg is empty \(0 bytes\), not a picture"):
        read_picture(sources[0])
    with pytest.raises(InputError, match=r"the folder .*d\.png contains no picture: none of its files ends in \.png"):
        find_sources([str(tmp_path / "d.png")])
    with pytest.raises(InputError, match=r"there is no picture .*e\.png"):
        find_sources([str(tmp_path / "e.png")])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="is not a regular file"):
        read_picture(*find_sources([str(tmp_path / "pipe.png")]))


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(saved(half_dark()))

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(reading, "read_bounded", refuse)
    with pytest.raises(InputError, match=r"cannot read .*a\.png: Permission denied"):
        read_picture(*find_sources([str(path)]))


@pytest.mark.parametrize(
    ("data", "is_keyboard", "words"), [(b"", False, "standard input is empty"), (b"", True, "that is the keyboard")]
)
def test_standard_input_without_a_picture(monkeypatch, data, is_keyboard, words):
    stdin = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: is_keyboard)
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(InputError, match=words):
        find_sources(["-"])
