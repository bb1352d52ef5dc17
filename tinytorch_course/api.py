"""What ``import tinytorch_course as tt`` gives besides modules: functions that take names, numbers and tensors."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tinytorch_course import lockstep, reference
from tinytorch_course.errors import did_you_mean
from tinytorch_course.evaluation.evaluate import evaluate_network
from tinytorch_course.evaluation.scores import Scores
from tinytorch_course.lockstep.compare import DEFAULT_STEPS, DEFAULT_TOLERANCE, Comparison
from tinytorch_course.models import Model, find_model
from tinytorch_course.training import loop
from tinytorch_course.training.config import TrainConfig
from tinytorch_course.training.environment import compute_alike, find_device
from tinytorch_course.training.networks import Network, open_network
from tinytorch_course.training.progress import Result
from tinytorch_course.training.quiet import QUIET

Network_ = str | Callable[..., Any]  # its name, FILE:NAME, or a function of L
