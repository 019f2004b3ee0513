/* conf/load.h - from a path to a filled struct. */
#ifndef CONF_LOAD_H
#define CONF_LOAD_H

#include "conf/table.h"

/* Reads path (and what it includes) into target, which has the size of the root table's struct. All
 * that target points to lives in mem, the nodes too, so that later checks can name places. 0, or -1
 * with every reason in d; target is then only good for being forgotten, with arena_fini(mem).
 * Warnings alone do not fail. */
int conf_load(const char *path, const struct conf_table *root, void *target, struct arena *mem,
    struct conf_diag *d);
/* The same for a text called name, which may not name files. */
struct conf_text {
	const char *name;
	struct slice text;
};
int conf_load_text(const struct conf_text *src, const struct conf_table *root, void *target,
    struct arena *mem, struct conf_diag *d);

#endif
