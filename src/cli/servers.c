#include "cli/servers.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/exits.h"
#include "cli/listing.h"

#define LOOK_MS 200

static const char usage_servers[] =
    "usage: forebay servers [UPSTREAM] [--json]\n"
    "\n"
    "Lists the servers behind the Forebay of this machine: whether they get requests, and what "
    "is on\n"
    "its way there.\n"
    "\n";
static const char usage_drain[] =
    "usage: forebay drain UPSTREAM/SERVER [--wait S] [--force] [--json]\n"
    "\n"
    "Has the Forebay of this machine send a server no new requests, and waits until those under "
    "way\n"
    "have ended: then it can be stopped, and nobody notices. It stays out until `forebay "
    "undrain`, also\n"
    "over reloads; a restart of Forebay forgets it.\n"
    "\n"
    "  --wait S           how long to wait for what is on its way (300); 0: not at all\n"
    "  --force            also when no other server of the upstream is up\n";
static const char usage_undrain[] =
    "usage: forebay undrain UPSTREAM/SERVER [--json]\n"
    "\n"
    "Has the Forebay of this machine send a server requests again, slowly at first where the "
    "upstream\n"
    "has slow_start.\n"
    "\n";
static const char usage_common[] =
    "  --json             for programs: the answer of /servers\n"
    "  -c, --config FILE  whose admin.address is asked; instead of conf/forebay.yaml here or "
    "beside\n"
    "                     the binary, or /etc/forebay/forebay.yaml\n"
    "  --address ADDRESS  asks there and reads no configuration: 127.0.0.1:9090, unix:/path\n"
    "\n";
static const char examples_servers[] =
    "Exit code: 0 they were listed, 1 refused, 2 misused, or "
    "nobody answers.\n"
    "\n"
    "  forebay servers\n"
    "  forebay servers app --json | jq '.upstreams[].servers[]'\n";
static const char examples_drain[] =
    "Exit code: 0 nothing is on its way there any more (with --wait 0: it is drained), 1 refused, "
    "or\n"
    "something still is, 2 misused, or nobody answers.\n"
    "\n"
    "  forebay servers                                # their names\n"
    "  forebay drain app/10.0.0.1:3000 && ssh 10.0.0.1 systemctl restart app\n"
    "  forebay undrain app/10.0.0.1:3000\n"
    "  forebay drain app/app.internal:3000/10.0.0.1   # one address of a name\n";
static const char examples_undrain[] =
    "Exit code: 0 done, 1 refused, 2 misused, or nobody answers.\n"
    "\n"
    "  forebay undrain app/10.0.0.1:3000\n";

enum deed { DEED_LIST, DEED_DRAIN, DEED_UNDRAIN };
static const struct {
	const char *word, *usage, *examples;
} deeds[] = {[DEED_LIST] = {"servers", usage_servers, examples_servers},
    [DEED_DRAIN] = {"drain", usage_drain, examples_drain},
    [DEED_UNDRAIN] = {"undrain", usage_undrain, examples_undrain}};

struct servers_call {
	enum deed deed;
	const char *path, *address;    /* NULL: the usual ones */
	const char *upstream, *server; /* as typed; NULL: not named. upstream is our own copy */
	char *copy;
	bool json, help, force;
	uint64_t wait_s;
	struct admin_door door;
	struct buf why;
};

/* --- what is asked for --- */

static bool
take_option(struct servers_call *c, int o)
{
	switch (o) {
	case 'c':
		c->path = optarg;
		return true;
	case 'a':
		c->address = optarg;
		return true;
	case 'j':
		return c->json = true;
	case 'h':
		return c->help = true;
	case 'f':
		return (c->force = true) && c->deed == DEED_DRAIN;
	case 'w':
		if (c->deed == DEED_DRAIN && slice_to_u64(slice_from(optarg), &c->wait_s) &&
		    c->wait_s <= 86400)
			return true;
		fprintf(stderr, "forebay %s: --wait %s: seconds are expected\n",
		    deeds[c->deed].word, optarg);
		return false;
	default:
		return false;
	}
}

/* "app/10.0.0.1:3000", "app/unix:/run/app.sock": the first slash parts them. */
static bool
take_name(struct servers_call *c, const char *name)
{
	char *slash;

	c->upstream = c->copy = strdup(name);
	if (c->copy == NULL)
		return false;
	if (c->deed == DEED_LIST)
		return true;
	slash = strchr(c->copy, '/');
	if (slash == NULL || slash == c->copy || slash[1] == '\0') {
		fprintf(stderr,
		    "forebay %s: \"%s\": UPSTREAM/SERVER is expected, as in "
		    "app/10.0.0.1:3000; `forebay servers` lists them\n",
		    deeds[c->deed].word, name);
		return false;
	}
	*slash = '\0';
	c->server = slash + 1;
	return true;
}

static bool
read_options(int argc, char **argv, struct servers_call *c)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	    {"address", required_argument, NULL, 'a'}, {"wait", required_argument, NULL, 'w'},
	    {"force", no_argument, NULL, 'f'}, {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'}, {0}};
	int o, least = c->deed == DEED_LIST ? 0 : 1;

	optind = 0;
	while ((o = getopt_long(argc, argv, "c:h", options, NULL)) != -1)
		if (!take_option(c, o))
			return false;
	if (c->help)
		return true;
	if (argc - optind < least || argc - optind > 1) {
		fprintf(stderr, "forebay %s: one %s is expected\n", deeds[c->deed].word,
		    least == 0 ? "UPSTREAM at most" : "UPSTREAM/SERVER");
		return false;
	}
	return optind == argc || take_name(c, argv[optind]);
}

/* --- what is told --- */

static const char *
text_of(const json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));

	return text == NULL ? "" : text;
}

static long
number_of(const json_t *o, const char *name)
{
	return (long)json_integer_value(json_object_get(o, name));
}

static void
print_server(const json_t *s)
{
	double ejected_s = json_number_value(json_object_get(s, "ejected_for"));
	char state[48];

	snprintf(state, sizeof(state), "%s", text_of(s, "state"));
	if (strcmp(state, "ejected") == 0)
		snprintf(state, sizeof(state), "ejected %.0fs", ejected_s + 0.5);
	printf("  %-12s %-6s %6.3g %9ld %11ld %12ld %9ld  %s", state, text_of(s, "checks"),
	    json_number_value(json_object_get(s, "weight")), number_of(s, "in_flight"),
	    number_of(s, "connections"), number_of(s, "requests"), number_of(s, "failures"),
	    text_of(s, "server"));
	if (*text_of(s, "zone") != '\0')
		printf("  (zone %s)", text_of(s, "zone"));
	if (number_of(s, "priority") > 0)
		printf("  (priority %ld)", number_of(s, "priority"));
	putchar('\n');
}

static void
print_list(const json_t *top)
{
	const json_t *upstreams = json_object_get(top, "upstreams"), *u, *s;
	size_t i, k;

	for (i = 0; (u = json_array_get(upstreams, i)) != NULL; i++) {
		const json_t *servers = json_object_get(u, "servers");

		printf("%s%s (%s)\n", i > 0 ? "\n" : "", text_of(u, "upstream"),
		    text_of(u, "balance"));
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
		if (is_named(c, text_of(s, "server"))) {
			*in_flight += number_of(s, "in_flight");
			*connections += number_of(s, "connections");
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
	top = listing_ask(&c->door, "GET", target.p, SLICE_NONE, code_out, &c->why);
	buf_fini(&target);
	return top;
}

static json_t *
give_order(struct servers_call *c, int *code_out)
{
	json_t *o = json_pack("{s:s,s:s,s:b,s:b}", "upstream", c->upstream, "server", c->server,
	    "drain", (int)(c->deed == DEED_DRAIN), "force", (int)c->force);
	char *text = json_dumps(o, JSON_COMPACT);
	json_t *top =
	    listing_ask(&c->door, "POST", "/servers", slice_from(text), code_out, &c->why);

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
		buf_printf(&c->why,
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
	if (c->json) {
		json_dumpf(top, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (c->deed == DEED_LIST)
		print_list(top);
	else if (c->deed == DEED_UNDRAIN)
		printf("%s of %s gets requests again\n", c->server, c->upstream);
	else
		printf("%s of %s is drained%s\n", c->server, c->upstream,
		    c->wait_s > 0 ? ", and nothing is on its way there" : "");
}

static int
converse(struct servers_call *c)
{
	int code;
	json_t *top = c->deed == DEED_LIST ? look(c, &code) : give_order(c, &code);

	if (top != NULL && c->deed == DEED_DRAIN)
		top = wait_for_rest(c, top, &code);
	if (top != NULL && (code == EXIT_GOOD || c->json))
		tell(c, top);
	json_decref(top);
	return code;
}

static int
run(enum deed deed, int argc, char **argv)
{
	struct servers_call c = {.deed = deed, .wait_s = 300};
	struct arena mem = {0};
	int code = EXIT_MISUSED;

	if (!read_options(argc, argv, &c)) {
		fprintf(stderr, "try: forebay %s --help\n", deeds[deed].word);
	} else if (c.help) {
		printf("%s%s%s", deeds[deed].usage, usage_common, deeds[deed].examples);
		code = EXIT_GOOD;
	} else if (admin_door_find(c.path, c.address, &mem, &c.door, &c.why) == 0)
		code = converse(&c);
	if (c.why.n > 0)
		fprintf(
		    stderr, "forebay %s: %.*s\n", deeds[deed].word, SLICE_FMT(buf_slice(&c.why)));
	buf_fini(&c.why);
	free(c.copy);
	arena_fini(&mem);
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
