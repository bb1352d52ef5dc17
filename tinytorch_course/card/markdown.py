"""A card for people to read."""

import html
from typing import Any

from tinytorch_course.training.display import duration, number, percent

CHECK = "tinytorch card --verify card.json"


def to_markdown(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    sections = [_head(card), _results(card), _data(card), _settings(card), _machine(card), _check()]
    return "\n".join("\n".join(section) + "\n" for section in sections)


def headline(card: dict[str, Any]) -> str:
    """The figure that matters, in a line."""
    over = card["over_seeds"]
    if over is None:
        return _accuracy(card["runs"][0]["test"])
    spread = over["test_accuracy"]
    return (
        f"{percent(spread['mean'])} ± {percent(spread['deviation'])} "
        f"(mean and deviation over {len(over['seeds'])} seeds, {percent(spread['low'])} to {percent(spread['high'])})"
    )


def _accuracy(figures: dict[str, Any]) -> str:
    low, high = figures["interval"]
    return (
        f"{percent(figures['accuracy'])} (95 % interval {percent(low)[:-2]} to {percent(high)}, "
        f"on {figures['count']:,} images)"
    )


def _head(card: dict[str, Any]) -> list[str]:
    return [
        f"# Result card: {card['model']} on {html.escape(card['data']['title'])}",
        "",
        f"Test accuracy: **{headline(card)}**",
        "",
        f"{card['parameters']:,} parameters; trained by the {_implementation(card['impl'])} implementation of "
        "tinytorch-course.",
        f"{card['choice']}",
    ]


def _implementation(impl: str) -> str:
    return "from-scratch" if impl == "scratch" else "torch"


def _results(card: dict[str, Any]) -> list[str]:
    rows = [
        (
            entry["seed"],
            _accuracy(entry["test"]),
            number(entry["test"]["loss"]),
            f"{entry['test']['macro_f1']:.4f}",
            _accuracy(entry["val"]),
            f"{entry['best_epoch']} of {entry['epochs']}",
            duration(entry["seconds"]),
        )
        for entry in card["runs"]
    ]
    headings = ("seed", "test accuracy", "test loss", "macro F1", "validation accuracy", "epoch kept", "training time")
    return ["## Results", "", *_table(headings, rows)]


def _data(card: dict[str, Any]) -> list[str]:
    about = card["data"]
    rows = [(part, f"{about[part]['images']:,}", f"`{about[part]['sha256']}`") for part in ("train", "val", "test")]
    classes = f"{html.escape(about['title'])}, {len(about['classes'])} classes (`--data {about['name']}`)."
    shared = about["test_images_seen_in_training"]
    twins = f"Test images that stand among the training or validation images too, pixel for pixel: {shared:,}."
    return ["## Data", "", classes, "", *_table(("part", "images", "SHA-256 of images and labels"), rows), "", twins]


def _settings(card: dict[str, Any]) -> list[str]:
    lines = ["## Training", "", "```"]
    lines += [entry["command"] for entry in card["runs"]]
    lines += ["```", "", "Every setting, defaults included:", ""]
    lines += _table(("setting", "value"), [(f"`{name}`", f"`{value}`") for name, value in card["settings"].items()])
    lines += ["", "Weights:", ""]
    rows = [(entry["seed"], f"`{entry['folder']}`", f"`{entry['weights_sha256']}`") for entry in card["runs"]]
    return lines + _table(("seed", "run folder", "SHA-256"), rows)


def _machine(card: dict[str, Any]) -> list[str]:
    rows = []
    for entry in card["runs"]:
        rows.append((f"trained, seed {entry['seed']}", _spell(entry["trained_with"])))
    evaluated = card["evaluated"]
    rows.append((f"evaluated, {evaluated['date']}", _spell({**evaluated["machine"], **evaluated["versions"]})))
    return ["## Machines and versions", "", *_table(("when", "with"), rows)]


def _spell(facts: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items() if value is not None)


def _check() -> list[str]:
    return [
        "## Check it",
        "",
        "Every figure above was computed from the weights, and this computes them again:",
        "",
        "```",
        CHECK,
        "```",
    ]


def _table(headings: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    lines = [headings, tuple("---" for _ in headings), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]
