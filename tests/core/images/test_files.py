"""One picture: what was done to it is said, and is what was done."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from core.errors import ImageError
from core.images.files import Picture, fitted_array, read_picture
from core.sources.images import Fit
from tests.hostile_images import archive, chunk, png

RAMP = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def read(values: object, kind: str = "PNG", fit: Fit | None = None, **options: object) -> Picture:
    buffer = io.BytesIO()
    image = values if isinstance(values, Image.Image) else Image.fromarray(np.asarray(values))
    image.save(buffer, kind, **options)
    return read_picture(buffer.getvalue(), f"a.{'jpg' if kind == 'JPEG' else kind.lower()}", fit or Fit())


def test_a_plain_picture_is_unchanged() -> None:
    found = read(RAMP)
    assert np.array_equal(found.pixels, RAMP)
    assert (found.came, found.size, found.done) == ("6 x 4 RGB, PNG", (4, 6), ())
    assert found.box == (0, 0, 6, 4)


@pytest.mark.parametrize("orientation", range(10))
def test_every_orientation_is_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = {
        0: RAMP,
        1: RAMP,
        2: RAMP[:, ::-1],
        3: RAMP[::-1, ::-1],
        4: RAMP[::-1],
        5: RAMP.transpose(1, 0, 2),
        6: np.rot90(RAMP, -1),
        7: RAMP[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(RAMP),
        9: RAMP,
    }[orientation]
    found = read(RAMP, exif=exif)
    assert np.array_equal(found.pixels, upright)
    assert found.size == upright.shape[:2]
    assert found.done == (() if orientation in (0, 1, 9) else ("turned as its EXIF says",))


def test_palettes_become_colours() -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    found = read(image)
    assert found.pixels.tolist() == [[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [40, 50, 60]]]
    assert (found.came, found.done) == ("2 x 2 palette, PNG", ("made RGB",))
    clear = read(image, transparency=1)
    assert clear.pixels[0, 1].tolist() == [255, 255, 255]
    assert clear.done == ("laid over white", "made RGB")


@pytest.mark.parametrize(("alpha", "value"), [(0, 255), (51, 224), (255, 100)])
def test_alpha_is_laid_over_white(alpha: int, value: int) -> None:
    found = read(Image.new("LA", (2, 2), (100, alpha)))
    assert found.pixels.tolist() == [[value] * 2] * 2  # 255 (1 - a) + 100 a
    assert found.done == ("laid over white",)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_kept(kind: str) -> None:
    deep = np.array([[0, 1, 2], [65533, 65534, 65535]], np.uint16)
    found = read(deep, kind)
    assert np.array_equal(np.round(found.pixels * 65535), deep)
    assert found.done == ("16 bits kept",)
    half = read(np.array([[0, 65535]] * 2, np.uint16), kind, Fit(1, 1, "stretch"))
    assert half.pixels == pytest.approx(0.5, abs=1e-5)


def test_black_and_white_and_cmyk_are_read() -> None:
    assert read(np.array([[True, False]])).pixels.tolist() == [[255, 0]]
    found = read(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    assert found.pixels[4, 4] == pytest.approx([255, 0, 0], abs=3)
    assert (found.came, found.done) == ("8 x 8 CMYK, JPEG", ("made RGB",))


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    found = read(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert found.pixels[0, 0].tolist() == [255, 0, 0]
    assert found.done[0] == "first frame"


DEEP = np.array([[0, 4095], [30_000, 65_535]], np.uint16)


def tiff(values: np.ndarray, tags: dict[int, int]) -> bytes:
    """An uncompressed TIFF of one strip with these tags changed."""
    height, width = values.shape[:2]
    known = {
        256: width,
        257: height,
        258: 16,
        259: 1,
        262: 1,
        273: 200,
        277: 1,
        278: height,
        279: values.nbytes,
        **tags,
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(known.items()))
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(known)) + entries + bytes(4)
    return head.ljust(200, b"\0") + values.tobytes()


def tiff_of_strips(strips: list[bytes], tags: dict[int, list[int]], order: str = "<") -> bytes:
    """An uncompressed TIFF of 3 x 2 pixels with one strip for each plane, in one of the two orders of bytes."""
    known = {256: [3], 257: [2], 259: [1], 278: [2], 279: [len(strip) for strip in strips], **tags}
    start = 300
    known[273] = [start + sum(map(len, strips[:row])) for row in range(len(strips))]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(known))
    place, beside = 10 + 12 * len(known) + 4, b""
    for tag, values in sorted(known.items()):
        kind, letter = (4, "I") if tag in (273, 279) else (3, "H")
        content = struct.pack(f"{order}{len(values)}{letter}", *values)
        at = place + len(beside)
        head += struct.pack(order + "HHI", tag, kind, len(values))
        head += content.ljust(4, b"\0") if len(content) <= 4 else struct.pack(order + "I", at)
        beside += content if len(content) > 4 else b""
    return (head + bytes(4) + beside).ljust(start, b"\0") + b"".join(strips)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("expected", "levels", "bits", "tags"),
    [
        ([18, 86, 154], [0x1234, 0x5678, 0x9ABC], 16, {262: [2]}),
        ([18, 86, 154], [18, 86, 154], 8, {262: [2]}),
        ([136, 170, 204], [0x1234, 0x5678, 0x9ABC, 0x8000], 16, {262: [2], 338: [2]}),  # 255 (1 - a) + a v
        ([136, 170, 204], [18, 86, 154, 128], 8, {262: [2], 338: [2]}),
        ([255, 0, 0], [0, 65535, 65535, 0], 16, {262: [5]}),
        (237, [18], 8, {262: [0]}),
        (1 - 0x1234 / 65535, [0x1234], 16, {262: [0]}),
        (0x1234 / 65535, [0x1234], 16, {262: [1]}),
    ],
)
def test_planes_are_read_with_their_own_depth(
    expected: object, levels: list[int], bits: int, tags: dict[int, list[int]], order: str
) -> None:
    letter = "B" if bits == 8 else "H"
    strips = [struct.pack(f"{order}6{letter}", *[level] * 6) for level in levels]
    asked = {258: [bits] * len(levels), 277: [len(levels)], 284: [2], **tags}
    found = read_picture(tiff_of_strips(strips, asked, order), "a.tif", Fit())
    assert found.pixels == pytest.approx(np.broadcast_to(np.array(expected), found.pixels.shape), abs=1e-6)
    assert found.size == (2, 3)


@pytest.mark.parametrize("order", "<>")
def test_a_deep_tiff_whose_white_is_0_is_read_in_both_orders(order: str) -> None:
    levels = [0, 1, 32768, 65534, 65535, 4660]
    content = tiff_of_strips([struct.pack(f"{order}6H", *levels)], {258: [16], 262: [0], 277: [1]}, order)
    found = read_picture(content, "a.tif", Fit())
    np.testing.assert_allclose(found.pixels.reshape(-1), 1 - np.array(levels) / 65535, atol=1e-6)
    assert found.done == ("16 bits kept",)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("kind", "bits", "tags"),
    [
        ("16-bit whole numbers in 2 channels", 16, {262: [1], 277: [2], 338: [2]}),
        ("16-bit whole numbers in 2 planes", 16, {262: [1], 277: [2], 338: [2], 284: [2]}),
        ("8-bit whole numbers in 2 planes", 8, {262: [1], 277: [2], 338: [2], 284: [2]}),
        ("16-bit whole numbers in 3 channels, the lowest bit first", 16, {262: [2], 277: [3], 266: [2]}),
    ],
)
def test_an_unsupported_tiff_is_not_called_damaged(
    kind: str, bits: int, tags: dict[int, list[int]], order: str
) -> None:
    channels = tags[277][0]
    plane = bytes(6 * bits // 8)
    strips = [plane] * channels if 284 in tags else [plane * channels]
    with pytest.raises(ImageError, match=f"a.tif is a TIFF of {kind}, which is not read here; convert it"):
        read_picture(tiff_of_strips(strips, {258: [bits] * channels, **tags}, order), "a.tif", Fit())


def test_a_tiff_whose_white_is_0_is_not_inverted() -> None:
    found = read_picture(tiff(DEEP, {262: 0}), "a.tif", Fit())
    np.testing.assert_allclose(found.pixels, 1 - DEEP / 65535, atol=1e-6)
    assert found.done == ("16 bits kept",)


def test_signed_16_bit_numbers_have_no_white() -> None:
    with pytest.raises(ImageError, match="a.tif has 16 bits with a sign with no white said"):
        read_picture(tiff(DEEP.astype(np.int16), {339: 2}), "a.tif", Fit())


def test_a_transparent_16_bit_grey_is_laid_over_white() -> None:
    image = Image.fromarray(DEEP)
    found = read(image, transparency=30_000)
    np.testing.assert_allclose(found.pixels, np.where(DEEP == 30_000, 1, DEEP / 65535), atol=1e-6)
    assert found.done == ("16 bits kept", "laid over white")


@pytest.mark.parametrize("values", [np.array([[-128, 127]], np.int8), DEEP.astype(np.int16), DEEP.astype(np.int32)])
def test_signed_numbers_are_refused(values: np.ndarray) -> None:
    bits = 8 * values.itemsize
    with pytest.raises(ImageError, match=f"a.tif has {bits} bits with a sign with no white said; save it as PNG"):
        read_picture(tiff(values, {258: bits, 339: 2}), "a.tif", Fit())


@pytest.mark.parametrize(
    ("values", "tags", "kind"),
    [
        (np.zeros((2, 2), np.float16), {339: 3}, "a TIFF of 16-bit floats"),
        (np.zeros((2, 2), np.float64), {258: 64, 339: 3}, "a TIFF of 64-bit floats"),
        (np.zeros((2, 2, 3), np.float32), {258: 32, 339: 3, 277: 3, 262: 2}, "a TIFF of 32-bit floats in 3 channels"),
        (np.zeros((2, 2), np.uint64), {258: 64}, "a TIFF of 64-bit whole numbers"),
        (np.zeros((2, 2, 7), np.uint8), {258: 8, 277: 7}, "a TIFF of 8-bit whole numbers in 7 channels"),
    ],
)
def test_an_unsupported_tiff_is_described(values: np.ndarray, tags: dict[int, int], kind: str) -> None:
    with pytest.raises(ImageError, match=f"a.tif is {kind}, which is not read here; convert it"):
        read_picture(tiff(values, tags), "a.tif", Fit())


def test_lab_colours_and_damage_are_distinguished() -> None:
    with pytest.raises(ImageError, match="a.tiff is a TIFF in Lab colours, which is not read here"):
        read(Image.new("LAB", (2, 2)), "TIFF")
    for content in (tiff(DEEP.astype(np.float32), {258: 32, 339: 3})[:-8], tiff(DEEP, {})[:-4]):
        with pytest.raises(ImageError, match="could not read a.tif; it is damaged or not an image"):
            read_picture(content, "a.tif", Fit())


@pytest.mark.parametrize(
    ("bits", "levels", "clear", "expected"),
    [
        (1, 0b01010000, 1, [0, 255, 0, 255]),
        (1, 0b01010000, 0, [255, 255, 255, 255]),
        (2, 0b00011011, 1, [0, 255, 170, 255]),
        (2, 0b00011011, 0, [255, 85, 170, 255]),
        (4, 0x0123, 2, [0, 17, 255, 51]),
        (8, 0x00400180, 0x40, [0, 255, 1, 128]),
    ],
)
def test_a_transparent_grey_of_few_bits_is_laid_over_white(
    bits: int, levels: int, clear: int, expected: list[int]
) -> None:
    row = levels.to_bytes((4 * bits + 7) // 8, "big")
    content = png(4, 1, b"\0" + row, bits=bits, colours=0, more=chunk(b"tRNS", struct.pack(">H", clear)))
    found = read_picture(content, "a.png", Fit())
    assert found.pixels.tolist() == [expected]
    assert "laid over white" in found.done


def test_a_transparent_16_bit_colour_is_refused() -> None:
    content = png(1, 1, bytes(7), bits=16, colours=2, more=chunk(b"tRNS", bytes(6)))
    with pytest.raises(ImageError, match="a.png has one clear colour of 16 bits; save it with alpha"):
        read_picture(content, "a.png", Fit())


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_a_palette_of_greys_is_grey(kind: str) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    image.putpalette([10, 10, 10, 90, 90, 90, 40, 40, 40])
    found = read(image, kind)
    assert found.pixels.tolist() == [[10, 90], [40, 90]]
    assert (found.came, found.done) == (f"2 x 2 grey palette, {kind}", ("made grey",))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_grey_palette_is_white(kind: str) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    image.putpalette([10, 10, 10, 255, 0, 255, 40, 40, 40])
    found = read(image, kind, transparency=1)
    assert found.pixels.tolist() == [[10, 255], [40, 255]]
    assert found.done == ("laid over white", "made grey")


def test_an_archive_after_a_picture_is_found_whatever_its_comment() -> None:
    behind = io.BytesIO()
    Image.fromarray(RAMP).save(behind, "JPEG")
    for comment in (b"", b"PK\x05\x06", b"so ends PK\x05\x06" + bytes(40)):
        with pytest.raises(ImageError, match="a.jpg is an archive as well"):
            read_picture(behind.getvalue() + archive({"b": b""}, comment=comment), "a.jpg", Fit())


@pytest.mark.parametrize("size", [(160, 120), (416, 416), (216, 162), (1600, 16), (16, 16)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "PPM"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_side_of_16_pixels_is_not_a_depth(size: tuple[int, int], kind: str, mode: str) -> None:
    found = read(Image.new(mode, size), kind)
    assert not any("bits" in each for each in found.done)


@pytest.mark.parametrize("kind", ["CMYK", "LA", "P", "1", "RGBA", "YCbCr"])
def test_16_pixels_of_other_modes_are_read(kind: str) -> None:
    ending = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(kind, "PNG")
    assert not any("bits" in each for each in read(Image.new(kind, (16, 16)), ending).done)


def deep_png(colours: int, channels: int) -> bytes:
    rows = np.full((2, 2, channels), 0x8000, ">u2")
    return png(2, 2, b"".join(b"\0" + row.tobytes() for row in rows), bits=16, colours=colours)


@pytest.mark.parametrize(
    ("content", "name", "came", "done"),
    [
        (deep_png(2, 3), "a.png", "2 x 2 RGB, PNG", ("upper 8 of 16 bits",)),
        (deep_png(6, 4), "a.png", "2 x 2 RGB with alpha, PNG", ("upper 8 of 16 bits", "laid over white")),
        (deep_png(4, 2), "a.png", "2 x 2 grey with alpha, PNG", ("upper 8 of 16 bits", "laid over white")),
        (deep_png(0, 1), "a.png", "2 x 2 16-bit grey, PNG", ("16 bits kept",)),
        (b"P6 1 1 65535\n" + bytes(6), "a.ppm", "1 x 1 RGB, PPM", ("upper 8 of 16 bits",)),
        (b"P5 1 1 4095\n" + b"\x0f\xff", "a.pgm", "1 x 1 deep grey, PPM", ("16 bits kept",)),
        (b"P6 1 1 255\n" + bytes(3), "a.ppm", "1 x 1 RGB, PPM", ()),
    ],
)
def test_depth_is_recorded(content: bytes, name: str, came: str, done: tuple[str, ...]) -> None:
    found = read_picture(content, name, Fit())
    assert (found.came, found.done) == (came, done)


@pytest.mark.parametrize(
    ("options", "done"),
    [
        ({"icc_profile": b"\0" * 128 + b"Display P3"}, ("colour profile not applied",)),
        ({"icc_profile": b"\0" * 128 + b"sRGB IEC61966-2.1"}, ()),
        ({}, ()),
    ],
)
def test_colour_profiles_that_are_not_applied_are_recorded(options: dict[str, object], done: tuple[str, ...]) -> None:
    assert read(RAMP, "TIFF", **options).done == done


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.heic", b"\0\0\0\x18ftypheic" + bytes(40), "a.heic is HEIC, which is not read here; convert it"),
        ("a.jpg", b"\0\0\0\x18ftypmif1" + bytes(40), "a.jpg is HEIC, which is not read here"),
        ("a.png", b"\0\0\0\x1cftypavif" + bytes(40), "a.png is AVIF, which is not read here"),
        ("a.svg", b"<?xml version='1.0'?><svg/>", "a.svg is SVG, which is not read here"),
        ("a.psd", b"8BPS" + bytes(40), "a.psd is Photoshop, which is not read here"),
        ("a.nef", b"no", "a.nef is a camera's raw format, which is not read here"),
        ("a.png", b"no", "could not read a.png; it is damaged or not an image"),
    ],
)
def test_other_formats_are_named(name: str, content: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_picture(content, name, Fit())


@pytest.mark.parametrize("target", [(2, 2), (8, 8), (3, 12), (4, 4), (1, 7)])
def test_a_crop_is_centred_as_in_pillow(target: tuple[int, int]) -> None:
    found = read(RAMP, fit=Fit(*target))
    asked = ImageOps.fit(Image.fromarray(RAMP), target[::-1], Image.Resampling.BILINEAR)
    assert np.array_equal(found.pixels, np.asarray(asked))
    left, top, right, bottom = found.box
    assert (left + right, top + bottom) == pytest.approx((6, 4))
    assert (right - left) / (bottom - top) == pytest.approx(target[1] / target[0])
    assert found.done[-1] == f"resized to {target[1]} x {target[0]}"


def test_a_stretch_keeps_the_whole_picture() -> None:
    found = read(RAMP, fit=Fit(2, 2, "stretch"))
    assert found.box == (0, 0, 6, 4)
    assert found.done == ("resized to 2 x 2",)
    assert found.pixels.mean() == pytest.approx(RAMP.mean(), abs=0.6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("how", ["crop", "stretch"])
def test_float_colours_are_resized_channel_by_channel(dtype: type, how: str) -> None:
    values = (RAMP / 255).astype(dtype)
    found = fitted_array(values, Fit(3, 3, how))  # type: ignore[arg-type]
    for channel in range(3):
        alone = fitted_array(np.ascontiguousarray(values[..., channel]), Fit(3, 3, how)).pixels  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.pixels[..., channel], alone)
    np.testing.assert_allclose(found.pixels * 255, read(RAMP, fit=Fit(3, 3, how)).pixels, atol=1)  # type: ignore[arg-type]


def test_channels_are_converted() -> None:
    grey = read(RAMP, fit=Fit(channels=1))
    assert np.array_equal(grey.pixels, np.asarray(Image.fromarray(RAMP).convert("L")))
    assert grey.done == ("colours to grey",)
    three = read(RAMP[:, :, 0], fit=Fit(channels=3))
    assert np.array_equal(three.pixels, RAMP[:, :, :1].repeat(3, 2))
    assert three.done == ("grey to three channels",)


@pytest.mark.parametrize(
    ("ending", "kind", "message"),
    [("png", "JPEG", "expected PNG in a.png, it holds JPEG"), ("jpeg", "PNG", "expected JPEG in a.jpeg, it holds PNG")],
)
def test_a_mislabelled_file_is_refused(ending: str, kind: str, message: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, kind)
    with pytest.raises(ImageError, match=message):
        read_picture(buffer.getvalue(), f"a.{ending}", Fit())
