/* LINK: cache/journal cache/logbook base/buf base/mem base/log base/clock */
#include "cache/journal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/log.h"

static char directory[64], path[96];
static struct buf seen; /* one letter and the text of each purge, a blank after it */

static int
set_stage(void **state)
{
	snprintf(directory, sizeof(directory), "/tmp/forebay-test-journal-XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/purges.journal", directory);
	log_set_path("/dev/null");
	return 0;
}

static int
strike_stage(void **state)
{
	unlink(path);
	rmdir(directory);
	buf_fini(&seen);
	return 0;
}

static void
on_seen(void *arg, const struct purge *p)
{
	buf_add_char(&seen, "upgta"[p->kind]);
	buf_add_char(&seen, p->soft ? '~' : '!');
	buf_add_slice(&seen, p->what);
	buf_add_char(&seen, ' ');
}

static struct journal *
open_it(void)
{
	seen.n = 0;
	return journal_open(directory, on_seen, NULL);
}

static void
assert_seen(const char *text)
{
	struct journal *j = open_it();

	assert_non_null(j);
	buf_add_char(&seen, '\0');
	assert_string_equal(seen.p, text);
	journal_close(&j);
}

static void
write_three(void)
{
	struct journal *j = open_it();

	journal_add(j, &(struct purge){.kind = PURGE_EXACT, .what = SLICE_LIT("a.test/1")});
	journal_add(j, &(struct purge){.kind = PURGE_TAG, .soft = true, .what = SLICE_LIT("news")});
	assert_int_equal(journal_sync(j), 0);
	journal_add(j, &(struct purge){.kind = PURGE_ALL});
	assert_int_equal(journal_sync(j), 0);
	journal_close(&j);
}

static off_t
size(void)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : -1;
}

static void
the_next_process_sees_what_was_written_in_order(void **state)
{
	write_three();
	assert_seen("u!a.test/1 t~news a! ");
	assert_seen("u!a.test/1 t~news a! ");
}

static void
an_emptied_journal_is_empty(void **state)
{
	struct journal *j;

	write_three();
	j = open_it();
	assert_false(journal_is_empty(j));
	journal_empty(j);
	assert_true(journal_is_empty(j));
	journal_close(&j);
	assert_seen("");
}

static void
a_last_record_that_was_cut_short_is_dropped(void **state)
{
	off_t whole;
	struct journal *j;

	write_three();
	whole = size();
	for (off_t n = whole - 1; n > whole - 18; n--) {
		unlink(path);
		write_three();
		assert_int_equal(truncate(path, n), 0);
		assert_seen("u!a.test/1 t~news ");
	}
	j = open_it(); /* and what is written next can be read */
	journal_add(j, &(struct purge){.kind = PURGE_PREFIX, .what = SLICE_LIT("/2")});
	assert_int_equal(journal_sync(j), 0);
	journal_close(&j);
	assert_seen("u!a.test/1 t~news p!/2 ");
}

static void
damage_elsewhere_is_a_purge_of_everything(void **state)
{
	int fd;

	write_three();
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "#", 1, 20), 1);
	close(fd);
	assert_seen("a! ");
	assert_seen("a! "); /* the file says so now */
}

/* It looks like the beginning of a record that is longer than the file. */
static void
damage_of_a_length_is_no_end_cut_short(void **state)
{
	int fd;

	write_three();
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "#", 1, 1), 1);
	close(fd);
	assert_seen("a! ");
}

static void
zeroes_at_the_end_are_a_purge_of_everything(void **state)
{
	write_three();
	assert_int_equal(truncate(path, size() + 100), 0);
	assert_seen("u!a.test/1 t~news a! a! ");
}

static void
add_too_much(struct journal *j)
{
	static char text[8192];

	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 300; i++)
		journal_add(j, &(struct purge){.kind = PURGE_EXACT, .what = {text, sizeof(text)}});
}

static void
too_much_becomes_one_purge_of_everything(void **state)
{
	struct journal *j = open_it();

	add_too_much(j);
	assert_int_equal(journal_sync(j), 0);
	assert_true(size() < 100);
	journal_add(j, &(struct purge){.kind = PURGE_EXACT, .what = SLICE_LIT("a.test/1")});
	assert_int_equal(journal_sync(j), 0);
	journal_close(&j);
	assert_seen("a! u!a.test/1 ");
}

/* Descriptors for so many more files; 0: as many as before. */
static void
leave_descriptors(unsigned count)
{
	static struct rlimit was;
	struct rlimit few;
	int next = open("/dev/null", O_RDONLY);

	close(next);
	if (was.rlim_cur == 0)
		assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	few = was;
	if (count > 0)
		few.rlim_cur = (rlim_t)next + count;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
}

static void
a_file_that_took_its_place_is_the_journal_with_no_descriptor_left(void **state)
{
	struct journal *j = open_it();

	add_too_much(j);
	leave_descriptors(1); /* none more for the directory */
	journal_sync(j);
	leave_descriptors(0);
	journal_empty(j);
	journal_add(j, &(struct purge){.kind = PURGE_EXACT, .what = SLICE_LIT("a.test/1")});
	assert_int_equal(journal_sync(j), 0);
	journal_close(&j);
	assert_seen("u!a.test/1 ");
}

static void
a_full_disk_leaves_what_was_there(void **state)
{
	struct rlimit was, full;
	struct journal *j;

	write_three();
	j = open_it();
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	full = (struct rlimit){.rlim_cur = (rlim_t)size() + 20, .rlim_max = was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	journal_add(j, &(struct purge){.kind = PURGE_EXACT, .what = SLICE_LIT("a.test/long")});
	assert_int_equal(journal_sync(j), -1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	journal_add(j, &(struct purge){.kind = PURGE_PREFIX, .what = SLICE_LIT("/2")});
	assert_int_equal(journal_sync(j), 0);
	journal_close(&j);
	assert_seen("u!a.test/1 t~news a! p!/2 ");
}

static void
a_directory_that_cannot_be_used_is_told(void **state)
{
	assert_null(journal_open("/proc/nowhere", on_seen, NULL));
}

#define STAGED(f) cmocka_unit_test_setup_teardown(f, set_stage, strike_stage)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    STAGED(the_next_process_sees_what_was_written_in_order),
	    STAGED(an_emptied_journal_is_empty),
	    STAGED(a_last_record_that_was_cut_short_is_dropped),
	    STAGED(damage_elsewhere_is_a_purge_of_everything),
	    STAGED(damage_of_a_length_is_no_end_cut_short),
	    STAGED(zeroes_at_the_end_are_a_purge_of_everything),
	    STAGED(too_much_becomes_one_purge_of_everything),
	    STAGED(a_file_that_took_its_place_is_the_journal_with_no_descriptor_left),
	    STAGED(a_full_disk_leaves_what_was_there),
	    STAGED(a_directory_that_cannot_be_used_is_told),
	};

	return cmocka_run_group_tests_name("cache/journal", tests, NULL, NULL);
}
