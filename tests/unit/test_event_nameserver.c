/* LINK: event/nameserver base/buf base/mem */
#include "event/nameserver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void
addresses_get_the_port_of_dns_where_they_name_none(void **state)
{
	struct buf list = {0};

	assert_true(nameserver_add(&list, "192.0.2.1"));
	assert_true(nameserver_add(&list, "192.0.2.1:5353"));
	assert_true(nameserver_add(&list, "2001:db8::1"));
	assert_true(nameserver_add(&list, "[2001:db8::1]"));
	assert_true(nameserver_add(&list, "[2001:db8::1]:5353"));
	buf_add_char(&list, '\0');
	assert_string_equal(list.p,
	    "192.0.2.1:53,192.0.2.1:5353,[2001:db8::1]:53,[2001:db8::1]:53,[2001:db8::1]:5353");
	buf_fini(&list);
}

static void
what_is_no_address_is_refused(void **state)
{
	static const char *const bad[] = {"", ":", ":53", "dns.example", "dns.example:53",
	    "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:53x", "[2001:db8::1",
	    "[]:53", "[192.0.2]:53", "unix:/run/dns", "fe80::1%eth0", "2001:db8::1:2:3:4:5:6:7"};
	struct buf list = {0};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(nameserver_add(&list, bad[i]));
	assert_int_equal(list.n, 0);
	buf_fini(&list);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(addresses_get_the_port_of_dns_where_they_name_none),
	    cmocka_unit_test(what_is_no_address_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
