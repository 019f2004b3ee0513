/* cli/listing.h - what /purge and /cache of the admin interface answer, for people. */
#ifndef CLI_LISTING_H
#define CLI_LISTING_H

#include <jansson.h>

#include "cli/ask.h"

#define LISTING_WAIT_MS 60000 /* a walk through a large cache takes seconds */

/* Asks, and takes the answer as JSON; NULL: why tells. *code_out: EXIT_GOOD, or EXIT_WRONG when it was refused. */
json_t *listing_ask(const struct admin_door *door, const char *method, const char *target,
    struct slice body, int *code_out, struct buf *why);
/* "3 objects", "1 object", "about 3 objects". */
void listing_print_count(const json_t *top);
/* The table of "objects". */
void listing_print_objects(const json_t *top);

#endif
