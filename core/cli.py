"""Every analysis and figure without a browser: `python -m core.cli slice --model demo:photos/standard ...`.

Each analysis of the table is a command whose options are its settings. The ending of `--out` decides what is written:
.pdf, .svg and .png are figures for paper, .html one for the screen, .npz and .csv the numbers, .json the recipe. All of
them hold the recipe, and `run` makes any of them again from any other.

>>> main(["slice", "--model", "demo:photos/standard", "--images", "3,17"])
Traceback (most recent call last):
SystemExit: 2
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not starve others on a shared machine

from core import reproduce
from core.analyses import TABLE, Analysis
from core.recipe import Recipe, RecipeError
from core.reproduce.report import plain

_ENDINGS = (".pdf", ".svg", ".png", ".html", ".npz", ".csv", ".json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line after the program's name; `sys.argv` when not given.

    Returns:
        The exit status: 0, or 1 after an error that was told in one sentence.
    """
    options = _parser().parse_args(arguments)
    if options.threads is not None:
        from core.compute import set_threads

        set_threads(options.threads)
    try:
        if options.command == "reproduce":
            _reproduce(options.topic, options.models, options.out, options.device)
            return 0
        recipe = _reread(options.file) if options.command == "run" else _named(options)
        said = _write(recipe, options.out, options.device)
        print(f"wrote {options.out}", *filter(None, [said]), sep=": ")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    machine = argparse.ArgumentParser(add_help=False)
    machine.add_argument("--device", help="cuda, mps or cpu; the best one here when not given")
    machine.add_argument("--threads", type=int, help="CPU threads for tensor work")
    shared = argparse.ArgumentParser(add_help=False, parents=[machine])
    shared.add_argument("--out", type=_out, required=True, help=f"file to write: {', '.join(_ENDINGS)}")
    parser = argparse.ArgumentParser(prog="python -m core.cli", description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for analysis in TABLE.values():
        command = commands.add_parser(analysis.name, parents=[shared], help=analysis.question)
        _add_settings(command, analysis)
    again = commands.add_parser("run", parents=[shared], help="make a figure again from a file that holds its recipe")
    again.add_argument("file", type=Path, help=f"a file with a recipe inside: {', '.join(_ENDINGS)}")
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
    if path.suffix not in _ENDINGS:
        raise argparse.ArgumentTypeError(f"expected a file ending in {', '.join(_ENDINGS)}, got {text!r}")
    return path


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


def _own_images(model: str) -> str:
    """The image set that a demo model was made for."""
    family, _, name = model.partition(":")
    if family != "demo" or not name:
        raise RecipeError(f"expected --image-set beside the model {model}, got none; name a set or a folder of images")
    from core.checkpoints import demo_images

    return demo_images(model)


def _reread(file: Path) -> Recipe:
    from core.figures.paper import read_recipe

    return Recipe.read(read_recipe(file))


def _write(recipe: Recipe, out: Path, device: str | None) -> str:
    """Compute what the file's ending asks for, and write it; what a figure says in its caption."""
    if out.suffix == ".json":
        out.write_text(recipe.json() + "\n")
        return ""
    from core.checkpoints import load_classifier
    from core.images import load_images
    from core.store import Store

    classifiers = [load_classifier(source, device) for source in recipe.models]
    images = load_images(recipe.images)
    store = Store()
    loaded = dict(zip(recipe.models, classifiers, strict=True))
    results = []
    for part in recipe.parts():
        with _Bar(f"{recipe.analysis} of {part.models[-1]}") as bar:
            results.append(store.fetch(part, [loaded[source] for source in part.models], images, bar.update))
    if out.suffix in (".npz", ".csv"):
        from core.tables import numbers_bytes

        out.write_bytes(numbers_bytes(results, recipe.models, recipe.mapping(), out.suffix))
        return ""
    chart = recipe.chart(results, classifiers, images)
    if out.suffix == ".html":
        from core.figures.screen import page_bytes

        out.write_bytes(page_bytes(chart))
        return chart.caption
    from core.figures.paper import write_figure

    write_figure(chart, out, **recipe.paper())
    return chart.caption


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
