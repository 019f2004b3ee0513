#include "cli/status.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>

#include "admin/health.h"
#include "cli/ask.h"
#include "cli/exits.h"

#define READY_WAIT_MS (READY_TIMEOUT_MS + 2000) /* it waits for its own dependencies first */

static const char usage[] =
    "usage: forebay status [-c FILE | --address ADDRESS] [--alive] [--json]\n"
    "\n"
    "Asks the Forebay of this machine how it is: whether it may be sent requests, and what it "
    "depends "
    "on.\n"
    "\n"
    "  -c, --config FILE  whose admin.address is asked; instead of conf/forebay.yaml here or "
    "beside\n"
    "                     the binary, or /etc/forebay/forebay.yaml\n"
    "  --address ADDRESS  asks there and reads no configuration: 127.0.0.1:9090, unix:/path\n"
    "  --alive            only whether it serves, whatever its upstreams do: for health checks "
    "that\n"
    "                     restart what fails\n"
    "  --json             for programs: the answer as /health/ready (or /health) gives it\n"
    "\n"
    "Exit code: 0 ready, 1 not ready, 2 misused, or nobody answers (1 with --alive).\n"
    "\n"
    "  forebay status\n"
    "  forebay status --json | jq .checks\n"
    "  until forebay status >/dev/null; do sleep 1; done     # wait until it is ready\n";

struct status {
	const char *path, *address; /* NULL: the usual ones */
	bool alive, json, help;
};

static bool
read_options(int argc, char **argv, struct status *out)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	    {"address", required_argument, NULL, 'a'}, {"alive", no_argument, NULL, 'l'},
	    {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	int o;

	optind = 0;
	while ((o = getopt_long(argc, argv, "c:h", options, NULL)) != -1)
		switch (o) {
		case 'c':
			out->path = optarg;
			break;
		case 'a':
			out->address = optarg;
			break;
		case 'l':
			out->alive = true;
			break;
		case 'j':
			out->json = true;
			break;
		case 'h':
			out->help = true;
			break;
		default:
			return false;
		}
	if (optind < argc)
		fprintf(stderr, "forebay status: unexpected \"%s\"\n", argv[optind]);
	return optind == argc;
}

/* What the answer says. Members that are missing show as nothing: an older daemon may have fewer. */

static const char *
text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text == NULL ? "" : text;
}

static double
number_of(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

static void
print_span(double seconds)
{
	unsigned long s = (unsigned long)seconds;

	if (s >= 2 * 86400)
		printf("%lu days", s / 86400);
	else if (s >= 2 * 3600)
		printf("%lu hours", s / 3600);
	else if (s >= 2 * 60)
		printf("%lu minutes", s / 60);
	else
		printf("%lu s", s);
}

static void
print_head(const json_t *top)
{
	const json_t *system = json_object_get(top, "system");
	double refused = number_of(system, "reloads_failed");

	printf("Forebay %s (pid %.0f) is %s, up ", text_of(system, "version"),
	    number_of(system, "pid"), text_of(top, "status"));
	print_span(number_of(top, "uptime"));
	printf("\n  configuration  generation %.0f", number_of(system, "generation"));
	if (refused > 0)
		printf(", %.0f reload%s refused since the start (see the log)", refused,
		    refused == 1 ? "" : "s");
	putchar('\n');
	if (json_object_get(system, "workers") != NULL)
		printf("  serving        %.0f workers, %.0f connections, %.1f MiB of memory\n",
		    number_of(system, "workers"), number_of(system, "connections"),
		    number_of(system, "memory_rss_bytes") / (1 << 20));
}

static void
print_checks(json_t *top)
{
	const char *name;
	json_t *check;

	json_object_foreach(json_object_get(top, "checks"), name, check)
	{
		const json_t *latency = json_object_get(check, "latency");

		printf("  %-14s %s: %s", name,
		    json_is_true(json_object_get(check, "healthy")) ? "good" : "DOWN",
		    text_of(check, "message"));
		if (json_is_number(latency))
			printf(" (%.1f ms)", json_number_value(latency));
		putchar('\n');
	}
}

/* False: it is not what a Forebay says. */
static bool
print_answer(const struct status *s, const struct answer *a)
{
	json_t *top = json_loadb(a->body.p, a->body.n, 0, NULL);
	bool is_ours = *text_of(top, "status") != '\0';

	if (is_ours && s->json) {
		fwrite(a->body.p, 1, a->body.n, stdout);
		putchar('\n');
	} else if (is_ours) {
		print_head(top);
		print_checks(top);
	}
	json_decref(top);
	return is_ours;
}

static int
ask_and_print(const struct status *s, const struct admin_door *door, struct buf *why)
{
	struct answer a;
	int code = s->alive ? EXIT_WRONG : EXIT_MISUSED;

	if (ask(door, "GET", s->alive ? "/health" : "/health/ready", SLICE_NONE,
		s->alive ? ASK_TIMEOUT_MS : READY_WAIT_MS, &a, why) != 0)
		return code;
	if (print_answer(s, &a))
		code = a.status == 200 ? EXIT_GOOD : EXIT_WRONG;
	else
		buf_printf(why, "%s: it answers %u, and not as Forebay's admin interface does",
		    door->name, a.status);
	answer_fini(&a);
	return code;
}

int
cli_status(int argc, char **argv)
{
	struct status s = {0};
	struct arena mem = {0};
	struct admin_door door;
	struct buf why = {0};
	int code = EXIT_MISUSED;

	if (!read_options(argc, argv, &s)) {
		fputs("try: forebay status --help\n", stderr);
		return EXIT_MISUSED;
	}
	if (s.help) {
		fputs(usage, stdout);
		return EXIT_GOOD;
	}
	if (admin_door_find(s.path, s.address, &mem, &door, &why) == 0)
		code = ask_and_print(&s, &door, &why);
	if (why.n > 0)
		fprintf(stderr, "forebay status: %.*s\n", SLICE_FMT(buf_slice(&why)));
	buf_fini(&why);
	arena_fini(&mem);
	return code;
}
