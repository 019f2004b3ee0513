#include "http/h2block.h"

#include "http/fields.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* RFC 7541 appendix A. */
static const uint8_t name_index[FIELD_COUNT] = {
    [FIELD_ACCEPT_RANGES] = 18,
    [FIELD_ACCESS_CONTROL_ALLOW_ORIGIN] = 20,
    [FIELD_AGE] = 21,
    [FIELD_ALLOW] = 22,
    [FIELD_CACHE_CONTROL] = 24,
    [FIELD_CONTENT_DISPOSITION] = 25,
    [FIELD_CONTENT_ENCODING] = 26,
    [FIELD_CONTENT_LANGUAGE] = 27,
    [FIELD_CONTENT_LENGTH] = 28,
    [FIELD_CONTENT_LOCATION] = 29,
    [FIELD_CONTENT_RANGE] = 30,
    [FIELD_CONTENT_TYPE] = 31,
    [FIELD_DATE] = 33,
    [FIELD_ETAG] = 34,
    [FIELD_EXPIRES] = 36,
    [FIELD_LAST_MODIFIED] = 44,
    [FIELD_LINK] = 45,
    [FIELD_LOCATION] = 46,
    [FIELD_REFRESH] = 52,
    [FIELD_RETRY_AFTER] = 53,
    [FIELD_SERVER] = 54,
    [FIELD_SET_COOKIE] = 55,
    [FIELD_STRICT_TRANSPORT_SECURITY] = 56,
    [FIELD_VARY] = 59,
    [FIELD_VIA] = 60,
    [FIELD_WWW_AUTHENTICATE] = 61,
};
#define INDEX_STATUS 8
#define LITERAL 0x00	   /* without indexing, four bits of index */
#define LITERAL_NEVER 0x10 /* the same, and nobody on the way may index it */
#define INT_BYTES_MAX 10
#define FIELD_BYTES_MORE (1 + 2 * INT_BYTES_MAX) /* than name and value have */

/* RFC 7541 section 5.1. */
static inline char *
write_int(char *p, unsigned first, unsigned bits, size_t v)
{
	size_t most = (1u << bits) - 1;

	if (v < most) {
		*p++ = (char)(first | v);
		return p;
	}
	*p++ = (char)(first | most);
	for (v -= most; v >= 128; v >>= 7)
		*p++ = (char)(v | 128);
	*p++ = (char)v;
	return p;
}

static inline char *
write_text(char *p, struct slice s)
{
	p = write_int(p, 0, 7, s.n);
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return p + s.n;
}

void
h2_block_status(struct buf *b, unsigned status)
{
	static const uint16_t indexed[] = {200, 204, 206, 304, 400, 404, 500};
	char text[3] = {(char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10),
	    (char)('0' + status % 10)};
	char *p = buf_room(b, sizeof(text) + FIELD_BYTES_MORE), *from = p;

	for (unsigned i = 0; i < sizeof(indexed) / sizeof(*indexed); i++)
		if (indexed[i] == status) {
			buf_add_char(b, (char)(0x80 | (INDEX_STATUS + i)));
			return;
		}
	p = write_int(p, LITERAL, 4, INDEX_STATUS);
	p = write_text(p, slice_of(text, sizeof(text)));
	b->n += (size_t)(p - from);
}

static void
put_field(struct buf *b, enum field_id id, struct slice name, struct slice value)
{
	char *p = buf_room(b, name.n + value.n + FIELD_BYTES_MORE), *from = p;

	p = write_int(p, id == FIELD_SET_COOKIE ? LITERAL_NEVER : LITERAL, 4, name_index[id]);
	if (name_index[id] == 0) {
		p = write_int(p, 0, 7, name.n);
		for (size_t i = 0; i < name.n; i++)
			*p++ = (char)ascii_lower((unsigned char)name.p[i]);
	}
	p = write_text(p, value);
	b->n += (size_t)(p - from);
}

void
h2_block_field(struct buf *b, struct slice name, struct slice value)
{
	put_field(b, field_id_of(name), name, value);
}

void
h2_block_length(struct buf *b, uint64_t length)
{
	size_t at;

	buf_add(b, "\x0f\x0d", 3); /* its index is 28, and a place for the length */
	at = b->n;
	buf_add_u64(b, length);
	b->p[at - 1] = (char)(b->n - at);
}

/* --- lines --- */

/* Lines of ours that nearly every answer has, with the beginnings of their fields. All others are written the long way, and these
 * would come out the same by it. */
#define USUAL_LINES(X)         \
	X("Age: ", "\x0f\x06") \
	X("X-Cache-Status: ",  \
	    "\x00\x0e"         \
	    "x-cache-status")  \
	X("Cache-Status: ",    \
	    "\x00\x0c"         \
	    "cache-status")    \
	X("X-Request-Id: ",    \
	    "\x00\x0c"         \
	    "x-request-id")
#define USUAL_VALUE_MAX 126 /* so that one byte says how long it is */
#define COPY_BYTES_MORE 16  /* that copy_line may write beyond */

/* Copies up to the LF, which it finds on the way. Returns where that is; n: nowhere. */
static inline size_t
copy_line(char *to, const char *from, size_t n)
{
	size_t i = 0;

#ifdef __SSE2__
	for (; n - i >= 16; i += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(from + i));
		unsigned ends = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('\n')));

		_mm_storeu_si128((__m128i *)(to + i), v);
		if (ends != 0)
			return i + (unsigned)__builtin_ctz(ends);
	}
#endif
	for (; i < n && from[i] != '\n'; i++)
		to[i] = from[i];
	return i;
}

static inline bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The line at the front of text, whose value begins there, behind the beginning of its field. False: it wants the long way. */
static inline __attribute__((always_inline)) bool
put_usual_value(struct buf *b, struct slice *text, const char *begin, size_t n)
{
	char *p = buf_room(b, n + 1 + text->n + COPY_BYTES_MORE);
	size_t end;

	memcpy(p, begin, n);
	p += n;
	end = copy_line(p + 1, text->p, text->n);
	if (end == text->n || end < 2 || end - 1 > USUAL_VALUE_MAX || text->p[end - 1] != '\r' ||
	    is_blank(text->p[0]) || is_blank(text->p[end - 2]))
		return false;
	*p = (char)(end - 1);
	b->n += n + 1 + end - 1;
	*text = slice_skip(*text, end + 1);
	return true;
}

/* False: the line at the front is another. */
static inline bool
put_usual_line(struct buf *b, struct slice *text)
{
#define X(name, begin)                                                                \
	if (text->n > sizeof(name) && memcmp(text->p, name, sizeof(name) - 1) == 0) { \
		struct slice value = slice_skip(*text, sizeof(name) - 1);             \
                                                                                      \
		if (!put_usual_value(b, &value, begin, sizeof(begin) - 1))            \
			return false;                                                 \
		*text = value;                                                        \
		return true;                                                          \
	}
	USUAL_LINES(X)
#undef X
	return false;
}

static void
put_line(struct buf *b, struct slice line)
{
	size_t colon = slice_index(line, ':');
	struct slice name = slice_of(line.p, colon);
	enum field_id id;

	if (colon == line.n)
		return;
	id = field_id_of(name);
	if (!field_is(id, F_HOP))
		put_field(b, id, name, slice_trim(slice_skip(line, colon + 1)));
}

void
h2_block_lines(struct buf *b, struct slice text)
{
	if (slice_starts(text, SLICE_LIT("HTTP/1.")))
		text = slice_skip(text, slice_index(text, '\n'));
	while (text.n > 0) {
		size_t end;
		struct slice line;

		if (put_usual_line(b, &text))
			continue;
		end = slice_index(text, '\n');
		line = slice_of(text.p, end);
		text = slice_skip(text, end < text.n ? end + 1 : end);
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		put_line(b, line);
	}
}
