/* LINK: policy/limitkey */
#include "policy/limitkey.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct limit_key
key_of_address(const char *text, uint16_t port)
{
	struct limit_key k = {0};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		limit_key_add_client(&k, (struct sockaddr *)&v4);
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
		limit_key_add_client(&k, (struct sockaddr *)&v6);
	}
	return k;
}

static bool
same(struct limit_key a, struct limit_key b)
{
	return slice_eq(limit_key_slice(&a), limit_key_slice(&b));
}

static bool
same_client(const char *a, const char *b)
{
	return same(key_of_address(a, 1000), key_of_address(b, 2000));
}

static struct limit_key
key_of_two(const char *a, const char *b)
{
	struct limit_key k = {0};

	limit_key_add(&k, LIMIT_KEY_HEADER, slice_from(a));
	limit_key_add(&k, LIMIT_KEY_HEADER, slice_from(b));
	return k;
}

static void
a_client_is_an_ipv4_address_or_an_ipv6_network(void **state)
{
	assert_true(same_client("192.0.2.1", "192.0.2.1"));
	assert_false(same_client("192.0.2.1", "192.0.2.2"));
	assert_true(same_client("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
	assert_false(same_client("2001:db8:1:2::1", "2001:db8:1:3::1"));
	assert_true(same_client("::ffff:192.0.2.1", "192.0.2.1"));
	assert_false(same_client("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
}

static void
different_rows_of_parts_never_share_a_key(void **state)
{
	struct limit_key header = {0}, cookie = {0};

	assert_false(same(key_of_two("ab", "c"), key_of_two("a", "bc")));
	assert_false(same(key_of_two("", "a"), key_of_two("a", "")));
	assert_false(same(key_of_two(NULL, "a"), key_of_two("", "a")));
	limit_key_add(&header, LIMIT_KEY_HEADER, SLICE_LIT("x"));
	limit_key_add(&cookie, LIMIT_KEY_COOKIE, SLICE_LIT("x"));
	assert_false(same(header, cookie));
}

static void
long_values_and_long_rows_stay_distinct_within_the_bound(void **state)
{
	char big[5000];
	struct limit_key a = {0}, b = {0}, c = {0};

	memset(big, 'x', sizeof(big));
	for (unsigned i = 0; i < 20; i++) {
		limit_key_add(&a, LIMIT_KEY_HEADER, slice_of(big, sizeof(big)));
		limit_key_add(&c, LIMIT_KEY_HEADER, slice_of(big, 48));
		limit_key_add(&b, LIMIT_KEY_HEADER, slice_of(big, sizeof(big) - (i == 0)));
		assert_in_range(a.n, 1, LIMIT_KEY_MAX);
		assert_in_range(c.n, 1, LIMIT_KEY_MAX);
		assert_false(same(a, b));
	}
}

static void
a_hash_cannot_be_sent_as_a_value(void **state)
{
	char big[100] = {0};
	struct limit_key hashed = {0}, sent = {0};

	limit_key_add(&hashed, LIMIT_KEY_HEADER, slice_of(big, sizeof(big)));
	limit_key_add(&sent, LIMIT_KEY_HEADER, slice_of(hashed.bytes + 2, hashed.n - 2));
	assert_int_equal(sent.n, hashed.n);
	assert_false(same(sent, hashed));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_client_is_an_ipv4_address_or_an_ipv6_network),
	    cmocka_unit_test(different_rows_of_parts_never_share_a_key),
	    cmocka_unit_test(long_values_and_long_rows_stay_distinct_within_the_bound),
	    cmocka_unit_test(a_hash_cannot_be_sent_as_a_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
