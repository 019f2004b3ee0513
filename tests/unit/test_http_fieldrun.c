/* LINK: http/h1 http/head http/fields base/buf base/mem */
#include "http_usual.h"

#include "http/fieldrun.h"
#include "http/h1.h"

static uint64_t dice = 20261121;

static unsigned throw(unsigned sides)
{
	dice = dice * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(dice >> 33) % sides;
}

/* A head of some fields, most of them as we would write them, some with blanks of their own. */
static void
make_head(struct buf *text, struct head *h)
{
	static const char *const between[] = {": ", ": ", ": ", ": ", ":", ":  ", ":\t"};
	static const char *const behind[] = {"", "", "", " ", "\t "};
	struct h1_parser parser;

	text->n = 0;
	buf_add_lit(text, "HTTP/1.1 200 OK\r\n");
	for (unsigned i = throw(12); i > 0; i--)
		buf_printf(text, "%s-%u%s%.*s%s\r\n", throw(2) ? "X" : "Etag", throw(100),
		    between[throw(7)], (int) throw(9), "12345678", behind[throw(5)]);
	buf_add_lit(text, "\r\n");
	h1_parser_init(&parser, H1_RESPONSE, &(struct h1_limits){.head_bytes = 65536});
	assert_int_equal(h1_parse(&parser, h, text->p, text->n), H1_WHOLE);
}

static void
runs_are_what_one_field_after_the_other_would_be(void **state)
{
	struct buf text = {0}, runs = {0}, plain = {0};
	struct head h;

	for (int round = 0; round < 20000; round++) {
		struct field_run run = {&h, &runs, 0, 0};

		make_head(&text, &h);
		runs.n = plain.n = 0;
		for (unsigned i = 0; i < h.count; i++) {
			if (throw(4) == 0)
				continue;
			assert_int_equal(field_run_add(&run, &h.fields[i]), plain.n);
			field_write(&h, &h.fields[i], &plain);
		}
		field_run_end(&run);
		field_run_end(&run); /* changes nothing */
		assert_int_equal(runs.n, plain.n);
		assert_memory_equal(runs.p, plain.p, plain.n);
	}
	buf_fini(&text);
	buf_fini(&runs);
	buf_fini(&plain);
}

/* As a head from HTTP/2 is: a name and a value somewhere, the last of them at the end of what there is. */
static void
fields_need_not_stand_in_lines(void **state)
{
	static const char bytes[] = "abc: de";
	struct head h = {.base = bytes, .size = 7, .count = 1};
	struct buf b = {0};
	struct field_run run = {&h, &b, 0, 0};

	h.fields[0] = (struct field){.name_at = 0, .name_len = 3, .value_at = 5, .value_len = 2};
	field_run_add(&run, &h.fields[0]);
	h.fields[0] = (struct field){.name_at = 5, .name_len = 2, .value_at = 0, .value_len = 3};
	field_run_add(&run, &h.fields[0]);
	field_run_end(&run);
	expect_text(buf_slice(&b), "abc: de\r\nde: abc\r\n");
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(runs_are_what_one_field_after_the_other_would_be),
	    cmocka_unit_test(fields_need_not_stand_in_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
