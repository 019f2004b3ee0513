/* cli/exits.h - what the exit codes of every command mean. */
#ifndef CLI_EXITS_H
#define CLI_EXITS_H

enum {
	EXIT_GOOD = 0,
	EXIT_WRONG =
	    1, /* it was done, and the answer is no: a wrong configuration, a refused request */
	EXIT_MISUSED = 2, /* unknown options or words */
};

#endif
