"""``tinytorch export``: a trained network as a file that other programs run."""

from pathlib import Path
from typing import Annotated

import typer

from tinytorch_course.cli.options import CHECKPOINT, DATA_DIR, MODEL, TRUST, check_network, option, print_json
from tinytorch_course.errors import InputError


def export(
    checkpoint: Annotated[str, CHECKPOINT],
    onnx: Annotated[
        Path | None, option("--onnx", "FILE", "Write ONNX, for onnxruntime and most other programs.")
    ] = None,
    exported: Annotated[Path | None, option("--exported", "FILE", "Write torch.export's form (.pt2).")] = None,
    torchscript: Annotated[
        Path | None, option("--torchscript", "FILE", "Write TorchScript, for older programs that load it.")
    ] = None,
    safetensors: Annotated[
        Path | None,
        option(
            "--safetensors", "FILE", "Write the weights alone, to share: it holds no program, and predict takes it."
        ),
    ] = None,
    model: Annotated[str | None, MODEL] = None,
    trust: Annotated[bool, TRUST] = False,
    data: Annotated[
        str | None, option("--data", "NAME", "What a file of weights without a run was trained on. (default: MNIST)")
    ] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
    json: Annotated[bool, option("--json", None, "Print one JSON document.")] = False,
) -> None:
    """Write a trained network in other forms, each read again and compared with the from-scratch forward.

    The file takes float32 pictures (N, channels, height, width) with pixels from 0 to 1, as many at once as you like,
    normalises them itself, and gives logits; safetensors holds the weights alone. Ends with exit code 1, and without a
    file, if the two do not agree.
    """
    asked = {"--onnx": onnx, "--exported": exported, "--torchscript": torchscript, "--safetensors": safetensors}
    targets = {flag: file for flag, file in asked.items() if file is not None}
    check_files(targets)
    check_network(model, trust)
    if "--onnx" in targets:
        from tinytorch_course.export.packages import require_onnx

        require_onnx()

    from tinytorch_course.export.forms import FORMS
    from tinytorch_course.export.write import TOLERANCE, open_both
    from tinytorch_course.export.write import export as write

    twin, scratch = open_both(checkpoint, model=model, trust=trust, data=data, data_dir=data_dir)
    results = []
    for form in FORMS:
        if form.flag not in targets:
            continue
        one = write(twin, scratch, form, targets[form.flag])
        results.append(one)
        if not json:
            verdict = f"written ({one.size / 1e6:,.2f} MB)" if one.ok else "WRONG, and not written"
            print(f"{one.file}: {form.title}, {verdict}")
            print(f"  largest error beside the from-scratch forward: {one.error:.1e} (tolerance {TOLERANCE:g})")
    ok = all(one.ok for one in results)
    if json:
        print_json({"ok": ok, "files": [one.to_dict() for one in results]})
    if not ok:
        raise typer.Exit(1)


def check_files(targets: dict[str, Path]) -> None:
    """Refuse what cannot be written, before torch is imported."""
    if not targets:
        raise InputError("say what to write: --onnx, --exported, --torchscript or --safetensors FILE")
    if len({file.absolute() for file in targets.values()}) < len(targets):
        raise InputError(f"{' and '.join(targets)} name the same file: give each its own")
    for flag, file in targets.items():
        if file.exists():
            raise InputError(f"{flag} is '{file}', which exists already: choose another file, or remove it")
        if not file.parent.is_dir():
            raise InputError(f"{flag} is '{file}', but there is no folder '{file.parent}': create it first")
