/* conf/excerpt.h - a source line with a caret under one place of it, fit for a terminal. */
#ifndef CONF_EXCERPT_H
#define CONF_EXCERPT_H

#include "base/arena.h"
#include "conf/source.h"

struct excerpt {
	const char *line;  /* tabs widened, control characters replaced, cut with "..." if long */
	const char *marks; /* blanks, then ^~~~ under the place */
};

/* Both texts live in mem. at names a line. */
struct excerpt excerpt_of(struct arena *mem, struct conf_place at);

#endif
