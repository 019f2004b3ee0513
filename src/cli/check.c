#include "cli/check.h"

#include <stdio.h>

#include "cli/exits.h"
#include "cli/options.h"
#include "server/certificates.h"
#include "server/compile.h"

struct check {
	const char *path; /* NULL: the usual one */
	bool json, strict, elsewhere;
};

static const struct option_row rows[] = {
    OPTION_CONFIG(struct check, ""),
    {.name = "json",
	.text = "for programs: {\"errors\", \"warnings\", \"diagnostics\": [...]}",
	.at = offsetof(struct check, json)},
    {.name = "strict", .text = "warnings count as errors", .at = offsetof(struct check, strict)},
    {.name = "elsewhere",
	.text =
	    "the configuration is another machine's: of certificates and keys that are not here "
	    "it only warns",
	.at = offsetof(struct check, elsewhere)},
};

static const struct command command = {
    .name = "check",
    .usage = "[-c FILE] [--json] [--strict] [--elsewhere]",
    .purpose = "Reads the configuration and tells everything that is wrong with it, and what is "
	       "allowed but hardly meant.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(*rows),
    .exits = "0 good, 1 wrong, 2 misused.",
    .examples = "  forebay check                        # the configuration that serve would take\n"
		"  forebay check -c site.yaml && forebay reload\n"
		"  forebay check --json | jq '.diagnostics[].message'\n",
};

static unsigned
slot_of_nobody(void *arg, const char *name)
{
	return 0;
}

static void
wake_nobody(struct limit_waiter *w, void *arg)
{
}

void
check_try_out(const char *path, struct conf_diag *diag)
{
	struct arena mem = {0};
	struct limit_table *limits = limit_table_new(0, wake_nobody, NULL);
	struct site_world world = {
	    .mem = &mem, .limits = limits, .workers = 1, .route_slot = slot_of_nobody};
	const struct server_conf *conf = server_conf_load(path, &mem, diag);
	struct site *site = conf == NULL ? NULL : site_compile(conf, &world, diag);

	if (site != NULL) {
		site_judge(conf, site, diag);
		certificates_try(conf, diag);
	}
	site_unref(&site);
	limit_table_unref(&limits);
	arena_fini(&mem);
}

static const char *
plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static void
tell(const struct check *c, const char *path, struct conf_diag *diag)
{
	size_t errors = conf_diag_errors(diag), warnings = conf_diag_warnings(diag);
	struct buf out = {0};

	if (c->json) {
		conf_diag_json(diag, &out);
		if (out.n > 0)
			fwrite(out.p, 1, out.n, stdout);
		if (out.n > 0 && out.p[out.n - 1] != '\n')
			putchar('\n');
	} else {
		conf_diag_text(diag, &out);
		if (out.n > 0)
			fwrite(out.p, 1, out.n, stderr);
		if (errors == 0)
			printf("%s: good", path);
		else
			printf("%s: %zu error%s", path, errors, plural(errors));
		if (warnings > 0)
			printf(", %zu warning%s", warnings, plural(warnings));
		putchar('\n');
	}
	buf_fini(&out);
}

int
cli_check(int argc, char **argv)
{
	struct check c = {0};
	struct arena mem = {0};
	struct conf_diag *diag;
	const char *path;
	bool is_wrong;
	int code = options_read(&command, argc, argv, &c);

	if (code >= 0)
		return code;
	path = c.path != NULL ? c.path : server_conf_default_path(&mem);
	diag = conf_diag_new();
	conf_diag_set_sight(diag, c.elsewhere ? CONF_SIGHT_ELSEWHERE : CONF_SIGHT_LOOKS);
	check_try_out(path, diag);
	tell(&c, path, diag);
	is_wrong = conf_diag_errors(diag) > 0 || (c.strict && conf_diag_warnings(diag) > 0);
	conf_diag_free(&diag);
	arena_fini(&mem);
	return is_wrong ? EXIT_WRONG : EXIT_GOOD;
}
