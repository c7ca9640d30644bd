"""Reading TFRecord files without TensorFlow, with their checksums.

A record is its length (uint64), the checksum of the length, the bytes, and the checksum of the bytes; checksums are
masked CRC-32C (`tensorflow/core/lib/io/record_writer.h`).
"""

import functools
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from i2v_jax.errors import UserError

_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
_POLYNOMIAL = 0x82F63B78  # of CRC-32C, its bits reversed
_LANES = 4096  # blocks whose checksums are computed at the same time


def index(file: BinaryIO, begin: int, size: int) -> Iterator[int]:
    """Yields the offset of each record of a TFRecord file, without reading the records.

    Args:
        file: that holds the TFRecord file.
        begin: offset of its first byte.
        size: its number of bytes.

    Raises:
        UserError: a length is damaged, or the last record is truncated; the records before were yielded.
    """
    offset, end = begin, begin + size
    while offset < end:
        file.seek(offset)
        length = _length(file.read(_HEADER.size))
        after = offset + _HEADER.size + length + _CHECKSUM.size
        if after > end:
            raise UserError("the last record is truncated: download the file again")
        yield offset
        offset = after


def read(file: BinaryIO, offset: int) -> bytes:
    """Returns the record at an offset that `index` gave. Raises UserError if it is damaged or truncated."""
    file.seek(offset)
    length = _length(file.read(_HEADER.size))
    data, checksum = file.read(length), file.read(_CHECKSUM.size)
    if len(data) < length or len(checksum) < _CHECKSUM.size:
        raise UserError("the record is truncated: download the file again")
    if masked_crc32c(data) != _CHECKSUM.unpack(checksum)[0]:
        raise UserError("the record does not have its checksum, so it is damaged: download the file again")
    return data


def _length(header: bytes) -> int:
    if len(header) < _HEADER.size:
        raise UserError("the last record is truncated: download the file again")
    length, checksum = _HEADER.unpack(header)
    if masked_crc32c(header[: -_CHECKSUM.size]) != checksum:
        raise UserError("a length does not have its checksum, so this is no TFRecord file, or it is damaged")
    return length


def masked_crc32c(data: bytes) -> int:
    """Returns the CRC-32C of `data`, rotated and shifted as TFRecord files store it."""
    checksum = crc32c(data)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """Returns the CRC-32C of `data`.

    The data is divided into blocks whose checksums are computed at the same time, and pairs of neighbors are combined
    until one is left: a checksum that starts at 0 is linear over GF(2), and zeros before the data do not change it.
    """
    table = _table()
    if len(data) < _LANES:
        state = 0xFFFFFFFF
        for byte in data:
            state = int(table[(state ^ byte) & 0xFF]) ^ state >> 8
        return state ^ 0xFFFFFFFF
    length = -(-len(data) // _LANES)
    padded = np.zeros(_LANES * length, np.uint8)
    padded[-len(data) :] = np.frombuffer(data, np.uint8)
    padded[padded.size - len(data) :][:4] ^= 0xFF  # the same as to start at 0xFFFFFFFF
    states = np.zeros(_LANES, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(_LANES, length).T):
        states = table[(states ^ column) & 0xFF] ^ (states >> np.uint32(8))
    while len(states) > 1:
        states = _apply(_zeros_operator(length), states[0::2]) ^ states[1::2]
        length *= 2
    return int(states[0]) ^ 0xFFFFFFFF


@functools.cache
def _table() -> np.ndarray:
    """Returns the checksum of each byte, uint32 [256]."""
    states = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        states = np.where(states & 1, states >> np.uint32(1) ^ np.uint32(_POLYNOMIAL), states >> np.uint32(1))
    return states.astype(np.uint32)


@functools.cache
def _zeros_operator(count: int) -> np.ndarray:
    """Returns what `count` zeros after the data do to each bit of its checksum, uint32 [32]."""
    if count == 1:
        bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
        return _table()[bits & 0xFF] ^ (bits >> np.uint32(8))
    half = _zeros_operator(count // 2)
    even = _apply(half, half)
    return _apply(_zeros_operator(1), even) if count % 2 else even


def _apply(operator: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Returns the linear map of an operator uint32 [32] applied to each of the states, uint32 [N]."""
    result = np.zeros_like(states)
    for bit in range(32):
        result ^= ((states >> np.uint32(bit)) & np.uint32(1)) * operator[bit]
    return result
