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


_zstd = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
_zstd.ZSTD_createDCtx.restype = ctypes.c_void_p
_zstd.ZSTD_freeDCtx.argtypes = [ctypes.c_void_p]
_zstd.ZSTD_DCtx_setParameter.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
_zstd.ZSTD_decompressStream.argtypes = [ctypes.c_void_p] * 3
_zstd.ZSTD_decompressStream.restype = ctypes.c_size_t
_zstd.ZSTD_compressBound.argtypes, _zstd.ZSTD_compressBound.restype = [ctypes.c_size_t], ctypes.c_size_t
_zstd.ZSTD_compress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_zstd.ZSTD_compress.restype = ctypes.c_size_t
_zstd.ZSTD_isError.argtypes = [ctypes.c_size_t]
WINDOW_LOG_MAX = 100            # ZSTD_d_windowLogMax


class _Bytes(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t)]


class Zstd:
    """As browsers undo it: with a window of 8 MiB at most (RFC 9659)."""

    def __init__(self):
        self._state, self.is_whole = ctypes.c_void_p(_zstd.ZSTD_createDCtx()), False
        _zstd.ZSTD_DCtx_setParameter(self._state, WINDOW_LOG_MAX, 23)

    def decode(self, data):
        source, room, out = ctypes.create_string_buffer(bytes(data), len(data) or 1), ctypes.create_string_buffer(65536), b""
        given = _Bytes(ctypes.addressof(source), len(data), 0)
        while data:
            assert not (self.is_whole and given.pos < given.size), "bytes after the end of the zstd frame"
            taken = _Bytes(ctypes.addressof(room), len(room), 0)
            left = _zstd.ZSTD_decompressStream(self._state, ctypes.byref(taken), ctypes.byref(given))
            assert not _zstd.ZSTD_isError(left), "damaged zstd"
            out += room.raw[:taken.pos]
            self.is_whole = left == 0
            if given.pos == given.size and taken.pos < taken.size:
                break
        return out

    def __del__(self):
        _zstd.ZSTD_freeDCtx(self._state)


def zstd(data, level=3):
    """One frame of it, as an origin sends it."""
    room = ctypes.create_string_buffer(_zstd.ZSTD_compressBound(len(data)))
    n = _zstd.ZSTD_compress(room, len(room), bytes(data), len(data), level)
    assert not _zstd.ZSTD_isError(n)
    return room.raw[:n]


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
    return {"br": Brotli, "gzip": Gzip, "zstd": Zstd, None: Identity}[coding]()


def decoded(response):
    """The body of a response without its coding; fails when it is cut or damaged."""
    undo = decoder(response.headers.get("Content-Encoding"))
    body = undo.decode(response.body)
    assert undo.is_whole, "the coded body is cut short"
    return body
