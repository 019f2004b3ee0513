"""Content codings as a client undoes them, whole or as they come."""

import ctypes
import ctypes.util
import zlib

_lib = ctypes.CDLL(ctypes.util.find_library("brotlidec") or "libbrotlidec.so.1")
_lib.BrotliDecoderCreateInstance.restype = ctypes.c_void_p
_lib.BrotliDecoderCreateInstance.argtypes = [ctypes.c_void_p] * 3
_lib.BrotliDecoderDestroyInstance.argtypes = [ctypes.c_void_p]
_lib.BrotliDecoderIsFinished.argtypes = [ctypes.c_void_p]
_lib.BrotliDecoderDecompressStream.argtypes = [ctypes.c_void_p] * 6
ERROR = 0


class Brotli:
    """decode() gives what can be known so far; is_whole says whether the stream has ended as it should."""

    def __init__(self):
        self._state = ctypes.c_void_p(_lib.BrotliDecoderCreateInstance(None, None, None))
        self.is_whole = False

    def decode(self, data):
        source = ctypes.create_string_buffer(bytes(data), len(data) or 1)
        at, left = ctypes.c_void_p(ctypes.addressof(source)), ctypes.c_size_t(len(data))
        room, out = ctypes.create_string_buffer(65536), b""
        while True:
            to, free = ctypes.c_void_p(ctypes.addressof(room)), ctypes.c_size_t(len(room))
            result = _lib.BrotliDecoderDecompressStream(self._state, ctypes.byref(left), ctypes.byref(at), ctypes.byref(free),
                                                        ctypes.byref(to), None)
            assert result != ERROR, "damaged brotli"
            out += room.raw[:len(room) - free.value]
            if free.value:
                self.is_whole = bool(_lib.BrotliDecoderIsFinished(self._state))
                assert not (self.is_whole and left.value), "bytes after the end of the brotli stream"
                return out

    def __del__(self):
        _lib.BrotliDecoderDestroyInstance(self._state)


class Gzip:
    def __init__(self):
        self._state, self.is_whole = zlib.decompressobj(31), False

    def decode(self, data):
        out = self._state.decompress(data)
        self.is_whole = self._state.eof
        assert not self._state.unused_data, "bytes after the end of the gzip stream"
        return out


class Identity:
    is_whole = True

    @staticmethod
    def decode(data):
        return bytes(data)


def decoder(coding):
    return {"br": Brotli, "gzip": Gzip, None: Identity}[coding]()


def decoded(response):
    """The body of a response without its coding; fails when it is cut or damaged."""
    undo = decoder(response.headers.get("Content-Encoding"))
    body = undo.decode(response.body)
    assert undo.is_whole, "the coded body is cut short"
    return body
