/* LINK: daemon/limits base/log base/clock base/mem */
#include "daemon/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/log.h"

static void
the_soft_limit_becomes_the_hard_one(void **state)
{
	struct rlimit files;

	assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &files));
	files.rlim_cur = 64;
	files.rlim_max = files.rlim_max < 1000 ? files.rlim_max : 1000;
	assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &files));
	assert_int_equal(files.rlim_max, limits_raise_files());
	assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &files));
	assert_int_equal(files.rlim_max, files.rlim_cur);
	assert_int_equal(files.rlim_max, limits_raise_files());
}

static void
a_quarter_of_the_descriptors_is_left_for_origins(void **state)
{
	assert_int_equal(672, limits_connections(1024));
	assert_int_equal(49056, limits_connections(65536));
	assert_int_equal(1, limits_connections(64));
	assert_int_equal(UINT32_MAX, limits_connections(UINT64_MAX));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_soft_limit_becomes_the_hard_one),
	    cmocka_unit_test(a_quarter_of_the_descriptors_is_left_for_origins),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
