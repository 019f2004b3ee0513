#!/usr/bin/env python3
"""Writes fields_slots.h: the slots of the perfect hash over the names of fields.h.

Run it in this directory after a change of rows. It looks for a multiplier under which no two names share a slot
of fields.c's hash; both must compute the same thing.
"""
import random
import re

BITS = 11
rows = re.findall(r'^\tX\((\w+),\s+"([^"]+)"', open("fields.h").read(), re.M)


def word(name):
    n = len(name)
    at = [ord(c) | 0x20 for c in (name[0], name[n // 2], name[n * 7 // 8], name[n - 1])]
    return (at[0] | at[1] << 8 | at[2] << 16 | at[3] << 24) + n * 0x9E3779 & 0xFFFFFFFF


words = [word(name) for _, name in rows]
assert len(set(words)) == len(words), "two names look the same to the hash: let it read another letter"
random.seed(1)
while True:
    mul = random.getrandbits(32) | 1
    if len({(w * mul & 0xFFFFFFFF) >> (32 - BITS) for w in words}) == len(words):
        break
with open("fields_slots.h", "w") as out:
    out.write("/* http/fields_slots.h - written by fields_slots.py from the rows of fields.h; fields.c alone reads it. */\n")
    out.write("#define SLOT_MUL 0x%08xU\n#define SLOT_SHIFT %d\n\n" % (mul, 32 - BITS))
    out.write("static const unsigned char slots[1 << %d] = {\n" % BITS)
    for (ident, _), w in sorted(zip(rows, words), key=lambda p: (p[1] * mul & 0xFFFFFFFF) >> (32 - BITS)):
        out.write("    [%d] = FIELD_%s,\n" % ((w * mul & 0xFFFFFFFF) >> (32 - BITS), ident))
    out.write("};\n")
