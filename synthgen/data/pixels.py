"""One image: bytes to pixels under caps, pixels to PNG, pixels to another size. The only place that knows Pillow.

Read are PNG, JPEG, WEBP and BMP of at most 16 megapixels, the first frame alone, turned as their EXIF says; no other
decoder is reached. May import nothing of synthgen.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

Fit = Literal["pad", "crop"]

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MAX_PIXELS = 16_000_000
_GRAY = ("1", "L", "LA", "La", "I", "F")
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_OTHER_FORMATS = {b"GIF8": "GIF", b"%!PS": "EPS", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"<svg": "SVG", b"<?xm": "SVG"}


@dataclass(frozen=True)
class Header:
    """What an image says of itself before it is decoded: its size in pixels, and whether it is without colour."""

    height: int
    width: int
    gray: bool


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image's ``pixels`` (H, W, C) uint8, and in ``changes`` what was done to them, in words."""

    pixels: np.ndarray
    changes: tuple[str, ...]


def read_header(data: bytes) -> Header:
    """Return what ``data`` says of itself. Raises ValueError with the reason where it is no image that is read."""
    with _opened(data) as image:
        return Header(image.height, image.width, image.mode in _GRAY or image.mode.startswith("I;16"))


def decode(data: bytes, *, channels: int) -> Decoded:
    """Return the pixels of an encoded image with 1 channel (gray) or 3 (RGB).

    Of an animation the first frame; turned upright by EXIF; transparent pixels laid on white; 16-bit gray scaled by
    255 / 65535; palettes and CMYK as their colours. Raises ValueError with the reason for what cannot be decoded.
    """
    with _opened(data) as image:
        changes = []
        if getattr(image, "n_frames", 1) > 1:
            changes.append("animated: the first frame was taken")
        image.load()
        upright = _upright(image)
        if upright is not image:
            changes.append("turned as their EXIF orientation says")
        if upright.mode.startswith("I"):
            deep = np.asarray(upright).astype(np.uint32)
            changes.append("of 16 bits per pixel, scaled to 8")
            upright = Image.fromarray(((deep.clip(0, 65535) + 128) // 257).astype(np.uint8))
        elif upright.mode in _ALPHA or "transparency" in upright.info:
            changes.append("transparent, laid on white")
            upright = Image.fromarray(on_white(np.asarray(upright.convert("RGBA"))))
        pixels = np.asarray(upright.convert("L" if channels == 1 else "RGB"))
        return Decoded(pixels.reshape(*pixels.shape[:2], channels), tuple(changes))


def on_white(pixels: np.ndarray) -> np.ndarray:
    """Return RGBA pixels (..., 4) uint8 laid on white: (..., 3) uint8."""
    colour, alpha = pixels[..., :3].astype(np.uint16), pixels[..., 3:].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def encode_png(pixels: np.ndarray, *, text: Mapping[str, str] | None = None) -> bytes:
    """Return (H, W, C) uint8 pixels as PNG, always with the same settings; ``text`` becomes tEXt chunks."""
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, value)
    output = io.BytesIO()
    _image(pixels).save(output, "PNG", compress_level=6, pnginfo=info)
    return output.getvalue()


def fit_square(pixels: np.ndarray, *, size: int, fit: Fit) -> np.ndarray:
    """Return (H, W, C) pixels as (size, size, C), the aspect kept; pixels of that size come back untouched.

    ``pad``: the longer side becomes ``size`` and black is added; ``crop``: the shorter side does and the middle stays.
    """
    height, width, channels = pixels.shape
    if height == width == size:
        return pixels
    if fit == "crop":
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        return resize(pixels[top : top + short, left : left + short], height=size, width=size)
    rows, columns = inside(height, width, size=size)
    out = np.zeros((size, size, channels), dtype=np.uint8)
    out[rows, columns] = resize(pixels, height=rows.stop - rows.start, width=columns.stop - columns.start)
    return out


def inside(height: int, width: int, *, size: int) -> tuple[slice, slice]:
    """Return the rows and columns that an image of this aspect takes in the middle of a square."""
    longer = max(height, width)
    h, w = (max(1, round(side * size / longer)) for side in (height, width))
    top, left = (size - h) // 2, (size - w) // 2
    return slice(top, top + h), slice(left, left + w)


def resize(pixels: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Return (H, W, C) pixels resampled (bicubic, antialiased) to (height, width, C); same size, same pixels."""
    if pixels.shape[:2] == (height, width):
        return pixels
    resized = _image(pixels).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized).reshape(height, width, pixels.shape[2])


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """The image of ``data``. Whatever a decoder raises on the way comes out as a ValueError with a reason."""
    if not data:
        raise ValueError("is empty")
    try:
        # a decoder's warnings are about single files: what matters of them is decided here
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if math.prod(image.size) > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except Image.DecompressionBombError:
        raise ValueError(f"has more than {MAX_PIXELS // 10**6} megapixels") from None
    except UnidentifiedImageError:
        found = _OTHER_FORMATS.get(data.lstrip()[:4])
        what = f"is {found}, which is not read" if found else "is no image of a format that is read"
        raise ValueError(f"{what} ({', '.join(FORMATS)} are)") from None
    except Exception as error:  # what decoders raise for damaged bytes is not documented and differs by format
        raise ValueError("is damaged or cut short") from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF that cannot be read says nothing about the pixels
        turn = None
    return image if turn is None else image.transpose(turn)
