/* LINK: http/range http/head http/fields base/buf base/mem */
/* Any bytes as a Range and as a Content-Range: parts lie inside the whole and apart from each other. The first byte is
 * the length of the whole. */
#include <stdlib.h>

#include "http/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct ranges rs;
	struct content_range cr;
	uint64_t total = 0;

	if (n == 0)
		return 0;
	struct slice text = slice_of(data + 1, n - 1);
	if (range_judge(text, data[0], &rs) == RANGE_PARTS) {
		if (rs.count == 0 || rs.count > RANGES_MAX)
			abort();
		for (unsigned i = 0; i < rs.count; i++) {
			if (rs.at[i].from > rs.at[i].to || rs.at[i].to >= data[0])
				abort();
			total += rs.at[i].to - rs.at[i].from + 1;
		}
		if (total > data[0])
			abort();
	}
	if (content_range_parse(text, &cr) && cr.has_range && cr.has_length &&
	    cr.range.to >= cr.length)
		abort();
	return 0;
}
