"""One image: which bytes become which pixels, and which are refused."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from synthgen.data.pixels import MAX_PIXELS, decode, encode_png, fit_square, inside, read_header, resize

RAMP = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)  # no two turns of it look alike


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    output = io.BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def gray_of(data: bytes) -> np.ndarray:
    return decode(data, channels=1).pixels[..., 0]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_lossless_formats_give_their_pixels(kind: str) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    decoded = decode(
        encoded(Image.fromarray(colour), kind, **({"lossless": True} if kind == "WEBP" else {})), channels=3
    )
    assert np.array_equal(decoded.pixels, colour)
    assert decoded.changes == ()


def test_jpeg_is_read_and_cmyk_is_colour() -> None:
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert not read_header(encoded(red, "JPEG")).gray
    assert np.abs(decode(encoded(red, "JPEG"), channels=3).pixels.astype(int) - (254, 0, 0)).max() < 8


@pytest.mark.parametrize(
    ("mode", "gray"), [("1", True), ("L", True), ("LA", True), ("P", False), ("RGB", False), ("RGBA", False)]
)
def test_the_header_tells_gray_from_colour(mode: str, gray: bool) -> None:
    header = read_header(encoded(Image.fromarray(RAMP).convert(mode)))
    assert (header.height, header.width, header.gray) == (4, 6, gray)


def test_gray_as_colour_and_palettes_keep_their_levels() -> None:
    assert np.array_equal(decode(encoded(Image.fromarray(RAMP)), channels=3).pixels, np.stack([RAMP] * 3, axis=-1))
    assert np.array_equal(gray_of(encoded(Image.fromarray(RAMP).convert("P"))), RAMP)
    bits = decode(encoded(Image.fromarray(RAMP > 100)), channels=1).pixels[..., 0]
    assert np.array_equal(bits, np.where(RAMP > 100, 255, 0))


def test_sixteen_bits_are_scaled_not_cut() -> None:
    deep = np.array([[0, 257, 25_700, 65_535]], dtype=np.uint16)
    data = encoded(Image.fromarray(deep))
    assert read_header(data).gray
    assert gray_of(data).tolist() == [[0, 1, 100, 255]]
    assert decode(data, channels=1).changes == ("of 16 bits per pixel, scaled to 8",)


@pytest.mark.parametrize(("mode", "channels"), [("LA", 1), ("RGBA", 3), ("P", 3)])
def test_transparency_is_laid_on_white(mode: str, channels: int) -> None:
    image = Image.new("LA" if mode == "LA" else "RGBA", (3, 1))
    for x, alpha in enumerate((0, 255, 51)):
        image.putpixel((x, 0), (100, alpha) if mode == "LA" else (100, 100, 100, alpha))
    options: dict[str, object] = {}
    if mode == "P":
        image, options = Image.new("P", (3, 1), 1), {"transparency": 1}
        image.putpalette([9, 9, 9, 100, 100, 100])
    decoded = decode(encoded(image, **options), channels=channels)
    expected = [255, 255, 255] if mode == "P" else [255, 100, 224]
    assert decoded.pixels[0, :, 0].tolist() == expected
    assert decoded.changes == ("transparent, laid on white",)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    stored = {
        1: RAMP,
        2: RAMP[:, ::-1],
        3: RAMP[::-1, ::-1],
        4: RAMP[::-1],
        5: RAMP.T,
        6: np.rot90(RAMP),
        7: RAMP[::-1, ::-1].T,
        8: np.rot90(RAMP, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encoded(Image.fromarray(np.ascontiguousarray(stored)), exif=exif), channels=1)
    assert np.array_equal(decoded.pixels[..., 0], RAMP)
    assert decoded.changes == (("turned as their EXIF orientation says",) if orientation > 1 else ())


def test_exif_that_cannot_be_read_is_no_orientation() -> None:
    data = encoded(Image.fromarray(RAMP), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(gray_of(data), RAMP)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue", "green")]
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options), channels=3)
    assert decoded.pixels[0, 0].tolist() == [255, 0, 0]
    assert decoded.changes == ("animated: the first frame was taken",)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"hello", "is no image of a format that is read (PNG, JPEG, WEBP, BMP are)"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is SVG, which is not read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is EPS, which is not read"),
        (encoded(Image.fromarray(RAMP), "GIF"), "is GIF, which is not read"),
        (encoded(Image.fromarray(RAMP), "TIFF"), "is TIFF, which is not read"),
        (claiming(4001, 4000), "has more than 16 megapixels"),
        (claiming(10_000, 10_000), "has more than 16 megapixels"),
        (claiming(20_000, 20_000), "has more than 16 megapixels"),
        (claiming(10, 0), "is no image|is damaged"),
        (encoded(Image.effect_noise((64, 64), 90))[:900], "is damaged or cut short"),
        (encoded(Image.effect_noise((64, 64), 90), "JPEG")[:900], "is damaged or cut short"),
    ],
    ids=["empty", "text", "svg", "eps", "gif", "tiff", "16 MP", "100 MP", "400 MP", "0x10", "short png", "short jpeg"],
)
def test_what_is_refused_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        decode(data, channels=3)
    assert any(part in str(caught.value) for part in reason.split("|"))


def test_an_image_at_the_cap_is_looked_at() -> None:
    header = read_header(claiming(4000, 4000))
    assert header.height * header.width == MAX_PIXELS


@pytest.mark.parametrize("channels", [1, 3])
def test_png_round_trip_is_exact_and_the_same_every_time(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 5, channels), dtype=np.uint8)
    data = encode_png(pixels, text={"synthgen": "real"})
    assert data == encode_png(pixels.copy(), text={"synthgen": "real"})
    assert np.array_equal(decode(data, channels=channels).pixels, pixels)
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["synthgen"] == "real"


def test_a_square_of_the_size_is_untouched() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert fit_square(pixels, size=8, fit="pad") is pixels
    assert resize(pixels, height=8, width=8) is pixels


def test_pad_keeps_everything_and_crop_keeps_the_middle() -> None:
    wide = np.zeros((8, 16, 1), dtype=np.uint8)
    wide[:, 4:12] = 200
    padded = fit_square(wide, size=16, fit="pad")
    assert np.array_equal(padded[4:12], wide)
    assert not padded[:4].any()
    assert not padded[12:].any()
    assert np.array_equal(fit_square(wide, size=8, fit="crop"), wide[:, 4:12])
    assert np.array_equal(fit_square(wide.transpose(1, 0, 2), size=8, fit="crop")[..., 0], wide[:, 4:12, 0].T)


def test_a_line_keeps_a_pixel() -> None:
    assert inside(1, 1000, size=8) == (slice(3, 4), slice(0, 8))
    assert fit_square(np.full((1, 1000, 3), 7, dtype=np.uint8), size=8, fit="pad").max() == 7
