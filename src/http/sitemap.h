/* http/sitemap.h - the addresses in a sitemap (sitemaps.org 0.9), read as its bytes arrive.
 *
 * A sitemap is XML, or gzip of it: which, its first bytes tell, whatever its name or type says. An urlset names pages, a
 * sitemapindex further sitemaps; every other element is passed over. What a sitemap may be is bounded as the protocol bounds it:
 * 50 MiB unfolded, 50,000 addresses, 2,048 bytes in each. Entities of its own making end it, and so does what would cost far more to
 * read than it is long: gzip of much more than XML folds to, elements within elements without end, endless comments and tags.
 */
#ifndef HTTP_SITEMAP_H
#define HTTP_SITEMAP_H

#include "base/slice.h"

#define SITEMAP_BYTES_MAX ((size_t)50 << 20)
#define SITEMAP_LOCS_MAX 50000
#define SITEMAP_LOC_BYTES_MAX 2048

struct sitemap;

/* clang-format off */
/*        flaw       text */
#define SITEMAP_FLAWS(X)                                                  \
	X(none,      "sound")                                             \
	X(gzip,      "its gzip is broken")                                \
	X(xml,       "it is not well-formed XML")                         \
	X(entities,  "it declares entities")                              \
	X(too_large, "it is larger than 50 MiB")                          \
	X(bomb,      "it unfolds to more than 200 times its size")        \
	X(too_deep,  "its elements lie more than 32 deep in one another") \
	X(long_piece, "a tag or comment of it is longer than 64 KiB")     \
	X(too_many,  "it has more than 50,000 addresses")                 \
	X(cut_short, "it ends too early")
/* clang-format on */
enum sitemap_flaw {
#define X(flaw, text) SITEMAP_##flaw,
	SITEMAP_FLAWS(X)
#undef X
};

struct sitemap_handler {
	/* An address as it is written there, blanks around it and entities taken off; good during the call. is_sitemap: of a further
	 * sitemap, not of a page. Longer ones are passed over. */
	void (*on_loc)(void *arg, struct slice loc, bool is_sitemap);
};

/* NULL when memory is short. */
struct sitemap *sitemap_new(const struct sitemap_handler *h, void *arg);
/* The next bytes. After a flaw nothing more is read. */
enum sitemap_flaw sitemap_read(struct sitemap *s, struct slice bytes);
/* There are no more bytes. */
enum sitemap_flaw sitemap_end(struct sitemap *s);
void sitemap_free(struct sitemap **sp);
const char *sitemap_flaw_text(enum sitemap_flaw flaw);

#endif
