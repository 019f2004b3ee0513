/* cli/servers.h - `forebay servers`, `forebay drain` and `forebay undrain`. */
#ifndef CLI_SERVERS_H
#define CLI_SERVERS_H

int cli_servers(int argc, char **argv);
int cli_drain(int argc, char **argv);
int cli_undrain(int argc, char **argv);

#endif
