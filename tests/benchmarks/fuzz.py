"""Coverage-guided fuzzing of every reader of outside files: `python -m tests.benchmarks.fuzz pickle --minutes 6`.

It needs `pip install -e '.[fuzz]'`. Each reader starts from the files of the hostile corpora and some good ones; what
is not an answer or a sentence of ours ends it, and the input is kept in the folder that it names. A find becomes an
entry of `tests/hostile.py` or `tests/hostile_images.py`, or a test of its reader.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["core", "zipfile", "pypdf", "PIL", "csv", "json"]):
    from core.errors import ImageError
    from core.figures.drawing.provenance import recipe_inside
    from core.images.reading import read_set
    from core.images.tables import read_table
    from core.models.onnx_files import examine
    from core.models.pickles import PickleError, unpickle
    from core.models.tensor_files import kind, layout
    from core.models.third_party import read_names
    from core.recipes.recipe import Recipe
    from core.sources.images import ImageSource
    from core.sources.models import Source

from tests.hostile import entries_of, hostile, net, saved
from tests.hostile import header as safetensors
from tests.hostile_images import encoded
from tests.hostile_images import hostile as hostile_images

LARGEST = 200_000  # bytes of a seed
PLACE = Path(tempfile.mkdtemp(prefix="fuzz-"))


def quiet(fraction: float) -> None:
    """Tell nobody."""


def in_file(read: Callable[[str], object], ending: str) -> Callable[[bytes], object]:
    """A reader of files as one of bytes."""
    path = PLACE / f"it{ending}"

    def run(data: bytes) -> object:
        path.write_bytes(data)
        return read(str(path))

    return run


def text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    """A reader of text as one of bytes."""
    return lambda data: read(data.decode("utf-8", "surrogateescape"))


def checkpoints() -> Iterator[bytes]:
    """Hostile checkpoints and good ones."""
    yield from (saved(net()), saved(net(), old=True), safetensors({}))
    yield from (content for _, content in hostile(PLACE))


def pickles() -> Iterator[bytes]:
    """The pickles of good checkpoints, and small hostile ones."""
    yield entries_of(saved({"state_dict": net(), "epoch": 3, "args": [1, (2.5, None)]}))["archive/data.pkl"]
    yield from (content for name, content in hostile(PLACE) if name.endswith(".pkl"))


def pictures() -> Iterator[bytes]:
    """Good pictures of every format, and hostile ones."""
    yield from (encoded(kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"))
    yield from (content for name, content in hostile_images() if not name.endswith((".zip", ".npz", ".npy")))


def archives() -> Iterator[bytes]:
    """Hostile archives of pictures."""
    yield from (content for name, content in hostile_images() if name.endswith((".zip", ".npz")))


def arrays() -> Iterator[bytes]:
    """Arrays and archives of arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, images=np.zeros((2, 4, 4, 3), np.uint8), labels=np.array([0, 1]), class_names=np.array(["a", "b"]))
    yield buffer.getvalue()
    yield from (content for name, content in hostile_images() if name.endswith(".npz"))


def figures() -> Iterator[bytes]:
    """Files with a recipe inside."""
    from core.figures.drawing.provenance import recipe_text
    from tests.core.figures.drawing.test_provenance import lzw, page, pdf

    said = recipe_text({"recipe": 1, "analysis": "slice", "models": ["demo:photos/standard"]})
    yield from (said.encode(), page(said), f"# {said}\nx,y\n".encode(), pdf(lzw(1), b"/LZWDecode"))
    buffer = io.BytesIO()
    np.savez(buffer, result=np.array(json.dumps({"fields": {"recipe": {"recipe": 1, "analysis": "slice"}}})))
    yield buffer.getvalue()


def words() -> Iterator[bytes]:
    """Sources, tables and recipes as text."""
    yield b"untrained:3:upload:ab12?arch=timm:resnet18&size=3x32x32&mean=0.5/0.5/0.5"
    yield b"linearised:demo:photos/vit?row=3&images=demo:photos@224"
    yield b"a.zip?size=32x16&classes=cat/dog&most=5"
    yield b"name,class\na.png,cat\nb.png;dog\n"
    yield b'["a", ["n01", "b"], {"0": "c"}]'
    yield json.dumps(
        {"recipe": 1, "analysis": "slice", "models": ["a"], "images": {"source": "b", "rows": [1]}}
    ).encode()


SET = (None, None, "crop", None), 20, 2**22  # fit, most, values
READERS: dict[str, tuple[Callable[[bytes], object], Callable[[], Iterator[bytes]]]] = {
    "pickle": (unpickle, pickles),
    "checkpoint": (in_file(layout, ".pt"), checkpoints),
    "safetensors": (in_file(layout, ".safetensors"), checkpoints),
    "kind": (in_file(kind, ".pt2"), checkpoints),
    "picture": (in_file(lambda path: read_set(path, *SET, quiet), ".png"), pictures),
    "archive": (in_file(lambda path: read_set(path, *SET, quiet), ".zip"), archives),
    "arrays": (in_file(lambda path: read_set(path, *SET, quiet), ".npz"), arrays),
    "array": (in_file(lambda path: read_set(path, *SET, quiet), ".npy"), arrays),
    "table": (lambda data: read_table(data, "labels.csv"), words),
    "figure": (lambda data: recipe_inside(quiet, data), figures),
    "onnx": (in_file(lambda path: examine(quiet, path), ".onnx"), words),
    "names": (in_file(lambda path: read_names(Path(path)), ".txt"), words),
    "recipe": (text(Recipe.parse), words),
    "source": (text(lambda said: Source.parse(said).inner), words),
    "images": (text(ImageSource.parse), words),
}


def main() -> None:
    """Fuzz one reader until the time is over or something is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--finds", type=Path, default=Path("finds"), help="a folder for inputs that end a reader")
    options = parser.parse_args()
    read, seeds = READERS[options.reader]
    corpus = PLACE / "corpus"
    corpus.mkdir()
    for number, content in enumerate(seeds()):
        if len(content) <= LARGEST:
            (corpus / f"{number:04d}").write_bytes(content)
    options.finds.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")

    def one(data: bytes) -> None:
        try:
            read(data)
        except (ValueError, PickleError, ImageError) as error:
            ours = type(error).__module__ in ("core.errors", "core.models.pickles")
            if not ours or "\n" in str(error) or not re.match(r"(\w+: )?expected |it |(a )?tensor", str(error)):
                raise

    flags = [f"-max_total_time={60 * options.minutes:.0f}", f"-artifact_prefix={options.finds}/{options.reader}-"]
    atheris.Setup([sys.argv[0], str(corpus), *flags, "-timeout=30", "-rss_limit_mb=3000", f"-max_len={LARGEST}"], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
