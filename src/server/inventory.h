/* server/inventory.h - what is stored, for people: objects as JSON.
 *
 * Runs on the census' thread (census_ask.prepare), so that a long list holds up no worker.
 */
#ifndef SERVER_INVENTORY_H
#define SERVER_INVENTORY_H

#include <jansson.h>

#include "cache/census.h"

/* [{"url", "key" (what else is in the key), "variant" (fields that Vary names), "status", "bytes" (all it holds), "body_bytes",
 * "age" (s), "life_left" (s; below 0: stale), "stale" (also by a soft purge), "hits", "tags": [...]}] of a's rows. */
json_t *inventory_of(const struct census_ask *a);

#endif
