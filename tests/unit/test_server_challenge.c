/* LINK: server/challenge base/buf base/mem */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "event/helpers.h"
#include "server/challenge.h"
#include "server/handler.h"
#include "server/worker.h"

#define WELL_KNOWN "/.well-known/acme-challenge/"

/* The helpers have room for one chore, which is run when the test says so. */
static struct {
	bool are_full;
	struct chore *chore;
} helpers;

/* What the client would be told. */
static struct {
	unsigned status;
	char body[CHALLENGE_MAX_BYTES + 1];
	bool may_come_back;
} told;

bool
helpers_take(struct helpers *h, enum helpers_line line, struct chore *c)
{
	assert_int_equal(line, HELPERS_AWAITED);
	if (helpers.are_full)
		return false;
	helpers.chore = c;
	return true;
}

enum exchange_next
exchange_own(struct exchange *x, unsigned status, const char *why)
{
	told.status = status;
	return EXCHANGE_GO;
}

void
exchange_add_retry_after(struct exchange *x)
{
	told.may_come_back = true;
}

void
later_begin(struct later *l, struct exchange *x, void (*on_over)(struct later *l))
{
	*l = (struct later){.x = x, .on_over = on_over};
}

void
later_answer(struct later *l, unsigned status, const char *content_type, struct slice body)
{
	if (l->x == NULL)
		return;
	l->x->answer = ANSWER_OWN;
	told.status = status;
	snprintf(told.body, sizeof(told.body), "%.*s", SLICE_FMT(body));
}

static char directory[] = "/tmp/forebay-challenges-XXXXXX";
static struct commons commons;
static struct worker worker = {.commons = &commons};
static struct site site = {.challenges = directory};
static struct exchange x;

static bool
asks(enum method method, const char *path, enum exchange_next *next)
{
	buf_fini(&x.own_fields);
	memset(&told, 0, sizeof(told));
	helpers.chore = NULL;
	x = (struct exchange){.worker = &worker, .site = &site};
	x.head.method = method;
	x.url.path = slice_from(path);
	return challenge_takes(&x, next);
}

static void
helper_runs(void)
{
	helpers.chore->run(helpers.chore);
	helpers.chore->back(helpers.chore, true);
}

/* The status of GET for that token, when a helper has looked. */
static unsigned
status_of(const char *token)
{
	enum exchange_next next;
	char path[300];

	snprintf(path, sizeof(path), WELL_KNOWN "%s", token);
	assert_true(asks(METHOD_GET, path, &next));
	if (helpers.chore != NULL) {
		assert_int_equal(next, EXCHANGE_WAIT);
		helper_runs();
	}
	return told.status;
}

static void
put(const char *name, size_t n)
{
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	f = fopen(path, "w");
	for (size_t i = 0; i < n; i++)
		fputc('k', f);
	fclose(f);
}

static void
a_token_is_answered_with_the_file_of_its_name(void **state)
{
	put("Tok-en_1", 5);
	assert_int_equal(status_of("Tok-en_1"), 200);
	assert_string_equal(told.body, "kkkkk");
}

static void
what_is_not_there_or_no_file_or_too_large_is_not_found(void **state)
{
	char path[100];

	put("largest", CHALLENGE_MAX_BYTES);
	put("larger", CHALLENGE_MAX_BYTES + 1);
	snprintf(path, sizeof(path), "%s/link", directory);
	assert_int_equal(symlink("largest", path), 0);
	snprintf(path, sizeof(path), "%s/pipe", directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/folder", directory);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(status_of("largest"), 200);
	assert_int_equal(status_of("larger"), 404);
	assert_int_equal(status_of("link"), 404);
	assert_int_equal(status_of("pipe"), 404);
	assert_int_equal(status_of("folder"), 404);
	assert_int_equal(status_of("absent"), 404);
}

static void
what_is_no_token_is_looked_for_nowhere(void **state)
{
	static const char *const names[] = {"", ".", "..", "a.b", "a/b", "..%2Fetc", "a b"};
	char longest[129];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		assert_int_equal(status_of(names[i]), 404);
		assert_null(helpers.chore);
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[128] = '\0';
	assert_int_equal(status_of(longest), 404);
	assert_non_null(helpers.chore);
}

static void
a_challenge_is_only_read(void **state)
{
	enum exchange_next next;

	assert_true(asks(METHOD_POST, WELL_KNOWN "token", &next));
	assert_int_equal(told.status, 405);
	assert_memory_equal(x.own_fields.p, "Allow: GET, HEAD\r\n", x.own_fields.n);
	assert_null(helpers.chore);
}

static void
who_finds_no_helper_is_told_to_come_back(void **state)
{
	enum exchange_next next;

	helpers.are_full = true;
	assert_true(asks(METHOD_GET, WELL_KNOWN "token", &next));
	helpers.are_full = false;
	assert_int_equal(next, EXCHANGE_GO);
	assert_int_equal(told.status, 503);
	assert_true(told.may_come_back);
}

static void
who_left_is_not_answered(void **state)
{
	enum exchange_next next;
	struct later *later;

	assert_true(asks(METHOD_GET, WELL_KNOWN "Tok-en_1", &next));
	later = (struct later *)((char *)helpers.chore + sizeof(struct chore));
	assert_ptr_equal(later->x, &x);
	later->x = NULL;
	later->on_over(later);
	helper_runs();
	assert_int_equal(told.status, 0);
}

static void
other_paths_and_sites_without_a_directory_are_left_to_the_routes(void **state)
{
	enum exchange_next next;

	assert_false(asks(METHOD_GET, "/.well-known/security.txt", &next));
	assert_false(asks(METHOD_GET, "/", &next));
	site.challenges = NULL;
	assert_false(asks(METHOD_GET, WELL_KNOWN "token", &next));
	site.challenges = directory;
}

static int
begin(void **state)
{
	return mkdtemp(directory) == NULL ? -1 : 0;
}

static int
end(void **state)
{
	char command[100];

	buf_fini(&x.own_fields);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_token_is_answered_with_the_file_of_its_name),
	    cmocka_unit_test(what_is_not_there_or_no_file_or_too_large_is_not_found),
	    cmocka_unit_test(what_is_no_token_is_looked_for_nowhere),
	    cmocka_unit_test(a_challenge_is_only_read),
	    cmocka_unit_test(who_finds_no_helper_is_told_to_come_back),
	    cmocka_unit_test(who_left_is_not_answered),
	    cmocka_unit_test(other_paths_and_sites_without_a_directory_are_left_to_the_routes),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
