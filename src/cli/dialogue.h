/* cli/dialogue.h - what the commands have in common that talk with the running daemon: whom they ask, how it is answered.
 *
 * The call of such a command begins with a struct dialogue, which the rows below fill in (cli/options.h).
 */
#ifndef CLI_DIALOGUE_H
#define CLI_DIALOGUE_H

#include <jansson.h>

#include "cli/ask.h"
#include "cli/options.h"

struct dialogue {
	const char *path, *address; /* as typed; NULL: the usual ones */
	bool json;
	struct admin_door door;
	struct buf why; /* what was in the way, without its end */
};

/* Rows of the table of options. what: stands behind --json */
#define DIALOGUE_JSON(what)                                    \
	{                                                      \
		.name = "json", .text = "for programs: " what, \
		.at = offsetof(struct dialogue, json)          \
	}
#define DIALOGUE_CONFIG(what) OPTION_CONFIG(struct dialogue, what)
#define DIALOGUE_ADDRESS                                                                     \
	{                                                                                    \
		.name = "address", .value = "ADDRESS",                                       \
		.text = "asks there and reads no configuration: 127.0.0.1:9090, unix:/path", \
		.at = offsetof(struct dialogue, address)                                     \
	}
#define DIALOGUE_ROWS(json_what)                                                     \
	DIALOGUE_JSON(json_what), DIALOGUE_CONFIG("whose admin.address is asked; "), \
	    DIALOGUE_ADDRESS

/* Finds the door and has converse do the rest, which returns the exit code; then tells what was in the way and ends why.
 * call begins with its struct dialogue. Returns the exit code: EXIT_MISUSED where there is no door. */
int dialogue_run(const struct command *c, void *call, int (*converse)(void *call));

/* For programs. */
void dialogue_print_json(const json_t *top);

/* Members of what is answered. What is missing is "", 0, no: an older daemon may have fewer. */
const char *member_text(const json_t *object, const char *name);
double member_number(const json_t *object, const char *name);
bool member_is_true(const json_t *object, const char *name);

#endif
