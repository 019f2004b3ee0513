/* http/hpack.h - header blocks unfolded (RFC 7541), with a table that remembers what was judged of its fields.
 *
 * A block is taken whole: whoever receives it in pieces gathers them. Fields come one by one, each judged (http/h2field.h): one
 * that the table holds costs a look, not a scan. What is a fault of the encoding ends the connection, for the table is then no
 * longer the peer's. Bounded: the table by HPACK_TABLE_BYTES, as RFC 7541 section 4.1 counts; what one call writes by twice
 * the block. No memory is given back before hpack_sleep.
 *
 * The plain twin is libnghttp2's inflater: tests/unit/test_http_hpack.c and tests/fuzz/fuzz_http_hpack.c hold the two against each
 * other.
 */
#ifndef HTTP_HPACK_H
#define HTTP_HPACK_H

#include "base/buf.h"
#include "http/h2field.h"

#define HPACK_TABLE_BYTES 4096 /* SETTINGS_HEADER_TABLE_SIZE is never announced, so this is it */

struct hpack_entry {
	uint32_t at; /* position of name and value, counted from the first byte ever */
	uint16_t name_n, value_n;
	uint8_t pseudo, id, judged; /* as in struct h2_field */
};

/* One direction of one connection; {0} until hpack_init. */
struct hpack {
	/* the dynamic table: the newest entry is ring[(next - 1) & (cap - 1)] */
	struct hpack_entry *ring;
	unsigned cap, next, count;
	uint32_t size, size_max; /* as RFC 7541 counts */
	struct buf bytes;	 /* of names and values, the oldest first */
	uint32_t bytes_at;	 /* position of its first */
	bool may_resize;	 /* no field has come in this block yet */
	struct buf scratch;	 /* literals in Huffman's code, unfolded */
};

void hpack_init(struct hpack *d);
void hpack_fini(struct hpack *d);
/* No block is to come soon: memory beyond the table's is given back. */
void hpack_sleep(struct hpack *d);

enum hpack_result { HPACK_FIELD, HPACK_END, HPACK_BAD };
/* A block begins. */
void hpack_begin(struct hpack *d);
/* Takes one field off the front of the block's rest. HPACK_FIELD: *f is good until the next call, name and value as long as block's
 * bytes stay, too. HPACK_END: there is no more. HPACK_BAD: the block cannot be read, and d is of no more use. */
enum hpack_result hpack_next(struct hpack *d, struct slice *block, struct h2_field *f);

#endif
