/* server/pathtext.h - paths as the configuration writes them, in the normal form of http/url.h.
 *
 * What a route matches, purges or strips is compared with paths in normal form, so its literal parts must be written
 * in it: /café and /caf%c3%a9 both mean /caf%C3%A9. {name} and ** stay as they are.
 */
#ifndef SERVER_PATHTEXT_H
#define SERVER_PATHTEXT_H

#include "base/arena.h"

/* The text, which begins with "/", with its literal parts in normal form; from a "?" on it is left alone. In mem.
 * NULL, and why as a phrase. */
const char *path_text_normal(struct arena *mem, const char *text, const char **problem_out);

#endif
