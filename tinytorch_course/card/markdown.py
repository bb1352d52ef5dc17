"""A card for people to read."""

from pathlib import Path
from typing import Any

import jinja2

from tinytorch_course.training.display import duration, number, percent


def to_markdown(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "accuracy": _accuracy,
        "cell": _cell,
        "duration": duration,
        "facts": _facts,
        "number": number,
    }
    return environment.get_template("card.md").render(card=card, headline=headline(card))


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


def _facts(facts: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items() if value is not None)


def _cell(value: object) -> str:
    """For a cell of a table, which a bar would end."""
    return str(value).replace("|", "\\|")
