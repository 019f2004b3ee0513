#include "http/incremental.h"

#include "http/sf.h"

bool
message_is_incremental(const struct head *h)
{
	const struct field *f = head_find(h, FIELD_INCREMENTAL);
	struct sf_member m;

	return f != NULL && head_next(h, f) == NULL && sf_item(field_value(h, f), &m) &&
	    m.value.type == SF_BOOLEAN && m.value.number != 0;
}
