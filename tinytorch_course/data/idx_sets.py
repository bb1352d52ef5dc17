"""The sets whose files have MNIST's format, IDX: what they are called, and where they come from."""

import string
from collections.abc import Sequence

from tinytorch_course.data.idx import SHA256, IdxFile, IdxSource
from tinytorch_course.data.splits import About


def _idx_files(*parts: tuple[str, int], sha256: Sequence[str | None] = (None,) * 4) -> tuple[IdxFile, ...]:
    """The four files of a set of 28 x 28 images, by name and number of images of its two parts."""
    sizes = [
        (f"{name}-{kind}-ubyte", head + each * count)
        for name, count in parts
        for kind, head, each in (("images-idx3", 16, 784), ("labels-idx1", 8, 1))
    ]
    return tuple(IdxFile(name, size, digest) for (name, size), digest in zip(sizes, sha256, strict=True))


MNIST = IdxSource(
    about=About(
        title="MNIST",
        classes=tuple("0123456789"),
        default_epochs=3,
        val_size=5000,
        made_of="handwritten digits of NIST's forms, by some 250 people, and by others in the test file",
    ),
    folder="MNIST",
    # yann.lecun.com, where MNIST comes from, has answered 403 for years.
    mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"),
    archive_bytes=11_594_722,
    files=_idx_files(("train", 60_000), ("t10k", 10_000), sha256=SHA256["MNIST"]),
)

FASHION_MNIST = IdxSource(
    about=About(
        title="Fashion-MNIST",
        classes=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        default_epochs=10,
        val_size=5000,
        flips=True,
        made_of="an online shop's pictures of clothes, shoes and bags",
    ),
    folder="FashionMNIST",
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    ),
    archive_bytes=30_878_645,
    files=_idx_files(("train", 60_000), ("t10k", 10_000), sha256=SHA256["Fashion-MNIST"]),
)


KMNIST = IdxSource(
    about=About(
        title="KMNIST",
        classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        default_epochs=5,
        val_size=5000,
        made_of="ten hiragana out of old Japanese books, in the cursive hand of their time",
    ),
    folder="KMNIST",
    mirrors=("https://storage.googleapis.com/kuzushiji-mnist", "http://codh.rois.ac.jp/kmnist/dataset/kmnist"),
    archive_bytes=21_240_888,
    files=_idx_files(("train", 60_000), ("t10k", 10_000)),
    balanced=True,
)


def _emnist(split: str, classes: str, train: int, test: int, made_of: str, first_label: int = 0) -> IdxSource:
    """One of EMNIST's splits (Cohen et al. 2017, https://arxiv.org/abs/1702.05373).

    Its files hold every image with rows and columns exchanged, as the Matlab of their makers wrote them, and the labels
    of the letters begin at 1: read here, images stand upright and labels begin at 0. Validation is the end of the
    training file, as long as the test file, as its makers laid it out.
    """
    return IdxSource(
        about=About(
            title=f"EMNIST {split}",
            classes=tuple(classes),
            default_epochs=3,
            val_size=test,
            train_size=train,
            test_size=test,
            made_of=made_of,
        ),
        folder="EMNIST",
        # One archive for all splits, of 562 MB. It is kept, as torchvision keeps it.
        mirrors=("https://biometrics.nist.gov/cs_links/EMNIST", "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST"),
        archive_bytes=561_753_746,
        files=_idx_files((f"emnist-{split}-train", train), (f"emnist-{split}-test", test)),
        zipped="gzip.zip",
        transposed=True,
        first_label=first_label,
    )


SOURCES = {
    "mnist": MNIST,
    "fashion-mnist": FASHION_MNIST,
    "kmnist": KMNIST,
    "emnist-letters": _emnist(
        "letters",
        string.ascii_uppercase,
        124_800,
        20_800,
        "handwritten letters of NIST's forms, upper and lower case in one class",
        first_label=1,
    ),
    "emnist-balanced": _emnist(
        "balanced",
        string.digits + string.ascii_uppercase + "abdefghnqrt",
        112_800,
        18_800,
        "handwritten digits and letters of NIST's forms, equally many of each; lower case where it looks different",
    ),
    "emnist-digits": _emnist("digits", string.digits, 240_000, 40_000, "handwritten digits of NIST's forms"),
}
