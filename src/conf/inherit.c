/* Settings of one struct over those of another: conf_inherit() of conf/table.h. */
#include <strings.h>

#include "conf/table.h"

struct inheritance {
	struct arena *mem;
	const struct conf_table *t;
	struct conf_head *child;
	const struct conf_head *parent;
};

struct any_list {
	size_t count;
	char *items;
};

static bool
is_given(const struct conf_head *h, size_t i)
{
	return h->set >> i & 1;
}

/* The name of element i of pairs (each begins with it) or of a named map (conf.name comes first).
 */
static const char *
name_at(const struct any_list *l, size_t i, size_t each)
{
	const char *name;

	memcpy(&name, l->items + i * each, sizeof(name));
	return name;
}

static bool
has_name(const struct any_list *l, size_t each, const char *name)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcasecmp(name_at(l, i, each), name) == 0)
			return true;
	return false;
}

/* What the parent has and the child does not override comes first, then the child's own. */
static void
unite(const struct inheritance *in, const struct conf_directive *row, size_t each)
{
	struct any_list ours, theirs, out = {0};

	memcpy(&ours, (char *)in->child + row->offset, sizeof(ours));
	memcpy(&theirs, (const char *)in->parent + row->offset, sizeof(theirs));
	out.items = arena_alloc(in->mem, (ours.count + theirs.count) * each);
	for (size_t i = 0; i < theirs.count; i++)
		if (!has_name(&ours, each, name_at(&theirs, i, each)))
			memcpy(out.items + out.count++ * each, theirs.items + i * each, each);
	if (ours.count > 0)
		memcpy(out.items + out.count * each, ours.items, ours.count * each);
	out.count += ours.count;
	memcpy((char *)in->child + row->offset, &out, sizeof(out));
}

static void
inherit_row(const struct inheritance *in, size_t i)
{
	const struct conf_directive *row = &in->t->rows[i];
	void *child = (char *)in->child + row->offset;
	const void *parent = (const char *)in->parent + row->offset;

	if (!is_given(in->child, i))
		memcpy(child, parent, row->size);
	else if (row->type == CONF_MAP)
		conf_inherit(in->mem, row->table, child, parent);
	else if (row->type == CONF_PAIRS)
		unite(in, row, sizeof(struct conf_pair));
	else if (row->type == CONF_NAMED)
		unite(in, row, row->table->size);
	in->child->set |= in->parent->set & (uint64_t)1 << i;
}

void
conf_inherit(struct arena *mem, const struct conf_table *t, void *child, const void *parent)
{
	struct inheritance in = {mem, t, child, parent};

	if (in.child->is_off)
		return;
	for (size_t i = 0; i < t->count; i++)
		inherit_row(&in, i);
}
