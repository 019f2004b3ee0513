/* cli/exits.h - what the exit codes of every command mean. */
#ifndef CLI_EXITS_H
#define CLI_EXITS_H

enum {
	EXIT_GOOD = 0,
	/* It was done, and the answer is no: a wrong configuration, a refused request. */
	EXIT_WRONG = 1,
	/* It could not be done: unknown options or words, nobody there to ask. */
	EXIT_MISUSED = 2,
};

#endif
