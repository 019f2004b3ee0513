/* http/h2frame.h - HTTP/2's frames: the standard's numbers, and the nine bytes in front of each (RFC 9113 section 4).
 */
#ifndef HTTP_H2FRAME_H
#define HTTP_H2FRAME_H

#include "base/buf.h"

#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define H2_PREFACE_BYTES (sizeof(H2_PREFACE) - 1)
#define H2_FRAME_HEAD_BYTES 9
#define H2_PAYLOAD_MAX \
	16384 /* what both sides may send without asking; we never allow or use more */
#define H2_WINDOW_DEFAULT 65535
#define H2_WINDOW_MAX 0x7fffffff
#define H2_ID_MAX 0x7fffffffu

enum h2_type {
	H2_DATA = 0,
	H2_HEADERS = 1,
	H2_PRIORITY = 2,
	H2_RST_STREAM = 3,
	H2_SETTINGS = 4,
	H2_PUSH_PROMISE = 5,
	H2_PING = 6,
	H2_GOAWAY = 7,
	H2_WINDOW_UPDATE = 8,
	H2_CONTINUATION = 9,
	H2_PRIORITY_UPDATE = 16, /* RFC 9218 */
};
enum h2_flag {
	H2_END_STREAM = 1,
	H2_ACK = 1,
	H2_END_HEADERS = 4,
	H2_PADDED = 8,
	H2_HAS_PRIORITY = 32,
};
enum h2_setting {
	H2_HEADER_TABLE_SIZE = 1,
	H2_ENABLE_PUSH = 2,
	H2_MAX_CONCURRENT_STREAMS = 3,
	H2_INITIAL_WINDOW_SIZE = 4,
	H2_MAX_FRAME_SIZE = 5,
	H2_MAX_HEADER_LIST_SIZE = 6,
	H2_ENABLE_CONNECT_PROTOCOL = 8, /* RFC 8441 */
	H2_NO_RFC7540_PRIORITIES = 9,	/* RFC 9218 */
};
enum h2_error {
	H2_NO_ERROR,
	H2_PROTOCOL_ERROR,
	H2_INTERNAL_ERROR,
	H2_FLOW_CONTROL_ERROR,
	H2_SETTINGS_TIMEOUT,
	H2_STREAM_CLOSED,
	H2_FRAME_SIZE_ERROR,
	H2_REFUSED_STREAM,
	H2_CANCEL,
	H2_COMPRESSION_ERROR,
	H2_CONNECT_ERROR,
	H2_ENHANCE_YOUR_CALM,
	H2_INADEQUATE_SECURITY,
	H2_HTTP_1_1_REQUIRED,
};

struct h2_frame {
	uint8_t type, flags;
	uint32_t id;
	struct slice payload;
};

static inline uint32_t
h2_u32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static inline void
h2_put_u32(char *p, uint32_t v)
{
	p[0] = (char)(v >> 24);
	p[1] = (char)(v >> 16);
	p[2] = (char)(v >> 8);
	p[3] = (char)v;
}

/* The length that the nine bytes at p announce; the rest of them into f. */
static inline size_t
h2_frame_head(const char *p, struct h2_frame *f)
{
	f->type = (uint8_t)p[3];
	f->flags = (uint8_t)p[4];
	f->id = h2_u32(p + 5) & H2_ID_MAX;
	return h2_u32(p) >> 8;
}

static inline void
h2_put_frame_head(char *p, size_t n, enum h2_type type, unsigned flags, uint32_t id)
{
	h2_put_u32(p, (uint32_t)n << 8 | (uint32_t)type);
	p[4] = (char)flags;
	h2_put_u32(p + 5, id);
}

#endif
