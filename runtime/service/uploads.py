"""A picture from the network: received within bytes and seconds, measured before it is decoded, and encoded again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError
from starlette.requests import ClientDisconnect, Request

from runtime.frames import Frame
from runtime.images import decode_picture
from runtime.manifest import ImagePort
from runtime.service.limits import Budget, Limits
from runtime.service.refusal import Refusal

FORMATS = {"PNG": ("image/png", ".png"), "JPEG": ("image/jpeg", ".jpg"), "TIFF": ("image/tiff", ".tif")}
_NAMES = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "tif": "TIFF", "tiff": "TIFF"}
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class Picture:
    """What the head of a file says."""

    format: str  # a key of FORMATS
    width: int
    height: int


async def receive_body(request: Request, limits: Limits, budget: Budget) -> bytes:
    """The whole body of a request.

    Raises:
        Refusal: it is too large (413), too slow (408), broken off (400), or too much is being received already (429).
    """
    size = _declared_size(request, limits.upload_bytes)
    with budget.take(size):
        try:
            return await asyncio.wait_for(_collect(request, limits.upload_bytes), limits.upload_s)
        except asyncio.TimeoutError:
            raise Refusal(
                408, "too_slow", f"the body did not arrive within {limits.upload_s:g} s", {"Connection": "close"}
            ) from None
        except ClientDisconnect:
            raise Refusal(400, "broken_off", "the connection ended before the body was whole") from None


def _declared_size(request: Request, most: int) -> int:
    """Content-Length, or the most allowed where the client does not say."""
    text = request.headers.get("content-length", "")
    size = int(text) if text.isdecimal() else most
    if size > most:
        raise _too_large(most)
    return size


async def _collect(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise _too_large(most)
    return bytes(body)


def _too_large(most: int) -> Refusal:
    return Refusal(413, "too_large", f"a body may have {most} bytes at most; send a smaller picture, or --max-upload")


def measure(data: bytes, most_pixels: int) -> Picture:
    """Format and size from the head of a file; no pixel is decoded.

    Raises:
        Refusal: it is no PNG, JPEG or TIFF (415), has too many pixels (413) or several pages (422).
    """
    try:
        with Image.open(BytesIO(data), formats=list(FORMATS)) as image:
            picture = Picture(str(image.format), image.width, image.height)
            pages = _has_second_page(image)
    except UnidentifiedImageError:
        raise Refusal(415, "not_a_picture", "the body is no PNG, JPEG or TIFF picture") from None
    except Image.DecompressionBombError:
        raise _too_many_pixels(most_pixels) from None
    except Exception:  # Pillow's readers raise whatever a broken head makes them stumble over
        raise _damaged() from None
    if picture.format not in FORMATS:  # MPO, a JPEG with a second one inside
        raise Refusal(415, "not_a_picture", f"{picture.format} is not read; send PNG, JPEG or TIFF")
    if picture.width * picture.height > most_pixels:
        raise _too_many_pixels(most_pixels)
    if pages:
        raise Refusal(422, "several_pages", "the file holds several pages; send one at a time")
    return picture


def decode(data: bytes, port: ImagePort) -> Frame:
    """(H, W, C) as the engine takes it, of any size.

    Raises:
        Refusal: it is damaged, or has other channels or another depth than the engine takes (422).
    """
    frame = decode_picture(data)
    if frame is None:
        raise _damaged()
    if frame.shape[2] != port.channels or frame.dtype != port.dtype:
        raise Refusal(
            422, "wrong_pixels",
            f"the picture has {frame.shape[2]} channel(s) of {frame.dtype}, the engine takes {port.channels} of "
            f"{port.dtype}; convert it first",
        )  # fmt: skip
    return frame


def chosen_format(request: Request, sent: str) -> str:
    """The format of the answer: `?format=`, else the Accept header, else the one that was sent. Raises Refusal."""
    text = request.query_params.get("format", "").lower()
    if text:
        if text not in _NAMES:
            raise Refusal(400, "unknown_format", f"format={text[:20]!r} is not one of {', '.join(_NAMES)}")
        return _NAMES[text]
    accepted = request.headers.get("accept", "*/*")
    named = [name for name, (media_type, _) in FORMATS.items() if media_type in accepted]
    return named[0] if named and sent not in named else sent


def encode(frame: Frame, name: str) -> bytes:
    """A frame in one of FORMATS. Raises Refusal (422) where the format cannot hold it."""
    if name == "JPEG" and frame.dtype != np.uint8:
        raise Refusal(422, "wrong_format", "a JPEG cannot hold 16-bit pixels; ask for ?format=png")
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if name == "JPEG" else []
    done, data = cv2.imencode(FORMATS[name][1], frame, quality)
    if not done:
        raise Refusal(422, "wrong_format", f"{name} cannot hold a {frame.shape} {frame.dtype} picture; ask for PNG")
    return data.tobytes()


def _has_second_page(image: Image.Image) -> bool:
    with suppress(EOFError):
        image.seek(1)  # reads one more head, not all of them
        return True
    return False


def _too_many_pixels(most: int) -> Refusal:
    return Refusal(413, "too_many_pixels", f"a picture may have {most} pixels at most; send a smaller one")


def _damaged() -> Refusal:
    return Refusal(422, "damaged", "the picture is damaged or cut off; send it again")
