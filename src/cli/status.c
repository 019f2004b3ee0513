#include "cli/status.h"

#include <stdio.h>

#include "admin/health.h"
#include "cli/dialogue.h"
#include "cli/exits.h"

#define READY_WAIT_MS (READY_TIMEOUT_MS + 2000) /* it waits for its own dependencies first */

struct status {
	struct dialogue with;
	bool alive;
};

static const struct option_row rows[] = {
    {.name = "alive",
	.text = "only whether it serves, whatever its upstreams do: for health checks that restart "
		"what fails",
	.at = offsetof(struct status, alive)},
    DIALOGUE_ROWS("the answer as /health/ready (or /health) gives it"),
};

static const struct command command = {
    .name = "status",
    .usage = "[-c FILE | --address ADDRESS] [--alive] [--json]",
    .purpose = "Asks the Forebay of this machine how it is: whether it may be sent requests, and "
	       "what it depends on.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(*rows),
    .exits = "0 ready, 1 not ready, 2 misused, or nobody answers (1 with --alive).",
    .examples =
	"  forebay status\n"
	"  forebay status --json | jq .checks\n"
	"  until forebay status >/dev/null; do sleep 1; done     # wait until it is ready\n",
};

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
	double refused = member_number(system, "reloads_failed");

	printf("Forebay %s (pid %.0f) is %s, up ", member_text(system, "version"),
	    member_number(system, "pid"), member_text(top, "status"));
	print_span(member_number(top, "uptime"));
	printf("\n  configuration  generation %.0f", member_number(system, "generation"));
	if (refused > 0)
		printf(", %.0f reload%s refused since the start (see the log)", refused,
		    refused == 1 ? "" : "s");
	putchar('\n');
	if (json_object_get(system, "workers") != NULL)
		printf("  serving        %.0f workers, %.0f connections, %.1f MiB of memory\n",
		    member_number(system, "workers"), member_number(system, "connections"),
		    member_number(system, "memory_rss_bytes") / (1 << 20));
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
		    member_text(check, "message"));
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
	bool is_ours = *member_text(top, "status") != '\0';

	if (is_ours && s->with.json) {
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
ask_and_print(void *call)
{
	struct status *s = call;
	struct answer a;
	int code = s->alive ? EXIT_WRONG : EXIT_MISUSED;

	if (ask(&s->with.door, "GET", s->alive ? "/health" : "/health/ready", SLICE_NONE,
		s->alive ? ASK_TIMEOUT_MS : READY_WAIT_MS, &a, &s->with.why) != 0)
		return code;
	if (print_answer(s, &a))
		code = a.status == 200 ? EXIT_GOOD : EXIT_WRONG;
	else
		buf_printf(&s->with.why,
		    "%s: it answers %u, and not as Forebay's admin interface does",
		    s->with.door.name, a.status);
	answer_fini(&a);
	return code;
}

int
cli_status(int argc, char **argv)
{
	struct status s = {0};
	int code = options_read(&command, argc, argv, &s);

	return code < 0 ? dialogue_run(&command, &s, ask_and_print) : code;
}
