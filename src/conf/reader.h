/* conf/reader.h - what the parts of conf/yaml.h share while they read. For those files only. */
#ifndef CONF_READER_H
#define CONF_READER_H

#include "conf/yaml.h"

/* A file being read, and the one that included it. */
struct conf_opened {
	const struct conf_opened *by;
	const char *real; /* path without links; NULL for a text that is no file */
	unsigned depth;
};

struct conf_reader {
	struct arena *mem;
	struct conf_diag *diag;
	unsigned files; /* opened so far */
	const struct conf_file *main;
	size_t nodes;	/* made so far */
	bool is_closed; /* the text came without files: it may name none */
};

/* yaml.c: the document in f, includes not yet followed. NULL when it cannot be parsed; an empty one
 * is an empty mapping. */
struct conf_node *conf_parse_document(struct conf_reader *r, const struct conf_file *f);
/* yaml.c: gives an error for each key that stands twice among n entries, and returns how many are
 * left in *entries, in their order, when the later ones are dropped. */
size_t conf_drop_duplicates(struct conf_reader *r, struct conf_entry *entries, size_t n);
/* substitute.c: replaces ${...} in a scalar just read. */
void conf_substitute(struct conf_reader *r, struct conf_node *n);
/* A path as it stands in f: relative ones start at the directory of f. */
const char *conf_path_from(struct conf_reader *r, const struct conf_file *f, const char *path);

#endif
