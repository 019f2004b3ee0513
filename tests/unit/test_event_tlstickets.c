/* LINK: event/tlstickets event/fileprint event/loop base/clock_test base/mem base/log base/buf base/hash */
#include "event/tlstickets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "base/log.h"
#include "tls_cast.h"

#define NOON_MS 43200000
#define HOUR_MS 3600000

/* A line of a file whose key is named by 16 times that letter. */
static const char *
line_of(char letter)
{
	static char lines[4][128];
	static unsigned next;
	char *line = lines[next++ % 4];
	unsigned char key[80];

	memset(key, letter, sizeof(key));
	EVP_EncodeBlock((unsigned char *)line, key, sizeof(key));
	strcat(line, "\n");
	return line;
}

/* A file that has other bytes each time, and so another size: stat tells that it is another. */
static void
write_keys(const char *first, const char *second)
{
	static unsigned writes;
	char text[512];

	snprintf(text, sizeof(text), "#%.*s\n\n%s%s", (int)(++writes),
	    "................................", first, second);
	write_text("tickets", text);
}

static enum tls_ticket_found
find(struct tls_tickets *t, char letter)
{
	struct tls_ticket_key key;
	unsigned char name[16];
	enum tls_ticket_found found;

	memset(name, letter, sizeof(name));
	found = tls_tickets_find(t, name, &key);
	if (found != TLS_TICKET_UNKNOWN)
		assert_true(key.sign[0] == (unsigned char)letter &&
		    key.encrypt[31] == (unsigned char)letter);
	return found;
}

static struct tls_tickets *
get(void)
{
	char problem[256] = "";
	struct tls_tickets *t =
	    tls_tickets_get(cast_path("tickets"), NOON_MS, problem, sizeof(problem));

	if (t == NULL)
		fail_msg("%s", problem);
	return t;
}

static void
the_first_key_of_a_file_seals_and_all_open(void **state)
{
	struct tls_tickets *t, *again;
	struct tls_ticket_key key;

	write_keys(line_of('a'), line_of('b'));
	t = get();
	again = get();
	assert_ptr_equal(t, again);
	tls_tickets_newest(t, &key);
	assert_int_equal(key.name[0], 'a');
	assert_int_equal(find(t, 'a'), TLS_TICKET_NEWEST);
	assert_int_equal(find(t, 'b'), TLS_TICKET_OLD);
	assert_int_equal(find(t, 'c'), TLS_TICKET_UNKNOWN);
	tls_tickets_unref(&again);
	tls_tickets_unref(&t);
	assert_null(t);
}

static void
keys_that_a_file_no_longer_has_open_for_two_hours(void **state)
{
	struct tls_tickets *t;

	write_keys(line_of('a'), "");
	t = get();
	write_keys(line_of('b'), "");
	tls_tickets_tick(NOON_MS + 1000);
	assert_int_equal(find(t, 'b'), TLS_TICKET_NEWEST);
	assert_int_equal(find(t, 'a'), TLS_TICKET_OLD);
	tls_tickets_tick(NOON_MS + 2 * HOUR_MS);
	assert_int_equal(find(t, 'a'), TLS_TICKET_OLD);
	tls_tickets_tick(NOON_MS + 2 * HOUR_MS + 1000);
	assert_int_equal(find(t, 'a'), TLS_TICKET_UNKNOWN);
	tls_tickets_unref(&t);
}

static void
a_file_that_went_bad_changes_nothing_and_is_told_once(void **state)
{
	uint64_t failures = tls_tickets_counts()->failures;
	struct tls_tickets *t;

	write_keys(line_of('a'), "");
	t = get();
	write_keys(line_of('b'), "c2hvcnQ=\n");
	for (int i = 1; i < 4; i++)
		tls_tickets_tick(NOON_MS + i * 1000);
	assert_int_equal(find(t, 'a'), TLS_TICKET_NEWEST);
	assert_int_equal(find(t, 'b'), TLS_TICKET_UNKNOWN);
	assert_int_equal(tls_tickets_counts()->failures, failures + 1);
	tls_tickets_unref(&t);
}

static void
check_problem(const char *text, const char *says)
{
	char problem[256] = "";

	write_text("bad", text);
	assert_null(tls_tickets_get(cast_path("bad"), NOON_MS, problem, sizeof(problem)));
	if (strstr(problem, says) == NULL)
		fail_msg("%s", problem);
}

static void
what_is_wrong_with_a_file_is_told_with_its_line(void **state)
{
	char text[256], problem[256];

	check_problem("", "bad: no key in it");
	check_problem("# nothing\n\n", "bad: no key in it");
	check_problem("\nshort\n", "bad:2: expected a key of 80 bytes in base64");
	snprintf(text, sizeof(text), "%s?%s", line_of('a'), line_of('b') + 1);
	check_problem(text, "bad:2: expected a key");
	assert_null(tls_tickets_get(cast_path("absent"), NOON_MS, problem, sizeof(problem)));
	assert_non_null(strstr(problem, "absent: No such file or directory"));
}

static void
own_keys_change_each_hour_and_open_for_two_more(void **state)
{
	struct tls_tickets *t = tls_tickets_get(NULL, NOON_MS, NULL, 0);
	struct tls_ticket_key first, now;

	tls_tickets_newest(t, &first);
	tls_tickets_tick(NOON_MS + HOUR_MS - 1);
	assert_int_equal(tls_tickets_find(t, first.name, &now), TLS_TICKET_NEWEST);
	tls_tickets_tick(NOON_MS + HOUR_MS);
	assert_int_equal(tls_tickets_find(t, first.name, &now), TLS_TICKET_OLD);
	tls_tickets_newest(t, &now);
	assert_memory_not_equal(now.encrypt, first.encrypt, sizeof(now.encrypt));
	tls_tickets_tick(NOON_MS + 2 * HOUR_MS);
	assert_int_equal(tls_tickets_find(t, first.name, &now), TLS_TICKET_OLD);
	tls_tickets_tick(NOON_MS + 3 * HOUR_MS);
	assert_int_equal(tls_tickets_find(t, first.name, &now), TLS_TICKET_UNKNOWN);
	tls_tickets_unref(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_key_of_a_file_seals_and_all_open),
	    cmocka_unit_test(keys_that_a_file_no_longer_has_open_for_two_hours),
	    cmocka_unit_test(a_file_that_went_bad_changes_nothing_and_is_told_once),
	    cmocka_unit_test(what_is_wrong_with_a_file_is_told_with_its_line),
	    cmocka_unit_test(own_keys_change_each_hour_and_open_for_two_more),
	};
	int failed;

	cast_dir_make();
	log_set_path(cast_path("log"));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	log_set_path(NULL);
	cast_dir_remove();
	return failed;
}
