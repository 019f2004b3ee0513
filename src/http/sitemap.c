#include "http/sitemap.h"

#include <expat.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define ANY_WRAPPER (15 + 16) /* the largest window; gzip's header and trailer */
#define UNFOLD_BYTES 32768
#define RATIO_MAX 200 /* once RATIO_FREE_BYTES have come out */
#define RATIO_FREE_BYTES ((size_t)1 << 20)
#define DEPTH_MAX 32
#define PIECE_MAX \
	65536 /* what the parser must see whole: it keeps it, and may begin anew with each further byte */

struct sitemap {
	const struct sitemap_handler *handler;
	void *arg;
	XML_Parser xml;
	enum sitemap_flaw flaw;
	size_t bytes; /* unfolded so far */
	unsigned locs, depth;
	/* gzip */
	bool is_begun, is_gzip, gzip_ended;
	z_stream gzip;
	/* The element that is open: only loc within url or sitemap is read */
	enum { IN_NOTHING, IN_PAGE, IN_SITEMAP } within;
	bool in_loc, is_long;
	size_t loc_len;
	char loc[SITEMAP_LOC_BYTES_MAX];
};

const char *
sitemap_flaw_text(enum sitemap_flaw flaw)
{
	static const char *const texts[] = {
#define X(flaw, text) [SITEMAP_##flaw] = text,
	    SITEMAP_FLAWS(X)
#undef X
	};

	return texts[flaw];
}

/* --- XML --- */

static void
fail(struct sitemap *s, enum sitemap_flaw flaw)
{
	s->flaw = flaw;
	XML_StopParser(s->xml, XML_FALSE);
}

/* Prefixes are whatever the author liked. */
static bool
is_called(const char *element, const char *name)
{
	const char *colon = strrchr(element, ':');

	return strcmp(colon == NULL ? element : colon + 1, name) == 0;
}

static void
on_element(void *arg, const char *element, const char **attributes)
{
	struct sitemap *s = arg;

	if (++s->depth > DEPTH_MAX)
		fail(s, SITEMAP_too_deep);
	else if (is_called(element, "url"))
		s->within = IN_PAGE;
	else if (is_called(element, "sitemap"))
		s->within = IN_SITEMAP;
	else if (s->within != IN_NOTHING && is_called(element, "loc")) {
		s->in_loc = true;
		s->is_long = false;
		s->loc_len = 0;
	}
}

static void
on_text(void *arg, const char *text, int len)
{
	struct sitemap *s = arg;
	size_t n = (size_t)len;

	if (!s->in_loc || s->is_long)
		return;
	if (n > sizeof(s->loc) - s->loc_len) {
		s->is_long = true;
		return;
	}
	memcpy(s->loc + s->loc_len, text, n);
	s->loc_len += n;
}

static struct slice
without_blanks(struct slice s)
{
	while (s.n > 0 && strchr(" \t\r\n", s.p[0]) != NULL)
		s = slice_skip(s, 1);
	while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]) != NULL)
		s.n--;
	return s;
}

static void
loc_ended(struct sitemap *s)
{
	struct slice loc = without_blanks(slice_of(s->loc, s->loc_len));

	s->in_loc = false;
	if (s->is_long || loc.n == 0)
		return;
	if (s->locs == SITEMAP_LOCS_MAX) {
		fail(s, SITEMAP_too_many);
		return;
	}
	s->locs++;
	s->handler->on_loc(s->arg, loc, s->within == IN_SITEMAP);
}

static void
on_element_end(void *arg, const char *element)
{
	struct sitemap *s = arg;

	s->depth--;
	if (s->in_loc && is_called(element, "loc"))
		loc_ended(s);
	else if (is_called(element, "url") || is_called(element, "sitemap"))
		s->within = IN_NOTHING;
}

/* A document of a few bytes could stand for gigabytes. */
static void
on_entity(void *arg, const char *name, int is_parameter, const char *value, int len,
    const char *base, const char *system, const char *public, const char *notation)
{
	fail(arg, SITEMAP_entities);
}

/* At most UNFOLD_BYTES. */
static void
parse(struct sitemap *s, struct slice bytes, bool is_last)
{
	XML_Index seen;

	s->bytes += bytes.n;
	if (s->bytes > SITEMAP_BYTES_MAX) {
		s->flaw = SITEMAP_too_large;
		return;
	}
	if (XML_Parse(s->xml, bytes.p, (int)bytes.n, is_last) != XML_STATUS_OK) {
		if (s->flaw == SITEMAP_none)
			s->flaw = XML_GetErrorCode(s->xml) == XML_ERROR_NO_ELEMENTS
			    ? SITEMAP_cut_short
			    : SITEMAP_xml;
		return;
	}
	seen = XML_GetCurrentByteIndex(s->xml); /* -1: nothing yet */
	if (!is_last && s->bytes - (size_t)(seen < 0 ? 0 : seen) > PIECE_MAX + UNFOLD_BYTES)
		s->flaw = SITEMAP_long_piece;
}

static void
read_xml(struct sitemap *s, struct slice bytes)
{
	while (bytes.n > 0 && s->flaw == SITEMAP_none) {
		size_t n = bytes.n < UNFOLD_BYTES ? bytes.n : UNFOLD_BYTES;

		parse(s, slice_of(bytes.p, n), false);
		bytes = slice_skip(bytes, n);
	}
}

/* --- gzip --- */

static void
read_gzip(struct sitemap *s, struct slice bytes)
{
	char out[UNFOLD_BYTES];
	int r;

	s->gzip.next_in = (Bytef *)(uintptr_t)bytes.p;
	s->gzip.avail_in = (uInt)bytes.n;
	do {
		s->gzip.next_out = (Bytef *)out;
		s->gzip.avail_out = sizeof(out);
		r = inflate(&s->gzip, Z_NO_FLUSH);
		if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR) {
			s->flaw = SITEMAP_gzip;
			return;
		}
		read_xml(s, slice_of(out, sizeof(out) - s->gzip.avail_out));
		if (s->flaw == SITEMAP_none && s->bytes > RATIO_FREE_BYTES &&
		    s->bytes / RATIO_MAX > s->gzip.total_in)
			s->flaw = SITEMAP_bomb;
		if (r == Z_STREAM_END)
			s->gzip_ended = true;
	} while (r == Z_OK && s->flaw == SITEMAP_none);
}

/* The first byte of gzip is none that XML begins with. */
static void
begin(struct sitemap *s, struct slice bytes)
{
	s->is_begun = true;
	s->is_gzip = (unsigned char)bytes.p[0] == 0x1f;
	if (s->is_gzip && inflateInit2(&s->gzip, ANY_WRAPPER) != Z_OK) {
		s->is_gzip = false;
		s->flaw = SITEMAP_gzip;
	}
}

/* --- from outside --- */

struct sitemap *
sitemap_new(const struct sitemap_handler *h, void *arg)
{
	struct sitemap *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->xml = XML_ParserCreate(NULL);
	if (s->xml == NULL) {
		free(s);
		return NULL;
	}
	s->handler = h;
	s->arg = arg;
	XML_SetUserData(s->xml, s);
	XML_SetElementHandler(s->xml, on_element, on_element_end);
	XML_SetCharacterDataHandler(s->xml, on_text);
	XML_SetEntityDeclHandler(s->xml, on_entity);
	return s;
}

enum sitemap_flaw
sitemap_read(struct sitemap *s, struct slice bytes)
{
	if (s->flaw != SITEMAP_none || bytes.n == 0)
		return s->flaw;
	if (!s->is_begun)
		begin(s, bytes);
	if (s->flaw == SITEMAP_none && s->is_gzip && !s->gzip_ended)
		read_gzip(s, bytes);
	else if (s->flaw == SITEMAP_none && !s->is_gzip)
		read_xml(s, bytes);
	return s->flaw;
}

enum sitemap_flaw
sitemap_end(struct sitemap *s)
{
	if (s->flaw == SITEMAP_none && s->is_gzip && !s->gzip_ended)
		s->flaw = SITEMAP_cut_short;
	if (s->flaw == SITEMAP_none)
		parse(s, SLICE_NONE, true);
	return s->flaw;
}

void
sitemap_free(struct sitemap **sp)
{
	struct sitemap *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	XML_ParserFree(s->xml);
	if (s->is_gzip)
		inflateEnd(&s->gzip);
	free(s);
}
