#include "admin/timestamp.h"

#include <time.h>

json_t *
json_timestamp(int64_t wall_ms)
{
	time_t s = wall_ms / 1000;
	char text[32];
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	return json_sprintf("%s.%03dZ", text, (int)(wall_ms % 1000));
}
