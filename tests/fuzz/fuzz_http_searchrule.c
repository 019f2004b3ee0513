/* LINK: http/searchrule http/sf http/sf_bare http/forwarded http/head http/fields base/buf base/mem */
/* Any bytes as No-Vary-Search, a query and Forwarded. A rule is its own normal form's rule, and what a query is simplified to
 * is simplified to itself. */
#include <stdlib.h>
#include <string.h>

#include "http/forwarded.h"
#include "http/searchrule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct head
head_with(enum field_id id, struct slice value)
{
	struct head h = {.base = value.p, .count = 1};

	h.fields[0] = (struct field){.value_len = (uint16_t)value.n, .id = (uint8_t)id};
	h.first[id] = 1;
	return h;
}

static void
check_query(struct slice rule, struct slice query)
{
	struct buf one = {0}, two = {0};

	if (search_simplify(rule, query, &one) &&
	    (!search_simplify(rule, buf_slice(&one), &two) ||
		!slice_eq(buf_slice(&one), buf_slice(&two))))
		abort();
	buf_fini(&one);
	buf_fini(&two);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice all = slice_of((const char *)data, n), value, query;
	struct buf rule = {0}, outside = {0};
	struct head h;

	if (n > 60000)
		return 0;
	value = slice_of(all.p, slice_index(all, '\n'));
	query = slice_skip(all, value.n < n ? value.n + 1 : n);
	h = head_with(FIELD_NO_VARY_SEARCH, value);
	if (search_rule_read(&h, &rule)) {
		if (rule.n > SEARCH_RULE_MAX)
			abort();
		check_query(buf_slice(&rule), query);
	}
	check_query(SLICE_LIT("kpa,"), query);
	h = head_with(FIELD_FORWARDED, value);
	if (forwarded_is_valid(&h))
		forwarded_add_outside(&h, &outside);
	buf_fini(&rule);
	buf_fini(&outside);
	return 0;
}
