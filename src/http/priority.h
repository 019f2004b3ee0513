/* http/priority.h - how urgent an answer is, as who asks says (RFC 9218).
 */
#ifndef HTTP_PRIORITY_H
#define HTTP_PRIORITY_H

#include <stdbool.h>

#include "base/slice.h"

#define URGENCIES 8
#define URGENCY_USUAL 3

struct priority {
	unsigned char urgency; /* 0, the most urgent, to 7 */
	bool is_incremental;   /* of use while it comes: shares with others of its urgency */
	bool is_told;	       /* somebody said so; what is not told is fair to all */
};

static const struct priority priority_usual = {.urgency = URGENCY_USUAL};

/* Takes what the text, the value of a Priority field or of a PRIORITY_UPDATE, says; what is not valid says nothing. */
void priority_read(struct slice text, struct priority *p);

#endif
