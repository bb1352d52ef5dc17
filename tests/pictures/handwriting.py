"""Digits written along our own outlines, or taken from given images, as large masks.

Everything random comes from a generator that is given, so the same seed makes the same digit.

Legend: S the mask's side in pixels. Masks are (S, S) floats, 1 on the stroke.
"""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

# Ways to write each digit: points across and down, in percent, that the pen goes through smoothly; / lifts it.
WAYS = """\
0: 50,0 20,10 8,50 20,90 50,100 80,90 92,50 80,10 50,0
0: 62,2 30,10 14,50 26,93 50,99 76,85 84,50 70,12 45,3
1: 50,0 50,50 50,100
1: 58,0 52,50 46,100
1: 32,20 45,10 54,0 54,0 / 54,0 53,50 52,100
2: 15,25 28,5 55,0 80,12 82,35 60,62 14,97 / 14,97 50,97 90,96
2: 18,22 35,3 65,3 80,25 68,50 42,78 22,95 12,86 26,80 50,92 88,93
3: 18,12 45,0 76,10 76,34 40,48 / 40,48 74,54 86,75 66,96 35,100 12,86
3: 20,8 50,2 75,15 70,36 48,46 70,52 84,72 70,93 42,99 16,92
4: 30,0 20,30 14,52 / 14,52 50,53 88,50 / 74,8 70,50 66,100
4: 62,0 36,34 8,66 / 8,66 50,66 94,65 / 66,2 66,50 65,100
5: 80,2 50,3 24,4 / 24,4 22,25 20,45 / 20,45 50,37 80,50 84,75 64,96 35,100 12,90
5: 25,5 24,25 23,44 55,38 80,55 78,83 50,99 16,93 / 25,5 50,5 84,0
6: 70,0 42,20 22,50 20,80 45,100 75,92 80,70 60,54 36,60 20,78
6: 56,0 36,25 26,60 32,90 55,100 76,85 72,62 50,56 30,70
7: 10,6 50,5 88,4 / 88,4 64,45 42,100
7: 14,3 50,5 86,2 / 86,2 60,50 46,100 / 34,52 55,50 80,49
8: 72,12 50,0 26,10 28,32 52,48 78,68 76,92 50,100 24,90 24,68 50,48 74,30 72,12
8: 50,0 27,12 30,36 50,46 70,34 73,12 50,0 / 50,46 22,62 22,88 50,100 78,88 78,62 50,46
9: 76,22 60,2 32,6 20,28 38,48 64,42 76,22 / 76,10 74,50 68,100
9: 74,15 50,0 24,14 28,42 55,46 75,20 76,15 78,50 66,86 40,100 20,92"""
Generator = np.random.Generator
Strokes = list[np.ndarray]


def read_ways(text: str) -> dict[int, list[Strokes]]:
    """For each digit its ways, each a list of strokes, each (points, 2) from 0 to 1."""
    ways: dict[int, list[Strokes]] = {digit: [] for digit in range(10)}
    for line in text.split("\n"):
        digit, points = line.split(": ")
        strokes = [np.array([pair.split(",") for pair in stroke.split()], float) / 100 for stroke in points.split("/")]
        ways[int(digit)].append(strokes)
    return ways


OUTLINES = read_ways(WAYS)


class Outlines:
    """Digits written along our own outlines, each time a little differently."""

    name = "outlines"

    def mask(self, digit: int, side: int, width: float, rng: Generator, slant: float | None = None) -> np.ndarray:
        """The digit as large as the picture, with strokes of ``width`` (a share of the side)."""
        strokes = [curve(points) for points in OUTLINES[digit][rng.integers(len(OUTLINES[digit]))]]
        slant = rng.uniform(-0.05, 0.25) if slant is None else slant
        narrow = rng.uniform(0.55, 0.85)
        wobble = rng.normal(0, 0.012, (2, 2, 3))  # of three slow waves, in each direction
        moved = []
        for points in strokes:
            phase = points @ rng.uniform(0.8, 1.2, (2,)) * np.pi
            waves = np.stack([np.sin(phase), np.cos(phase), np.sin(2 * phase)], axis=1)
            bent = points + waves @ wobble[0].T + waves[:, ::-1] @ wobble[1].T
            x = narrow * (bent[:, 0] - 0.5) - slant * (bent[:, 1] - 0.5)
            moved.append(np.stack([x, bent[:, 1] - 0.5], axis=1))
        return drawn(moved, side, width)


class Images:
    """Digits from given images (N, 28, 28), uint8, white on black."""

    def __init__(self, name: str, images: np.ndarray, labels: np.ndarray) -> None:
        self.name, self.images, self.labels = name, images, labels

    def mask(self, digit: int, side: int, width: float, rng: Generator) -> np.ndarray:
        """One of the digit's images, enlarged, its strokes brought to ``width`` (a share of the side)."""
        image = self.images[rng.choice(np.flatnonzero(self.labels == digit))]
        rows, cols = (np.flatnonzero((image > 0).any(axis=axis)) for axis in (1, 0))
        image = np.pad(image[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1], 2)
        scale = 256 / max(image.shape)
        fine = ndimage.zoom(image / 255.0, scale, order=3)
        inside, outside = (ndimage.distance_transform_edt(part) for part in (fine > 0.5, fine <= 0.5))
        change = (width * 256 - 4 * inside[fine > 0.5].mean()) / 2
        # Thinning much would break it.
        change = max(change, -0.2 * 4 * inside[fine > 0.5].mean() / 2)
        fine = np.pad((outside - inside - change <= 0).astype(np.float32), 2)
        rows, cols = (np.flatnonzero((fine > 0).any(axis=axis)) for axis in (1, 0))
        fine = fine[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        longest = max(fine.shape)
        square = np.zeros((longest, longest), dtype=np.float32)
        top, left = (longest - fine.shape[0]) // 2, (longest - fine.shape[1]) // 2
        square[top : top + fine.shape[0], left : left + fine.shape[1]] = fine
        return np.asarray(Image.fromarray(square).resize((side, side), Image.Resampling.BICUBIC)).clip(0, 1)


def curve(points: np.ndarray, steps: int = 24) -> np.ndarray:
    """A smooth curve through the points (a Catmull-Rom spline)."""
    if len(points) < 3:
        return points
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*pieces, points[-1:]])


def drawn(strokes: Strokes, side: int, width: float) -> np.ndarray:
    """Strokes around (0, 0) with a round pen, made as large as the picture."""
    everything = np.concatenate(strokes)
    low, high = everything.min(axis=0), everything.max(axis=0)
    fine = 2 * side if side > 300 else 4 * side
    pen = max(width * fine, 1.0)
    scale = (fine - pen - 2) / (high - low).max()
    middle = (low + high) / 2
    image = Image.new("L", (fine, fine))
    pencil = ImageDraw.Draw(image)
    for points in strokes:
        path = [tuple(point) for point in (points - middle) * scale + fine / 2]
        pencil.line(path, fill=255, width=max(1, round(pen)), joint="curve")
        for x, y in path if pen > 3 else ():
            pencil.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=255)
    return np.asarray(image.resize((side, side), Image.Resampling.BOX), dtype=np.float32) / 255


def placed(
    mask: np.ndarray, side: int, share: float, rng: Generator, turn: float = 0.0, off: float = 0.0
) -> np.ndarray:
    """A mask in a larger picture: its box takes ``share`` of the side; moved by up to ``off`` of the room around it."""
    image = Image.fromarray(np.uint8(255 * mask)).rotate(turn, Image.Resampling.BICUBIC, expand=True)
    inner = round(share * side)
    image = image.crop(image.getbbox())
    scale = inner / max(image.size)
    image = image.resize([max(1, round(scale * size)) for size in image.size], Image.Resampling.LANCZOS)
    room = [(side - size) / 2 for size in image.size]
    at = [round(half + off * half * rng.uniform(-1, 1)) for half in room]
    canvas = Image.new("L", (side, side))
    canvas.paste(image, tuple(at))
    return np.asarray(canvas, dtype=np.float32) / 255
