"""Judge ``tinytorch check`` on a folder of learners' code with labels: what it detects, names and accepts.

    python tests/judge.py FOLDER [--part 0/2] [--kind correct] [--budget 10] [--json FILE] [ID ...]

``labels.json`` says of each case: file, code (FORWARD,BACKWARD), like or shapes, kind (one, two, plain, correct), and
truth.
Counting is all that a program can do: whether an answer names the mistake is for a reader, who finds both side by side.
All cases run in this process, so that Python and torch start once; seconds are those of the check and the search.
"""

import argparse
import contextlib
import io
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tinytorch_course.checking.rows import Row
from tinytorch_course.errors import InputError
from tinytorch_course.grading.child import _Checked
from tinytorch_course.grading.own_code import Request, parse_shapes, with_repair


def judged(folder: Path, case: dict[str, Any], budget: float) -> dict[str, Any]:
    """What the check says of one case."""
    shapes = parse_shapes(case["shapes"]) if case.get("shapes") else None
    names = case["code"].split(",")
    request = Request(str(folder / case["file"]), names, case.get("like"), shapes, budget=budget)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as scrap, contextlib.redirect_stdout(io.StringIO()):
        checked = _Checked(request, Path(scrap))
        try:
            row: Row | None = checked.row()
            refusal = ""
        except InputError as error:
            row, refusal = None, str(error)
        repair = None if row is not None and row.ok else checked.repair()
    if row is None:
        said, verdict = refusal + (f"; {repair['text']}" if repair else ""), "refused"
    elif row.ok:
        said, verdict = "; ".join(row.notes), "ok"
    else:
        with_repair(row, repair)
        said, verdict = row.diagnosis[0]["what"] + ": " + row.diagnosis[0]["sentence"], "wrong"
        said += f" [{row.diagnosis[0]['part']}]" if row.diagnosis[0]["part"] else ""
    return {"verdict": verdict, "repaired": bool(repair), "said": said, "seconds": time.process_time() - start}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("ids", nargs="*")
    parser.add_argument("--part", default="0/1", help="of the cases of each kind, every Nth from the Kth: K/N")
    parser.add_argument("--kind")
    parser.add_argument("--budget", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_intermixed_args()
    first, every = map(int, args.part.split("/"))
    cases = json.loads((args.folder / "labels.json").read_text(encoding="utf-8"))
    chosen = [name for kind in ("one", "two", "plain", "correct")
              for name in [n for n, case in cases.items() if case["kind"] == kind][first::every]]  # fmt: skip
    chosen = [name for name in chosen if args.kind in (None, cases[name]["kind"])]
    chosen = [name for name in args.ids or chosen if name in cases]
    sys.path.append(str(args.folder.resolve()))
    results = {}
    for name in chosen:
        results[name] = one = judged(args.folder, cases[name], args.budget) | {"kind": cases[name]["kind"]}
        print(f"{name} ({one['kind']}, {one['seconds']:.1f} s): {cases[name]['truth']}")
        print(f"    {one['verdict']}: {one['said']}", flush=True)
    for kind in ("one", "two", "plain", "correct"):
        of = [one for one in results.values() if one["kind"] == kind]
        if of:
            counts = {key: sum(one["verdict"] == key for one in of) for key in ("wrong", "ok", "refused")}
            print(f"{kind}: {len(of)} cases, {counts}, repaired {sum(one['repaired'] for one in of)}, "
                  f"median {statistics.median(one['seconds'] for one in of):.2f} s")  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
