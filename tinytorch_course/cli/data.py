"""``tinytorch data``: the data sets there are, fetching one, looking at one, and whether their files are whole."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinytorch_course.cli.options import GroupedHelp, option, print_filled, print_json
from tinytorch_course.data_names import CHOICES, DATA_SETS, check_data_name
from tinytorch_course.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from tinytorch_course.data import Dataset

WHERE = "Where data sets lie. (default: $TINYTORCH_DATA, else the user's cache folder)"
Folder = Annotated[str | None, option("--data-dir", "FOLDER", WHERE)]
Json = Annotated[bool, option("--json", None, "Print one JSON document instead.")]
DRAWN = 16  # columns of an image in the terminal
MOST_DRAWN = 30  # classes

data = typer.Typer(rich_markup_mode=None)


@data.callback(invoke_without_command=True)
def without_command(context: typer.Context) -> None:
    """List, fetch, show or verify the data sets."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@data.command("list", cls=GroupedHelp, short_help="List the data sets, and which of them are here.")
def list_sets(data_dir: Folder = None, json: Json = False) -> None:
    """List the data sets: classes, images, their size, and whether they are here."""
    from tinytorch_course.data.sources import find_data_dir
    from tinytorch_course.data.status import STATES, all_statuses

    folder = find_data_dir(data_dir)
    statuses = all_statuses(folder)
    if json:
        print_json({"data_dir": str(folder), "sets": [status.to_dict() for status in statuses]})
        return
    print(f"{'name':<16}{'classes':>8}{'images':>9}  {'size':<10}{'here?'}")
    for status in statuses:
        about, state = status.about, STATES[status.state]
        if status.state in ("present", "embedded"):
            state += f": {status.location}" if status.state == "present" else f", {status.location}"
        elif status.state != "unusable":
            state += f"; {megabytes(status.download_bytes)} to fetch"
            state += f", of which {megabytes(status.arrived_bytes)} have arrived" if status.arrived_bytes else ""
        channels, height, width = about.shape
        size = f"{height}x{width}" + f"x{channels}" * (channels > 1)
        images = about.train_size + about.test_size
        print(f"{status.name:<16}{len(about.classes):>8}{images:>9,}  {size:<10}{state}")
    print()
    print_filled(f"The data folder is {folder}. The EMNIST sets come in one archive.")
    print_filled(
        "A path is a name too: of a folder that has a subfolder of images for each class (or folders train and test "
        "that have), or of an .npz file with images and labels. After a colon: the side in pixels to bring the "
        f"images to, as in photos:64, or which characters to take, as in mine.npz:letters ({', '.join(CHOICES)})."
    )


@data.command("fetch", cls=GroupedHelp, short_help="Download a data set.")
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The set; `tinytorch data list` lists them.")],
    mirror: Annotated[
        str | None, option("--mirror", "URL", "Take the archives from this folder instead of the usual places.")
    ] = None,
    data_dir: Folder = None,
    json: Json = False,
) -> None:
    """Download a data set to where torchvision looks for it.

    What broke off goes on where it was; nothing is unpacked before its checksum is right. Places that have the set are
    tried in turn, with a note why one failed. Proxies: https_proxy and http_proxy in the environment.
    """
    require_name(name)
    if mirror is not None and "://" not in mirror:
        raise InputError(
            f"--mirror must be the URL of a folder, such as https://example.org/data, but it is '{mirror}'"
        )
    from tinytorch_course.data import catalog
    from tinytorch_course.data.sources import find_data_dir
    from tinytorch_course.data.status import status_of

    folder = find_data_dir(data_dir)
    before = status_of(name, folder)
    if before.state == "unusable":
        raise InputError(before.problem)
    if fetched := before.state in ("absent", "incomplete"):
        catalog.fetch(name, folder, mirror=mirror, patient=True, notify=note)
    after = status_of(name, folder)
    if json:
        print_json({**after.to_dict(), "fetched": fetched})
    elif after.state == "embedded":
        print(f"There is nothing to fetch: {after.about.title} need no network.")
    else:
        print(f"{after.about.title} is {'now' if fetched else 'already'} in {after.location}.")


@data.command("show", cls=GroupedHelp, short_help="Show a data set: images, counts, mean and deviation.")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A set, a folder of images or an .npz file.")],
    out: Annotated[Path | None, option("--out", "FILE.png", "Draw a contact sheet, a line for each class.")] = None,
    count: Annotated[int, typer.Option(metavar="N", help="Images of each class on the sheet.")] = 12,
    data_dir: Folder = None,
    json: Json = False,
) -> None:
    """Show a data set: images of each class, how many there are, their mean and deviation.

    It is downloaded first if it is not here.
    """
    try:
        check_data_name(name)
    except InputError as error:
        raise InputError(str(error).replace("--data", "NAME", 1)) from None
    if not 1 <= count <= 100:
        raise InputError(f"--count must be from 1 to 100, but it is {count}")
    if out is not None and out.suffix.lower() != ".png":
        raise InputError(f"--out is '{out}', but the name of a contact sheet ends in .png")
    if out is not None and not out.absolute().parent.is_dir():
        raise InputError(f"--out is '{out}', but there is no folder {out.absolute().parent}")
    from tinytorch_course.data.gallery import write_sheet
    from tinytorch_course.data.sources import load
    from tinytorch_course.data.status import about_of

    dataset = load(name, data_dir, notify=note)
    made_of = about_of(dataset.name).made_of if dataset.name in DATA_SETS else ""
    if out is not None:
        write_sheet(dataset, out, count)
    if json:
        print_json({**describe(dataset), "made_of": made_of, "sheet": None if out is None else str(out)})
        return
    print_description(dataset, made_of)
    print_pictures(dataset)
    if out is not None:
        print(f"Contact sheet: {out}")


@data.command("verify", cls=GroupedHelp, short_help="Check that the files of the data sets are whole.")
def verify(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The set. (default: all that are here)")] = None,
    data_dir: Folder = None,
    json: Json = False,
) -> None:
    """Compare the files of a data set, or of all that are here, with the checksums of the originals.

    Exit code 1 if a file is damaged or missing.
    """
    if name is not None:
        require_name(name)
    from tinytorch_course.data.sources import find_data_dir
    from tinytorch_course.data.status import all_statuses, status_of
    from tinytorch_course.data.status import verify as verify_set

    folder = find_data_dir(data_dir)
    if name is None:
        chosen = [status.name for status in all_statuses(folder) if status.state in ("present", "incomplete")]
    else:
        chosen = [] if status_of(name, folder).state == "embedded" else [name]
    found = {one: verify_set(one, folder) for one in chosen}
    damaged = sum(check.whole is False for checks in found.values() for check in checks)
    if json:
        files = [
            {"set": one, "path": str(check.path), "whole": check.whole, "remark": check.remark}
            for one, checks in found.items()
            for check in checks
        ]
        print_json({"data_dir": str(folder), "files": files, "damaged": damaged})
    else:
        print_checks(found, folder, name)
    if damaged:
        raise typer.Exit(1)


def print_checks(found: dict[str, list], folder: Path, name: str | None) -> None:
    """Whether each file of each data set is whole."""
    for one, checks in found.items():
        print(one)
        for check in checks:
            state = {True: "ok", False: "DAMAGED", None: "unknown"}[check.whole]
            print(f"  {state:<8} {check.path.name} {check.remark}")
    if not found and name is not None:
        print(f"There is nothing to verify: {name} has no files.")
    elif not found:
        print(f"None of the data sets is in {folder}; `tinytorch data fetch NAME` downloads one.")
    elif any(check.whole is False for checks in found.values() for check in checks):
        print_filled(
            "Put the original files in the place of damaged ones, or delete them all and run `tinytorch data fetch`."
        )


def describe(dataset: "Dataset") -> dict[str, Any]:
    """What is known of a set, for machines."""
    import torch

    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    counts = {
        part: torch.bincount(split.labels, minlength=len(dataset.classes)).tolist() for part, split in splits.items()
    }
    return {
        "name": dataset.name,
        "title": dataset.title,
        "location": dataset.location,
        "shape": list(dataset.train.images.shape[1:]),
        "classes": list(dataset.classes),
        "sizes": {part: len(split.labels) for part, split in splits.items()},
        "class_counts": counts,
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "flips": dataset.flips,
    }


def print_description(dataset: "Dataset", made_of: str) -> None:
    """A data set in words and numbers."""
    known = describe(dataset)
    channels, height, width = known["shape"]
    colour = "grey" if channels == 1 else "colour"
    means, deviations = (", ".join(f"{value:.4f}" for value in known[key]) for key in ("mean", "std"))
    print(f"{dataset.title}: {len(dataset.classes)} classes, {colour} images of {height}x{width}")
    print(f"in {dataset.location}" if Path(dataset.location).exists() else dataset.location)
    if made_of:
        print_filled(made_of)
    print(f"mean {means}, deviation {deviations} (of the training images' pixels, from 0 to 1)")
    print()
    names = max(5, *(len(name) for name in dataset.classes))
    print(f"{'class':<{names}}{'train':>9}{'val':>8}{'test':>8}")
    by_class = zip(dataset.classes, *known["class_counts"].values(), strict=True)
    for name, train, val, test in [*by_class, ("all", *known["sizes"].values())]:
        print(f"{name:<{names}}{train:>9,}{val:>8,}{test:>8,}")
    print()


def print_pictures(dataset: "Dataset") -> None:
    """The first training image of each class, side by side, with half blocks where there are colours."""
    from rich.console import Console
    from rich.text import Text

    from tinytorch_course.data.gallery import first_of_each_class, in_letters, shrunk
    from tinytorch_course.pictures.display import draw

    console = Console(highlight=False, soft_wrap=True)
    coloured = sys.stdout.isatty() and console.color_system in ("256", "truecolor") and "utf" in console.encoding
    firsts = first_of_each_class(dataset.train, len(dataset.classes), 1)[:MOST_DRAWN]
    across = max(1, (min(shutil.get_terminal_size().columns, 120) + 2) // (DRAWN + 2))
    for start in range(0, len(firsts), across):
        shown = [images[0] for images in firsts[start : start + across]]
        names = dataset.classes[start : start + across]
        names = [name if len(name) <= DRAWN else f"{name[: DRAWN - 3]}..." for name in names]
        print("  ".join(f"{name:^{DRAWN}}" for name in names).rstrip())
        if coloured:
            for line in zip(*(draw(shrunk(image, DRAWN, DRAWN), console) for image in shown), strict=True):
                console.print(Text("  ").join(line))
        else:
            for lines in zip(*(in_letters(image, DRAWN) for image in shown), strict=True):
                print("  ".join(lines).rstrip())
        print()
    if len(dataset.classes) > MOST_DRAWN:
        print(f"and {len(dataset.classes) - MOST_DRAWN} classes more: --out FILE.png draws all of them")


def require_name(name: str) -> None:
    """Only what can be downloaded or is built in: not a path."""
    if name not in DATA_SETS:
        near = did_you_mean(name, DATA_SETS)
        raise InputError(f"NAME must be one of {', '.join(DATA_SETS)}, but it is '{name}'{near}")


def note(sentence: str) -> None:
    """One line on stderr."""
    print(f"Note: {sentence}", file=sys.stderr)


def megabytes(count: int) -> str:
    """A number of bytes in MB."""
    return f"{count / 1e6:.3g} MB"
