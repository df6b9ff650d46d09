"""Every analysis and figure without a browser: `python -m core.cli slice --model demo:photos/standard ...`.

Each analysis of the table is a command whose options are its settings. The ending of `--out` decides what is written:
.pdf, .svg and .png are figures for paper, .html one for the screen, .npz and .csv the numbers, .json the recipe, .zip a
paper kit: figure, caption, methods, table, references. All of them hold the recipe, and `run` makes any of them again
from any other. `list` names the recipes that come along, `show` prints one, `series` asks one of a folder of
checkpoints, and `report` puts every lens on one model and some images into one file.

Files are written whole or not at all. What goes wrong is one sentence; `--debug` adds the traceback.

>>> main(["slice", "--model", "demo:photos/standard", "--images", "3,17"])
Traceback (most recent call last):
SystemExit: 2
"""

from __future__ import annotations

import sys

try:
    import argparse
    import json
    import re
    from collections.abc import Sequence
    from pathlib import Path
    from typing import TYPE_CHECKING

    from core.errors import RecipeError
    from core.files import check_place, write_whole
    from core.recipes.recipe import Recipe
    from core.recipes.run import ENDINGS, read, run_recipe
    from core.runtime.terminal import Bar, say_written, stop_writing, take_every_word, tell, tell_error, warn
    from core.runtime.threads import wait_briefly
    from core.sources.images import ImageSource
    from core.sources.models import Source
    from core.wording import abbreviated, plain
except KeyboardInterrupt:  # as in `main`, which is not there yet
    print("error: interrupted; what was not finished is not written", file=sys.stderr)
    raise SystemExit(130) from None

if TYPE_CHECKING:
    from core.analyses.analysis import Analysis
    from core.runtime.progress import OnProgress


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line after the program's name; `sys.argv` when not given.

    Returns:
        The exit status: 0; 1 after an error, 130 after Ctrl-C, each reported in one sentence; 141 when nobody reads the
        output any more.

    Raises:
        SystemExit: if the command line is none of ours, or asks for help.
    """
    take_every_word()
    debug = "--debug" in (sys.argv if arguments is None else arguments)
    try:
        wait_briefly()
        options = _parser().parse_args(arguments)
        try:
            status = _command(options)
        except SystemExit as error:  # a model's own code that ends the program
            tell(
                f"the code of a model ended the program with {plain(str(error.code))[:40]}; mend it",
                error if debug else None,
            )
            return 1
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        tell("interrupted; what was not finished is not written", error if debug else None)
        return 130
    except BrokenPipeError:
        stop_writing()
        return 141
    except SystemExit:  # of the parser, which has said why
        raise
    except BaseException as error:  # noqa: BLE001 - a model's own code raises what it likes
        tell_error(error, debug)
        return 1
    return status


def _command(options: argparse.Namespace) -> int:
    threads = getattr(options, "threads", None)  # of commands that compute
    if threads is not None:
        from core.runtime.batches import set_threads

        set_threads(threads)
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
            _write(_named(options), options.out, options)
    return 0


def _parser() -> argparse.ArgumentParser:
    from core import reproduce  # here, so that an interrupt meanwhile is reported like any other
    from core.analyses.table import TABLE

    every = argparse.ArgumentParser(add_help=False)
    every.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="print the traceback of an error as well"
    )
    machine = argparse.ArgumentParser(add_help=False, parents=[every])
    machine.add_argument("--device", help="cuda, mps or cpu; the best one here when not given")
    machine.add_argument("--threads", type=int, help="CPU threads for tensor work")
    loads = argparse.ArgumentParser(add_help=False, parents=[machine])
    loads.add_argument(
        "--upload", type=Path, action="append", default=[], help="the file that a source names as upload:DIGEST"
    )
    trusts = argparse.ArgumentParser(add_help=False)
    trusts.add_argument(
        "--trust", action="store_true", help="also models that run code: Python, .pt2 and ONNX files, robustbench"
    )
    shared = argparse.ArgumentParser(add_help=False, parents=[loads])
    shared.add_argument("--out", type=_out, required=True, help=f"file to write: {', '.join(ENDINGS)}")
    parser = argparse.ArgumentParser(prog="python -m core.cli", description=__doc__.split("\n\n")[0])
    parser.add_argument("--debug", action="store_true", help="print the traceback of an error as well")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for analysis in TABLE.values():
        command = commands.add_parser(analysis.name, aliases=analysis.aliases, parents=[shared], help=analysis.question)
        _add_settings(command, analysis)
    commands.add_parser("list", parents=[every], help="the recipes that come along, by paper")
    some = argparse.ArgumentParser(add_help=False)
    some.add_argument("recipe", help=f"a name that `list` says, or a file with a recipe inside: {', '.join(ENDINGS)}")
    some.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value of a setting, or of models, images or rows; again for more",
    )
    commands.add_parser("show", parents=[every, some], help="print a recipe and what it asks")
    again = commands.add_parser(
        "run", parents=[loads, some, trusts], help="make a figure of a recipe, or of every recipe in a folder"
    )
    again.add_argument("--out", type=Path, required=True, help="file to write, or a folder for those of a folder")
    again.add_argument("--ending", choices=ENDINGS, default=".pdf", help="of the files of a folder. Default: .pdf.")
    through = commands.add_parser(
        "series", parents=[loads, some, trusts], help="ask a recipe of one checkpoint after the other, on one scale"
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
    whole = commands.add_parser("report", parents=[loads], help="every lens on one model and some images in one file")
    whole.add_argument("--model", required=True, help="a source such as demo:photos/standard")
    whole.add_argument("--images", help="a source such as demo:photos; the demo model's own when not given")
    whole.add_argument("--rows", required=True, help="rows of the image set, such as 3,17,42")
    whole.add_argument("--only", help=f"some of the lenses: {','.join(TABLE)}")
    whole.add_argument("--out", type=Path, required=True, help="a file ending in .pdf or .html")
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
            *(f"--{name.replace('_', '-')}" for name in (entry.name, *entry.aliases)),
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
    """The recipe that the options of an analysis specify."""
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
    source = Source.parse(model).trained
    if source.kind != "demo" or not source.place:
        raise RecipeError(f"expected {option} beside the model {model}, got none; name a set or a folder of images")
    from core.models.demo import demo_images

    return demo_images(model)


def _list() -> None:
    """Print the shipped recipes, by paper."""
    from core.recipes.gallery import gallery

    paper = ""
    for each in gallery():
        if each.paper != paper:
            paper = each.paper
            key = "" if each.key in each.authors else f"; {each.key}"  # the authors may name the place already
            print(f"\n{paper} ({each.authors}{key})")
        print(f"  {each.name:<20} {each.line}")
    print("\nshow NAME prints one, run NAME --out FILE makes its figure.")


def _show(name: str, changes: Sequence[str]) -> None:
    recipe = _changed(_found(name), changes)
    print(json.dumps(recipe.mapping(), indent=1, sort_keys=True, ensure_ascii=True))
    print(f"asks: {recipe.definition.question}", file=sys.stderr)
    for entry in (*recipe.definition.parameters, *recipe.definition.figure_settings):
        value = entry.text({**recipe.parameters, **recipe.figure}[entry.name]) or "empty"
        unit = f" {entry.unit}" if entry.unit else ""
        print(plain(f"{entry.name}: {value}{unit}. {entry.help}"), file=sys.stderr)


def _report(options: argparse.Namespace) -> None:
    from core.recipes.report import report

    check_place(options.out)
    with Bar("report") as bar:
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
    write_whole(options.out, data)
    say_written(options.out)


def _series(options: argparse.Namespace) -> int:
    """Write a series; checkpoints that cannot be used are reported, and the others drawn."""
    from core.recipes.series import run_series, sources_in

    if options.out.suffix in ENDINGS or (options.out.suffix != ".gif" and options.out.is_file()):
        raise RecipeError(f"expected --out FILE.gif, or a folder for single frames, got {str(options.out)!r}")
    if options.out.suffix == ".gif":
        check_place(options.out)
    recipe = _changed(_found(options.recipe), options.set)
    models = options.models or sources_in(Path(options.recipe))
    with Bar(f"series of {recipe.analysis}") as bar:
        made = run_series(
            recipe,
            models,
            device=options.device,
            uploads=options.upload,
            trust=options.trust,
            named=bool(options.models),
            on_progress=bar.update,
        )
    for sentence in made.left_out:
        tell(sentence)
    for sentence in made.doubts:
        warn(sentence)
    if options.out.suffix == ".gif":
        write_whole(options.out, made.gif(options.milliseconds))
        say_written(options.out, f"{made.words} {options.milliseconds} ms per frame.")
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        for number, label in enumerate(made.labels):
            word = re.sub(r"[^A-Za-z0-9._-]", "-", label)[:80]
            place = options.out / f"{number + 1:03d}-{word}{options.ending}"
            write_whole(place, made.frame(number, options.ending))
        print(plain(f"wrote {len(made.charts)} frames to {options.out}: {made.words}"))
    return 1 if made.left_out else 0


def _found(name: str) -> Recipe:
    """The recipe in a file, or a shipped one; an existing path and a name with an ending stand for files."""
    if Path(name).exists() or Path(name).suffix or Path(name).name != name:
        return read(Path(name))
    from core.recipes.gallery import exhibit

    return exhibit(name).recipe


def _changed(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with other values, each given as `NAME=VALUE` in the terms of a link."""
    if not changes:
        return recipe
    pairs = [change.partition("=") for change in changes]
    wrong = next((change for change, (_, sign, _) in zip(changes, pairs, strict=True) if not sign), None)
    if wrong is not None:
        raise RecipeError(f"expected --set NAME=VALUE, got {abbreviated(wrong)}")
    values = {name.strip().replace("-", "_"): value for name, _, value in pairs}
    return Recipe.from_query(recipe.analysis, {**recipe.query(), **values})


def _run(options: argparse.Namespace) -> int:
    """Make one figure, or all of a folder: recipes that fail are reported, and the others run."""
    folder = Path(options.recipe)
    if not folder.is_dir():
        if options.out.suffix not in ENDINGS:
            raise RecipeError(_another_ending(options.out))
        _write(_changed(_found(options.recipe), options.set), options.out, options)
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
            _write(_changed(read(file), options.set), out, options)
        except Exception as error:  # noqa: BLE001 - see `main`
            tell_error(error, options.debug, f"{file.name}: ")
            failed += 1
    return 1 if failed else 0


def _write(recipe: Recipe, out: Path, options: argparse.Namespace) -> None:
    """Compute what the file's ending asks for, write it, and say what a figure says in its caption.

    Models that are named on the command line itself are meant; those of a recipe need `--trust` where they run code.
    """
    check_place(out)
    for model in recipe.models:
        Source.parse(model)
    ImageSource.parse(recipe.images)
    if out.suffix == ".json":
        write_whole(out, f"{recipe.json()}\n".encode())
        say_written(out)
        return
    from core.models.inspection import doubts

    bars: list[Bar] = []

    def progress(what: str) -> OnProgress:
        bars.append(Bar(what))
        return bars[-1].update

    try:
        trust = getattr(options, "trust", True)
        made = run_recipe(recipe, device=options.device, uploads=options.upload, trust=trust, progress=progress)
    finally:
        for bar in bars[-1:]:
            bar.clear()
    for sentence in doubts(made.classifiers):
        warn(sentence)
    write_whole(out, made.file(out.suffix))
    say_written(out, *([] if out.suffix in (".npz", ".csv") else [made.chart.caption]))


def _reproduce(topic: str, models: Sequence[str] | None, out: Path | None, device: str | None) -> None:
    """Print each claim as soon as it is measured, and write all of them to a file if one is named."""
    from core import reproduce
    from core.models.demo import demo_models
    from core.reproduce.report import plain as values

    if out is not None:
        check_place(out)
    found = []
    with Bar(f"reproduce {topic}") as bar:
        for claim in reproduce.claims_about(topic, models or demo_models(), device=device, on_progress=bar.update):
            found.append(claim)
            bar.clear()
            print(f"{claim.text()}\n", flush=True)
    if out is not None:
        text = json.dumps(values(found), indent=1, ensure_ascii=False, allow_nan=False)
        write_whole(out, f"{text}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
