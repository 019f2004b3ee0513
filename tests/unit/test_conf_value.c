/* LINK: conf/value */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "conf/value.h"

static int64_t
ms(const char *s)
{
	int64_t v = -1;

	return conf_value_duration(s, &v) == CONF_VALUE_OK ? v : -1;
}

static int64_t
bytes(const char *s)
{
	int64_t v = -1;

	return conf_value_size(s, &v) == CONF_VALUE_OK ? v : -1;
}

static void
a_duration_has_a_unit_or_is_a_time_span(void **state)
{
	int64_t v = 0;

	assert_int_equal(ms("50ms"), 50);
	assert_int_equal(ms("10m"), 600000);
	assert_int_equal(ms("365d"), 365LL * 86400000);
	assert_int_equal(ms("1h30m"), 5400000);
	assert_int_equal(ms("00:05:00"), 300000);
	assert_int_equal(ms("1.00:00:00.25"), 86400250);
	assert_int_equal(ms("23:59:59.9999999"), 86399999);
	assert_int_equal(conf_value_duration("0", &v), CONF_VALUE_OK);
	assert_int_equal(conf_value_duration("300", &v), CONF_VALUE_NO_UNIT);
	assert_int_equal(conf_value_duration("99999999999999999999s", &v), CONF_VALUE_TOO_LARGE);
	assert_int_equal(conf_value_duration("9223372036854775807w", &v), CONF_VALUE_TOO_LARGE);
	for (const char *const *bad =
		 (const char *const[]){"", "s", "-1s", "+1s", "1 s", "1.5s", "5x", "5m1h", "5m5m",
		     "24:00:00", "00:60:00", "0:5:0", "00:00", "00:00:00.", "1.:00:00", NULL};
	     *bad != NULL; bad++)
		assert_int_equal(conf_value_duration(*bad, &v), CONF_VALUE_BAD);
}

static void
a_size_counts_in_powers_of_two_or_ten(void **state)
{
	int64_t v = 0;

	assert_int_equal(bytes("4KiB"), 4096);
	assert_int_equal(bytes("4KB"), 4000);
	assert_int_equal(bytes("1TiB"), 1LL << 40);
	assert_int_equal(bytes("512B"), 512);
	assert_int_equal(conf_value_size("0", &v), CONF_VALUE_OK);
	assert_int_equal(conf_value_size("32", &v), CONF_VALUE_NO_UNIT);
	assert_int_equal(conf_value_size("32k", &v), CONF_VALUE_BAD);
	assert_int_equal(conf_value_size("9999999999TiB", &v), CONF_VALUE_TOO_LARGE);
}

static void
a_share_is_a_fraction_or_a_percentage(void **state)
{
	double v = 0;

	assert_int_equal(conf_value_ratio("5%", &v), CONF_VALUE_OK);
	assert_true(v > 0.0499 && v < 0.0501);
	assert_int_equal(conf_value_ratio("0.125", &v), CONF_VALUE_OK);
	assert_true(v > 0.1249 && v < 0.1251);
	assert_int_equal(conf_value_ratio(".5", &v), CONF_VALUE_BAD);
	assert_int_equal(conf_value_ratio("1e3", &v), CONF_VALUE_BAD);
	assert_int_equal(conf_value_ratio("nan", &v), CONF_VALUE_BAD);
}

static void
an_address_names_a_port_or_a_socket(void **state)
{
	for (const char *const *good = (const char *const[]){":8080", "*:80", "127.0.0.1:3000",
		 "app-1.internal:80", "[::1]:443", "[fe80::1%eth0]:80", "unix:/run/app.sock", NULL};
	     *good != NULL; good++)
		assert_true(conf_value_is_address(*good));
	for (const char *const *bad = (const char *const[]){"", "8080", "127.0.0.1", ":0", ":65536",
		 ":080808", "256.0.0.1:80", "::1:80", "[::1]", "[]:80", "[::g]:80", "a b:80",
		 "http://a:80", "unix:", "a..b:80", "-a:80", NULL};
	     *bad != NULL; bad++)
		assert_false(conf_value_is_address(*bad));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_duration_has_a_unit_or_is_a_time_span),
	    cmocka_unit_test(a_size_counts_in_powers_of_two_or_ten),
	    cmocka_unit_test(a_share_is_a_fraction_or_a_percentage),
	    cmocka_unit_test(an_address_names_a_port_or_a_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
