"""The answer: an edit in the learner's own words, as a diff, and as hints that say a little more each time."""

import ast
import dataclasses
import difflib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tinytorch_course.repair.edits import KINDS, Edit
from tinytorch_course.repair.search import Found, Search, Subject, can_be_written
from tinytorch_course.repair.source import Change, Patch, parsed, patched, shown

HINTS = 4
BUDGET = 10.0  # seconds


class OneEdit(NamedTuple):
    """One place."""

    path: str
    line: int
    before: str
    after: str  # empty: the line goes
    kind: str
    words: str = ""  # what to do, where "this should be that" would not say it
    why: str = ""  # what that mistake is called

    def __str__(self) -> str:
        return f"line {self.line}: {self.said}"

    @property
    def said(self) -> str:
        """The edit in words."""
        if self.words:
            return self.words
        said = f"`{self.before}` should be `{self.after}`" if self.after else f"`{self.before}` should go"
        return f"{said} ({self.why})" if self.why else said


@dataclass
class Repair:
    """The smallest change found that makes the learner's own code right."""

    edits: list[OneEdit]
    explains: str  # "all gradients are right"
    complete: bool  # whether nothing is left wrong
    diff: str
    what: str  # "dx and dw"
    others: list[str] = field(default_factory=list)  # other edits that hold as well
    tried: int = 0
    seconds: float = 0.0

    @property
    def line(self) -> int:
        """Where the first edit is."""
        return self.edits[0].line

    @property
    def before(self) -> str:
        """What stands there."""
        return self.edits[0].before

    @property
    def after(self) -> str:
        """What should stand there."""
        return self.edits[0].after

    @property
    def sentence(self) -> str:
        """All edits in one sentence."""
        said = []
        paths = {edit.path for edit in self.edits}
        for edit in self.edits:
            where = f"line {edit.line}" + (f" of {edit.path}" if len(paths) > 1 else "")
            said.append(f"{where}: {edit.said}")
        with_that = "with that" if len(said) == 1 else "with both" if len(said) == 2 else "with all of it"
        return f"{', and '.join(said)}; {with_that} {self.explains}"

    @property
    def hints(self) -> list[str]:
        """Where it is; what kind of change it takes; the edit itself."""
        lines = dict.fromkeys(str(edit.line) for edit in self.edits)
        kinds = dict.fromkeys(f"line {edit.line}: {KINDS[edit.kind]}" for edit in self.edits)
        return [f"look at line{'s' * (len(lines) > 1)} {_listed(list(lines))}", "; ".join(kinds), self.sentence]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self) | {
            "edits": [edit._asdict() for edit in self.edits],
            "text": self.sentence,
            "hints": self.hints,
        }


def find_repair(subject: Subject, budget: float = BUDGET, progress=lambda part, tried: None) -> Repair | None:
    """Search for the smallest edit of the learner's code that makes it right; None if there is none in the budget.

    Args:
        subject: the code, and probes that say what is right.
        budget: seconds of work.
        progress: is told the part of the budget that is spent, and how many candidates were tried.
    """
    search = Search(subject, budget, progress)
    found = search.run()
    if found is None or not can_be_written(found.edits):
        return None
    repair = _spelled(found, subject)
    repair.tried, repair.seconds = search.tried, round(search.spent, 3)
    return repair


def _spelled(found: Found, subject: Subject) -> Repair:
    patches = _patches(found.edits)
    edits = [one for edit in found.edits for one in _as_text(edit)]
    labels = sorted((q for q in found.quantities if isinstance(q, int)), key=str)
    names = [subject.label(q) for q in labels]
    outer = any(isinstance(q, str) for q in found.quantities)
    if not found.rest:
        explains = (
            "all gradients are right"
            if names
            else f"{subject.label('out')} {'are' if subject.label('out').endswith('s') else 'is'} right"
        )
        if names and outer and any(edit.editable.forward for edit in found.edits):
            explains = "out and all gradients are right"
    else:
        explains = (
            f"{_listed([*(['out'] if outer else []), *names])} {'is' if len(names) + outer == 1 else 'are'} right"
        )
    if found.narrow:
        explains += " on inputs of these shapes"
    if found.spared:
        explains += " wherever out is"
    others = []
    for other in found.others[:3]:
        text = "; ".join(str(one) for edit in other for one in _as_text(edit))
        if text and text not in others:
            others.append(text)
    what = _listed([*(["out"] if outer else []), *names]) or "a second call"
    return Repair(edits, explains, not found.rest, "\n".join(patch.diff for patch in patches), what, others)


def _patches(edits: list[Edit]) -> list[Patch]:
    patches = []
    for path in dict.fromkeys(edit.editable.path for edit in edits):
        pairs = [pair for edit in edits if edit.editable.path == path for pair in edit.pairs]
        patches.append(Patch(path, 0, "", "", patched(path, pairs)))
    return patches


def _as_text(edit: Edit) -> list[OneEdit]:
    """One line of words for each statement that changes."""
    path = edit.editable.path
    pairs = edit.pairs
    if len(pairs) > 1:
        return _by_lines(edit)
    text = patched(path, pairs)
    change = pairs[0][1]
    line, before, after = shown(edit.editable, change, text)
    if isinstance(change.new, list) and change.old in change.new:
        [other] = [one for one in change.new if one is not change.old]
        side = "before" if change.new[0] is other else "behind"
        return [
            OneEdit(_relative(path), line, before, after, edit.kind, f"{side} it, `{ast.unparse(other)}` is missing")
        ]
    return [OneEdit(_relative(path), line, before, after, edit.kind, why=_why(edit, change))]


def _why(edit: Edit, change: Change) -> str:
    """The word for an edit, if there is one."""
    tree, parent = edit.editable.tree, change.slot.parent
    if edit.kind == "accumulate" and isinstance(change.new, ast.AugAssign):
        return "what comes from several places is added up"
    if edit.kind == "name" and isinstance(parent, ast.Compare):
        return "the mask is taken from the wrong tensor"
    if edit.kind == "factor" and edit.editable.backward and tree.args.args and isinstance(change.new, ast.BinOp):
        dout = tree.args.args[0].arg
        if ast.unparse(change.new.right) == dout and dout not in ast.unparse(change.old):
            return f"the chain rule: {dout} is what comes from above"
    return ""


def _by_lines(edit: Edit) -> list[OneEdit]:
    """Several changes of one idea: each line, whole."""
    path = edit.editable.path
    old, new = parsed(path)[0].splitlines(), patched(path, edit.pairs).splitlines()
    said = []
    for tag, start, end, first, last in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        before, after = " ".join(map(str.strip, old[start:end])), " ".join(map(str.strip, new[first:last]))
        said.append(OneEdit(_relative(path), start + 1, before, after, edit.kind))
    gone = next((one for one in said if not one.after), None)
    come = next((one for one in said if not one.before and gone and one.after == gone.before), None)
    if gone and come and len(said) == 2:
        words = f"`{gone.before}` should stand {'before' if come.line < gone.line else 'behind'} line {come.line}"
        return [gone._replace(words=words)]
    return said


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def _relative(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
