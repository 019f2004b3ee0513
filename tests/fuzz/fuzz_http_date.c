/* LINK: http/date */
/* Any bytes as a date: what is understood is written and read back as the same moment. */
#include <stdlib.h>

#include "http/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	int64_t s = date_parse(slice_of(data, n), 1795003200);
	char out[DATE_LEN];

	if (s == DATE_NONE)
		return 0;
	date_format(s, out);
	if (s <= 253402300799 && date_parse(slice_of(out, DATE_LEN), 0) != s)
		abort();
	return 0;
}
