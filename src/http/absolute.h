/* http/absolute.h - a page's address as people and lists write it, taken apart into what a request says. */
#ifndef HTTP_ABSOLUTE_H
#define HTTP_ABSOLUTE_H

#include "base/slice.h"

struct absolute {
	bool is_tls;	     /* https */
	struct slice host;   /* with its port; not checked yet */
	struct slice target; /* path and query; not checked yet */
};

/* "https://host/path?query", or "/path?query" which belongs to base ("https://host"; SLICE_NONE: there is none). A
 * fragment is left out. False: it is neither. */
bool absolute_read(struct slice base, struct slice address, struct absolute *out);

#endif
