import io

import torch
from rich.console import Console

from tinytorch_course.pictures.display import draw


class Output(io.StringIO):
    """A stream of some encoding."""

    def __init__(self, encoding):
        super().__init__()
        self.name = encoding

    encoding = property(lambda self: self.name)


def a_square(channels=1):
    image = torch.zeros(channels, 5, 6, dtype=torch.uint8)
    image[:, 1:4, 1:5] = 255
    return image


def test_in_letters_where_there_is_nothing_else():
    lines = [line.plain for line in draw(a_square(), Console(file=Output("ascii")))]
    assert lines == ["", *3 * ["  @@@@@@@@"], ""]


def test_in_shades():
    image = a_square()
    image[0, 2, 2] = 128
    lines = [line.plain for line in draw(image, Console(file=Output("utf-8")))]
    assert lines[1] == "  ████████"
    assert lines[2] == "  ██▒▒████"


def test_in_colours_two_pixels_to_a_letter():
    output = Output("utf-8")
    console = Console(file=output, force_terminal=True, color_system="truecolor", legacy_windows=False)
    image = a_square(3)
    image[1:, 1:4, 1:5] = 0  # red
    lines = draw(image, console)
    assert [len(line.plain) for line in lines] == [6, 6, 6]  # five rows of pixels
    console.print(lines[0])
    assert "38;2;0;0;0;48;2;255;0;0m▀" in output.getvalue()
