/* LINK: event/address base/buf base/mem */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "event/address.h"

static void
literals_are_told_from_names(void **state)
{
	static const char *const names[] = {"", "example.org", "1.2.3", "0x7f.1", "1.2.3.4.5",
	    "::1]", "[::1", "[]", "unix:", "fe80::1%no-such-interface", "12345"};
	struct address a;
	char path[200] = "unix:/";

	assert_true(address_of_literal("unix:/run/app.sock", 0, &a));
	assert_string_equal(a.u.un.sun_path, "/run/app.sock");
	assert_true(address_of_literal("::1%lo", 8080, &a));
	assert_int_not_equal(a.u.in6.sin6_scope_id, 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_false(address_of_literal(names[i], 80, &a));
	memset(path + 6, 'a', sizeof(path) - 7);
	assert_false(address_of_literal(path, 0, &a));
}

/* As "127.0.0.1 80"; "" where it is none. */
static const char *
shown(const char *text, const char *any)
{
	static char out[INET6_ADDRSTRLEN + 8];
	char host[INET6_ADDRSTRLEN];
	struct address a;

	if (!address_of_listener(text, any, &a))
		return "";
	if (a.u.sa.sa_family == AF_UNIX)
		snprintf(out, sizeof(out), "%.40s", a.u.un.sun_path);
	else if (a.u.sa.sa_family == AF_INET)
		snprintf(out, sizeof(out), "%s %u",
		    inet_ntop(AF_INET, &a.u.in4.sin_addr, host, sizeof(host)),
		    ntohs(a.u.in4.sin_port));
	else
		snprintf(out, sizeof(out), "%s %u",
		    inet_ntop(AF_INET6, &a.u.in6.sin6_addr, host, sizeof(host)),
		    ntohs(a.u.in6.sin6_port));
	return out;
}

static void
a_listener_is_at_an_address_of_this_machine(void **state)
{
	assert_string_equal(shown(":80", "::"), ":: 80");
	assert_string_equal(shown("*:80", "127.0.0.1"), "127.0.0.1 80");
	assert_string_equal(shown("localhost:8080", "::"), "127.0.0.1 8080");
	assert_string_equal(shown("10.0.0.1:8080", "::"), "10.0.0.1 8080");
	assert_string_equal(shown("[::1]:8080", "::"), "::1 8080");
	assert_string_equal(shown("unix:/run/a.sock", "::"), "/run/a.sock");
}

static void
a_name_or_half_an_address_is_none(void **state)
{
	static const char *const texts[] = {"example.com:80", "web:80", "", ":", ":0", ":65536",
	    "127.0.0.1", "127.0.0.1:http", "10.0.0:80", "unix:", "[::g]:80"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_string_equal(shown(texts[i], "::"), "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(literals_are_told_from_names),
	    cmocka_unit_test(a_listener_is_at_an_address_of_this_machine),
	    cmocka_unit_test(a_name_or_half_an_address_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
