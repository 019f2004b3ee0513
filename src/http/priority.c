#include "http/priority.h"

#include "http/sf.h"

void
priority_read(struct slice text, struct priority *p)
{
	struct sf_member m;

	if (!sf_dict_is_valid(text))
		return;
	*p = priority_usual;
	p->is_told = true;
	if (sf_dict_get(text, SLICE_LIT("u"), &m) && m.value.type == SF_INTEGER &&
	    m.value.number >= 0 && m.value.number < URGENCIES)
		p->urgency = (unsigned char)m.value.number;
	if (sf_dict_get(text, SLICE_LIT("i"), &m) && m.value.type == SF_BOOLEAN)
		p->is_incremental = m.value.number != 0;
}
