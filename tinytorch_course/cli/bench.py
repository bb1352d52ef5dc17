"""``tinytorch bench``: how fast is the from-scratch layer beside torch?"""

import sys
from typing import Annotated, Any

import typer

from tinytorch_course.cli.options import DEFAULT, option, parser, print_json, setting
from tinytorch_course.errors import InputError
from tinytorch_course.models import MODELS, find_model
from tinytorch_course.training.config import TrainConfig

WHAT, HOW, OUTPUT = "What to time", "How to time it", "What comes out"
QUICK_ROUNDS, ROUNDS, MOST = 3, 11, 1_000_000
USUAL_BATCH = 128
OTHERS = [f"{one.name} {one.bench_batch}" for one in MODELS.values() if one.bench_batch not in (None, USUAL_BATCH)]
USUAL_BATCHES = "; ".join([str(USUAL_BATCH), ", ".join(OTHERS)])


def bench(
    op: Annotated[str | None, option("--op", "NAME", "Time this layer alone, such as conv2d.", WHAT)] = None,
    model: Annotated[str | None, option("--model", "NAME", "Time this network's training step alone.", WHAT)] = None,
    ops: Annotated[str, setting("ops")] = DEFAULT.ops,
    batch_size: Annotated[
        str | None, option("--batch-size", "LIST", f"Pictures in a batch: 32, or 1,32. (default: {USUAL_BATCHES})", HOW)
    ] = None,
    repeat: Annotated[
        int | None, option("--repeat", "N", f"Rounds, each of which runs both. (default: {ROUNDS})", HOW)
    ] = None,
    threads: Annotated[int | None, option("--threads", "N", "Threads on the CPU. (default: torch's)", HOW)] = None,
    dtype: Annotated[str, option("--dtype", "NAME", "float32 or float64. (default: float32)", HOW)] = "float32",
    device: Annotated[
        str | None, option("--device", "NAME", "cpu, cuda, cuda:N or auto. (default: cpu; --gpu-report cuda)", HOW)
    ] = None,
    quick: Annotated[
        bool, option("--quick", None, f"The small networks and {QUICK_ROUNDS} rounds only: about 20 seconds.", HOW)
    ] = False,
    compile: Annotated[
        bool, option("--compile", None, "Compile both with torch.compile; training steps only, minutes each.", HOW)
    ] = False,
    cuda_graph: Annotated[
        bool, option("--cuda-graph", None, "Ours as a CUDA graph, torch as it is; training steps on CUDA only.", HOW)
    ] = False,
    price_list: Annotated[
        bool, option("--price-list", None, "Add FLOPs, bytes moved, and bytes kept for the backward pass.", OUTPUT)
    ] = False,
    json: Annotated[bool, option("--json", None, "Print one JSON document.", OUTPUT)] = False,
    gpu_report: Annotated[
        str | None,
        option("--gpu-report", "FILE", "Run all that needs a GPU, in less than 25 minutes, and write a page.", OUTPUT),
    ] = None,
) -> None:
    """Time both implementations alternately: layers forward and backward, and whole training steps.

    Prints medians, the ratio scratch / torch with the quartiles of its rounds (below 1: faster than torch), FLOPs a
    second beside those of a large matmul, and the peak memory of a step. Takes about two minutes on 2 cores.
    """
    if device is None:
        device = "cpu" if gpu_report is None else "cuda"
    parse = parser("--batch-size", int, "an integer")
    batches: list[int | None] = [None] if batch_size is None else [parse(word) for word in batch_size.split(",")]
    sizes = (("--batch-size", size) for size in batches if size is not None)
    for flag, value in (*sizes, ("--repeat", repeat), ("--threads", threads)):
        if value is not None and not 1 <= value <= MOST:
            raise InputError(f"{flag} must be at least 1 and at most {MOST:,}, but it is {value}")
    TrainConfig(ops=ops, dtype=dtype, device=device).validate()
    if gpu_report is not None:
        others = {"--op": op, "--model": model, "--batch-size": batch_size, "--repeat": repeat, "--threads": threads}
        others |= {"--compile": compile, "--cuda-graph": cuda_graph, "--price-list": price_list, "--json": json}
        report_on_gpu(gpu_report, device, quick, [flag for flag, given in others.items() if given])
        return
    for flag, given in (("--compile", compile), ("--cuda-graph", cuda_graph)):
        if given and op is not None:
            raise InputError(f"{flag} is for training steps: give --model in place of --op")

    import torch

    from tinytorch_course.bench import subjects
    from tinytorch_course.bench.display import print_tables, progress
    from tinytorch_course.training.environment import check_cuda_graph
    from tinytorch_course.training.memory import keep_freed_memory

    work = [one for one in plan(op, model, batches, quick, subjects) if one[0] == "step" or not (compile or cuda_graph)]
    rounds = repeat or (QUICK_ROUNDS if quick else ROUNDS)
    setting = subjects.find_setting(device, dtype, rounds, compile=compile, ops=ops, cuda_graph=cuda_graph)
    if cuda_graph:
        check_cuda_graph(TrainConfig(compile=compile), setting.device)
    if threads is not None:
        torch.set_num_threads(threads)
    keep_freed_memory()

    measured = []
    with progress() as working_on:
        working_on("a large matmul")
        ceiling = subjects.matmul_ceiling(setting)
        for kind, name, batch in work:
            working_on(f"{name}, batch {batch}")
            measure = subjects.measure_layer if kind == "layer" else subjects.measure_step
            one = measure(name, batch, setting)
            measured.append(one._replace(prices=subjects.price(kind, name, batch, setting)) if price_list else one)
    about = {
        "device": str(setting.device),
        "dtype": dtype,
        "ops": ops,
        "compiled": compile,
        "cuda_graph": cuda_graph,
        "threads": torch.get_num_threads(),
        "rounds": setting.rounds,
        "torch": torch.__version__,
        "matmul_flops_per_second": ceiling,
    }
    if json:
        print_json(about | {"results": [one.to_dict() for one in measured]})
    else:
        print_tables(measured, about)


def report_on_gpu(path: str, device: str, quick: bool, others: list[str]) -> None:
    """Exit code 1 if a part failed."""
    if others:
        raise InputError(f"--gpu-report decides what is timed and how: leave out {', '.join(others)}")

    from tinytorch_course.bench.gpu_report import make_report

    if not make_report(path, device, quick=quick, notify=lambda sentence: print(sentence, file=sys.stderr)):
        raise typer.Exit(1)


def plan(op: str | None, model: str | None, batches: list[int | None], quick: bool, subjects: Any) -> list[tuple]:
    """What to time: (kind, name, batch), in order."""
    layers, usual = tuple(subjects.layers()), subjects.steps()
    if op is not None and op not in layers:
        raise InputError(f"--op must be one of {', '.join(layers)}, but it is '{op}'")
    if model is not None:
        find_model(model)
    steps = subjects.QUICK_STEPS if quick else tuple(usual)
    if op is not None or model is not None:
        layers, steps = (op,) if op else (), (model,) if model else ()
    return [("layer", name, batch or USUAL_BATCH) for name in layers for batch in batches] + [
        ("step", name, batch or usual.get(name, USUAL_BATCH)) for name in steps for batch in batches
    ]
