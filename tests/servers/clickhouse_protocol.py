"""What ClickHouse's HTTP interface is made of, apart from HTTP: exceptions, compressed blocks, summaries; and the faults."""

import threading
from collections import deque

import pyarrow

# HTTP status by exception code: ClickHouse's src/Server/HTTP/exceptionCodeToHTTPStatus.cpp. Others are 500.
STATUS_CODES = {
    400: (6, 26, 27, 33, 34, 35, 36, 38, 41, 42, 43, 53, 62, 69, 70, 72, 117),
    401: (194,),
    403: (192, 193, 291, 497, 516),
    404: (16, 46, 47, 50, 60, 73, 81, 115),
    408: (159,),
    413: (501,),
    501: (48,),
    503: (202, 210),
}
STATUS = {code: status for status, codes in STATUS_CODES.items() for code in codes}


class ClickHouseError(Exception):
    """An exception of this interface, in the engine's form."""

    def __init__(self, code, message, name):
        super().__init__(f"Code: {code}. DB::Exception: {message}. ({name})")


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class Reset(Exception):
    """An injected fault: the connection is to be reset."""


class Faults:
    """The faults that wait for their statement."""

    def __init__(self):
        self.lock = threading.Lock()
        self.waiting = deque()

    def add(self, mode, count):
        with self.lock:
            if mode == "none":
                self.waiting.clear()
            else:
                self.waiting.extend([mode] * count)

    def next(self):
        with self.lock:
            return self.waiting.popleft() if self.waiting else None


class NativeBlocks:
    """ClickHouse's own framing: 16 B checksum | method | u32 size + 9 | u32 plain size | data, little endian."""

    HEAD = 25
    LZ4, ZSTD, NONE = 0x82, 0x90, 0x02
    CODECS = {LZ4: pyarrow.Codec("lz4_raw"), ZSTD: pyarrow.Codec("zstd")}

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, data):
        """Takes the next bytes, gives the plain data of every block they complete."""
        self.buffer += data
        plain = []
        while len(self.buffer) >= self.HEAD:
            method = self.buffer[16]
            end = 16 + int.from_bytes(self.buffer[17:21], "little")
            size = int.from_bytes(self.buffer[21:25], "little")
            if len(self.buffer) < end:
                break
            block = bytes(self.buffer[self.HEAD:end])
            del self.buffer[:end]
            if method == self.NONE:
                plain.append(block)
            elif method in self.CODECS:
                plain.append(self.CODECS[method].decompress(block, decompressed_size=size, asbytes=True))
            else:
                raise ClickHouseError(89, f"Unknown compression method {method}", "UNKNOWN_COMPRESSION_METHOD")
        return plain

    def end(self):
        if self.buffer:
            raise ClickHouseError(33, "Cannot read all data", "CANNOT_READ_ALL_DATA")


def summary(**known):
    """ClickHouse's summary: every number as text, those not known 0."""
    names = ("read_rows", "read_bytes", "written_rows", "written_bytes", "total_rows_to_read", "result_rows", "result_bytes",
             "elapsed_ns")
    return {name: str(int(known.get(name, 0))) for name in names}
