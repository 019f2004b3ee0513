/* LINK: event/tlsoffer event/tlsexpiry event/tls event/tlsgreet event/tlssocket event/tlsstate event/tlswrite event/tlscontext event/tlsidentity event/tlstickets event/fileprint event/drain event/stream event/loop base/clock_test base/mem base/log base/buf base/hash */
#include "event/tlsoffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/log.h"
#include "tls_cast.h"

#define SOON_S (3 * DAY_S)

static struct tls_finding heard;

static void
hear(void *arg, const struct tls_finding *f)
{
	heard = *f;
}

static const struct tls_hearer to = {hear, NULL};

static struct tls_offer *
make_offer(const struct tls_certificate *pair)
{
	const struct tls_offer_conf conf = {.certs = pair, .count = 1, .protocols = "http/1.1"};
	struct tls_offer *o = tls_offer_new(&conf, &to);

	if (o == NULL)
		fail_msg("%s", heard.text);
	return o;
}

/* site.pem and site.key become that pair, each at once, as those who renew do it. */
static void
renew(const char *name)
{
	char command[256];

	snprintf(command, sizeof(command),
	    "cd %s && for e in pem key; do cp %s.$e new && mv new site.$e; done", cast_dir, name);
	assert_int_equal(system(command), 0);
}

static void
files_that_changed_are_read_when_they_have_stood_still(void **state)
{
	struct tls_certificate pair = {cast_path("site.pem"), cast_path("site.key")};
	uint64_t renewals = tls_offer_counts()->renewals;
	struct tls_context *before;
	struct tls_offer *o;

	renew("day");
	o = make_offer(&pair);
	before = tls_context_ref(tls_offer_context(o));
	assert_false(tls_offer_look(o, ":443"));
	renew("later");
	assert_false(tls_offer_look(o, ":443")); /* perhaps not all is written yet */
	assert_ptr_equal(tls_offer_context(o), before);
	assert_true(tls_offer_look(o, ":443"));
	assert_ptr_not_equal(tls_offer_context(o), before);
	assert_true(
	    tls_context_expiry_s(tls_offer_context(o)) - tls_context_expiry_s(before) > DAY_S);
	assert_false(tls_offer_look(o, ":443"));
	assert_int_equal(tls_offer_counts()->renewals, renewals); /* nobody may be shown it yet */
	for (int i = 0; i < 2; i++)
		tls_offer_tell_used(o, ":443");
	assert_int_equal(tls_offer_counts()->renewals, renewals + 1);
	tls_context_unref(&before);
	tls_offer_free(&o);
	assert_null(o);
}

/* Whether a change to that pair is refused, told once, and mended by a good one. */
static void
check_kept(void (*spoil)(void))
{
	struct tls_certificate pair = {cast_path("site.pem"), cast_path("site.key")};
	uint64_t failures = tls_offer_counts()->failures;
	struct tls_context *before;
	struct tls_offer *o;

	renew("day");
	o = make_offer(&pair);
	before = tls_offer_context(o);
	spoil();
	for (int i = 0; i < 4; i++)
		assert_false(tls_offer_look(o, ":443"));
	assert_ptr_equal(tls_offer_context(o), before);
	assert_int_equal(tls_offer_counts()->failures, failures + 1);
	renew("later");
	assert_false(tls_offer_look(o, ":443"));
	assert_true(tls_offer_look(o, ":443"));
	tls_offer_free(&o);
}

static void
take_key_away(void)
{
	assert_int_equal(unlink(cast_path("site.key")), 0);
}

static void
take_other_key(void)
{
	char command[256];

	snprintf(command, sizeof(command), "cd %s && cp later.key site.key", cast_dir);
	assert_int_equal(system(command), 0);
}

static void
take_old_pair(void)
{
	renew("over");
}

static void
what_is_bad_never_takes_the_place_of_what_is_good(void **state)
{
	check_kept(take_key_away);
	check_kept(take_other_key);
	check_kept(take_old_pair);
}

static void
what_ran_out_is_taken_where_there_is_nothing_better(void **state)
{
	struct tls_certificate pair = {cast_path("site.pem"), cast_path("site.key")};
	struct tls_offer *o;

	renew("over");
	o = make_offer(&pair);
	assert_int_equal(heard.weight, TLS_DANGER);
	renew("over2");
	assert_false(tls_offer_look(o, ":443"));
	assert_true(tls_offer_look(o, ":443"));
	tls_offer_free(&o);
}

static void
each_file_that_is_bad_is_told_as_what_it_is(void **state)
{
	struct tls_certificate pair = {cast_path("day.pem"), cast_path("day.key")};
	struct tls_offer_conf conf = {.certs = &pair, .count = 1, .protocols = "http/1.1"};

	conf.ticket_keys = cast_path("absent");
	assert_null(tls_offer_new(&conf, &to));
	assert_int_equal(heard.file, TLS_FILE_TICKET_KEYS);
	conf.ticket_keys = NULL;
	conf.client_ca = cast_path("absent");
	assert_null(tls_offer_new(&conf, &to));
	assert_true(heard.file == TLS_FILE_CLIENT_CA && heard.weight == TLS_ABSENT);
	conf.client_ca = pair.key;
	assert_null(tls_offer_new(&conf, &to));
	assert_true(heard.file == TLS_FILE_CLIENT_CA && heard.weight == TLS_BAD);
	conf.client_ca = NULL;
	pair.key = cast_path("absent");
	assert_null(tls_offer_new(&conf, &to));
	assert_true(heard.file == TLS_FILE_KEY && heard.weight == TLS_ABSENT);
}

int
main(void)
{
	static const struct {
		const char *name;
		struct cast_certificate certificate;
	} pairs[] = {
	    {"day", {"ec", "a.example", NULL, 0, DAY_S, NULL, NULL}},
	    {"later", {"ec", "a.example", NULL, 0, SOON_S, NULL, NULL}},
	    {"over", {"ec", "a.example", NULL, -SOON_S, -DAY_S, NULL, NULL}},
	    {"over2", {"ec", "a.example", NULL, -SOON_S, -DAY_S, NULL, NULL}},
	};
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(files_that_changed_are_read_when_they_have_stood_still),
	    cmocka_unit_test(what_is_bad_never_takes_the_place_of_what_is_good),
	    cmocka_unit_test(what_ran_out_is_taken_where_there_is_nothing_better),
	    cmocka_unit_test(each_file_that_is_bad_is_told_as_what_it_is),
	};
	int failed;

	cast_dir_make();
	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		write_pair(pairs[i].name, &pairs[i].certificate);
	log_set_path(cast_path("log"));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	log_set_path(NULL);
	cast_dir_remove();
	return failed;
}
