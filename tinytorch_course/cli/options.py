"""What the commands' help has in common: options under headings, each with its default at the end of its line."""

from collections.abc import Sequence

from typer.core import TyperCommand


class GroupedHelp(TyperCommand):
    """A command whose help lists its options under headings; typer itself does so only in rich's boxes."""

    def format_options(self, ctx, formatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                heading = getattr(parameter, "rich_help_panel", None) or "Options"
                groups.setdefault(heading, []).append(record)
        width = max(len(name) for records in groups.values() for name, _ in records)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), help) for name, help in records])


def one_of(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
