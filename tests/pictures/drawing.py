"""Pictures of digits as people make them: photographs of marker on paper, mouse drawings, hairlines, scans.

Every picture is made from a random generator alone, so the same seed makes the same picture.

Legend: S the picture's side in pixels.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from pictures.handwriting import Generator, placed


def clouds(side: int, size: float, rng: Generator) -> np.ndarray:
    """Smooth noise of mean 0 and deviation about 1 whose spots are about ``size`` (a share of the side) large."""
    cells = max(3, round(2 / size))
    coarse = rng.normal(size=(cells, cells)).astype(np.float32)
    fine = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
    return (fine - fine.mean()) / fine.std()


def light(side: int, rng: Generator, fall: tuple[float, float] = (0.25, 0.55)) -> np.ndarray:
    """Light that falls off to one side, and in the corners: (S, S), at most 1."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (x * np.cos(angle) + y * np.sin(angle) + 1.4) / 2.8
    lamp = 1 - rng.uniform(*fall) * slope
    corners = 1 - rng.uniform(0, 0.2) * (x**2 + y**2) / 2
    return lamp * corners * (1 + 0.03 * clouds(side, 0.4, rng))


def shadow(side: int, rng: Generator) -> np.ndarray:
    """The shadow of a hand or a phone: a half plane with a soft edge, (S, S) from 0.45 to 1."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    angle, at = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4)
    edge = (x * np.cos(angle) + y * np.sin(angle) - at + 0.08 * clouds(side, 0.5, rng)) / rng.uniform(0.02, 0.15)
    return 1 - rng.uniform(0.3, 0.55) / (1 + np.exp(-edge.clip(-30, 30)))


def photograph(
    ink: np.ndarray, pen: tuple[float, ...], paper: tuple[float, ...], light: np.ndarray, rng: Generator
) -> np.ndarray:
    """What a phone makes of ink on paper: (S, S, 3) from 0 to 255."""
    side = len(ink)
    grain = 1 + rng.uniform(0.005, 0.02) * clouds(side, 3 / side, rng) if side < 400 else 1
    cover = (ink * (1 - 0.08 * np.abs(clouds(side, 0.04, rng)))).clip(0, 1)[..., None]  # a marker is not even
    colors = cover * np.array(pen, np.float32) + (1 - cover) * np.array(paper, np.float32)
    colors = colors * (light * grain)[..., None]
    colors = ndimage.gaussian_filter(colors, (side / 900, side / 900, 0))
    noise = rng.uniform(0.008, 0.03) * rng.standard_normal(colors.shape, np.float32)
    return np.uint8(255 * (colors + noise).clip(0, 1))


PENS = {"black": (0.08, 0.08, 0.1), "blue": (0.1, 0.16, 0.5), "red": (0.72, 0.1, 0.12), "green": (0.05, 0.4, 0.2)}
PAPERS = ((0.95, 0.94, 0.9), (0.9, 0.92, 0.95), (0.93, 0.87, 0.74))


def a_pen(rng: Generator) -> tuple[float, ...]:
    return list(PENS.values())[rng.integers(len(PENS))]


def a_paper(rng: Generator) -> tuple[float, ...]:
    return PAPERS[rng.integers(len(PAPERS))]


def jpeg(colors: np.ndarray, rng: Generator) -> bytes:
    return saved(Image.fromarray(colors), "JPEG", quality=int(rng.integers(55, 92)))


def saved(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def phone(digit: int, source, rng: Generator, side: int = 640) -> bytes:
    """A marker on paper under uneven light, the digit filling the frame."""
    mask = source.mask(digit, side // 2, rng.uniform(0.06, 0.16), rng)
    ink = placed(mask, side, rng.uniform(0.72, 0.92), rng, rng.uniform(-6, 6), 0.3)
    return jpeg(photograph(ink, a_pen(rng), a_paper(rng), light(side, rng), rng), rng)


def phone_in_shadow(digit: int, source, rng: Generator, side: int = 640) -> bytes:
    """The same with a shadow across it."""
    mask = source.mask(digit, side // 2, rng.uniform(0.06, 0.14), rng)
    ink = placed(mask, side, rng.uniform(0.6, 0.9), rng, rng.uniform(-6, 6), 0.4)
    return jpeg(photograph(ink, a_pen(rng), a_paper(rng), light(side, rng) * shadow(side, rng), rng), rng)


def mouse(digit: int, source, rng: Generator) -> bytes:
    """A drawing of 32 x 32 pixels, black on white, with transparency of one kind or the other."""
    mask = source.mask(digit, 32, rng.uniform(0.06, 0.13), rng)
    ink = placed(mask, 32, rng.uniform(0.6, 0.98), rng, 0.0, 0.8)
    if rng.random() < 0.5:  # without soft edges, as simple programs draw
        ink = (ink > 0.4).astype(np.float32)
    alpha = np.uint8(255 * ink)
    black = np.zeros((32, 32), np.uint8)
    kind = rng.integers(3)
    if kind == 0:  # nothing but ink
        layers = (black, black, black, alpha)
    elif kind == 1:  # ink on opaque white
        layers = (255 - alpha,) * 3 + (np.full((32, 32), 255, np.uint8),)
    else:  # ink on white that is itself hardly there
        layers = (255 - alpha,) * 3 + (np.maximum(alpha, 20),)
    return saved(Image.fromarray(np.stack(layers, axis=-1), "RGBA"))


def hairline(digit: int, source, rng: Generator) -> bytes:
    """A line of one or two pixels, white on black."""
    side = int(rng.choice([28, 64, 128, 280, 500, 1000]))
    width = (1 if side < 100 else rng.uniform(1, 2.5)) / side
    mask = source.mask(digit, side, width, rng)
    ink = placed(mask, side, rng.uniform(0.6, 0.95), rng, rng.uniform(-8, 8), 0.5)
    return saved(Image.fromarray(np.uint8(255 * (ink / ink.max()))))


def scan(digit: int, source, rng: Generator) -> bytes:
    """A grey scan with grain, and with dirt."""
    side = int(rng.integers(60, 400))
    mask = source.mask(digit, side, rng.uniform(0.05, 0.14), rng)
    ink = placed(mask, side, rng.uniform(0.5, 0.9), rng, rng.uniform(-5, 5), 0.6)
    ground, pen = rng.uniform(0.65, 0.95), rng.uniform(0.05, 0.3)
    grey = ground + (pen - ground) * ink + rng.uniform(0.04, 0.14) * rng.standard_normal(ink.shape, np.float32)
    dirt = rng.random(ink.shape)
    share = rng.uniform(0, 0.03)
    grey = np.where(dirt < share / 2, 0.0, np.where(dirt > 1 - share / 2, 1.0, grey))
    return saved(Image.fromarray(np.uint8(255 * grey.clip(0, 1))))


def ruled(side: int, rng: Generator, squared: bool) -> np.ndarray:
    """The lines of ruled or squared paper: (S, S), from 0 to their darkness."""
    spacing, width = side * rng.uniform(0.07, 0.2), max(1.0, side * rng.uniform(0.002, 0.006))
    turn = np.radians(rng.uniform(-3, 3))
    y, x = np.mgrid[:side, :side].astype(np.float32)
    lines = np.zeros((side, side), np.float32)
    for along in (y * np.cos(turn) + x * np.sin(turn), x * np.cos(turn) - y * np.sin(turn))[: 2 if squared else 1]:
        distance = np.abs((along + rng.uniform(0, spacing)) % spacing - spacing / 2)
        lines = np.maximum(lines, (width / 2 + 0.5 - distance).clip(0, 1))
    return lines


def on_lines(digit: int, source, rng: Generator, squared: bool = False) -> bytes:
    """A pen on ruled paper, photographed."""
    side = int(rng.integers(300, 1000))
    mask = source.mask(digit, side, rng.uniform(0.025, 0.1), rng)
    ink = placed(mask, side, rng.uniform(0.5, 0.9), rng, rng.uniform(-5, 5), 0.5)
    paper = np.array(a_paper(rng))
    line_color = np.array([(0.55, 0.7, 0.9), (0.6, 0.6, 0.65), (0.35, 0.4, 0.5)][rng.integers(3)])
    lines = ruled(side, rng, squared)[..., None]
    pen = np.array(a_pen(rng))
    colors = lines * line_color + (1 - lines) * paper
    colors = ink[..., None] * pen + (1 - ink[..., None]) * colors
    colors = colors * light(side, rng, (0.05, 0.35))[..., None] + 0.015 * rng.standard_normal(colors.shape, np.float32)
    return jpeg(np.uint8(255 * colors.clip(0, 1)), rng)


def sheet(rng: Generator, squared: bool, lit: bool = True) -> bytes:
    """Ruled paper with nothing on it, photographed under light from aside; or scanned."""
    side = int(rng.integers(300, 1000))
    lines = ruled(side, rng, squared)[..., None]
    colors = lines * np.array((0.6, 0.6, 0.65)) + (1 - lines) * np.array(a_paper(rng))
    if lit:
        shade = light(side, rng, (0.05, 0.35))[..., None]
        colors = colors * shade + 0.015 * rng.standard_normal(colors.shape, np.float32)
    return jpeg(np.uint8(255 * colors.clip(0, 1)), rng)


def on_squares(digit: int, source, rng: Generator) -> bytes:
    return on_lines(digit, source, rng, squared=True)


def turned(digit: int, source, rng: Generator) -> bytes:
    """Black on white, turned by up to 15 degrees."""
    side = int(rng.integers(80, 500))
    mask = source.mask(digit, side, rng.uniform(0.06, 0.14), rng)
    ink = placed(mask, side, rng.uniform(0.5, 0.85), rng, rng.choice([-1, 1]) * rng.uniform(7, 15), 0.5)
    return saved(Image.fromarray(np.uint8(255 * (1 - ink))))


def far_off(digit: int, source, rng: Generator) -> bytes:
    """A small digit somewhere on a large sheet."""
    side = int(rng.integers(400, 1600))
    mask = source.mask(digit, 300, rng.uniform(0.06, 0.14), rng)
    ink = placed(mask, side, rng.uniform(0.12, 0.3), rng, rng.uniform(-5, 5), 0.9)
    return jpeg(photograph(ink, a_pen(rng), a_paper(rng), light(side, rng, (0.05, 0.3)), rng), rng)


def chalk(digit: int, source, rng: Generator) -> bytes:
    """Light on dark: chalk on a board."""
    side = int(rng.integers(300, 900))
    mask = source.mask(digit, side, rng.uniform(0.05, 0.12), rng)
    ink = placed(mask, side, rng.uniform(0.5, 0.9), rng, rng.uniform(-6, 6), 0.4)
    ink = ink * (0.8 + 0.15 * clouds(side, 0.02, rng)).clip(0.4, 1)
    board = np.array([(0.12, 0.2, 0.16), (0.1, 0.1, 0.12), (0.2, 0.22, 0.25)][rng.integers(3)])
    smear = 0.02 * np.abs(clouds(side, 0.2, rng))[..., None]
    colors = ink[..., None] * 0.92 + (1 - ink[..., None]) * (board + smear)
    colors = colors * light(side, rng, (0.1, 0.4))[..., None] + 0.015 * rng.standard_normal(colors.shape, np.float32)
    return jpeg(np.uint8(255 * colors.clip(0, 1)), rng)


def pencil(digit: int, source, rng: Generator) -> bytes:
    """Thin grey pencil on a photographed sheet."""
    side = int(rng.integers(300, 1000))
    mask = source.mask(digit, side, rng.uniform(0.012, 0.03), rng)
    ink = placed(mask, side, rng.uniform(0.5, 0.9), rng, rng.uniform(-5, 5), 0.4)
    ink = ink * rng.uniform(0.45, 0.8)
    return jpeg(photograph(ink, (0.25, 0.25, 0.28), a_paper(rng), light(side, rng), rng), rng)


def crumpled(digit: int, source, rng: Generator) -> bytes:
    """A pen on paper that was folded and crumpled: light and dark facets with sharp ridges."""
    side = 480
    mask = source.mask(digit, side // 2, rng.uniform(0.05, 0.12), rng)
    ink = placed(mask, side, rng.uniform(0.6, 0.9), rng, rng.uniform(-6, 6), 0.4)
    folds = sum(np.abs(clouds(side, size, rng)) / count for count, size in ((1, 0.5), (2, 0.2)))
    facets = light(side, rng) * (1 - 0.12 * folds / folds.std()).clip(0.4, 1)
    return jpeg(photograph(ink, a_pen(rng), a_paper(rng), facets, rng), rng)


def blurred(digit: int, source, rng: Generator) -> bytes:
    """A photograph out of focus, sent as a small picture."""
    side = int(rng.integers(60, 200))
    mask = source.mask(digit, 300, rng.uniform(0.07, 0.14), rng)
    ink = placed(mask, side, rng.uniform(0.5, 0.85), rng, rng.uniform(-6, 6), 0.4)
    ink = ndimage.gaussian_filter(ink, side * rng.uniform(0.01, 0.025))
    return jpeg(photograph(ink, a_pen(rng), a_paper(rng), light(side, rng), rng), rng)


def to_the_edge(digit: int, source, rng: Generator) -> bytes:
    """A broad marker whose strokes reach the edges of the picture."""
    side = 640
    mask = source.mask(digit, side, rng.uniform(0.1, 0.2), rng)
    ink = placed(mask, side, 1.0, rng)
    cut = int(rng.integers(0, 12))
    colors = photograph(ink, a_pen(rng), a_paper(rng), light(side, rng), rng)
    return jpeg(np.ascontiguousarray(colors[cut : side - cut]), rng)


def tilted(digit: int, source, rng: Generator) -> bytes:
    """A photograph from the side: what is far is smaller."""
    side = 480
    mask = source.mask(digit, side // 2, rng.uniform(0.06, 0.12), rng)
    ink = placed(mask, side, rng.uniform(0.6, 0.85), rng, rng.uniform(-6, 6), 0.3)
    corners = np.array([(0, 0), (side, 0), (side, side), (0, side)], dtype=float)
    seen = corners + rng.uniform(-0.14, 0.14, (4, 2)) * side
    rows = []
    for (x, y), (u, v) in zip(corners, seen, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    terms = np.linalg.solve(np.array(rows), seen.reshape(-1))
    image = Image.fromarray(np.uint8(255 * ink))
    image = image.transform((side, side), Image.Transform.PERSPECTIVE, tuple(terms), Image.Resampling.BICUBIC)
    ink = np.asarray(image, dtype=np.float32) / 255
    return jpeg(photograph(ink, a_pen(rng), a_paper(rng), light(side, rng), rng), rng)


def whiteboard(digit: int, source, rng: Generator) -> bytes:
    """A thin marker on a glossy board that mirrors a lamp."""
    side = 480
    mask = source.mask(digit, side // 2, rng.uniform(0.03, 0.07), rng)
    ink = placed(mask, side, rng.uniform(0.5, 0.85), rng, rng.uniform(-6, 6), 0.4) * rng.uniform(0.7, 1)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    at, size = rng.uniform(-0.8, 0.8, 2), rng.uniform(0.1, 0.3)
    lamp = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * size**2))[..., None]
    colors = photograph(ink, a_pen(rng), (0.8, 0.82, 0.84), light(side, rng, (0.1, 0.4)), rng) / 255
    return jpeg(np.uint8(255 * (colors + 0.35 * lamp * (1 - colors)).clip(0, 1)), rng)


def on_a_desk(digit: int, source, rng: Generator) -> bytes:
    """A note on a desk: the paper does not fill the picture."""
    side = 480
    mask = source.mask(digit, side // 2, rng.uniform(0.06, 0.12), rng)
    ink = placed(mask, side, rng.uniform(0.35, 0.55), rng, rng.uniform(-6, 6), 0.25)
    paper = Image.new("L", (side, side))
    half = side * rng.uniform(0.36, 0.44)
    box = [side / 2 - half, side / 2 - half, side / 2 + half, side / 2 + half]
    ImageDraw.Draw(paper).rectangle(box, fill=255)
    sheet = np.asarray(paper.rotate(rng.uniform(-8, 8)), dtype=np.float32)[..., None] / 255
    wood = np.array([(0.45, 0.3, 0.2), (0.25, 0.2, 0.17), (0.35, 0.35, 0.38)][rng.integers(3)])
    wood = wood * (1 + 0.08 * clouds(side, 0.05, rng))[..., None]
    ground = sheet * np.array(a_paper(rng)) + (1 - sheet) * wood
    colors = ink[..., None] * np.array(a_pen(rng)) + (1 - ink[..., None]) * ground
    colors = colors * light(side, rng, (0.1, 0.4))[..., None] + 0.015 * rng.standard_normal(colors.shape, np.float32)
    return jpeg(np.uint8(255 * colors.clip(0, 1)), rng)


def as_it_is(digit: int, source, rng: Generator) -> bytes:
    """28 x 28, white on black, about as MNIST has it."""
    mask = source.mask(digit, 200, rng.uniform(0.1, 0.17), rng)
    return saved(Image.fromarray(np.uint8(255 * placed(mask, 28, 20 / 28, rng))))


# Those that `tinytorch predict` was made for; the others came to mind later.
ASKED_FOR = ("phone", "phone in shadow", "mouse", "hairline", "scan", "ruled", "squared", "turned")
KINDS: dict[str, Callable[..., bytes]] = {
    "phone": phone,
    "phone in shadow": phone_in_shadow,
    "mouse": mouse,
    "hairline": hairline,
    "scan": scan,
    "ruled": on_lines,
    "squared": on_squares,
    "turned": turned,
    "far off": far_off,
    "chalk": chalk,
    "pencil": pencil,
    "crumpled": crumpled,
    "blurred": blurred,
    "to the edge": to_the_edge,
    "tilted": tilted,
    "whiteboard": whiteboard,
    "on a desk": on_a_desk,
    "as it is": as_it_is,
}


def blanks(rng: Generator) -> dict[str, bytes]:
    """Pictures that hold no character."""
    side = 400
    nothing = np.zeros((side, side), np.float32)
    noise = rng.normal(0.8, 0.1, (120, 120)).clip(0, 1)
    return {
        "white": saved(Image.new("RGB", (64, 64), "white")),
        "black": saved(Image.new("L", (28, 28))),
        "transparent": saved(Image.new("RGBA", (32, 32))),
        "one pixel": saved(Image.new("L", (1, 1), 128)),
        "paper in the light": jpeg(photograph(nothing, (0, 0, 0), PAPERS[0], light(side, rng), rng), rng),
        "noise": saved(Image.fromarray(np.uint8(255 * noise))),
        "ruled sheet": sheet(rng, squared=False),
        "squared sheet": sheet(rng, squared=True),
    }
