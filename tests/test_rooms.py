"""The rooms of the package: imports point one way, without a circle, and whoever stands below knows nobody above."""

import ast
from pathlib import Path

import pytest

import tinytorch_course

ROOT = Path(tinytorch_course.__file__).parent
# From the bottom to the top; a room may import those before it.
FLOORS = [
    {"errors"},
    {"files"},
    {"seeds", "data_names", "caches", "parameter_groups", "user_code"},
    {"own_networks"},
    {"scratch", "reference"},
    {"models", "data", "instruments", "lessons"},
    {"summary"},
    {"twins"},
    {"training"},
    {"checking"},
    {"diagnosis"},
    {"repair"},
    {"evaluation", "grading", "lockstep"},
    {"exercises", "pictures", "export", "bench", "doctor"},
    {"report"},
    {"card"},
    {"api"},
    {"cli"},
]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# Installed, the lessons lie in the package; they may import all of it.
MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py")) if "examples" not in path.parts}


def imported(tree: ast.AST) -> set[str]:
    """Modules of ours that the code imports, at whatever level, but for the sake of annotations alone."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not looked at"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if names <= MODULES.keys() else names | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        found |= imported(node)
    return found & MODULES.keys()


def imports_of(path: Path) -> set[str]:
    return imported(ast.parse(path.read_text(encoding="utf-8"))) - {module_name(path)}


GRAPH = {name: imports_of(path) for name, path in MODULES.items()}


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """A circle, or nothing."""
    done: set[str] = set()
    way: list[str] = []

    def visit(name: str) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        way.append(name)
        for following in sorted(graph[name]):
            if circle := visit(following):
                return circle
        way.pop()
        done.add(name)
        return []

    return next((circle for name in sorted(graph) if (circle := visit(name))), [])


def test_no_circle_of_imports():
    assert circle_in(GRAPH) == []


def test_a_circle_would_be_seen():
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    tree = ast.parse("def later():\n    from tinytorch_course.training import loop")
    assert imported(tree) == {"tinytorch_course.training.loop"}


def room_of(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("name", MODULES)
def test_rooms_know_only_those_below(name):
    floors = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    mine = room_of(name)
    if mine in ("", "__main__"):
        return  # the public face
    strange = {
        other
        for other in GRAPH[name]
        if room_of(other) and room_of(other) != mine and floors[room_of(other)] >= floors[mine]
    }
    assert not strange


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("tinytorch_course.cli.")])
def test_no_command_imports_another(name):
    shared = {"tinytorch_course.cli.options"}
    if not name.endswith(".app"):
        assert {other for other in GRAPH[name] if other.startswith("tinytorch_course.cli")} <= shared
