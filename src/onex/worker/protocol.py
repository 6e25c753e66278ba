"""Messages between host and worker: JSON in frames of a 4-byte length. Nothing is unpickled."""

from __future__ import annotations

import json
import struct
from typing import IO, NoReturn

from onex.domain.json_value import JsonObject, JsonValue

MAXIMUM_FRAME_BYTES = 64 * 1024 * 1024

_HEADER = struct.Struct(">I")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Made once: making one takes longer than a short message.
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


class FrameError(Exception):
    """The peer sent something that is not a message within the limits."""


def encode(message: JsonObject) -> bytes:
    """A message as a frame; raises FrameError if it is larger than a frame may be."""
    body = _ENCODER.encode(message).encode()
    if len(body) > MAXIMUM_FRAME_BYTES:
        raise FrameError(
            f"the message has {len(body)} bytes, more than {MAXIMUM_FRAME_BYTES // 1024**2} MiB"
        )
    return _HEADER.pack(len(body)) + body


class FrameBuffer:
    """Puts messages together from bytes as they come in."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what came in."""
        self._bytes += data

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of a message that has begun."""
        return not self._bytes

    def take(self) -> JsonObject | None:
        """The next message, None as long as it is not whole.

        Raises:
            FrameError: the frame is too large, or not a JSON object.
        """
        if len(self._bytes) < _HEADER.size:
            return None
        (size,) = _HEADER.unpack_from(self._bytes)
        if size > MAXIMUM_FRAME_BYTES:
            raise FrameError(f"a frame claims {size} bytes")
        end = _HEADER.size + size
        if len(self._bytes) < end:
            return None
        body = bytes(memoryview(self._bytes)[_HEADER.size : end])
        del self._bytes[:end]
        try:
            message = parse_json(body)
        except ValueError as error:
            raise FrameError(f"a frame is not JSON: {error}") from error
        if not isinstance(message, dict):
            raise FrameError("a frame is not a JSON object")
        return message


def read(stream: IO[bytes]) -> JsonObject | None:
    """The next message of a stream that blocks, or None at its end.

    Raises:
        FrameError: as ``FrameBuffer.take``, or the stream ends within a frame.
    """
    buffer = FrameBuffer()
    header = stream.read(_HEADER.size)
    if not header:
        return None
    buffer.feed(header)
    if len(header) == _HEADER.size:
        (size,) = _HEADER.unpack(header)
        if size <= MAXIMUM_FRAME_BYTES:
            buffer.feed(stream.read(size))
    message = buffer.take()
    if message is None:
        raise FrameError("the stream ends within a frame")
    return message


def parse_json(text: bytes) -> JsonValue:
    """Read JSON as RFC 8259 has it, without NaN and infinity.

    Raises:
        ValueError: it is not that, or is nested too deeply.
    """
    try:
        value: JsonValue = _DECODER.decode(text.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value
