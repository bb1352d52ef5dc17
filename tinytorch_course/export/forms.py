"""The forms of a network outside of Python classes: ONNX, TorchScript, torch.export, and safetensors, weights alone.

Each form has a function that makes the file's bytes, and one that reads them again and gives what runs them. What is
exported takes pixels from 0 to 1 and normalises them itself, so that whoever runs it need not know mean and deviation;
safetensors, which holds no program, notes them.

Legend: N images, C channels, H, W, K classes.
"""

import contextlib
import copy
import io
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tinytorch_course.training import networks, safe_tensors
from tinytorch_course.training.learners import TorchLearner, of_kind
from tinytorch_course.training.networks import Network

INPUT, OUTPUT = "images", "logits"
OPSET = 18  # of ONNX: the oldest that torch's exporter writes without a conversion
EXAMPLES = 2  # images to export by: torch takes 1 for a constant

Run = Callable[[Tensor], Tensor]  # float32 (N, C, H, W) from 0 to 1 -> (N, K)


class Normalised(nn.Module):
    """A network behind its normalisation."""

    net: nn.Module

    def __init__(self, net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        self.net = net
        self.mean, self.std = (nn.Buffer(torch.tensor(values).view(-1, 1, 1)) for values in (mean, std))  # (C, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of pixels from 0 to 1."""
        return self.net((images - self.mean) / self.std)


class Form(NamedTuple):
    """One way to write a network down."""

    flag: str
    title: str
    make: Callable[[Network, Tensor], bytes]  # of the twin and images to export by
    read: Callable[[bytes, Network], Run]


def module_of(network: Network) -> Normalised:
    """The network's nn.Module, in evaluation mode and float32, behind its normalisation."""
    net = of_kind(network.learner, TorchLearner).net
    return Normalised(net, network.mean, network.std).float().eval()


def notes_of(network: Network) -> dict[str, str]:
    """What whoever gets the file alone must know, as texts."""
    return {
        "model": network.model,
        "classes": json.dumps(list(network.classes)),
        "input": f"{INPUT}: float32 (N, {network.channels}, {network.image_size}, {network.image_size}), pixels 0 to 1",
        "output": f"{OUTPUT}: float32 (N, {len(network.classes)}), before any softmax",
    }


# --- ONNX ------------------------------------------------------------------------------------------------------------


def make_onnx(network: Network, images: Tensor) -> bytes:
    """A checked ONNX model that carries the notes."""
    import onnx

    with quiet():
        program = torch.onnx.export(
            module_of(network),
            (images,),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
        )
    if program is None:
        raise RuntimeError("torch's exporter gave nothing back")
    model = program.model_proto
    onnx.helper.set_model_props(model, notes_of(network))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def read_onnx(data: bytes, network: Network) -> Run:
    """Onnxruntime's session, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])


# --- torch's own -----------------------------------------------------------------------------------------------------


def make_torchscript(network: Network, images: Tensor) -> bytes:
    """A traced module, with each note as a file beside it."""
    buffer = io.BytesIO()
    with quiet(), torch.no_grad():
        traced = torch.jit.trace(module_of(network), images)
        torch.jit.save(traced, buffer, _extra_files={f"{name}.txt": text for name, text in notes_of(network).items()})
    return buffer.getvalue()


def read_torchscript(data: bytes, network: Network) -> Run:
    """The traced module."""
    with quiet():
        return torch.jit.load(io.BytesIO(data))


def make_exported(network: Network, images: Tensor) -> bytes:
    """An exported program, with each note as a file beside it."""
    buffer = io.BytesIO()
    with quiet():
        program = torch.export.export(
            module_of(network), (images,), dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}}
        )
        torch.export.save(
            program, buffer, extra_files={f"{name}.txt": text for name, text in notes_of(network).items()}
        )
    return buffer.getvalue()


def read_exported(data: bytes, network: Network) -> Run:
    """The exported program's module."""
    with quiet():
        return torch.export.load(io.BytesIO(data)).module()


# --- the weights alone ------------------------------------------------------------------------------------------------


def make_safetensors(network: Network, images: Tensor) -> bytes:
    """The state dict, with what the other commands must know of the network as notes."""
    return safe_tensors.dump(network.learner.state_dict(), networks.notes_of(network.model, network.pictures))


def read_safetensors(data: bytes, network: Network) -> Run:
    """A module with these weights, strictly."""
    module = copy.deepcopy(module_of(network))
    module.net.load_state_dict(safe_tensors.parse(data, "the file")[0])
    return module


FORMS = (
    Form("--onnx", "ONNX", make_onnx, read_onnx),
    Form("--exported", "torch.export", make_exported, read_exported),
    Form("--torchscript", "TorchScript", make_torchscript, read_torchscript),
    Form("--safetensors", "safetensors", make_safetensors, read_safetensors),
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporters warn of their own future and print their progress; stdout is for our results."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield
