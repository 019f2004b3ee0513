#include "conf/load.h"

#include "conf/fill.h"

static int
fill(const struct conf_node *top, const struct conf_table *root, void *target, struct arena *mem,
    struct conf_diag *d)
{
	struct conf_context cx = {.mem = mem, .diag = d};
	size_t before = conf_diag_errors(d);

	conf_table_verify(root);
	if (top == NULL)
		return -1;
	conf_fill(&cx, root, top, target);
	return conf_diag_errors(d) > before ? -1 : 0;
}

int
conf_load(const char *path, const struct conf_table *root, void *target, struct arena *mem,
    struct conf_diag *d)
{
	size_t before = conf_diag_errors(d);
	const struct conf_node *top = conf_yaml_load(path, mem, d);

	return fill(top, root, target, mem, d) < 0 || conf_diag_errors(d) > before ? -1 : 0;
}

int
conf_load_text(const struct conf_text *src, const struct conf_table *root, void *target,
    struct arena *mem, struct conf_diag *d)
{
	size_t before = conf_diag_errors(d);
	const struct conf_node *top = conf_yaml_parse(src->name, src->text, mem, d);

	return fill(top, root, target, mem, d) < 0 || conf_diag_errors(d) > before ? -1 : 0;
}
