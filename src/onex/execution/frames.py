"""Messages between host and worker: JSON in frames of a 4-byte length. Nothing is unpickled."""

from __future__ import annotations

import json
import struct
from typing import IO, NoReturn

from onex.domain.json_value import JsonObject, JsonValue

MAXIMUM_FRAME_BYTES = 64 * 1024 * 1024

_HEADER = struct.Struct(">I")


class FrameError(Exception):
    """The peer sent something that is not a message within the limits."""


def encode(message: JsonObject) -> bytes:
    """A message as a frame; raises FrameError where it is larger than a frame may be."""
    body = json.dumps(message, allow_nan=False, separators=(",", ":")).encode()
    if len(body) > MAXIMUM_FRAME_BYTES:
        raise FrameError(
            f"the message has {len(body)} bytes, more than {MAXIMUM_FRAME_BYTES // 1024**2} MiB"
        )
    return _HEADER.pack(len(body)) + body


def read(stream: IO[bytes]) -> JsonObject | None:
    """The next message, or None at the end of the stream.

    Raises:
        FrameError: the frame is too large, cut off, or not a JSON object.
    """
    header = stream.read(_HEADER.size)
    if not header:
        return None
    if len(header) < _HEADER.size:
        raise FrameError("the stream ends within a frame")
    (size,) = _HEADER.unpack(header)
    if size > MAXIMUM_FRAME_BYTES:
        raise FrameError(f"a frame claims {size} bytes")
    body = stream.read(size)
    if len(body) < size:
        raise FrameError("the stream ends within a frame")
    try:
        message = parse_json(body)
    except ValueError as error:
        raise FrameError(f"a frame is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise FrameError("a frame is not a JSON object")
    return message


def parse_json(text: bytes) -> JsonValue:
    """Read JSON as RFC 8259 has it, without NaN and infinity.

    Raises:
        ValueError: it is not that, or is nested too deeply.
    """
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
