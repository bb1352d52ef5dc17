"""The embedded set: scikit-learn's 1,797 handwritten digits, 8 x 8, brought to MNIST's form. Needs no network.

Source: Alpaydin & Kaynak (1998), "Optical recognition of handwritten digits", UCI Machine Learning Repository
(its test file, which scikit-learn carries).
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from tinytorch_course.data.splits import About, Split, mixed_order

ABOUT = About(
    title="embedded digits (scikit-learn's 1,797 handwritten digits)",
    classes=tuple("0123456789"),
    default_epochs=5,
    val_size=200,
    train_size=1497,
    test_size=300,
    made_of="8x8 scans of digits by 13 people, enlarged to MNIST's form; comes with scikit-learn",
)
LOCATION = "sklearn.datasets.load_digits"
TEST_SIZE = 300


def read() -> tuple[Split, Split]:
    """The images that are not for testing (1,497), and those that are (300): one fixed, shuffled split.

    Shuffled means that the people who wrote the test digits wrote training digits too, as they do not in MNIST. In the
    file, writer follows writer, and a cut in file order would keep them apart; but they are few, and what is measured
    then is which of them come last. With a small CNN: 95 to 96 % on the last 300 or 382 images; 89 to 100 %, and 96.9 %
    on average, when each of the fourteen sheets that the file consists of is left out in turn; 98 to 100 % shuffled.
    So these digits show that training works. How well a network reads people it has never seen, MNIST must tell.
    """
    from sklearn.datasets import load_digits  # takes a second: only those who want the digits wait for it

    digits = load_digits()
    images = to_mnist_form(torch.from_numpy(digits.images))
    labels = torch.from_numpy(digits.target).long()
    order = mixed_order(digits.target.tolist(), "embedded digits")
    pool, test = order[:-TEST_SIZE], order[-TEST_SIZE:]
    return Split(images[pool], labels[pool]), Split(images[test], labels[test])


def to_mnist_form(images: Tensor) -> Tensor:
    """Enlarge 8 x 8 images to 20 x 20 (bicubic) and centre them in 28 x 28, as MNIST's digits are.

    Args:
        images: (N, 8, 8), values from 0 to 16.

    Returns:
        (N, 1, 28, 28), uint8 from 0 to 255.
    """
    large = interpolate(images[:, None].double(), size=(20, 20), mode="bicubic", align_corners=False)  # (N, 1, 20, 20)
    # Bicubic interpolation overshoots at edges.
    return pad((large * 255 / 16).round().clamp(0, 255), (4, 4, 4, 4)).to(torch.uint8)  # (N, 1, 28, 28)
