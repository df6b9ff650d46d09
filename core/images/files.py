"""One picture: from the bytes of a file to pixels, with a record of what was done to it.

A file is rotated by its EXIF orientation, transparency is laid over white, palettes become colours, 16-bit greys keep
their 16 bits, animations and files of several pages give their first frame; then the picture is cropped and resized.
Only pixels leave a file, and no file is decoded that claims more pixels than allowed, or is two things at once.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin

from core.errors import ImageError
from core.sources.images import Fit

MOST_PIXELS = 50_000_000  # of one file: 600 MB as float32 RGB; a small file can claim far more
MOST_BYTES = 256 << 20  # of one file

# The formats that Pillow decodes itself (EPS, for one, would start Ghostscript), with their file endings.
_ENDINGS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".mpo"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
}
SUFFIXES = frozenset(ending for endings in _ENDINGS.values() for ending in endings)
_FORMATS = tuple(_ENDINGS)
_KIN = {"MPO": "JPEG"}  # several JPEGs in one file, as cameras write them; the first is read

# Formats that are not read: by their ending, and by their first bytes and where these are
_NOT_READ = {
    "HEIC": (".heic", ".heif", ".hif"),
    "AVIF": (".avif", ".avifs"),
    "SVG": (".svg", ".svgz"),
    "JPEG XL": (".jxl",),
    "JPEG 2000": (".jp2", ".j2k", ".jpx", ".jpf"),
    "Photoshop": (".psd", ".psb"),
    "OpenEXR": (".exr",),
    "DICOM": (".dcm",),
    "a camera's raw format": (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
    "TGA": (".tga",),
    "ICO": (".ico", ".cur"),
    "PDF": (".pdf",),
    "a video": (".mp4", ".mov", ".avi", ".webm", ".mkv"),
}
_KIND_OF_ENDING = {ending: kind for kind, endings in _NOT_READ.items() for ending in endings}
_SIGNS = (
    *((4, b"ftyp" + brand, "HEIC") for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")),
    *((4, b"ftyp" + brand, "AVIF") for brand in (b"avif", b"avis")),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"v/1\x01", "OpenEXR"),
    (128, b"DICM", "DICOM"),
)

_GREY_MODES = ("1", "L", "LA")
_PALETTES = ("P", "PA")
_SPREAD = {"L;2": 85, "L;4": 17}  # factors by which Pillow scales levels to 0..255, though not the transparent one
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))  # Pillow knows it as "II"
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N")  # Pillow clips these when it converts them to 8 bits
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error, zlib.error)

# Signs of anything but a picture; five bytes and more do not occur in compressed pixels by chance.
_OTHERS = {
    b"<script": "a page with a script",
    b"<?php": "a program",
    b"%PDF-": "a PDF",
    b"\x7fELF\x02\x01\x01": "a program",
    b"Rar!\x1a\x07": "an archive",
    b"7z\xbc\xaf\x27\x1c": "an archive",
}


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, ready to be stacked with others.

    Attributes:
        pixels: uint8 from 0 to 255, or float32 from 0 to 1 if the file has more than 8 bits; (h, w) or (h, w, 3).
        came: description of the file's content.
        size: height and width of the upright picture before it was fitted, in pixels.
        box: the part that was kept: left, top, right and bottom, in pixels.
        done: the steps that were applied, in words and in order.
        stored: bytes of the file, unpacked if it was in an archive.
    """

    pixels: np.ndarray
    came: str
    size: tuple[int, int]
    box: tuple[float, float, float, float]
    done: tuple[str, ...]
    stored: int


def read_picture(content: bytes, name: str, fit: Fit) -> Picture:
    """Decode a file, and crop and resize the picture.

    Args:
        content: the bytes of the file.
        name: of the file; its ending says which format it should have.
        fit: size and channels of the result.

    Raises:
        ImageError: if the file is not a whole image of allowed size, not what its ending says, or more than an image.
    """
    short = short_name(name)
    if len(content) > MOST_BYTES:
        raise ImageError(f"expected at most {MOST_BYTES >> 20} MB, {short} has more; save it smaller")
    try:
        with _opened(content, name) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise ImageError(_too_large(short))
            _check_kind(content, _KIN.get(image.format or "", image.format or ""), name)
            upright, words, done = _upright(image, short)
        return _fitted(upright, words, done, fit, len(content))
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(_too_large(short)) from error
    except _DAMAGED as error:
        raise ImageError(_unreadable(short, _kind(content, name))) from error
    except MemoryError as error:
        raise ImageError(f"expected an image that fits into memory, {short} does not; make it smaller") from error


def _opened(content: bytes, name: str) -> Image.Image:
    """Open a file and read its header.

    Raises:
        ImageError: if its format is not read here.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=_FORMATS)
    except _DAMAGED as error:
        kind = _kind(content, name) or _kind_of_tiff(content)
        raise ImageError(_unreadable(short_name(name), kind)) from error
    planes = image.format == "TIFF" and image.tag_v2.get(284) == 2  # type: ignore[attr-defined]
    if image.mode == "LAB" or (planes and image.mode == "LA"):  # Pillow opens these, but reads them wrongly
        image.close()
        raise ImageError(_unreadable(short_name(name), _kind_of_tiff(content)))
    return _with_libtiff(content) if planes else image


def _with_libtiff(content: bytes) -> Image.Image:
    """Open a TIFF of one plane per channel; Pillow's own reader takes every plane for 8 bits."""
    TiffImagePlugin.READ_LIBTIFF = True
    try:
        return Image.open(io.BytesIO(content), formats=("TIFF",))
    finally:
        TiffImagePlugin.READ_LIBTIFF = False


def short_name(name: str) -> str:
    """The last part of a file's name, printable and short enough for a sentence."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2][:80]
    return last if last.isprintable() else ascii(last)


def ending_of(name: str) -> str:
    """The ending of a file's name, in lower case and with its dot; "" if it has none.

    >>> ending_of("in/a.b.PNG"), ending_of("in.x/.png"), ending_of("a.")
    ('.png', '', '')
    """
    stem, _, ending = name.rpartition("/")[2].rpartition(".")
    return f".{ending.lower()}" if stem and ending else ""


def fitted_array(values: np.ndarray, fit: Fit) -> Picture:
    """Crop and resize a picture that is an array.

    Args:
        values: (h, w), (h, w, 1) or (h, w, 3); uint8, or float32 in [0, 1].
        fit: size and channels of the result.
    """
    values = values[:, :, 0] if values.ndim == 3 and values.shape[2] == 1 else values
    kind = f"{values.shape[1]} x {values.shape[0]} {'grey' if values.ndim == 2 else 'RGB'}"
    return _fitted(values, kind, [], fit, values.nbytes)


def _too_large(short: str) -> str:
    return f"expected at most {MOST_PIXELS // 10**6} million pixels, {short} has more; make it smaller"


def _unreadable(short: str, kind: str = "") -> str:
    if kind:
        return (
            f"expected PNG, JPEG or another known format, {short} is {kind}, which is not read here; convert it to PNG"
        )
    return f"expected an image, could not read {short}; it is damaged or not an image; save it again as PNG or JPEG"


def _kind(content: bytes, name: str) -> str:
    """The unsupported format of a file, by its first bytes or else by its ending; "" if there is no sign of one."""
    found = next((kind for at, sign, kind in _SIGNS if content.startswith(sign, at)), "")
    if not found and b"<svg" in content[:1000].lower():
        found = "SVG"
    return found or _KIND_OF_ENDING.get(ending_of(name), "")


def _kind_of_tiff(content: bytes) -> str:
    """The kind of TIFF that a file is, if that is why it is not read; "" if it is not a TIFF, or of a usual kind."""
    if content[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return ""
    try:
        head = content[: 16 if b"+" in content[:4] else 8]
        tags = TiffImagePlugin.ImageFileDirectory_v2(head)
        file = io.BytesIO(content)
        file.seek(tags.next)
        tags.load(file)
        bits, form = int(max(tags.get(258, (1,)))), int(tags.get(339, (1,))[0])
        channels, colours, planar = int(tags.get(277, 1)), tags.get(262), tags.get(284) == 2
        reversed_bits = tags.get(266) == 2
    except _DAMAGED:
        return ""
    if colours in (8, 9, 10):
        return "a TIFF in Lab colours"
    numbers = {2: "whole numbers with a sign", 3: "floats", 5: "complex numbers", 6: "complex numbers"}
    usual = form not in numbers and bits in (1, 2, 4, 8, 16) and channels <= 4
    odd = (bits > 8 and (reversed_bits or channels == 2)) or (planar and channels in (2, 4))
    if (usual and not odd) or (bits, form, channels) == (32, 3, 1):
        return ""
    many = f" in {channels:,} {'planes' if planar else 'channels'}" if channels > 1 else ""
    order = ", the lowest bit first" if reversed_bits else ""
    return f"a TIFF of {bits}-bit {numbers.get(form, 'whole numbers')}{many}{order}"


def not_read(name: str) -> str:
    """A sentence on why a file among pictures is left out, judged by its ending."""
    short, kind = short_name(name), _kind(b"", name)
    if kind:
        return _unreadable(short, kind)
    kinds = ", ".join(sorted(ending[1:] for ending in SUFFIXES))
    return f"expected pictures or a table of classes, {short} is neither; known endings are {kinds}, csv"


def _check_kind(content: bytes, format: str, name: str) -> None:
    """Check that a file is what its ending says, and nothing besides.

    Raises:
        ImageError: if it is not.
    """
    short, ending = short_name(name), ending_of(name)
    if ending in SUFFIXES and ending not in _ENDINGS[format]:
        raise ImageError(
            f"expected {ending[1:].upper()} in {short}, it holds {format}; give it the ending it should have"
        )
    if zip_ends(content[-65_557:]):  # the end record and the longest comment
        raise ImageError(f"expected an image and nothing besides, {short} is an archive as well; save it again as PNG")
    for sign, other in _OTHERS.items():
        if sign in content:
            raise ImageError(f"expected an image and nothing besides, {short} holds {other}; save it again as PNG")
    end = _END_OF.get(format, len)(content)
    if not 0 <= end <= len(content):
        raise ImageError(_unreadable(short))
    if content[end:].strip(b"\0"):
        more = len(content) - end
        raise ImageError(
            f"expected an image and nothing besides, {short} goes on for {more} bytes; save it again as PNG"
        )


def zip_ends(tail: bytes) -> list[int]:
    """Positions of the end record of a zip, whose comment reaches to the end; a comment may look like another record.

    Args:
        tail: the last bytes of a file.
    """
    places = [found.start() for found in re.finditer(b"PK\x05\x06", tail)]
    return [at for at in places if at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail)]


def _end_of_png(content: bytes) -> int:
    at = 8
    while at + 12 <= len(content):
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        at += 12 + length
        if kind == b"IEND":
            return at
    return -1


def _end_of_webp(content: bytes) -> int:
    length = int.from_bytes(content[4:8], "little")
    return 8 + length + length % 2


# The end of a picture, for formats that state it
_END_OF: dict[str, Callable[[bytes], int]] = {
    "PNG": _end_of_png,
    "BMP": lambda content: int.from_bytes(content[2:6], "little") or len(content),
    "WEBP": _end_of_webp,
}


def _upright(image: Image.Image, short: str) -> tuple[np.ndarray, str, list[str]]:
    """The values of an opened file, turned upright; a description of it; the steps that were applied.

    Raises:
        ImageError: if the value of white, or of the transparent colour, is not known.
    """
    done = []
    raw = _raw_mode(image)  # loading the image drops it
    _check_levels(image, raw, short)
    clear = image.info.get("transparency")
    if raw in _SPREAD and isinstance(clear, int):
        image.info["transparency"] = clear % (255 // _SPREAD[raw] + 1) * _SPREAD[raw]
    grey_palette = image.mode in _PALETTES and _is_grey(image)
    deep_alpha = raw.startswith("LA") and image.mode == "RGBA"  # Pillow opens 16-bit grey with alpha so
    grey = grey_palette or deep_alpha or image.mode in _GREY_MODES
    negative = image.format == "TIFF" and image.tag_v2.get(262) == 0  # type: ignore[attr-defined]  # white is 0
    if getattr(image, "is_animated", False):
        done.append(FIRST)
    if image.getexif().get(0x0112) in range(2, 9):  # 1 is upright, and some write 0
        done.append("turned as its EXIF says")
    kind = _WORDS.get("LA" if deep_alpha else image.mode, image.mode)
    kind = f"grey {kind}" if grey_palette else kind
    words = f"{image.size[0]} x {image.size[1]} {kind}, {image.format}"
    done += _colours_not_applied(image)
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in _DEEP_MODES or (image.mode == "I" and image.format == "PPM"):
        bits = 12 if raw == "I;12" else 16
        levels = np.asarray(image).astype(np.float32)
        values = levels / np.float32(2**bits - 1)
        values = 1 - values if negative else values
        done.append(f"{bits} bits kept")
        if isinstance(image.info.get("transparency"), int):
            values[levels == image.info["transparency"]] = 1
            done.append("laid over white")
        return values, words, done
    if image.mode == "F":
        values = np.array(image, dtype=np.float32)
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise ImageError(f"expected numbers from 0 to 1 in {short}, a picture of floats, got others; scale it")
        return (1 - values if negative else values), words, [*done, "floats kept"]
    if image.mode == "I":
        raise ImageError(f"expected 8 or 16 bits per channel, {short} has 32 with no white said; save it as PNG")
    if ";16" in raw and image.format != "BMP":  # BMP's BGR;16 has 16 bits in all channels together
        done.append("upper 8 of 16 bits")
    wanted = "L" if grey else "RGB"
    made = [] if image.mode in ("L", "LA", "RGB", "RGBA") else ["made grey" if grey else "made RGB"]
    whole: Image.Image = image
    if image.has_transparency_data:
        whole = image.convert("RGBA")
        whole = Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole)
        done.append("laid over white")
    return np.asarray(whole if whole.mode == wanted else whole.convert(wanted)), words, [*done, *made]


def _check_levels(image: Image.Image, raw: str, short: str) -> None:
    if image.format == "TIFF" and 2 in image.tag_v2.get(339, ()):  # type: ignore[attr-defined]
        bits = max(image.tag_v2.get(258, (1,)))  # type: ignore[attr-defined]
        raise ImageError(
            f"expected 8 or 16 bits per channel, {short} has {bits} bits with a sign with no white said; save it as PNG"
        )
    if raw == "RGB;16B" and isinstance(image.info.get("transparency"), tuple):  # Pillow keeps the upper 8 bits only
        raise ImageError(
            f"expected an alpha channel, or 8 bits, {short} has one clear colour of 16 bits; save it with alpha"
        )


def _is_grey(image: Image.Image) -> bool:
    """Whether all colours of a palette that are not transparent are grey."""
    colours = np.array(image.getpalette("RGB") or [0, 0, 1]).reshape(-1, 3)
    clear = image.info.get("transparency")
    seen = np.arange(len(colours)) != (clear if isinstance(clear, int) else -1)
    if isinstance(clear, bytes):
        seen[: len(clear)] = np.frombuffer(clear, np.uint8)[: len(colours)] > 0
    return bool((colours == colours[:, :1])[seen].all())


FIRST = "first frame"  # the step applied to an animation, or to a file of several pages


def _raw_mode(image: Image.Image) -> str:
    """The raw mode of Pillow's decoder for a file's values, where ";16" means 16 bits per channel."""
    tiles = getattr(image, "tile", ())
    layout = tiles[0][3] if tiles and len(tiles[0]) > 3 else ""
    first, *rest = layout if isinstance(layout, tuple) and layout else (layout,)
    if image.format == "PPM" and image.mode == "RGB" and any(isinstance(white, int) and white > 255 for white in rest):
        return "RGB;16B"
    return first if isinstance(first, str) else ""


def _colours_not_applied(image: Image.Image) -> list[str]:
    """A file's colour profile or gamma other than sRGB, neither of which is applied."""
    profile, gamma = image.info.get("icc_profile"), image.info.get("gamma")
    known = not isinstance(profile, bytes) or b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile
    done = [] if known else ["colour profile not applied"]
    if isinstance(gamma, float) and not 0.4 < gamma < 0.5 and "srgb" not in image.info:  # sRGB has 1 / 2.2
        done.append("gamma not applied")
    return done


_WORDS = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey with alpha",
    "P": "palette",
    "RGBA": "RGB with alpha",
    "F": "float grey",
    "I": "deep grey",
    **dict.fromkeys(_DEEP_MODES, "16-bit grey"),
}


def _fitted(values: np.ndarray, came: str, done: list[str], fit: Fit, stored: int) -> Picture:
    height, width = values.shape[:2]
    box = (0.0, 0.0, float(width), float(height))
    target = (fit.height or height, fit.width or width)
    if target != (height, width):
        if fit.how == "crop":
            box = _middle((height, width), target)
        kept = box[2] - box[0], box[3] - box[1]
        if kept != (width, height):
            done.append(f"cut to the middle {kept[0]:.4g} x {kept[1]:.4g}")
        done.append(f"resized to {target[1]} x {target[0]}")
        values = _resized(values, target, box)
    if fit.channels == 3 and values.ndim == 2:
        values = np.stack([values] * 3, axis=-1)
        done.append("grey to three channels")
    if fit.channels == 1 and values.ndim == 3:
        values = _grey(values)
        done.append("colours to grey")
    return Picture(values, came, (height, width), box, tuple(done), stored)


def _resized(values: np.ndarray, target: tuple[int, int], box: tuple[float, float, float, float]) -> np.ndarray:
    """The part of a picture in a box, at another size; floats channel by channel, since Pillow has no float colours.

    Args:
        values: uint8 or floats in [0, 1], (h, w) or (h, w, c).
        target: height and width.
        box: left, top, right and bottom.
    """
    if values.dtype != np.uint8 and values.ndim == 3:
        return np.stack([_resized(channel, target, box) for channel in np.moveaxis(values, 2, 0)], axis=-1)
    whole = values.dtype == np.uint8
    image = Image.fromarray(values if whole else np.ascontiguousarray(values, np.float32))
    resized = np.asarray(image.resize((target[1], target[0]), Image.Resampling.BILINEAR, box=box))
    return resized if whole else resized.clip(0, 1)  # rounding of the weights


def _grey(values: np.ndarray) -> np.ndarray:
    """Luma of ITU-R 601, as Pillow's."""
    if values.dtype == np.uint8:
        return np.asarray(Image.fromarray(values).convert("L"))
    luma: np.ndarray = values @ np.array([0.299, 0.587, 0.114], dtype=values.dtype)
    return luma


def _middle(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest centred box with the target's ratio of sides."""
    (height, width), ratio = size, target[1] / target[0]
    wide, high = (height * ratio, float(height)) if width / height > ratio else (float(width), width / ratio)
    left, top = (width - wide) / 2, (height - high) / 2
    return left, top, left + wide, top + high
