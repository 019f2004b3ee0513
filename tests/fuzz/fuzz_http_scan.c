/* LINK: */
/* Any bytes, from any place in them: the wide scans reach as far as the plain ones. */
#include <stdlib.h>

#include "http/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;

	for (size_t from = 0; from <= n && from <= 40; from++)
		if (scan_value(p + from, n - from) != scan_plain(p + from, n - from, SCAN_VALUE) ||
		    scan_target(p + from, n - from) !=
			scan_plain(p + from, n - from, SCAN_TARGET) ||
		    scan_path(p + from, n - from) != scan_plain(p + from, n - from, SCAN_PATH))
			abort();
	return 0;
}
