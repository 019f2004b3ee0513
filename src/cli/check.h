/* cli/check.h - `forebay check`: is this configuration good, and is it what was meant? */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "conf/diagnostic.h"

/* argv[0] is the command's own name. Starts nothing and touches nothing. Returns the exit code: 0 good (perhaps with
 * warnings), 1 wrong (with --strict: or with warnings), 2 misused. */
int cli_check(int argc, char **argv);

/* Reads the configuration at path and makes the site of it as serve would, so that nothing is found only then. What is
 * wrong with it goes to diag. */
void check_try_out(const char *path, struct conf_diag *diag);

#endif
