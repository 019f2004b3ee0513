/* LINK: http/sitemap */
/* Any bytes as a sitemap, in pieces whose size the first byte says: no address is longer than it may be, and there are not too many. */
#include <stdlib.h>

#include "http/sitemap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
on_loc(void *arg, struct slice loc, bool is_sitemap)
{
	unsigned *count = arg;

	if (loc.n == 0 || loc.n > SITEMAP_LOC_BYTES_MAX || ++*count > SITEMAP_LOCS_MAX)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct sitemap_handler handler = {on_loc};
	unsigned count = 0;
	struct sitemap *s;
	size_t piece;

	if (n == 0 || (s = sitemap_new(&handler, &count)) == NULL)
		return 0;
	piece = 1 + data[0];
	for (size_t at = 1; at < n; at += piece)
		sitemap_read(s, slice_of(data + at, n - at < piece ? n - at : piece));
	sitemap_end(s);
	sitemap_free(&s);
	return 0;
}
