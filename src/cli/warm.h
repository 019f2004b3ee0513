/* cli/warm.h - forebay warm: has the running daemon ask for pages before clients do, and shows how far it is. */
#ifndef CLI_WARM_H
#define CLI_WARM_H

int cli_warm(int argc, char **argv);

#endif
