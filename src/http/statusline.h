/* http/statusline.h - the beginning of a response's first line. */
#ifndef HTTP_STATUSLINE_H
#define HTTP_STATUSLINE_H

#include "base/buf.h"

/* "HTTP/1.1 200 ", the reason to follow; status: of three digits. */
static inline void
status_line_begin(struct buf *b, unsigned status)
{
	char *at = buf_room(b, 13);

	memcpy(at, "HTTP/1.1 000 ", 13);
	at[9] = (char)('0' + status / 100);
	at[10] = (char)('0' + status / 10 % 10);
	at[11] = (char)('0' + status % 10);
	b->n += 13;
}

#endif
