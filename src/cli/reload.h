/* cli/reload.h - `forebay reload`: has the running daemon read its configuration again, and tells what came of it. */
#ifndef CLI_RELOAD_H
#define CLI_RELOAD_H

/* argv[0] is the command's own name. A configuration that is wrong is told and not sent. Returns the exit code: 0 the new
 * configuration is in use, 1 it is not (the old one is), 2 misused, nobody to tell, or the outcome is not known. */
int cli_reload(int argc, char **argv);

#endif
