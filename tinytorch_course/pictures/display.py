"""What a network sees, drawn in a terminal."""

from rich.console import Console
from rich.style import Style
from rich.text import Text
from torch import Tensor

ASCII_SHADES, BLOCK_SHADES = " .:-=+*#%@", " ░▒▓█"  # from black to white; the former are on every console


def draw(image: Tensor, console: Console) -> list[Text]:
    """A small image (C, S, S), uint8, as lines of text: in colour, in shades, or in plain letters.

    With colours, a letter is two pixels, one above the other; without, a pixel is two letters.
    """
    if console.color_system and can_show(console, "▀"):
        return _in_colors(image)
    shades = BLOCK_SHADES if can_show(console, BLOCK_SHADES) else ASCII_SHADES
    levels = (image.double().mean(dim=0) / 255 * (len(shades) - 1)).round().int().tolist()
    return [Text("".join(2 * shades[level] for level in row).rstrip()) for row in levels]


def can_show(console: Console, letters: str) -> bool:
    """Whether the console's encoding has them."""
    try:
        letters.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _in_colors(image: Tensor) -> list[Text]:
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).tolist()  # S rows of S colours
    lines = []
    for row in range(0, len(pixels), 2):
        below = pixels[row + 1] if row + 1 < len(pixels) else [(0, 0, 0)] * len(pixels[row])
        line = Text()
        for top, bottom in zip(pixels[row], below, strict=True):
            line.append("▀", Style(color="rgb({},{},{})".format(*top), bgcolor="rgb({},{},{})".format(*bottom)))
        lines.append(line)
    return lines
