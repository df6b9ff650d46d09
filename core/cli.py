"""Every analysis and figure without a browser: `python -m core.cli slice --model demo:photos/standard ...`.

Each analysis of the table is a command whose options are its settings. The ending of `--out` decides what is written:
.pdf, .svg and .png are figures for paper, .html one for the screen, .npz and .csv the numbers, .json the recipe, .zip a
paper kit: figure, caption, methods, table, references. All of them hold the recipe, and `run` makes any of them again
from any other. `list` names the recipes that come along, `show` prints one, `series` asks one of a folder of
checkpoints, and `report` puts every lens on one model and some images into one file.

>>> main(["slice", "--model", "demo:photos/standard", "--images", "3,17"])
Traceback (most recent call last):
SystemExit: 2
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core import reproduce
from core.analyses import TABLE, Analysis
from core.errors import RecipeError
from core.followed import ENDINGS, follow, read
from core.recipe import Recipe, shown
from core.reproduce.report import plain
from core.threads import wait_briefly

if TYPE_CHECKING:
    from core.compute import OnProgress


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line after the program's name; `sys.argv` when not given.

    Returns:
        The exit status: 0, or 1 after an error that was told in one sentence.
    """
    wait_briefly()
    options = _parser().parse_args(arguments)
    threads = getattr(options, "threads", None)  # of commands that compute
    if threads is not None:
        from core.compute import set_threads

        set_threads(threads)
    try:
        match options.command:
            case "reproduce":
                _reproduce(options.topic, options.models, options.out, options.device)
            case "list":
                _list()
            case "show":
                _show(options.recipe, options.set)
            case "run":
                return _run(options)
            case "report":
                _report(options)
            case "series":
                return _series(options)
            case _:
                _write(_named(options), options.out, options.device, options.upload)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    machine = argparse.ArgumentParser(add_help=False)
    machine.add_argument("--device", help="cuda, mps or cpu; the best one here when not given")
    machine.add_argument("--threads", type=int, help="CPU threads for tensor work")
    loads = argparse.ArgumentParser(add_help=False, parents=[machine])
    loads.add_argument(
        "--upload", type=Path, action="append", default=[], help="the file that a source names as upload:DIGEST"
    )
    shared = argparse.ArgumentParser(add_help=False, parents=[loads])
    shared.add_argument("--out", type=_out, required=True, help=f"file to write: {', '.join(ENDINGS)}")
    parser = argparse.ArgumentParser(prog="python -m core.cli", description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for analysis in TABLE.values():
        command = commands.add_parser(analysis.name, parents=[shared], help=analysis.question)
        _add_settings(command, analysis)
    commands.add_parser("list", help="the recipes that come along, by paper")
    some = argparse.ArgumentParser(add_help=False)
    some.add_argument("recipe", help=f"a name that `list` says, or a file with a recipe inside: {', '.join(ENDINGS)}")
    some.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value of a setting, or of models, images or rows; again for more",
    )
    commands.add_parser("show", parents=[some], help="print a recipe and what it asks")
    again = commands.add_parser(
        "run", parents=[loads, some], help="make a figure of a recipe, or of every recipe in a folder"
    )
    again.add_argument("--out", type=Path, required=True, help="file to write, or a folder for those of a folder")
    again.add_argument("--ending", choices=ENDINGS, default=".pdf", help="of the files of a folder. Default: .pdf.")
    again.add_argument(
        "--trust", action="store_true", help="also where the recipe names Python or .pt2 files to be run"
    )
    through = commands.add_parser(
        "series", parents=[loads, some], help="ask a recipe of one checkpoint after the other, on one scale"
    )
    through.add_argument(
        "--models",
        help="a folder of checkpoints, epoch-2 before epoch-10, with options behind ? where they need some; or sources"
        " with commas between them. Default: those of a GIF that a series was written to.",
    )
    through.add_argument("--out", type=Path, required=True, help="a .gif file, or a folder for single frames")
    through.add_argument(
        "--milliseconds", type=int, default=500, help="how long a frame of a GIF stands. Default: 500."
    )
    through.add_argument(
        "--ending", choices=(".png", ".pdf", ".svg"), default=".png", help="of single frames. Default: .png."
    )
    every = commands.add_parser("report", parents=[loads], help="every lens on one model and some images in one file")
    every.add_argument("--model", required=True, help="a source such as demo:photos/standard")
    every.add_argument("--images", help="a source such as demo:photos; the demo model's own when not given")
    every.add_argument("--rows", required=True, help="rows of the image set, such as 3,17,42")
    every.add_argument("--only", help=f"some of the lenses: {','.join(TABLE)}")
    every.add_argument("--out", type=Path, required=True, help="a file ending in .pdf or .html")
    claims = commands.add_parser(
        "reproduce", parents=[machine], help="test what the papers claim on the demo models, with numbers and controls"
    )
    claims.add_argument("topic", choices=reproduce.TABLE, metavar="|".join(reproduce.TABLE))
    claims.add_argument("--models", nargs="+", help="demo models; all of them when not given")
    claims.add_argument("--out", type=Path, help="a .json file for the claims as well")
    return parser


def _add_settings(command: argparse.ArgumentParser, analysis: Analysis) -> None:
    command.add_argument(
        "--model", action="append", required=True, help="a source such as demo:photos/standard; again to compare"
    )
    command.add_argument("--images", required=True, help="rows of the image set, such as 3,17,42")
    command.add_argument("--image-set", help="a source such as demo:photos; the demo model's own when not given")
    for entry in (*analysis.parameters, *analysis.figure_settings):
        unit = f" [{entry.unit}]" if entry.unit else ""
        command.add_argument(
            f"--{entry.name.replace('_', '-')}",
            dest=f"setting:{entry.name}",
            metavar="|".join(entry.choices) or entry.kind.upper(),
            help=f"{entry.help}{unit} Default: {entry.text(entry.default) or 'see above'}.".replace("%", "%%"),
        )


def _out(text: str) -> Path:
    path = Path(text)
    if path.suffix not in ENDINGS:
        raise argparse.ArgumentTypeError(_another_ending(path))
    return path


def _another_ending(path: Path) -> str:
    return f"expected a file ending in {', '.join(ENDINGS)}, got {str(path)!r}"


def _named(options: argparse.Namespace) -> Recipe:
    """The recipe that the command line spells out."""
    settings = {
        name.removeprefix("setting:"): value
        for name, value in vars(options).items()
        if name.startswith("setting:") and value is not None
    }
    image_set = options.image_set or _own_images(options.model[0])
    rows = options.images.split(",")
    return Recipe.make(options.command, models=options.model, images=image_set, rows=rows, settings=settings)


def _own_images(model: str, option: str = "--image-set") -> str:
    """The image set that a demo model was made for."""
    from core.sources import Source

    said = Source.parse(model).trained
    if said.kind != "demo" or not said.place:
        raise RecipeError(f"expected {option} beside the model {model}, got none; name a set or a folder of images")
    from core.checkpoints import demo_images

    return demo_images(model)


def _list() -> None:
    """The recipes that come along, under the papers whose questions they ask."""
    from core.gallery import gallery

    paper = ""
    for each in gallery():
        if each.paper != paper:
            paper = each.paper
            key = "" if each.key in each.authors else f"; {each.key}"  # the authors may name the place already
            print(f"\n{paper} ({each.authors}{key})")
        print(f"  {each.name:<20} {each.line}")
    print("\nshow NAME prints one, run NAME --out FILE makes its figure.")


def _show(name: str, changes: Sequence[str]) -> None:
    recipe = _changed(_found(name, trust=True), changes)  # it is read, and nothing is run
    print(json.dumps(recipe.mapping(), indent=1, sort_keys=True, ensure_ascii=True))
    print(f"asks: {recipe.definition.question}", file=sys.stderr)
    for entry in (*recipe.definition.parameters, *recipe.definition.figure_settings):
        value = entry.text({**recipe.parameters, **recipe.figure}[entry.name]) or "empty"
        print(f"{entry.name}: {value}{f' {entry.unit}' if entry.unit else ''}. {entry.help}", file=sys.stderr)


def _report(options: argparse.Namespace) -> None:
    from core.report import report

    with _Bar("report") as bar:
        data = report(
            options.model,
            options.images or _own_images(options.model, "--images"),
            options.rows.split(","),
            options.out.suffix,
            only=options.only.split(",") if options.only else (),
            device=options.device,
            uploads=options.upload,
            on_progress=bar.update,
        )
    options.out.write_bytes(data)
    print(f"wrote {options.out}")


def _series(options: argparse.Namespace) -> int:
    """Write a series; a checkpoint that cannot be used is told, and the others are drawn."""
    from core.series import follow_series, sources_in

    if options.out.suffix in ENDINGS or (options.out.suffix != ".gif" and options.out.is_file()):
        raise RecipeError(f"expected --out FILE.gif, or a folder for single frames, got {str(options.out)!r}")
    recipe = _changed(_found(options.recipe, trust=True), options.set)  # of its models none is loaded
    models = options.models or sources_in(Path(options.recipe))
    with _Bar(f"series of {recipe.analysis}") as bar:
        made = follow_series(recipe, models, device=options.device, uploads=options.upload, on_progress=bar.update)
    for sentence in made.left_out:
        print(f"error: {sentence}", file=sys.stderr)
    for sentence in made.doubts:
        print(f"warning: {sentence}", file=sys.stderr)
    if options.out.suffix == ".gif":
        options.out.write_bytes(made.gif(options.milliseconds))
        print(f"wrote {options.out}: {made.words} {options.milliseconds} ms per frame.")
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        for number, label in enumerate(made.labels):
            plain = re.sub(r"[^A-Za-z0-9._-]", "-", label)[:80]
            place = options.out / f"{number + 1:03d}-{plain}{options.ending}"
            place.write_bytes(made.frame(number, options.ending))
        print(f"wrote {len(made.charts)} frames to {options.out}: {made.words}")
    return 1 if made.left_out else 0


def _found(name: str, trust: bool) -> Recipe:
    """The recipe of a file, or one that comes along; a file is meant where there is one, or the name has an ending."""
    if Path(name).exists() or Path(name).suffix or Path(name).name != name:
        return read(Path(name), trust=trust)
    from core.gallery import exhibit

    return exhibit(name).recipe


def _changed(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with other values, `NAME=VALUE` each, in the words of a link."""
    if not changes:
        return recipe
    pairs = [change.partition("=") for change in changes]
    wrong = next((change for change, (_, sign, _) in zip(changes, pairs, strict=True) if not sign), None)
    if wrong is not None:
        raise RecipeError(f"expected --set NAME=VALUE, got {shown(wrong)}")
    said = {name.strip().replace("-", "_"): value for name, _, value in pairs}
    return Recipe.from_query(recipe.analysis, {**recipe.query(), **said})


def _run(options: argparse.Namespace) -> int:
    """Make one figure, or those of a folder: a recipe that cannot be followed is told, and the others are made."""
    folder = Path(options.recipe)
    if not folder.is_dir():
        if options.out.suffix not in ENDINGS:
            raise RecipeError(_another_ending(options.out))
        recipe = _changed(_found(options.recipe, options.trust), options.set)
        _write(recipe, options.out, options.device, options.upload)
        return 0
    if options.out.suffix in ENDINGS or options.out.is_file():
        raise RecipeError(f"expected --out FOLDER for the figures of a folder, got {str(options.out)!r}")
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.suffix in ENDINGS)
    outs = [options.out / f"{file.stem}{options.ending}" for file in files]
    twice = next((out for out in outs if outs.count(out) > 1), None)
    if not files or twice is not None:
        came = "none" if twice is None else f"several for {twice.name}"
        raise RecipeError(f"expected files with recipes in {folder.name}, each of another name, got {came}")
    options.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for file, out in zip(files, outs, strict=True):
        try:
            _write(_changed(read(file, trust=options.trust), options.set), out, options.device, options.upload)
        except (ValueError, OSError) as error:
            print(f"error: {file.name}: {error}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


def _write(recipe: Recipe, out: Path, device: str | None, uploads: Sequence[Path] = ()) -> None:
    """Compute what the file's ending asks for, write it, and say what a figure says in its caption."""
    if out.suffix == ".json":
        out.write_text(recipe.json() + "\n")
        print(f"wrote {out}")
        return
    from core.inspection import doubts

    bars: list[_Bar] = []

    def progress(what: str) -> OnProgress:
        bars.append(_Bar(what))
        return bars[-1].update

    try:
        made = follow(recipe, device=device, uploads=uploads, progress=progress)
    finally:
        for bar in bars[-1:]:
            bar.clear()
    for sentence in doubts(made.classifiers):
        print(f"warning: {sentence}", file=sys.stderr)
    out.write_bytes(made.file(out.suffix))
    print(f"wrote {out}", *([] if out.suffix in (".npz", ".csv") else [made.chart.caption]), sep=": ")


def _reproduce(topic: str, models: Sequence[str] | None, out: Path | None, device: str | None) -> None:
    """Print each claim as soon as its numbers are there, and write them all to a file if one is named."""
    from core.checkpoints import demo_models

    found = []
    with _Bar(f"reproduce {topic}") as bar:
        for claim in reproduce.claims_about(topic)(models or demo_models(), device=device, on_progress=bar.update):
            found.append(claim)
            bar.clear()
            print(f"{claim.text()}\n", flush=True)
    if out is not None:
        out.write_text(json.dumps(plain(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


class _Bar:
    """A progress line on standard error, if a person is watching."""

    def __init__(self, what: str) -> None:
        self._what, self._begin, self._shown = what, time.monotonic(), sys.stderr.isatty()

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the line away, so that something can be printed in its place."""
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def update(self, fraction: float, partial: object = None) -> None:
        """Draw the fraction done and the time that remains."""
        if self._shown and fraction > 0:
            spent = time.monotonic() - self._begin
            left = spent / fraction - spent
            sys.stderr.write(f"\r\033[K{self._what}: {fraction:4.0%}, about {left:.0f} s left")
            sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
