/* The story of a reload: the file is judged here first, so that what is wrong is told where it was typed. The daemon is
 * found through its admin interface, which says its process and how many configurations it has taken and refused; SIGHUP
 * tells it; the same interface then tells which of the two numbers has grown. The new file may have moved the admin
 * interface itself: then nobody answers at the new address before, and the daemon is named by --pid. */
#include "cli/reload.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/check.h"
#include "cli/dialogue.h"
#include "cli/exits.h"
#include "server/conf.h"

#define OUTCOME_WAIT_MS 30000
#define LOOK_AGAIN_MS 50

enum result { RESULT_taken, RESULT_told, RESULT_refused, RESULT_wrong, RESULT_unknown };
static const struct {
	const char *name;
	int code;
} results[] = {
    [RESULT_taken] = {"taken", EXIT_GOOD},
    [RESULT_told] = {"told", EXIT_GOOD}, /* and nobody to ask what came of it: admin is off */
    [RESULT_refused] = {"refused", EXIT_WRONG},
    [RESULT_wrong] = {"wrong", EXIT_WRONG},
    [RESULT_unknown] = {"unknown", EXIT_MISUSED},
};

struct reload {
	struct dialogue with; /* an address that is NULL: as the file has it */
	pid_t pid;	      /* 0: to be found out */
	bool no_check;
	struct arena mem;
	struct buf said; /* the message */
};

/* What a daemon says of itself. pid 0: nobody answered. */
struct daemon_facts {
	pid_t pid;
	bool is_asked; /* the numbers are its own; else it is known by --pid alone */
	int64_t generation, reloads_failed;
};

static bool
take_pid(void *call, const struct option_row *row, const char *value, struct buf *why)
{
	struct reload *r = call;
	uint64_t n;

	if (!slice_to_u64(slice_from(value), &n) || n == 0 || n > INT32_MAX) {
		buf_printf(why, "\"%s\" is no process id", value);
		return false;
	}
	r->pid = (pid_t)n;
	return true;
}

static const struct option_row rows[] = {
    DIALOGUE_CONFIG("the file that the daemon was started with; "),
    {.name = "pid",
	.value = "PID",
	.text = "the daemon, when it is not found by asking the admin address of the file",
	.take = take_pid},
    {.name = "address",
	.value = "ADDRESS",
	.text = "where its admin interface listens now: 127.0.0.1:9090, unix:/path",
	.at = offsetof(struct dialogue, address)},
    {.name = "no-check",
	.text = "leaves the check to the daemon (whose environment may have what is missing here)",
	.at = offsetof(struct reload, no_check)},
    DIALOGUE_JSON("{\"result\": \"taken\" | \"told\" | \"refused\" | \"wrong\" | \"unknown\", "
		  "\"pid\", \"message\"}"),
};

static const struct command command = {
    .name = "reload",
    .usage = "[-c FILE] [--pid PID] [--address ADDRESS] [--no-check] [--json]",
    .purpose = "Checks the configuration, has the running Forebay read it, and tells whether it "
	       "did. Requests under way end as they began, the cache stays. When anything is wrong "
	       "the old configuration goes on.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(*rows),
    .exits = "0 the new configuration is in use, 1 it is not, 2 misused, nobody to tell, or the "
	     "outcome is not known.",
    .examples = "  forebay reload\n"
		"  forebay reload -c /etc/forebay/forebay.yaml --pid \"$(pidof forebay)\"\n",
};

/* The file */

static bool
is_good(struct reload *r)
{
	struct conf_diag *diag = conf_diag_new();
	size_t errors;

	conf_diag_set_sight(diag, CONF_SIGHT_LOOKS);
	check_try_out(r->with.path, diag);
	errors = conf_diag_errors(diag);
	conf_diag_text(diag, &r->said);
	if (errors > 0)
		buf_printf(&r->said,
		    "%s has %zu error%s: nothing was sent, the running configuration is kept",
		    r->with.path, errors, errors == 1 ? "" : "s");
	conf_diag_free(&diag);
	return errors == 0;
}

/* The daemon */

static struct daemon_facts
look_at(const struct admin_door *door, struct buf *why)
{
	struct daemon_facts f = {0};
	struct answer a;
	json_t *top, *system;

	if (ask(door, "GET", "/health", SLICE_NONE, ASK_TIMEOUT_MS, &a, why) != 0)
		return f;
	top = json_loadb(a.body.p, a.body.n, 0, NULL);
	system = json_object_get(top, "system");
	f.pid = (pid_t)json_integer_value(json_object_get(system, "pid"));
	f.generation = json_integer_value(json_object_get(system, "generation"));
	f.reloads_failed = json_integer_value(json_object_get(system, "reloads_failed"));
	f.is_asked = f.pid > 0;
	if (!f.is_asked)
		buf_printf(
		    why, "%s: what answers there is not Forebay's admin interface", door->name);
	json_decref(top);
	answer_fini(&a);
	return f;
}

/* That the number is a process here, and Forebay: not one behind a tunnel, or in a container. */
static bool
is_forebay(pid_t pid)
{
	char path[64], name[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
	f = fopen(path, "r");
	if (f == NULL)
		return false;
	if (fgets(name, sizeof(name), f) == NULL)
		name[0] = '\0';
	fclose(f);
	return strncmp(name, "forebay", 7) == 0;
}

static bool
tell_daemon(struct reload *r, pid_t pid)
{
	if (kill(pid, SIGHUP) == 0)
		return true;
	buf_printf(&r->said, "pid %ld: %s", (long)pid, strerror(errno));
	if (errno == EPERM)
		buf_printf(&r->said, "; it runs as another user: try with sudo");
	return false;
}

/* Until the daemon has counted the reload one way or the other. */
static enum result
wait_for_outcome(struct reload *r, const struct admin_door *door, const struct daemon_facts *before)
{
	int64_t until_ms = clock_mono_ms() + OUTCOME_WAIT_MS;
	const struct timespec pause = {.tv_nsec = LOOK_AGAIN_MS * 1000000L};

	do {
		struct buf why = {0};
		struct daemon_facts now = look_at(door, &why);

		buf_fini(&why);
		if (now.pid == before->pid && before->is_asked &&
		    now.reloads_failed > before->reloads_failed) {
			buf_printf(&r->said,
			    "pid %ld refused it and goes on with the old configuration; its log "
			    "tells why",
			    (long)now.pid);
			return RESULT_refused;
		}
		if (now.pid == before->pid && now.generation > before->generation) {
			buf_printf(&r->said, "pid %ld has taken %s (generation %lld)",
			    (long)now.pid, r->with.path, (long long)now.generation);
			return RESULT_taken;
		}
		nanosleep(&pause, NULL);
	} while (clock_mono_ms() < until_ms && kill(before->pid, 0) == 0);
	buf_printf(&r->said,
	    "pid %ld was told, but not heard of again at %s: its log knows the outcome",
	    (long)before->pid, door->name);
	return RESULT_unknown;
}

static enum result
reload_with(struct reload *r, const struct admin_door *door)
{
	struct buf why = {0};
	struct daemon_facts before = look_at(door, &why);

	if (r->pid != 0 && before.pid != r->pid)
		before = (struct daemon_facts){
		    .pid = r->pid}; /* it will be there, if the file is taken */
	if (before.pid <= 0)
		buf_printf(&r->said, "%.*s%s", SLICE_FMT(buf_slice(&why)),
		    "; if the file moves the admin interface, name the daemon by --pid or "
		    "--address");
	else if (r->pid == 0 && !is_forebay(before.pid))
		buf_printf(&r->said,
		    "%s is answered by pid %ld, which is not a Forebay of this machine: run this "
		    "where it runs",
		    door->name, (long)before.pid);
	else if (tell_daemon(r, before.pid)) {
		r->pid = before.pid;
		buf_fini(&why);
		return wait_for_outcome(r, door, &before);
	}
	buf_fini(&why);
	return RESULT_unknown;
}

/* Where there is no door, a daemon named by --pid can be told, but not asked. */
static enum result
reload_unseen(struct reload *r, const struct buf *why)
{
	if (r->pid == 0) {
		buf_add_slice(&r->said, buf_slice(why));
		return RESULT_unknown;
	}
	if (!tell_daemon(r, r->pid))
		return RESULT_unknown;
	buf_printf(&r->said,
	    "pid %ld was told; what came of it stands in its log: there is no admin interface to "
	    "ask",
	    (long)r->pid);
	return RESULT_told;
}

static enum result
reload(struct reload *r)
{
	struct admin_door door;
	struct buf why = {0};
	enum result result;

	if (!r->no_check && !is_good(r))
		return RESULT_wrong;
	if (admin_door_find(r->with.path, r->with.address, &r->mem, &door, &why) == 0)
		result = reload_with(r, &door);
	else
		result = reload_unseen(r, &why);
	buf_fini(&why);
	return result;
}

static void
tell(const struct reload *r, enum result result)
{
	json_t *top;

	if (!r->with.json) {
		fprintf(results[result].code == EXIT_GOOD ? stdout : stderr, "%.*s\n",
		    SLICE_FMT(buf_slice(&r->said)));
		return;
	}
	top = json_pack("{s:s,s:I,s:s%}", "result", results[result].name, "pid", (json_int_t)r->pid,
	    "message", r->said.p, r->said.n);
	dialogue_print_json(top);
	json_decref(top);
}

int
cli_reload(int argc, char **argv)
{
	struct reload r = {0};
	enum result result;
	int code = options_read(&command, argc, argv, &r);

	if (code >= 0)
		return code;
	if (r.with.path == NULL)
		r.with.path = server_conf_default_path(&r.mem);
	result = reload(&r);
	tell(&r, result);
	buf_fini(&r.said);
	arena_fini(&r.mem);
	return results[result].code;
}
