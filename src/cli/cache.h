/* cli/cache.h - forebay cache ls: what the running daemon has stored. */
#ifndef CLI_CACHE_H
#define CLI_CACHE_H

int cli_cache(int argc, char **argv);

#endif
