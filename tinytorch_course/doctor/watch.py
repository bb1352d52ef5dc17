"""Takes notes of a training loop of plain PyTorch while it runs unchanged: hooks look on, and alter no result.

What is seen becomes a list of :class:`Event` in the order of time; ``faults.py`` reads it. Where enough steps were
seen, loaders end early, so that an evaluation that follows is seen too, and then the loop is left by :class:`Enough`.
"""

import functools
import math
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler, optimizer
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader

VALIDATION = 10  # batches that are seen of an evaluation, once there were enough steps
EXTRA = 3  # steps of the next epoch: whether its order is the same, and the network back in training mode
UNLOADED = 10  # times as many steps, in search of an evaluation, where no loader can be ended
FEATURES = 1024  # of a sample that its fingerprint looks at
ROWS = 256  # of a batch
PENDING = 64  # outputs that wait for a backward
NODES = 20_000  # of a graph that are walked
LOSSES = {
    "cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "mse_loss", "l1_loss",
    "smooth_l1_loss", "huber_loss", "kl_div",
}  # fmt: skip
METRICS = LOSSES | {"argmax", "max", "topk", "eq", "gt", "ge", "lt", "round", "sub", "softmax", "sigmoid"}
FILLING = {
    "masked_fill",
    "masked_fill_",
    "fill_",
    "full_like",
    "where",
    "empty_like",
    "new_empty",
    "new_full",
    "__setitem__",
}
RESHAPING = {
    "View", "UnsafeView", "Reshape", "ReshapeAlias", "Squeeze", "Unsqueeze", "Transpose", "Permute", "Alias", "ToCopy",
    "T", "Slice", "Clone",
}  # fmt: skip
NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


class Enough(BaseException):
    """Everything has been seen."""


class Event(NamedTuple):
    """Something that happened."""

    kind: str  # forward, loss, backward, step, clip, schedule, softmax_of_one, dropout, broadcast, kept, log_of_scores
    step: int  # optimizer steps before it
    where: str  # "train.py line 12", in the user's files; "" if unknown
    data: SimpleNamespace


class Held:
    """A parameter: what happened to its gradient, and who holds it."""

    def __init__(self, tensor: Tensor):
        self.tensor, self.name = tensor, ""
        self.module: nn.Module | None = None
        self.optimizers: set[int] = set()
        self.reached = False  # by the graph of a loss
        self.steps = self.absent = self.zero = 0  # steps of its optimizer; those without a gradient, with one of zeros
        self.gave = False  # whether the last backward left it a gradient that is not 0
        self.last = -1  # backward passes before its last step
        self.kept: Tensor | None = None  # its gradient after the last step
        self.stale = False  # whether its gradient is, or contains, that of a step before
        self.ratios: list[float] = []  # of update to weight


class Pass:
    """An iteration over a loader, which is handed on batch by batch."""

    def __init__(self, watch: "Watch", loader: DataLoader, batches: Iterator):
        self.watch, self.loader, self.batches = watch, loader, batches
        self.count, self.trained, self.ended = 0, False, False
        self.prints: list[tuple[int, ...]] = []  # fingerprints of the rows of each batch
        self.sizes: list[list[int]] = []  # of the tensors of each batch
        self.labels: list[Tensor] = []
        self.models: set[int] = set()  # that were run on it
        self.single: set[tuple[int, ...]] = set()  # fingerprints of tensors of one row among those of several

    def __iter__(self) -> "Pass":
        return self

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.batches, name)

    def __next__(self) -> Any:
        if self.watch.full and (self.trained or self.count >= VALIDATION):
            raise StopIteration
        self.watch.look_at_clock()
        with self.watch.looking_away():
            try:
                batch = next(self.batches)
            except StopIteration:
                self.ended = True
                raise
            self.count += 1
            self.watch.current = self
            tensors = [part for part in _flat(batch) if part.ndim]
            if tensors:
                self.prints.append(fingerprint(tensors[0]))
                self.sizes.append([len(part) for part in tensors])
                single = [part for part in tensors if len(part) == 1 and part.ndim > 1]
                self.single |= {fingerprint(part) for part in single if max(self.sizes[-1]) > 1}
            if len(tensors) > 1 and tensors[-1].numel() == len(tensors[-1]):
                self.labels.append(tensors[-1].flatten().clone())
        return batch


class Watch(TorchFunctionMode):
    """What one run of a training loop does.

    Args:
        folder: of the user's files, to whose lines events are traced.
        steps: of an optimizer, that are enough.
        seconds: after which enough is seen in any case.
    """

    def __init__(self, folder: Path, steps: int, seconds: float):
        super().__init__()
        self.folder, self.enough, self.deadline = str(folder), steps, time.monotonic() + seconds
        self.events: list[Event] = []
        self.held: dict[int, Held] = {}
        self.optimizers: dict[int, Any] = {}
        self.built: dict[int, str] = {}  # where optimizers were
        self.passes: list[Pass] = []
        self.current: Pass | None = None
        self.roots: dict[int, nn.Module] = {}  # with parameters, called by the user's code
        self.called: set[int] = set()  # modules
        self.put_to_training: set[int] = set()  # modules whose train() was called
        self.loaded: set[int] = set()  # modules into which a state was loaded
        self.units: dict[Any, SimpleNamespace] = {}  # of every ReLU: which were ever above 0
        self.not_finite: dict[tuple[str, str], int] = {}  # function and line that made inf or NaN: step of the first
        self.failures: list[str] = []  # of looks
        self.steps = self.backwards = 0
        self.full = self.stopped = False
        self._stack: list[nn.Module] = []
        self._forward: SimpleNamespace | None = None
        self._pending: list[tuple[SimpleNamespace, Any]] = []
        self._output: tuple[SimpleNamespace, Tensor] | None = None
        self._spent: list[weakref.ref] = []  # losses that had their backward
        self._away = 0
        self._grad = True  # whether gradients are wanted where a function is called
        self._sum: Any = None  # of losses that had their backward
        self._since: dict[int, int] = {}  # backward passes before an optimizer's last step
        self._before: dict[int, Tensor] = {}  # weights before a step
        self._closure = False  # whether it calls the loop's own closure

    # --- the run -----------------------------------------------------------------------------------------------------

    @contextmanager
    def watching(self) -> Iterator["Watch"]:
        """Until it ends, what torch does is noted."""
        with ExitStack() as stack:
            for hook in (
                nn.modules.module.register_module_forward_pre_hook(self._module_begins),
                nn.modules.module.register_module_forward_hook(self._module_ends, always_call=True),
                optimizer.register_optimizer_step_pre_hook(self._step_begins),
                optimizer.register_optimizer_step_post_hook(self._step_ends),
            ):
                stack.callback(hook.remove)
            patched: list[tuple[Any, str, Callable]] = [
                (DataLoader, "__iter__", self._loading),
                (torch.autograd, "backward", self._backward),
                (torch.autograd, "grad", self._gradient),
                (optimizer.Optimizer, "__init__", self._building),
                (nn.Module, "train", self._training),
                (nn.Module, "load_state_dict", self._state_loading),
                *((place, name, self._clipping) for place in (nn.utils, nn.utils.clip_grad)
                  for name in ("clip_grad_norm_", "clip_grad_value_")),
                *((kind, "step", self._scheduling) for kind in vars(lr_scheduler).values()
                  if isinstance(kind, type) and "step" in vars(kind)),
            ]  # fmt: skip
            for place, name, wrapper in patched:
                stack.enter_context(mock.patch.object(place, name, _around(getattr(place, name), wrapper)))
            stack.enter_context(self)
            yield self

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """For what torch, or this class, does on its own account."""
        self._away += 1
        try:
            with torch._C.DisableTorchFunction():
                yield
        finally:
            self._away -= 1

    @contextmanager
    def looking(self) -> Iterator[None]:
        """For every look at the loop: whatever goes wrong in it is not the loop's affair."""
        with self.looking_away(), torch.no_grad():
            try:
                yield
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")

    def look_at_clock(self) -> None:
        """Leave the loop if its time is over."""
        if self.stopped or time.monotonic() > self.deadline:
            self.stopped = True
            raise Enough

    def where(self) -> str:
        """The user's innermost line at this moment."""
        frame = sys._getframe(1)
        while frame is not None and not frame.f_code.co_filename.startswith(self.folder):
            frame = frame.f_back  # type: ignore[assignment]
        return f"{Path(frame.f_code.co_filename).name} line {frame.f_lineno}" if frame else ""

    def note(self, kind: str, **data: Any) -> SimpleNamespace:
        """Add an event."""
        self.events.append(Event(kind, self.steps, self.where(), SimpleNamespace(**data)))
        return self.events[-1].data

    def of(self, kind: str) -> list[Event]:
        """The events of that kind."""
        return [event for event in self.events if event.kind == kind]

    # --- modules -----------------------------------------------------------------------------------------------------

    def _module_begins(self, module: nn.Module, args: tuple) -> None:
        if self._away:
            return
        self.called.add(id(module))
        self._stack.append(module)
        self._grad = torch.is_grad_enabled()
        with self.looking():
            self._look_at_input(module, args)

    def _look_at_input(self, module: nn.Module, args: tuple) -> None:
        if len(self._stack) == 1 and next(module.parameters(), None) is not None:
            self._begin_forward(module, args)
        layer = next(module.parameters(recurse=False), None) is not None
        if layer and self._forward is not None and self._forward.first is None and args and isinstance(args[0], Tensor):
            scaled = args[0].is_floating_point() and not args[0].is_sparse and not isinstance(module, NORMS)
            self._forward.first = statistics(args[0]) if scaled else {}
        for name, parameter in module.named_parameters(recurse=False):
            held = self.hold(parameter)
            held.module = module
            held.name = held.name or f"{type(module).__name__}.{name}"

    def _begin_forward(self, module: nn.Module, args: tuple) -> None:
        self.roots[id(module)] = module
        for name, parameter in module.named_parameters():
            self.hold(parameter).name = name
        if self.current is not None:
            self.current.models.add(id(module))
        x = next((part for part in _flat(args)), None)
        raw = x is not None and not x.requires_grad
        rows = fingerprint(x) if raw and x is not None and x.ndim else ()
        self._forward = self.note(
            "forward", module=module, training=module.training, grad=self._grad, trained=False, metric=False,
            first=None if raw else {}, rows=rows, loader=self.current, spread=None,
            switched=_switched(module), active=any(each.training for each in _switched(module)),
        )  # fmt: skip

    def _module_ends(self, module: nn.Module, args: tuple, out: Any) -> None:
        if self._away or module not in self._stack[-1:]:
            return
        self._stack.pop()
        if self._stack or self._forward is None:
            return
        forward, self._forward = self._forward, None
        with self.looking():
            if tensors := _flat(out):
                self._look_at_output(forward, tensors[0])

    def _look_at_output(self, forward: SimpleNamespace, out: Tensor) -> None:
        self._output = forward, out.detach()
        if out.ndim and len(out) == len(forward.rows) and len(set(forward.rows)) > 1:
            rows = out.detach().flatten(1) if out.ndim > 1 else out.detach()[:, None]
            forward.spread = ((rows - rows[:1]).abs().max() / rows.abs().max().clamp_min(1e-30)).item()
        if out.grad_fn is not None:
            self._pending.append((forward, out.grad_fn))
            if len(self._pending) > PENDING:
                self._pending.pop(0)[0].trained = None  # nobody knows

    def hold(self, parameter: Tensor) -> Held:
        """The notes of a parameter."""
        if id(parameter) not in self.held:
            self.held[id(parameter)] = Held(parameter)
        return self.held[id(parameter)]

    def _training(self, original: Callable, module: nn.Module, mode: bool = True) -> nn.Module:
        self.put_to_training |= {id(module)} if mode else set()
        return original(module, mode)

    def _state_loading(self, original: Callable, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        self.loaded |= {id(each) for each in module.modules()}
        return original(module, *args, **kwargs)

    # --- functions of torch ------------------------------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        """Let ``func`` do its work, and look at what came out."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not self._away:
            self._grad = torch.is_grad_enabled()
            with self.looking():
                self._saw(getattr(func, "__name__", ""), args, kwargs, out)
        return out

    def _saw(self, name: str, args: tuple, kwargs: dict[str, Any], out: Any) -> None:
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if self._output is not None and first is not None and name in METRICS:
            forward, output = self._output
            forward.metric |= output.numel() > 0 and first.untyped_storage().data_ptr() == _place(output)
        if name in LOSSES:
            self._saw_loss(name, args, kwargs)
        elif name in ("softmax", "log_softmax") and first is not None:
            dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
            if isinstance(dim, int) and first.ndim and first.shape[dim] == 1 and first.requires_grad:
                self.note("softmax_of_one", shape=tuple(first.shape))
        elif name in ("dropout", "dropout1d", "dropout2d", "alpha_dropout"):
            active = kwargs.get("training", kwargs.get("train", args[2] if len(args) > 2 else True))
            p = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
            within = self._stack[-1] if self._stack else None
            self.note("dropout", p=p, wrong=bool(active and p and within is not None and not within.training))
        elif name in ("relu", "relu_") and self._grad and self._stack:
            self._saw_relu(out)
        elif name in ("sub", "rsub", "__rsub__", "eq", "__eq__") and len(args) > 1 and isinstance(args[1], Tensor):
            self._saw_pair(args[0], args[1], name)
        elif name in ("add", "__iadd__", "add_", "__add__", "__radd__"):
            self._saw_sum(args, out)
        elif name in ("log", "log_") and first is not None and not self._stack and _linear(first.grad_fn):
            self.note("log_of_scores", low=first.min().item(), high=first.max().item())
        if isinstance(out, Tensor) and out.is_floating_point() and name not in FILLING and not _finite(out):
            given = [part for part in _flat([*args, *kwargs.values()]) if part.is_floating_point()]
            if given and all(map(_finite, given)):
                self.not_finite.setdefault((name.strip("_"), self.where()), self.steps)

    def _saw_loss(self, name: str, args: tuple, kwargs: dict[str, Any]) -> None:
        out_of, target = (*args, *(kwargs[key] for key in ("input", "target") if key in kwargs))[:2]
        scores, integers = out_of.detach(), not target.is_floating_point()
        loss = self.note(
            "loss", name=name, input=tuple(scores.shape), target=tuple(target.shape), grad=out_of.requires_grad,
            made=made_by(out_of.grad_fn), reduction=kwargs.get("reduction", "mean"), training=self._grad,
            low=None, high=None, labels=None, own=False, crossed=False, counts=None, sums=None, classes=None,
            ignored=kwargs.get("ignore_index", -100),
        )  # fmt: skip
        if name not in ("cross_entropy", "nll_loss") and scores.shape != target.shape:
            pairs = torch.broadcast_shapes(scores.shape, target.shape)
            loss.crossed = math.prod(pairs) > max(scores.numel(), target.numel())
        if target.numel():
            loss.low, loss.high = target.min().item(), target.max().item()
        if name in ("cross_entropy", "nll_loss") and scores.ndim > 1 and scores.numel():
            loss.classes = scores.shape[1]
            rows = scores.float()
            loss.sums = ((rows.sum(1) - 1).abs().max().item(), rows.min().item(), rows.logsumexp(1).abs().max().item())
        if integers and target.ndim and target.numel() == len(target):
            given = self.current.labels[-1:] if self.current is not None else [target]
            own = any(len(part) == len(target) and bool((part == target.flatten()).all()) for part in given)
            loss.labels, loss.own = target.flatten().tolist(), own
        elif integers:
            loss.counts = Counter(target.flatten().tolist())
        elif name == "mse_loss":
            loss.counts = Counter(target.flatten()[:2000].tolist())

    def _saw_relu(self, out: Any) -> None:
        if not isinstance(out, Tensor) or out.ndim < 2:
            return
        alive = (out > 0).transpose(0, 1).flatten(1).any(1) if out.ndim != 3 else (out > 0).flatten(0, 1).any(0)
        where = self.where()
        key = (id(self._stack[-1]), where, len(alive))
        units = self.units.setdefault(key, SimpleNamespace(alive=alive, calls=0, where=where))
        late = self.steps == self.enough // 2  # those that died on the way count too
        units.alive, units.calls = alive if late else units.alive | alive, units.calls + 1

    def _saw_sum(self, args: tuple, out: Any) -> None:
        """Whether losses whose backward is done are added up, graph and all."""
        parts = [part for part in args if isinstance(part, Tensor)]
        spent = [loss() for loss in self._spent[-5:]]
        if isinstance(out, Tensor) and out.requires_grad and any(part is loss for part in parts for loss in spent):
            if self._sum is not None and any(part is self._sum() for part in parts):
                self.note("kept")
            self._sum = weakref.ref(out)

    def _saw_pair(self, a: Any, b: Tensor, name: str) -> None:
        """(N, 1) beside (N,): what comes out is (N, N)."""
        if self._stack or not isinstance(a, Tensor):
            return
        tall, flat = (a, b) if a.ndim == 2 else (b, a)
        lonely = tall.ndim == 2 and tall.shape[1] == 1 and flat.ndim == 1 and len(flat) == len(tall) > 1
        if lonely and (a.requires_grad != b.requires_grad or "eq" in name):
            self.note("broadcast", shapes=(tuple(a.shape), tuple(b.shape)), name=name.strip("_"))

    # --- backward and step -------------------------------------------------------------------------------------------

    def _backward(self, original: Callable, tensors: Any, *args: Any, **kwargs: Any) -> None:
        if self.stopped:
            raise Enough
        roots = _flat(tensors)
        with self.looking():
            for held in self.held.values():
                if held.stale and _nothing(held.tensor.grad):
                    held.stale = False
            nodes, leaves = walk([root.grad_fn for root in roots])
            for leaf in leaves:
                self.hold(leaf).reached = True
            for forward, made in self._pending:
                forward.trained = forward.trained or made in nodes
            self._pending = [(forward, made) for forward, made in self._pending if made not in nodes]
            retain = kwargs.get("retain_graph") or (len(args) > 1 and args[1])
            alive = sum(loss() is not None for loss in self._spent[:-1])
            single = roots[0] if len(roots) == 1 and roots[0].numel() == 1 else None
            self.note(
                "backward", value=None if single is None else single.item(), retain=bool(retain), alive=alive,
                leaf=bool(roots) and all(root.is_leaf for root in roots),
                made=type(single.grad_fn).__name__ if single is not None and single.grad_fn is not None else "",
            )  # fmt: skip
        self._spent += [weakref.ref(root) for root in roots]
        try:
            original(tensors, *args, **kwargs)
        finally:
            self.backwards += 1
            with self.looking():
                for held in self.held.values():
                    held.gave = bool(held.optimizers) and not _nothing(held.tensor.grad)
            self.stopped |= time.monotonic() > self.deadline or (
                not self.steps and self.backwards >= self.enough * UNLOADED
            )

    def _gradient(self, original: Callable, outputs: Any, *args: Any, **kwargs: Any) -> Any:
        """torch.autograd.grad, which a loop may use in backward's place."""
        with self.looking():
            roots = _flat(outputs)
            nodes, leaves = walk([root.grad_fn for root in roots])
            for leaf in leaves:
                self.hold(leaf).reached = True
            for forward, made in self._pending:
                forward.trained = forward.trained or made in nodes
        self.backwards += 1
        return original(outputs, *args, **kwargs)

    def _building(self, original: Callable, built: Any, *args: Any, **kwargs: Any) -> None:
        original(built, *args, **kwargs)
        self.built[id(built)] = self.where()
        self.optimizers[id(built)] = built

    def _step_begins(self, stepping: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        self.optimizers.setdefault(id(stepping), stepping)
        closure = any(callable(value) for value in (*args, *kwargs.values()))
        helds = [self.hold(p) for group in stepping.param_groups for p in group["params"]]
        with self.looking():
            for held in helds:
                held.optimizers.add(id(stepping))
                grad = held.tensor.grad
                held.steps += 1
                held.stale = held.stale and grad is held.kept
                held.absent += grad is None and not closure
                held.zero += grad is not None and _nothing(grad)
                self._before[id(held.tensor)] = held.tensor.detach().clone()
            gradients = [held.tensor.grad for held in helds if held.tensor.grad is not None]
            fresh = self.backwards - self._since.get(id(stepping), 0)
            norm = math.sqrt(sum(grad.double().pow(2).sum().item() for grad in gradients if not grad.is_sparse))
            self.note(
                "step", optimizer=stepping, closure=closure, fresh=fresh, norm=norm, gradients=len(gradients),
                stale=sum(held.stale for held in helds) if fresh and not closure else 0,
                trainable=sum(held.tensor.requires_grad for held in helds), lr=_rate(stepping),
                gave=any(held.gave for held in helds),
            )  # fmt: skip
        self._closure = closure
        if closure:
            self._since[id(stepping)] = self.backwards
        else:
            self._away += 1  # what the optimizer computes is its own affair

    def _step_ends(self, stepping: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        self._away -= not self._closure
        with self.looking():
            for group in stepping.param_groups:
                for parameter in group["params"]:
                    held, old = self.hold(parameter), self._before.pop(id(parameter), None)
                    held.stale, held.last, held.kept = parameter.grad is not None, self.backwards, parameter.grad
                    if old is None or old.shape != parameter.shape:
                        continue
                    change = (parameter.detach() - old).norm().item()
                    if parameter.ndim > 1 and parameter.requires_grad:
                        usual = math.sqrt(len(parameter) / 3)  # the length of a layer's default start
                        held.ratios.append(change / max(old.norm().item(), usual))
        self.steps += 1
        self._since[id(stepping)] = self.backwards
        if self.current is not None and not self.current.ended:
            self.current.trained = True
        enough = self.enough * len(self._since)  # steps of each optimizer
        self.full |= self.steps >= enough
        loaded = self.current is not None and not self.current.ended
        most = enough + EXTRA * len(self._since) if loaded else enough * UNLOADED
        self.stopped |= self.steps >= most
        self.look_at_clock()

    # --- what stands around ------------------------------------------------------------------------------------------

    def _loading(self, original: Callable, loader: DataLoader) -> Any:
        batches = original(loader)
        if self._away:
            return batches
        self.passes.append(Pass(self, loader, batches))
        return self.passes[-1]

    def _clipping(self, original: Callable, parameters: Any, *args: Any, **kwargs: Any) -> Any:
        parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        late = all(p.grad is None or self.hold(p).last == self.backwards for p in parameters)
        self.note("clip", late=late and bool(parameters))
        with self.looking_away():
            return original(parameters, *args, **kwargs)

    def _scheduling(self, original: Callable, scheduler: Any, *args: Any, **kwargs: Any) -> Any:
        with self.looking_away():
            out = original(scheduler, *args, **kwargs)
        # Schedulers take a step of their own when they are built, and those of several others step these.
        if sys._getframe(2).f_code.co_filename.startswith(self.folder) and hasattr(scheduler, "optimizer"):
            one = self.current if self.current is not None and hasattr(self.current.loader.dataset, "__len__") else None
            position = (one.count, len(one.loader)) if one else None
            self.note("schedule", scheduler=scheduler, lr=_rate(scheduler.optimizer), position=position)
        return out


def _around(original: Callable, wrapper: Callable) -> Callable:
    """A function in the original's place, a method where that was one, which hands it to ``wrapper``."""

    @functools.wraps(original)
    def replaced(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    return replaced


def _flat(value: Any) -> list[Tensor]:
    """The tensors in a tensor, tuple, list or dict."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [part for each in value for part in _flat(each)] if isinstance(value, tuple | list) else []


def _nothing(grad: Tensor | None) -> bool:
    values = grad.coalesce().values() if grad is not None and grad.is_sparse else grad
    return values is None or not values.any().item()


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _finite(tensor: Tensor) -> bool:
    if tensor.layout is not torch.strided:
        return True
    return bool(tensor.detach().isfinite().all())


def _rate(stepping: Any) -> float:
    return max(float(group["lr"]) for group in stepping.param_groups if "lr" in group) if stepping.param_groups else 0.0


def _switched(module: nn.Module) -> list[nn.Module]:
    """What in a network works otherwise in training than in evaluation."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    return [each for each in module.modules() if isinstance(each, kinds) and getattr(each, "p", True)]


def fingerprint(x: Tensor) -> tuple[int, ...]:
    """A number for each sample, equal where samples are equal to the last bit."""
    if x.layout is not torch.strided:
        return ()
    rows = x.detach()[:ROWS].cpu().flatten(1) if x.ndim > 1 else x.detach()[:ROWS].cpu()[:, None]
    rows = rows[:, :: max(1, rows.shape[1] // FEATURES)].contiguous()
    return tuple(hash(row.view(torch.uint8).numpy().tobytes()) for row in rows)


def statistics(x: Tensor) -> dict[str, float]:
    """Of an input: how many numbers, mean, standard deviation, extremes, and whether all are finite."""
    x = x.detach().double()
    return {"count": x.numel(), "mean": x.mean().item(), "std": x.std(correction=0).item(), "low": x.min().item(),
            "high": x.max().item(), "finite": _finite(x)}  # fmt: skip


def walk(starts: list[Any]) -> tuple[set[Any], list[Tensor]]:
    """Every node of a graph, and its leaves."""
    nodes: set[Any] = set()
    leaves, ahead = [], [node for node in starts if node is not None]
    while ahead and len(nodes) < NODES:
        node = ahead.pop()
        if node in nodes:
            continue
        nodes.add(node)
        if (leaf := getattr(node, "variable", None)) is not None:
            leaves.append(leaf)
        ahead += [following for following, _ in node.next_functions if following is not None]
    return nodes, leaves


def made_by(node: Any) -> str:
    """Which function made a tensor, apart from changes of shape: "Softmax"."""
    for _ in range(10):
        name = type(node).__name__.replace("Backward", " ").split(" ")[0].lstrip("_")
        if node is None or name not in RESHAPING:
            return name if node is not None else ""
        node = node.next_functions[0][0]
    return ""


def _linear(node: Any) -> bool:
    """Whether a tensor is what a linear layer or a convolution gave, at most clamped or taken from 1."""
    for _ in range(10):
        name = made_by(node)
        if name in ("Addmm", "Mm", "Convolution"):
            return True
        if node is None or (name and not name.startswith(("Clamp", "Rsub", "Add", "Sub"))):
            return False
        node = next((following for following, _ in node.next_functions if following is not None), None)
    return False
