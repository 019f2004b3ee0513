/* cli/status.h - `forebay status`: is it running, and may it be sent requests? */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

/* argv[0] is the command's own name. Prints a summary, or with --json what /health/ready says. Returns the exit code:
 * 0 ready, 1 not ready, 2 misused or nobody to ask (with --alive: 1). */
int cli_status(int argc, char **argv);

#endif
