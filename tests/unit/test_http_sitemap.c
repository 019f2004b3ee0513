/* LINK: http/sitemap base/buf base/mem */
#include "http/sitemap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/buf.h"

struct found {
	struct buf text; /* "page URL;" or "map URL;" for each */
	unsigned count;
};

static void
on_loc(void *arg, struct slice loc, bool is_sitemap)
{
	struct found *f = arg;

	f->count++;
	if (f->count < 10)
		buf_printf(&f->text, "%s %.*s;", is_sitemap ? "map" : "page", SLICE_FMT(loc));
}

static const struct sitemap_handler handler = {on_loc};

/* Read in pieces of so many bytes. */
static enum sitemap_flaw
read_all(struct slice bytes, size_t piece, struct found *f)
{
	struct sitemap *s = sitemap_new(&handler, f);
	enum sitemap_flaw flaw;

	while (bytes.n > 0) {
		size_t n = bytes.n < piece ? bytes.n : piece;

		sitemap_read(s, slice_of(bytes.p, n));
		bytes = slice_skip(bytes, n);
	}
	flaw = sitemap_end(s);
	sitemap_free(&s);
	return flaw;
}

static void
expect(struct slice bytes, const char *locs)
{
	for (size_t piece = 1; piece < 4096; piece = piece * 7 + 1) {
		struct found f = {0};

		assert_int_equal(read_all(bytes, piece, &f), SITEMAP_none);
		buf_add_char(&f.text, '\0');
		assert_string_equal(f.text.p, locs);
		buf_fini(&f.text);
	}
}

static enum sitemap_flaw
flaw_of(struct slice bytes)
{
	struct found f = {0};
	enum sitemap_flaw flaw = read_all(bytes, 100, &f);

	buf_fini(&f.text);
	return flaw;
}

static const char pages[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\" xmlns:image=\"urn:i\">\n"
    " <url><loc>\n https://a.test/?a=1&amp;b=2 </loc><lastmod>2026-01-01</lastmod>"
    "<image:image><image:caption>https://no.test/</image:caption></image:image></url>\n"
    " <url><priority>0.5</priority><loc>/b</loc></url>\n"
    " <url><loc></loc></url>\n"
    "</urlset>";
#define PAGES "page https://a.test/?a=1&b=2;page /b;"

static struct slice
packed(const char *text, unsigned char *out, size_t size)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)text,
	    .avail_in = (uInt)strlen(text),
	    .next_out = out,
	    .avail_out = (uInt)size};

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return slice_of((char *)out, z.total_out);
}

static void
addresses_of_pages_are_found_however_the_bytes_come(void **state)
{
	expect(slice_from(pages), PAGES);
}

static void
an_index_names_further_sitemaps(void **state)
{
	expect(slice_from("<s:sitemapindex "
			  "xmlns:s=\"urn:s\"><s:sitemap><s:loc>https://a.test/1.xml.gz</s:loc>"
			  "</s:sitemap></s:sitemapindex>"),
	    "map https://a.test/1.xml.gz;");
}

static void
gzip_is_known_by_its_first_byte(void **state)
{
	unsigned char out[4096];

	expect(packed(pages, out, sizeof(out)), PAGES);
}

static void
a_flaw_is_named(void **state)
{
	unsigned char out[4096];
	struct slice gz = packed(pages, out, sizeof(out));

	assert_int_equal(flaw_of(SLICE_LIT("")), SITEMAP_cut_short);
	assert_int_equal(flaw_of(slice_of(gz.p, gz.n / 2)), SITEMAP_cut_short);
	assert_int_equal(flaw_of(SLICE_LIT("<urlset><url>")), SITEMAP_cut_short);
	assert_int_equal(flaw_of(SLICE_LIT("<urlset></url>")), SITEMAP_xml);
	assert_int_equal(flaw_of(SLICE_LIT("<!DOCTYPE html><p>404</div>")), SITEMAP_xml);
	assert_int_equal(flaw_of(SLICE_LIT("\x1f\x8b nonsense")), SITEMAP_gzip);
	assert_int_equal(
	    flaw_of(SLICE_LIT("<!DOCTYPE u [<!ENTITY a \"aaa\">]><u>&a;</u>")), SITEMAP_entities);
}

static void
what_is_too_much_is_not_read(void **state)
{
	struct buf b = {0};
	struct found f = {0};

	buf_add_lit(&b, "<urlset>");
	for (unsigned i = 0; i <= SITEMAP_LOCS_MAX; i++)
		buf_add_lit(&b, "<url><loc>/a</loc></url>");
	buf_add_lit(&b, "</urlset>");
	assert_int_equal(read_all(buf_slice(&b), 65536, &f), SITEMAP_too_many);
	assert_int_equal(f.count, SITEMAP_LOCS_MAX);
	buf_fini(&b);
	buf_fini(&f.text);
}

static void
an_address_that_is_too_long_is_passed_over(void **state)
{
	struct buf b = {0};

	buf_add_lit(&b, "<urlset><url><loc>/");
	for (unsigned i = 0; i < SITEMAP_LOC_BYTES_MAX; i++)
		buf_add_char(&b, 'a');
	buf_add_lit(&b, "</loc></url><url><loc>/b</loc></url></urlset>");
	expect(buf_slice(&b), "page /b;");
	buf_fini(&b);
}

static void
a_small_file_that_unfolds_without_end_is_left(void **state)
{
	size_t n = SITEMAP_BYTES_MAX + 1000;
	char *text = memset(test_malloc(n + 1), ' ', n);
	unsigned char *out = test_malloc(1 << 20);

	memcpy(text, "<urlset>", 8);
	text[n] = '\0';
	assert_int_equal(flaw_of(packed(text, out, 1 << 20)), SITEMAP_bomb);
	assert_int_equal(flaw_of(slice_from(text)), SITEMAP_too_large);
	test_free(text);
	test_free(out);
}

static enum sitemap_flaw
flaw_of_many(const char *before, const char *again, unsigned times)
{
	struct buf b = {0};
	enum sitemap_flaw flaw;

	buf_add(&b, before, strlen(before));
	for (unsigned i = 0; i < times; i++)
		buf_add(&b, again, strlen(again));
	flaw = flaw_of(buf_slice(&b));
	buf_fini(&b);
	return flaw;
}

static void
what_a_parser_would_have_to_keep_is_bounded(void **state)
{
	assert_int_equal(flaw_of_many("", "<a>", 1000000), SITEMAP_too_deep);
	assert_int_equal(flaw_of_many("<a><b c='", "dddddddd", 1000000), SITEMAP_long_piece);
	assert_int_equal(flaw_of_many("<a><!-- ", "no end, ", 1000000), SITEMAP_long_piece);
	assert_int_equal(flaw_of_many("<", "name", 1000000), SITEMAP_long_piece);
	assert_int_equal(flaw_of_many("<a>", "just text ", 1000000), SITEMAP_cut_short);
	assert_int_equal(flaw_of_many("<a>", "<b/>", 1000000), SITEMAP_cut_short);
	assert_int_equal(flaw_of_many("<a><![CDATA[", "text ", 100000), SITEMAP_xml);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(addresses_of_pages_are_found_however_the_bytes_come),
	    cmocka_unit_test(an_index_names_further_sitemaps),
	    cmocka_unit_test(gzip_is_known_by_its_first_byte),
	    cmocka_unit_test(a_flaw_is_named),
	    cmocka_unit_test(what_is_too_much_is_not_read),
	    cmocka_unit_test(an_address_that_is_too_long_is_passed_over),
	    cmocka_unit_test(a_small_file_that_unfolds_without_end_is_left),
	    cmocka_unit_test(what_a_parser_would_have_to_keep_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
