"""Exercises: a forward is given, its backward is to be written, and the gradient checker grades it. Needs no torch.

The starting files stand in ``start/``; what they hold for a learner to write is listed here. Titles are the files' own.
"""

import ast
from pathlib import Path
from typing import NamedTuple

from tinytorch_course.errors import InputError

START = Path(__file__).parent / "start"


class Task(NamedTuple):
    """Something to write."""

    name: str  # of a pair name_forward and name_backward, or of a class
    like: str | None = None  # the op or optimizer of ours that it should equal
    shapes: tuple[tuple[int, ...], ...] = ()  # of the inputs, where there is no such op
    hints: dict[str, str] = {}  # noqa: RUF012 (a NamedTuple shares its defaults) # "dx" -> what to think of if it is wrong

    @property
    def names(self) -> list[str]:
        """In the file: forward and backward, or the class."""
        return [self.name] if self.name[0].isupper() else [f"{self.name}_forward", f"{self.name}_backward"]


class Exercise(NamedTuple):
    """A file with tasks in it."""

    number: str  # two digits: the lesson's
    tasks: tuple[Task, ...]

    @property
    def start(self) -> Path:
        """The file to begin with."""
        return START / f"exercise_{self.number}.py"

    @property
    def title(self) -> str:
        """What it is about."""
        return self.header[0].partition(". ")[2]

    @property
    def purpose(self) -> str:
        """What is to be written, in one paragraph."""
        return " ".join(self.header[1].split())

    @property
    def header(self) -> list[str]:
        """The paragraphs of the starting file's docstring."""
        return (ast.get_docstring(ast.parse(self.start.read_text(encoding="utf-8"))) or "").split("\n\n")


_BLOCK = {
    "dx": "x reaches out along two paths: add what comes back through the layers and what comes back past them",
    "dweight1": "only where hidden is above 0 does anything come back through the first max",
    "dweight2": "out is a max too: only where it is above 0 does dout come back",
}
_MLP = {
    "dx": "it is what reaches the sum x weight1ᵀ + bias1, times weight1",
    "dweight1": "only where hidden is above 0 does anything come back through the max",
    "dbias1": "it is the sum, over the samples, of what reaches x weight1ᵀ + bias1",
    "dweight2": "the second layer is linear: out's gradient and its input, hidden, multiplied as in exercise 04",
    "dbias2": "every sample uses the same bias, so its gradient is a sum over the samples",
}
_SWISH = {"dx": "x stands in both factors of x · s: by the product rule the slope is s + x · s · (1 − s)"}
_SGD = {
    "the parameters": "lr multiplies the gradient and the penalty's share, weight_decay · p, alike: both are one "
    "gradient; and p.grad stays as it is"
}
_BCE = {"dinput": "with p = sigmoid(z) all that is left of the derivative is p − y, over the number of entries"}
_LOG_SOFTMAX = {"dx": "out = x − log Σ exp(x): x's slope is 1, and that of what is taken off is softmax(x) = exp(out)"}

EXERCISES = (
    Exercise(
        "02",
        (
            Task("cube", shapes=((5, 4),), hints={"dx": "the slope of x³ is 3 x², and multiplies dout"}),
            Task("product", shapes=((5, 4), (5, 4)), hints={"dx": "x's slope is y", "dy": "y's slope is x"}),
            Task("swish", shapes=((5, 4),), hints=_SWISH),
        ),
    ),
    Exercise("04", (Task("linear", "linear"), Task("mse_loss", "mse_loss"))),
    Exercise("05", (Task("SGD", "sgd", hints=_SGD),)),
    Exercise("06", (Task("binary_cross_entropy_with_logits", "binary_cross_entropy_with_logits", hints=_BCE),)),
    Exercise("07", (Task("softmax", "softmax"), Task("cross_entropy", "cross_entropy"))),
    Exercise("08", (Task("sigmoid", "sigmoid"), Task("tanh", "tanh"), Task("relu", "relu"))),
    Exercise("09", (Task("batch_norm", "batch_norm_long"), Task("dropout", "dropout"))),
    Exercise("10", (Task("SGD", "sgd"), Task("Adam", "adam"))),
    Exercise("11", (Task("mlp", shapes=((5, 4), (6, 4), (6,), (3, 6), (3,)), hints=_MLP),)),
    Exercise("13", (Task("conv2d", "conv2d"), Task("max_pool2d", "max_pool2d"))),
    Exercise("14", (Task("avg_pool2d", "avg_pool2d"), Task("flatten", "flatten"))),
    Exercise("15", (Task("residual_block", shapes=((5, 4), (6, 4), (4, 6)), hints=_BLOCK),)),
    Exercise("16", (Task("cross_entropy", "cross_entropy"),)),
    Exercise("17", (Task("AdamW", "adamw"),)),
    Exercise("18", (Task("log_softmax", "log_softmax", hints=_LOG_SOFTMAX),)),
)


def find_exercise(number: str) -> Exercise:
    """The exercise that ``number`` means: "8" and "08" are the same.

    Raises:
        InputError: if there is none.
    """
    for exercise in EXERCISES:
        if exercise.number == number.zfill(2):
            return exercise
    numbers = ", ".join(exercise.number for exercise in EXERCISES)
    raise InputError(f"there is no exercise '{number}'; there are {numbers}: `tinytorch exercise` lists them")


def write_start(exercise: Exercise, out: Path | None) -> Path:
    """Write the starting file into the folder ``out`` (None: the current one), or to ``out`` if that ends in .py.

    Raises:
        InputError: if there is such a file already, no such folder, or nothing can be written there.
    """
    out = Path() if out is None else out
    file = out if out.suffix == ".py" else out / exercise.start.name
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(exercise.start.read_text(encoding="utf-8"))
    except FileExistsError:
        raise InputError(f"'{file}' already exists, and may be your work; choose another place with --out") from None
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"there is no folder '{file.parent}'; create it first, or choose another with --out") from None
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"'{file}' cannot be written ({reason}); choose another place with --out") from None
    return file
