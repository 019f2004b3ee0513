/* cache/l2wire.h - the bytes around a value in Redis: the fixed head in front, the seal behind. What stands between is
 * cache/l2value.h's.
 */
#ifndef CACHE_L2WIRE_H
#define CACHE_L2WIRE_H

#include "cache/l2value.h"

#define L2_MAGIC 0x324c4246u /* "FBL2" */
#define L2_VERSION 4
#define L2_SEAL_BYTES 8			      /* the shortest seal: XXH3 */
#define L2_LIFE_MAX_MS (400ll * 86400 * 1000) /* no time in a value is longer */
#define L2_PEEK_PIECES 16		      /* of a body, at a time */

enum {
	L2_KIND_OBJECT = 0,
	L2_KIND_INDEX = 1,
};
enum {
	L2_FLAG_SIGNED = 1,
	L2_FLAG_PACKED = 2,
	L2_FLAG_NO_CACHE = 4,
	L2_FLAG_NO_STALE = 8,
	L2_FLAG_LIFE_BY_ROUTE = 16,
	L2_FLAG_TEXT = 32,
	L2_FLAG_NO_TRANSFORM = 64,
	L2_FLAG_IMMUTABLE = 128,
	L2_FLAGS_ALL = 255,
};

/* clang-format off */
/* The fixed head, in the order of its bytes, little-endian.
 *        type      field            */
#define WIRE(X)                       \
	X(uint32_t, magic)            \
	X(uint8_t,  version)          \
	X(uint8_t,  kind)             \
	X(uint16_t, flags)            \
	X(uint64_t, seq)              \
	X(uint16_t, key_len)          \
	X(uint16_t, vary_len)         \
	X(uint16_t, tags_len)         \
	X(uint16_t, status)           \
	X(uint16_t, encoding)         \
	X(uint16_t, etag_len)         \
	X(uint32_t, head_len)         \
	X(uint32_t, etag_at)          \
	X(uint64_t, stored_len)       \
	X(uint64_t, body_len)         \
	X(uint64_t, epoch)            \
	X(uint64_t, log_pos)          \
	X(int64_t,  born_wall_ms)     \
	X(int64_t,  expires_wall_ms)  \
	X(int64_t,  age_ms)           \
	X(int64_t,  life_ms)          \
	X(int64_t,  swr_ms)           \
	X(int64_t,  sie_ms)           \
	X(int64_t,  date_s)           \
	X(int64_t,  modified_s)       \
	X(uint32_t, slide_ms)         \
	X(uint16_t, fetch_ms)
/* clang-format on */

struct l2_wire {
#define X(type, field) type field;
	WIRE(X)
#undef X
};

#define X(type, field) +sizeof(type)
#define WIRE_BYTES (0 WIRE(X))
enum { L2_WIRE_SIZE = WIRE_BYTES };
#undef X

/* L2_WIRE_SIZE bytes. */
void l2_wire_write(const struct l2_wire *w, char *out);
void l2_wire_read(struct l2_wire *w, const char *in);

/* How long the seal is: a checksum, or where there is a secret a signature. */
size_t l2_seal_bytes(const struct l2_seal *seal);
/* Of n bytes at p. */
void l2_seal_make(const struct l2_seal *seal, const char *p, size_t n, unsigned char *out);
/* bytes with their seal, which is not longer than they are. */
bool l2_seal_holds(const struct l2_seal *seal, struct slice bytes);

#endif
