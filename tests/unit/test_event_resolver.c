/* LINK: event/resolver event/address event/srvanswer event/lookup event/loop base/clock base/mem */
#include "event/resolver.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG_MS 60000
#define SHORT_MS 60

/* The cast: a loop, a name server on it, the resolver that asks that server, and what came back. */
struct stage {
	struct loop *loop;
	struct resolver *resolver;
	int fd;
	struct event *readable;
	unsigned questions, for_six; /* any; of them for IPv6's */
};

/* What one question brought. */
struct said {
	struct stage *stage;
	unsigned times, count;
	struct address addresses[RESOLVED_MAX];
	uint32_t ttl_s;
	bool is_unknown;
	char error[128];
	struct resolve **then_cancel; /* in the callback */
	bool then_free;
};

static struct said *last_wanted; /* the loop stops when this one is answered */

static void
on_said(void *arg, const struct resolved *answer)
{
	struct said *s = arg;

	s->times++;
	s->count = answer->count;
	memcpy(s->addresses, answer->addresses, answer->count * sizeof(s->addresses[0]));
	s->ttl_s = answer->ttl_s;
	s->is_unknown = answer->is_unknown;
	snprintf(s->error, sizeof(s->error), "%s", answer->error == NULL ? "" : answer->error);
	if (s->then_cancel != NULL)
		resolver_cancel(s->then_cancel);
	if (s->then_free)
		resolver_free(&s->stage->resolver);
	if (s == last_wanted)
		loop_stop(s->stage->loop);
}

/* --- a name server of few words: it knows names by what they begin with --- */

static size_t
put_record(unsigned char *p, uint16_t type, uint32_t ttl_s, const void *data, uint16_t n)
{
	const unsigned char head[] = {0xc0, 12, (unsigned char)(type >> 8), (unsigned char)type, 0,
	    1, (unsigned char)(ttl_s >> 24), (unsigned char)(ttl_s >> 16),
	    (unsigned char)(ttl_s >> 8), (unsigned char)ttl_s, 0, (unsigned char)n};

	memcpy(p, head, sizeof(head));
	memcpy(p + sizeof(head), data, n);
	return sizeof(head) + n;
}

static size_t
put_answers(unsigned char *p, const char *label, uint16_t type, unsigned *count_out)
{
	struct in6_addr six;
	size_t n = 0;

	inet_pton(AF_INET6, "::1", &six);
	*count_out = 0;
	if (type == 1 && strncmp(label, "four", 4) == 0) {
		n += put_record(p + n, 1, 300, "\x7f\0\0\x2", 4);
		n += put_record(p + n, 1, 30, "\x7f\0\0\x3", 4);
		*count_out = 2;
	}
	if (type == 1 && strncmp(label, "many", 4) == 0)
		for (; *count_out < 20; (*count_out)++)
			n += put_record(p + n, 1, 86400, "\x7f\0\0\x4", 4);
	if (type == 28 && strncmp(label, "six", 3) == 0) {
		n += put_record(p + n, 28, 0, &six, 16);
		*count_out = 1;
	}
	return n;
}

static void
on_question(evutil_socket_t fd, short what, void *arg)
{
	struct stage *s = arg;
	unsigned char p[1500];
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	ssize_t got = recvfrom(fd, p, 512, 0, (struct sockaddr *)&from, &from_len);
	size_t name_end = 12, n;
	unsigned count;

	assert_true(got > 17);
	s->questions++;
	while (p[name_end] != 0)
		name_end += p[name_end] + 1u;
	n = name_end + 5;
	s->for_six += p[name_end + 2] == 28;
	if (strncmp((char *)p + 13, "silent", 6) == 0)
		return;
	p[2] |= 0x80;
	p[3] = strncmp((char *)p + 13, "missing", 7) == 0 ? 3 : 0;
	p[8] = p[9] = p[10] = p[11] = 0; /* no authority, no additional */
	n += put_answers(p + n, (char *)p + 13, p[name_end + 2], &count);
	p[6] = 0;
	p[7] = (unsigned char)count;
	sendto(fd, p, n, 0, (struct sockaddr *)&from, from_len);
}

static int
set_stage(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	char servers[32];

	s->loop = loop_new();
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (bind(s->fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    getsockname(s->fd, (struct sockaddr *)&at, &len) != 0)
		return -1;
	s->readable = event_new(loop_base(s->loop), s->fd, EV_READ | EV_PERSIST, on_question, s);
	event_add(s->readable, NULL);
	snprintf(servers, sizeof(servers), "127.0.0.1:%u", ntohs(at.sin_port));
	s->resolver = resolver_new(s->loop, servers);
	*state = s;
	return s->resolver == NULL ? -1 : 0;
}

static int
strike_stage(void **state)
{
	struct stage *s = *state;

	resolver_free(&s->resolver);
	event_free(s->readable);
	close(s->fd);
	loop_free(&s->loop);
	free(s);
	return 0;
}

static struct resolve *
ask(struct stage *s, struct said *said, const char *host, int64_t timeout_ms)
{
	said->stage = s;
	return resolver_start(s->resolver, host, 8080, timeout_ms, on_said, said);
}

static void
run_until(struct said *said)
{
	last_wanted = said;
	loop_run(said->stage->loop);
}

static void
assert_address(const struct address *a, const char *text)
{
	char got[INET6_ADDRSTRLEN];
	bool is_six = a->u.sa.sa_family == AF_INET6;

	inet_ntop(a->u.sa.sa_family,
	    is_six ? (const void *)&a->u.in6.sin6_addr : (const void *)&a->u.in4.sin_addr, got,
	    sizeof(got));
	assert_string_equal(got, text);
	assert_int_equal(ntohs(is_six ? a->u.in6.sin6_port : a->u.in4.sin_port), 8080);
	assert_int_equal(a->len, is_six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
}

static void
a_name_has_all_its_addresses_for_the_shortest_life_among_them(void **state)
{
	struct said said = {0};

	assert_non_null(ask(*state, &said, "four.forebay.test", LONG_MS));
	assert_int_equal(said.times, 0);
	run_until(&said);
	assert_int_equal(said.times, 1);
	assert_int_equal(said.count, 2);
	assert_int_equal(said.ttl_s, 30);
	assert_address(&said.addresses[0],
	    said.addresses[0].u.in4.sin_addr.s_addr == htonl(0x7f000002) ? "127.0.0.2"
									 : "127.0.0.3");
}

static void
a_name_may_have_ipv6_addresses_only(void **state)
{
	struct said said = {0};

	ask(*state, &said, "six.forebay.test", LONG_MS);
	run_until(&said);
	assert_int_equal(said.count, 1);
	assert_address(&said.addresses[0], "::1");
	assert_int_equal(said.ttl_s, 1); /* the server said 0 */
}

static void
an_answer_is_bounded_in_number_and_life(void **state)
{
	struct said said = {0};

	ask(*state, &said, "many.forebay.test", LONG_MS);
	run_until(&said);
	assert_int_equal(said.count, RESOLVED_MAX);
	assert_int_equal(said.ttl_s, RESOLVER_TTL_MAX_S);
}

static void
a_name_that_does_not_exist_is_told_from_a_server_that_does_not_answer(void **state)
{
	struct said missing = {0}, silent = {0};

	ask(*state, &missing, "missing.forebay.test", LONG_MS);
	run_until(&missing);
	assert_int_equal(missing.count, 0);
	assert_true(missing.is_unknown);
	assert_string_not_equal(missing.error, "");
	ask(*state, &silent, "silent.forebay.test", SHORT_MS);
	run_until(&silent);
	assert_int_equal(silent.times, 1);
	assert_int_equal(silent.count, 0);
	assert_false(silent.is_unknown);
	assert_string_equal(silent.error, "no answer in time");
}

static void
the_hosts_file_goes_before_dns(void **state)
{
	struct stage *s = *state;
	struct said said = {0};

	ask(s, &said, "localhost", LONG_MS);
	run_until(&said);
	assert_true(said.count >= 1);
	assert_int_equal(s->questions, 0);
}

static void
a_literal_address_asks_nobody_but_is_answered_later(void **state)
{
	struct stage *s = *state;
	struct said four = {0}, six = {0};

	ask(s, &four, "192.0.2.1", LONG_MS);
	ask(s, &six, "[2001:db8::1]", LONG_MS);
	assert_int_equal(four.times + six.times, 0);
	run_until(&six);
	assert_address(&four.addresses[0], "192.0.2.1");
	assert_address(&six.addresses[0], "2001:db8::1");
	assert_int_equal(s->questions, 0);
}

static void
a_cancelled_question_is_never_answered(void **state)
{
	struct said dns = {0}, literal = {0}, other = {0};
	struct resolve *q = ask(*state, &dns, "four.forebay.test", LONG_MS);
	struct resolve *l = ask(*state, &literal, "192.0.2.1", LONG_MS);

	resolver_cancel(&q);
	resolver_cancel(&l);
	assert_null(q);
	ask(*state, &other, "six.forebay.test", LONG_MS);
	run_until(&other);
	assert_int_equal(dns.times + literal.times, 0);
}

static void
a_question_may_be_cancelled_in_the_answer_to_another(void **state)
{
	struct said a = {0}, b = {0}, other = {0};
	struct resolve *q;

	ask(*state, &a, "192.0.2.1", LONG_MS);
	q = ask(*state, &b, "192.0.2.2", LONG_MS);
	a.then_cancel = &q;
	ask(*state, &other, "192.0.2.3", LONG_MS);
	run_until(&other);
	assert_int_equal(a.times, 1);
	assert_int_equal(b.times, 0);
}

static void
a_resolver_freed_in_an_answer_forgets_the_other_questions(void **state)
{
	struct said a = {.then_free = true}, b = {0}, c = {0};

	ask(*state, &a, "192.0.2.1", LONG_MS);
	ask(*state, &b, "192.0.2.2", LONG_MS);
	ask(*state, &c, "silent.forebay.test", LONG_MS);
	run_until(&a);
	assert_int_equal(a.times, 1);
	assert_int_equal(b.times + c.times, 0);
}

static void
questions_under_way_are_bounded(void **state)
{
	struct stage *s = *state;
	struct said said = {0};
	unsigned n = 0;

	while (ask(s, &said, "192.0.2.1", LONG_MS) != NULL)
		n++;
	assert_int_equal(n, RESOLVES_MAX);
}

static void
a_bad_list_of_servers_is_refused(void **state)
{
	struct stage *s = *state;

	assert_null(resolver_new(s->loop, "not an address"));
}

#define STAGED(f) cmocka_unit_test_setup_teardown(f, set_stage, strike_stage)

/* "127.0.0.1:port" of a socket */
static void
name_socket(int fd, char out[32])
{
	struct sockaddr_in at;
	socklen_t len = sizeof(at);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	snprintf(out, 32, "127.0.0.1:%u", ntohs(at.sin_port));
}

static void
questions_under_way_are_asked_anew_of_other_servers(void **state)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct stage *s = *state;
	struct said waiting = {0}, next = {0};
	int deaf = socket(AF_INET, SOCK_DGRAM, 0);
	struct resolver *own = s->resolver;
	char servers[32], nobody[32];

	assert_int_equal(bind(deaf, (struct sockaddr *)&any, sizeof(any)), 0);
	name_socket(deaf, nobody);
	name_socket(s->fd, servers);
	resolver_use(nobody);
	s->resolver = resolver_new(s->loop, NULL);
	ask(s, &waiting, "four.forebay.test", LONG_MS);
	resolver_use(servers);
	ask(s, &next, "six.forebay.test", LONG_MS);
	run_until(&waiting);
	assert_int_equal(waiting.count, 2);
	if (next.times == 0)
		run_until(&next);
	assert_int_equal(next.count, 1);
	resolver_use(NULL);
	resolver_free(&s->resolver);
	s->resolver = own;
	close(deaf);
}

static void
one_kind_of_address_may_be_asked_for_alone(void **state)
{
	struct stage *s = *state;
	struct said four = {.stage = s}, six = {.stage = s};

	resolver_start_family(
	    s->resolver, "four.forebay.test", 8080, AF_INET, LONG_MS, on_said, &four);
	run_until(&four);
	assert_int_equal(four.count, 2);
	assert_int_equal(s->for_six, 0);
	resolver_start_family(
	    s->resolver, "four.forebay.test", 8080, AF_INET6, LONG_MS, on_said, &six);
	run_until(&six);
	assert_int_equal(six.count, 0);
	assert_true(six.is_unknown);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    STAGED(a_name_has_all_its_addresses_for_the_shortest_life_among_them),
	    STAGED(a_name_may_have_ipv6_addresses_only),
	    STAGED(an_answer_is_bounded_in_number_and_life),
	    STAGED(a_name_that_does_not_exist_is_told_from_a_server_that_does_not_answer),
	    STAGED(the_hosts_file_goes_before_dns),
	    STAGED(a_literal_address_asks_nobody_but_is_answered_later),
	    STAGED(a_cancelled_question_is_never_answered),
	    STAGED(a_question_may_be_cancelled_in_the_answer_to_another),
	    STAGED(a_resolver_freed_in_an_answer_forgets_the_other_questions),
	    STAGED(questions_under_way_are_bounded),
	    STAGED(a_bad_list_of_servers_is_refused),
	    STAGED(questions_under_way_are_asked_anew_of_other_servers),
	    STAGED(one_kind_of_address_may_be_asked_for_alone),
	};

	return cmocka_run_group_tests_name("event/resolver", tests, NULL, NULL);
}
