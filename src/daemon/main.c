/* forebay COMMAND: the table of commands is the whole of this file. */
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "cli/cache.h"
#include "cli/check.h"
#include "cli/purge.h"
#include "cli/explain.h"
#include "cli/reload.h"
#include "cli/schema.h"
#include "cli/servers.h"
#include "cli/status.h"
#include "cli/warm.h"
#include "daemon/serve.h"

static int
version(int argc, char **argv)
{
	printf("forebay %s\n", FOREBAY_VERSION);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *text;
} commands[] = {
    {"serve", daemon_serve, "serve with a configuration"},
    {"check", cli_check, "read a configuration and say what is wrong with it"},
    {"status", cli_status, "ask the running daemon how it is"},
    {"reload", cli_reload, "have the running daemon read its configuration again"},
    {"explain", cli_explain, "say what a request would get now, and why"},
    {"purge", cli_purge, "have the running daemon drop what is stored, or say what it would"},
    {"cache", cli_cache, "list what the running daemon has stored"},
    {"warm", cli_warm, "have the running daemon ask for pages before clients do"},
    {"servers", cli_servers, "list the servers behind the running daemon, and how they are"},
    {"drain", cli_drain, "take a server out: no new requests, and wait for those under way"},
    {"undrain", cli_undrain, "put it back"},
    {"schema", cli_schema, "print the JSON Schema of the configuration, for editors"},
    {"reference", cli_reference,
	"print the reference of the configuration (docs/configuration.md)"},
    {"version", version, "print the version"},
};

static int
usage(FILE *to)
{
	fprintf(to, "usage: forebay COMMAND [OPTIONS]\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].text);
	fprintf(to, "\n`forebay COMMAND --help` says more.\n");
	return to == stdout ? 0 : 2;
}

int
main(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0 ||
	    strcmp(argv[1], "-h") == 0)
		return usage(stdout);
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "forebay: no command \"%s\"\n", argv[1]);
	return usage(stderr);
}
