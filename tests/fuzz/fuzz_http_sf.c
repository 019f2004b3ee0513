/* LINK: http/sf http/sf_bare base/buf base/mem */
/* Any bytes as a structured field: the walks end inside the text, and a string or byte sequence that was read is written
 * and read back as the same. */
#include <stdlib.h>

#include "http/sf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
write_back(const struct sf_value *v)
{
	struct buf b = {0};
	struct sf_member again;
	char *text = malloc(v->text.n + 1);
	size_t n = 0;

	if (v->type == SF_STRING) {
		n = sf_string_copy(v, text);
		sf_write_string(&b, slice_of(text, n));
	} else if (sf_bytes_copy(v, (uint8_t *)text, &n)) {
		sf_write_bytes(&b, text, n);
	}
	if (n > v->text.n || !sf_item(buf_slice(&b), &again) || again.value.type != v->type)
		abort();
	buf_fini(&b);
	free(text);
}

static void
look_at(const struct sf_member *m, struct slice whole)
{
	struct sf_walk w;
	struct sf_member inner;

	if (m->value.text.p != NULL &&
	    (m->value.text.p < whole.p || m->value.text.p + m->value.text.n > whole.p + whole.n))
		abort();
	if (m->value.type == SF_STRING || m->value.type == SF_BYTES)
		write_back(&m->value);
	sf_walk_init(&w, m->params);
	enum sf_next next;
	while ((next = sf_param_next(&w, &inner)) == SF_MEMBER)
		look_at(&inner, whole);
	if (next == SF_BAD) /* it was checked when the member was read */
		abort();
	if (m->value.type != SF_INNER)
		return;
	sf_walk_init(&w, m->value.text);
	while ((next = sf_inner_next(&w, &inner)) == SF_MEMBER)
		look_at(&inner, whole);
	if (next == SF_BAD)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice text = slice_of(data, n);
	struct sf_walk w;
	struct sf_member m;

	sf_walk_init(&w, text);
	while (sf_list_next(&w, &m) == SF_MEMBER)
		look_at(&m, text);
	sf_walk_init(&w, text);
	while (sf_dict_next(&w, &m) == SF_MEMBER)
		look_at(&m, text);
	if (sf_item(text, &m))
		look_at(&m, text);
	return 0;
}
