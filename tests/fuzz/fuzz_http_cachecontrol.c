/* LINK: http/cachecontrol http/sf http/sf_bare http/head http/fields base/buf base/mem */
/* Any bytes as Cache-Control, CDN-Cache-Control and Pragma: numbers stay in their bounds, and a no-store that stands
 * alone in front is believed whatever follows. */
#include <stdlib.h>
#include <string.h>

#include "http/cachecontrol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct head
head_with(enum field_id id, const char *value, size_t n)
{
	struct head h = {.base = value, .count = 1};

	h.fields[0] = (struct field){.value_len = (uint16_t)n, .id = (uint8_t)id};
	h.first[id] = 1;
	return h;
}

static void
check(const struct cache_control *cc)
{
	if (cc->max_age_s < CC_NONE || cc->s_maxage_s < CC_NONE || cc->max_stale_s < CC_NONE)
		abort();
	if (cc->name_lists > CC_NAMES_MAX)
		abort();
	cache_control_names(cc, SLICE_LIT("set-cookie"));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const enum field_id ids[] = {
	    FIELD_CACHE_CONTROL, FIELD_CDN_CACHE_CONTROL, FIELD_PRAGMA};
	char *text;
	struct cache_control cc;

	if (n > 60000)
		return 0;
	text = malloc(n + 9);
	memcpy(text, "no-store,", 9);
	if (n > 0)
		memcpy(text + 9, data, n);
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		struct head h = head_with(ids[i], text + 9, n);
		cache_control_of_response(&h, &cc);
		check(&cc);
		cache_control_of_request(&h, &cc);
		check(&cc);
	}
	struct head h = head_with(FIELD_CACHE_CONTROL, text, n + 9);
	cache_control_of_response(&h, &cc);
	if (!cc.no_store)
		abort();
	free(text);
	return 0;
}
