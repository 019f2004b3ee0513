#include "cli/schema.h"

#include <stdio.h>

#include "cli/exits.h"
#include "cli/options.h"
#include "conf/reference.h"
#include "conf/schema.h"
#include "server/conf.h"

static const struct command command_schema = {
    .name = "schema",
    .usage = "",
    .purpose = "Prints the JSON Schema of the configuration, for editors: it completes names, "
	       "knows words and ranges.",
    .examples = "  forebay schema > forebay.schema.json\n"
		"\n"
		"and in the first line of forebay.yaml:\n"
		"\n"
		"  # yaml-language-server: $schema=forebay.schema.json\n",
};

static const struct command command_reference = {
    .name = "reference",
    .usage = "",
    .purpose = "Prints the reference of all directives as a Markdown page.",
    .examples = "  forebay reference > configuration.md\n",
};

static const char preface[] =
    "# Configuration\n"
    "\n"
    "<!-- Made by `forebay reference` from the tables of directives in src/: change them, not this "
    "page. -->\n"
    "\n"
    "One YAML file: `forebay serve -c FILE`, else `conf/forebay.yaml` in the working directory or "
    "beside the binary,\n"
    "else `/etc/forebay/forebay.yaml`. `forebay check` tells what is wrong with it and what is "
    "hardly meant,\n"
    "`forebay schema` prints a JSON Schema for editors. [conf/examples](../conf/examples) has "
    "whole files to begin with.\n"
    "\n"
    "The least that works:\n"
    "\n"
    "```yaml\n"
    "listen: \":8080\"\n"
    "upstreams: {app: \"127.0.0.1:3000\"}\n"
    "routes:\n"
    "  - match: /**\n"
    "```\n"
    "\n"
    "- **Durations** have a unit: `500ms`, `10s`, `5m`, `1h`, `7d`, `1h30m`, or .NET's "
    "`00:05:00`.\n"
    "- **Sizes** too: `4KiB`, `256MiB`, `1GB`. A share is `0.05` or `5%`. A list of one may stand "
    "without brackets.\n"
    "- **`${NAME}`** is a variable of the environment, `${NAME:-default}` one with a default, "
    "`${file:/path}` the content of\n"
    "  a file, for secrets: such a value is never printed. `$$` is a dollar.\n"
    "- **`include:`** at the top names further files, a pattern such as `routes/*.yaml`, or a list "
    "of them. Maps are\n"
    "  united, lists appended.\n"
    "- A **route** adds to the general settings of `cache`, `compression` and `security_headers`; "
    "`off` removes.\n"
    "- What is unknown, twice or out of range is an error, told with its place and the nearest "
    "name.\n"
    "\n";

void
reference_page(struct buf *out)
{
	buf_add_lit(out, preface);
	conf_reference(&server_table, out);
}

static int
print(struct buf *out)
{
	bool is_written = fwrite(out->p, 1, out->n, stdout) == out->n && fflush(stdout) == 0;

	if (!is_written)
		perror("forebay: standard output");
	buf_fini(out);
	return is_written ? EXIT_GOOD : EXIT_WRONG;
}

int
cli_schema(int argc, char **argv)
{
	struct buf out = {0};
	int code = options_read(&command_schema, argc, argv, NULL);

	if (code >= 0)
		return code;
	conf_schema(&server_table, "Forebay", &out);
	return print(&out);
}

int
cli_reference(int argc, char **argv)
{
	struct buf out = {0};
	int code = options_read(&command_reference, argc, argv, NULL);

	if (code >= 0)
		return code;
	reference_page(&out);
	return print(&out);
}
