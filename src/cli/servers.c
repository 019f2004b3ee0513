#include "cli/servers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/dialogue.h"
#include "cli/exits.h"
#include "cli/listing.h"

#define LOOK_MS 200

enum deed { DEED_LIST, DEED_DRAIN, DEED_UNDRAIN };
struct servers_call {
	struct dialogue with;
	enum deed deed;
	const char *upstream, *server; /* as typed; NULL: not named. upstream is our own copy */
	char *copy;
	bool force;
	uint64_t wait_s;
};

/* --- what is asked for --- */

static bool
take_wait(void *call, const struct option_row *row, const char *value, struct buf *why)
{
	struct servers_call *c = call;

	if (slice_to_u64(slice_from(value), &c->wait_s) && c->wait_s <= 86400)
		return true;
	buf_printf(why, "--wait %s: seconds are expected", value);
	return false;
}

static bool
take_upstream(void *call, int count, char **words, struct buf *why)
{
	struct servers_call *c = call;

	if (count == 1)
		c->upstream = c->copy = must_strdup(words[0]);
	else if (count > 1)
		buf_printf(why, "one UPSTREAM at most is expected");
	return count <= 1;
}

/* "app/10.0.0.1:3000", "app/unix:/run/app.sock": the first slash parts them. */
static bool
take_server(void *call, int count, char **words, struct buf *why)
{
	struct servers_call *c = call;
	char *slash;

	if (count != 1) {
		buf_printf(why, "one UPSTREAM/SERVER is expected");
		return false;
	}
	c->upstream = c->copy = must_strdup(words[0]);
	slash = strchr(c->copy, '/');
	if (slash == NULL || slash == c->copy || slash[1] == '\0') {
		buf_printf(why,
		    "\"%s\": UPSTREAM/SERVER is expected, as in app/10.0.0.1:3000; `forebay "
		    "servers` lists them",
		    words[0]);
		return false;
	}
	*slash = '\0';
	c->server = slash + 1;
	return true;
}

static const struct option_row rows_servers[] = {DIALOGUE_ROWS("the answer of /servers")};

static const struct option_row rows_drain[] = {
    {.name = "wait",
	.value = "S",
	.text = "how long to wait for what is on its way (300); 0: not at all",
	.take = take_wait},
    {.name = "force",
	.text = "also when no other server of the upstream is up",
	.at = offsetof(struct servers_call, force)},
    DIALOGUE_ROWS("the answer of /servers"),
};

static const struct command commands[] = {
    [DEED_LIST] = {.name = "servers",
	.usage = "[UPSTREAM] [--json]",
	.purpose = "Lists the servers behind the Forebay of this machine: whether they get "
		   "requests, and what is on its way there.",
	.rows = rows_servers,
	.count = sizeof(rows_servers) / sizeof(*rows_servers),
	.exits = "0 they were listed, 1 refused, 2 misused, or nobody answers.",
	.examples = "  forebay servers\n"
		    "  forebay servers app --json | jq '.upstreams[].servers[]'\n",
	.take_words = take_upstream},
    [DEED_DRAIN] = {.name = "drain",
	.usage = "UPSTREAM/SERVER [--wait S] [--force] [--json]",
	.purpose =
	    "Has the Forebay of this machine send a server no new requests, and waits until those "
	    "under way have ended: then it can be stopped, and nobody notices. It stays out until "
	    "`forebay undrain`, also over reloads; a restart of Forebay forgets it.",
	.rows = rows_drain,
	.count = sizeof(rows_drain) / sizeof(*rows_drain),
	.exits = "0 nothing is on its way there any more (with --wait 0: it is drained), 1 "
		 "refused, or something still is, 2 misused, or nobody answers.",
	.examples = "  forebay servers                                # their names\n"
		    "  forebay drain app/10.0.0.1:3000 && ssh 10.0.0.1 systemctl restart app\n"
		    "  forebay undrain app/10.0.0.1:3000\n"
		    "  forebay drain app/app.internal:3000/10.0.0.1   # one address of a name\n",
	.take_words = take_server},
    [DEED_UNDRAIN] = {.name = "undrain",
	.usage = "UPSTREAM/SERVER [--json]",
	.purpose = "Has the Forebay of this machine send a server requests again, slowly at first "
		   "where the upstream has slow_start.",
	.rows = rows_servers,
	.count = sizeof(rows_servers) / sizeof(*rows_servers),
	.exits = "0 done, 1 refused, 2 misused, or nobody answers.",
	.examples = "  forebay undrain app/10.0.0.1:3000\n",
	.take_words = take_server},
};

/* --- what is told --- */

static void
print_server(const json_t *s)
{
	double ejected_s = member_number(s, "ejected_for");
	char state[48];

	snprintf(state, sizeof(state), "%s", member_text(s, "state"));
	if (strcmp(state, "ejected") == 0)
		snprintf(state, sizeof(state), "ejected %.0fs", ejected_s + 0.5);
	printf("  %-12s %-6s %6.3g %9ld %11ld %12ld %9ld  %s", state, member_text(s, "checks"),
	    member_number(s, "weight"), (long)member_number(s, "in_flight"),
	    (long)member_number(s, "connections"), (long)member_number(s, "requests"),
	    (long)member_number(s, "failures"), member_text(s, "server"));
	if (*member_text(s, "zone") != '\0')
		printf("  (zone %s)", member_text(s, "zone"));
	if (member_number(s, "priority") > 0)
		printf("  (priority %ld)", (long)member_number(s, "priority"));
	putchar('\n');
}

static void
print_list(const json_t *top)
{
	const json_t *upstreams = json_object_get(top, "upstreams"), *u, *s;
	size_t i, k;

	for (i = 0; (u = json_array_get(upstreams, i)) != NULL; i++) {
		const json_t *servers = json_object_get(u, "servers");

		printf("%s%s (%s)\n", i > 0 ? "\n" : "", member_text(u, "upstream"),
		    member_text(u, "balance"));
		if (json_array_size(servers) == 0) {
			printf("  no address is known yet: nothing has been asked of it\n");
			continue;
		}
		printf("  STATE        CHECKS WEIGHT IN FLIGHT CONNECTIONS     REQUESTS  FAILURES  "
		       "SERVER\n");
		for (k = 0; (s = json_array_get(servers, k)) != NULL; k++)
			print_server(s);
	}
}

static bool
is_named(const struct servers_call *c, const char *server)
{
	size_t n = strlen(c->server);

	return strncmp(server, c->server, n) == 0 &&
	    (server[n] == '\0' || (server[n] == '/' && strncmp(server, "unix:", 5) != 0));
}

/* Requests under way and connections of all the places of that name. */
static void
count_left(const struct servers_call *c, const json_t *top, long *in_flight, long *connections)
{
	const json_t *u = json_array_get(json_object_get(top, "upstreams"), 0), *s;
	const json_t *servers = json_object_get(u, "servers");

	*in_flight = *connections = 0;
	for (size_t i = 0; (s = json_array_get(servers, i)) != NULL; i++)
		if (is_named(c, member_text(s, "server"))) {
			*in_flight += (long)member_number(s, "in_flight");
			*connections += (long)member_number(s, "connections");
		}
}

/* --- the conversation --- */

static json_t *
look(struct servers_call *c, int *code_out)
{
	struct buf target = {0};
	json_t *top;

	buf_printf(&target, "/servers%s%s",
	    c->upstream == NULL ? "" : "?upstream=", c->upstream == NULL ? "" : c->upstream);
	buf_add_char(&target, '\0');
	top = listing_ask(&c->with.door, "GET", target.p, SLICE_NONE, code_out, &c->with.why);
	buf_fini(&target);
	return top;
}

static json_t *
give_order(struct servers_call *c, int *code_out)
{
	json_t *o = json_pack("{s:s,s:s,s:b,s:b}", "upstream", c->upstream, "server", c->server,
	    "drain", (int)(c->deed == DEED_DRAIN), "force", (int)c->force);
	char *text = json_dumps(o, JSON_COMPACT);
	json_t *top = listing_ask(
	    &c->with.door, "POST", "/servers", slice_from(text), code_out, &c->with.why);

	free(text);
	json_decref(o);
	return top;
}

/* Until nothing is on its way there, or the time is over. A connection that is no request's is a tunnel's. */
static json_t *
wait_for_rest(struct servers_call *c, json_t *top, int *code_out)
{
	int64_t until_ms = clock_mono_ms() + (int64_t)c->wait_s * 1000;
	long in_flight, connections;

	for (;;) {
		count_left(c, top, &in_flight, &connections);
		if ((in_flight == 0 && connections == 0) || clock_mono_ms() >= until_ms)
			break;
		nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
		json_decref(top);
		if ((top = look(c, code_out)) == NULL)
			return NULL;
	}
	if (c->wait_s > 0 && in_flight + connections > 0) {
		buf_printf(&c->with.why,
		    "after %llu s %ld requests and %ld connections are still under way there; it "
		    "stays drained",
		    (unsigned long long)c->wait_s, in_flight, connections);
		*code_out = EXIT_WRONG;
	}
	return top;
}

static void
tell(const struct servers_call *c, const json_t *top)
{
	if (c->with.json)
		dialogue_print_json(top);
	else if (c->deed == DEED_LIST)
		print_list(top);
	else if (c->deed == DEED_UNDRAIN)
		printf("%s of %s gets requests again\n", c->server, c->upstream);
	else
		printf("%s of %s is drained%s\n", c->server, c->upstream,
		    c->wait_s > 0 ? ", and nothing is on its way there" : "");
}

static int
converse(void *call)
{
	struct servers_call *c = call;
	int code;
	json_t *top = c->deed == DEED_LIST ? look(c, &code) : give_order(c, &code);

	if (top != NULL && c->deed == DEED_DRAIN)
		top = wait_for_rest(c, top, &code);
	if (top != NULL && (code == EXIT_GOOD || c->with.json))
		tell(c, top);
	json_decref(top);
	return code;
}

static int
run(enum deed deed, int argc, char **argv)
{
	struct servers_call c = {.deed = deed, .wait_s = 300};
	int code = options_read(&commands[deed], argc, argv, &c);

	if (code < 0)
		code = dialogue_run(&commands[deed], &c, converse);
	free(c.copy);
	return code;
}

int
cli_servers(int argc, char **argv)
{
	return run(DEED_LIST, argc, argv);
}

int
cli_drain(int argc, char **argv)
{
	return run(DEED_DRAIN, argc, argv);
}

int
cli_undrain(int argc, char **argv)
{
	return run(DEED_UNDRAIN, argc, argv);
}
