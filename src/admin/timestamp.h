/* admin/timestamp.h - moments as the admin interface tells them: RFC 3339, UTC, to the millisecond. */
#ifndef ADMIN_TIMESTAMP_H
#define ADMIN_TIMESTAMP_H

#include <jansson.h>
#include <stdint.h>

/* wall_ms: since 1970. The caller's reference. */
json_t *json_timestamp(int64_t wall_ms);

#endif
