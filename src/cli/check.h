/* cli/check.h - `forebay check`: is this configuration good, and is it what was meant? */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

/* argv[0] is the command's own name. Starts nothing and touches nothing. Returns the exit code: 0 good (perhaps with
 * warnings), 1 wrong (with --strict: or with warnings), 2 misused. */
int cli_check(int argc, char **argv);

#endif
