"""MNIST's form: a character in a box of 20 x 20 pixels, its centre of mass in the middle of 28 x 28.

Source: LeCun, Bottou, Bengio, Haffner (1998), "Gradient-based learning applied to document recognition", section III.A.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from tinytorch_course.pictures.ink import Ink
from tinytorch_course.pictures.sizes import box_of, resized, scaled_shape
from tinytorch_course.pictures.strokes import stroke_width, with_width

FINE = 200  # pixels of the character's longer side while its strokes are measured and changed


class Form(NamedTuple):
    """How the pictures of a data set were made."""

    side: int = 28
    box: int = 20  # the character's longer side
    thinnest: float = 2.3  # strokes, in pixels of the picture
    thickest: float = 3.4
    by_mass: bool = True  # what is in the middle: the centre of mass, or of the box

    def scaled(self, side: int) -> "Form":
        """The same on ``side`` pixels."""
        scale = side / self.side
        return Form(side, round(scale * self.box), scale * self.thinnest, scale * self.thickest, self.by_mass)


def to_form(ink: Ink, form: Form, *, turn: float = 0.0, thickness: float = 1.0) -> np.ndarray:
    """The character as ``form`` wants it.

    Args:
        ink: what :func:`find_ink` found.
        form: of the network's data.
        turn: degrees to turn it by, against the clock.
        thickness: what its strokes are to be multiplied by, beyond what ``form`` asks for.

    Returns:
        (side, side), uint8, white on black.
    """
    mask = _fine(ink)
    if turn:
        mask = ndimage.rotate(mask.astype(np.float32), turn, order=1, reshape=True) > 0.5
    mask = with_form_width(mask[box_of(mask)], form, thickness)
    return centred(boxed(mask[box_of(mask)], form.box), form)


def _fine(ink: Ink) -> np.ndarray:
    """The character's strokes, cut out and enlarged or reduced to about :data:`FINE` pixels."""
    margin = 2
    window, tight = box_of(ink.mask, margin), ink.mask[box_of(ink.mask)]
    # Ink of other parts is paper; the soft edge of the strokes is kept, which says where between pixels they end.
    near = ndimage.binary_dilation(ink.mask[window], structure=np.ones((3, 3)))
    strength = np.pad(np.where(near, ink.strength[window].clip(0, 1), 0), margin)
    shape = scaled_shape(strength.shape, FINE / max(tight.shape))
    fine = resized(strength, shape, Image.Resampling.BICUBIC)
    mask = fine > 0.5
    # Where a stroke is fainter than half, the found mask says more than its strength.
    found = resized(np.pad(ink.mask[window].astype(np.float32), margin), shape, Image.Resampling.BILINEAR) > 0.5
    return mask | found


def with_form_width(mask: np.ndarray, form: Form, thickness: float) -> np.ndarray:
    """Strokes within the form's limits."""
    longest = max(mask.shape)
    width = stroke_width(mask)
    share = width / longest * form.box  # as wide as it would be in the form
    wanted = min(max(share, form.thinnest), form.thickest) * thickness
    if abs(wanted - share) < 0.05:
        return mask
    # The box grows with the strokes: (width + d) / (longest + d) = wanted / box.
    change = (wanted * longest / form.box - width) / (1 - wanted / form.box)
    room = max(2, int(abs(change)) + 2)
    return with_width(np.pad(mask, room), max(width + change, 1.0))


def boxed(mask: np.ndarray, box: int) -> np.ndarray:
    """``mask`` shrunk so that its longer side is ``box`` pixels, with grey edges: float from 0 to 1."""
    return resized(mask.astype(np.float32), scaled_shape(mask.shape, box / max(mask.shape)), Image.Resampling.BOX)


def centred(character: np.ndarray, form: Form) -> np.ndarray:
    """In the middle of a square: (side, side), uint8."""
    side = form.side
    middle = ndimage.center_of_mass(character) if form.by_mass else [size / 2 for size in character.shape]
    # By mass, it may stick out on one side; then it is pushed back in.
    top, left = (
        int(np.clip(round(side / 2 - at), 0, side - size)) for at, size in zip(middle, character.shape, strict=True)
    )
    height, width = character.shape
    canvas = np.pad(character, ((top, side - top - height), (left, side - left - width)))
    return (255 * canvas.clip(0, 1) + 0.5).astype(np.uint8)
