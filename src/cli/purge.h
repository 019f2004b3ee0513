/* cli/purge.h - forebay purge: has the running daemon drop what is stored, or says what it would. */
#ifndef CLI_PURGE_H
#define CLI_PURGE_H

int cli_purge(int argc, char **argv);

#endif
