/* LINK: event/proxyproto base/mem base/log base/clock */
/* Any bytes as a PROXY header: what is whole has its size within them, is judged the same without what follows, and no
 * beginning of it is bad. */
#include <stdlib.h>

#include "event/proxyproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct proxy_header h, again;
	const char *why;

	if (proxy_parse(slice_of(data, n), &h, &why) != PROXY_WHOLE)
		return 0;
	if (h.size == 0 || h.size > n || h.size > PROXY_MAX_BYTES)
		abort();
	if (proxy_parse(slice_of(data, h.size), &again, &why) != PROXY_WHOLE ||
	    again.size != h.size || again.has_addresses != h.has_addresses)
		abort();
	for (size_t part = 0; part < h.size && part < 300; part++)
		if (proxy_parse(slice_of(data, part), &again, &why) != PROXY_PARTIAL)
			abort();
	return 0;
}
