#!/usr/bin/env python3
"""Writes hpack_codes.h: HPACK's Huffman code (RFC 7541 appendix B) as http/hpack.c looks it up.

The code is canonical: its lengths say all of it. Codes of one length follow one another in the order of their symbols, and
those of the next length go on behind them.
"""
LENGTHS = [13, 23] + [28] * 7 + [24, 30, 28, 28, 30] + [28] * 8 + [30] + [28] * 9 + [
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30]  # the last is EOS
SHORT = 8

assert len(LENGTHS) == 257 and sum(2 ** (30 - n) for n in LENGTHS) == 2 ** 30
order = sorted(range(257), key=lambda symbol: (LENGTHS[symbol], symbol))
short, rows, symbols, code, before = [], [], [], 0, LENGTHS[order[0]]
for symbol in order:
    n = LENGTHS[symbol]
    code <<= n - before
    before = n
    if n <= SHORT:
        short += [(symbol, n)] * 2 ** (SHORT - n)
    else:
        if not rows or rows[-1][0] != n:
            rows.append([n, code, len(symbols), 0])
        symbols.append(symbol)
        rows[-1][3] = (code + 1) << (32 - n)
    code += 1


def lines(items, width):
    return "".join("    " + ", ".join(items[i:i + width]) + ",\n" for i in range(0, len(items), width))


with open("hpack_codes.h", "w") as out:
    out.write("/* http/hpack_codes.h - written by hpack_codes.py; http/hpack.c alone reads it. */\n/* clang-format off */\n")
    out.write("/* By the first eight bits: symbol and length of a code that is no longer; {0, 0}: it is. */\n")
    out.write("static const struct { uint8_t symbol, length; } short_codes[256] = {\n")
    out.write(lines(["{%d, %d}" % pair for pair in short], 12) + "};\n")
    out.write("/* The others, by length: the first code, where its symbol stands, and the least 32 bits beyond the last one. */\n")
    out.write("static const struct { uint8_t length; uint32_t first; uint16_t at; uint64_t end; } long_codes[] = {\n")
    out.write(lines(["{%d, 0x%x, %d, 0x%x}" % tuple(row) for row in rows], 4) + "};\n")
    out.write("static const uint16_t long_symbols[] = {\n" + lines([str(s) for s in symbols], 20) + "};\n/* clang-format on */\n")
