"""Weights as ``.safetensors``: a header of JSON, then plain numbers. Such a file cannot hold a program.

Beside the tensors it carries notes, texts by name, and the SHA-256 of both: the format itself notices no damage.
"""

import hashlib
import json
import os
from collections.abc import Mapping

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from tinytorch_course.errors import InputError
from tinytorch_course.files import parse_json

SUFFIX = ".safetensors"
DIGEST = "tinytorch-sha256"  # its name among the notes


def is_named(path: str | os.PathLike) -> bool:
    """Whether a file of this name is one of safetensors."""
    return os.fspath(path).endswith(SUFFIX)


def dump(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> bytes:
    """The file's bytes. No two tensors may share memory."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(whole, {**notes, DIGEST: _digest(whole, notes)})


def parse(
    data: bytes, path: str | os.PathLike, *, require_digest: bool = False
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the notes in a file's bytes.

    Raises:
        InputError: if they are something else, or damaged, or carry no digest where one is required.
    """
    try:
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        notes = parse_json(data[8 : 8 + length]).get("__metadata__") or {}
        found = notes.pop(DIGEST, None)
        damaged = found is not None and found != _digest(tensors, notes)
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise InputError(f"{path} is damaged, or not in the form of safetensors") from error
    if damaged:
        raise InputError(f"{path} is damaged: its content does not match the SHA-256 that it carries")
    if found is None and require_digest:
        raise InputError(f"{path} carries no SHA-256, so tinytorch did not write it, and damage would go unnoticed")
    return tensors, notes


def _digest(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(notes, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
