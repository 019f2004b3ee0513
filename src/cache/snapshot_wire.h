/* cache/snapshot_wire.h - how a snapshot lies in its file: a head of SNAPSHOT_HEAD_BYTES, the records in blocks of
 * SNAPSHOT_BLOCK_BYTES (one may reach into the next), and the blocks' seals. Little-endian. */
#ifndef CACHE_SNAPSHOT_WIRE_H
#define CACHE_SNAPSHOT_WIRE_H

#include <stdint.h>

#include "cache/object.h"

#define SNAPSHOT_MAGIC UINT64_C(0x0a70616e73796266)
#define SNAPSHOT_VERSION 1
#define SNAPSHOT_HEAD_BYTES 4096
#define SNAPSHOT_BLOCK_BYTES ((size_t)1 << 20)
#define SNAPSHOT_ALIGN 8

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a snapshot is written as it lies");

struct snapshot_head {
	uint64_t magic;
	uint32_t version;
	uint32_t record_bytes; /* of struct snapshot_record */
	uint64_t facts;	       /* which facts there are: a seal of their names */
	int64_t wall_ms, mono_ms;
	char boot[40];
	uint64_t epoch, seq;
	uint64_t count;
	uint64_t bytes; /* of records */
	uint64_t seal;	/* of all before, and the blocks' seals */
};

enum snapshot_flag { SNAPSHOT_IS_MAIN = 1, SNAPSHOT_IS_SOFT_PURGED = 2 };

/* Then key, vary key, tags, head, trailers and body, then the coded variants, and padding. */
struct snapshot_record {
	uint64_t record_bytes; /* all of it */
	uint64_t body_bytes;
	uint32_t rank, hit_count;
	uint32_t head_len, trailers_len;
	uint32_t slide_ms, used_ms;
	uint16_t key_len, vary_len, tags_len, fetch_ms;
	uint8_t flags, hits;
	uint16_t variants;
	uint32_t unused;
	struct {
#define X(type, name, kept, bits) int64_t name;
		OBJECT_FACTS(X)
#undef X
	} facts;
};

struct snapshot_variant {
	uint64_t bytes;
	uint8_t encoding, effort;
	uint8_t unused[6];
};

/* A seal of the facts' names: with others the records mean something else. */
uint64_t snapshot_facts_seal(void);

#endif
