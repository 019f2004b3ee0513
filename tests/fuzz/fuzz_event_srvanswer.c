/* LINK: event/srvanswer */
/* What a name server says about a service: never read beyond the message, and a record is whole. */
#include <assert.h>
#include <string.h>

#include "event/srvanswer.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct srv_record records[SRV_RECORDS_MAX];
	uint32_t ttl_s;
	int n = srvanswer_parse(data, size, records, &ttl_s);

	assert(n <= SRV_RECORDS_MAX);
	for (int i = 0; i < n; i++)
		assert(memchr(records[i].host, '\0', sizeof(records[i].host)) != NULL);
	return 0;
}
