/* conf/yaml.h - one file of configuration, with what it includes, as a tree of nodes that know
 * their places.
 *
 * The YAML that is understood: maps, lists, scalars in every style, anchors and aliases (an alias
 * counts as much as what it stands for). Refused, each in its place: tags, merge keys (<<), keys
 * that are no scalars, duplicate keys, more than one document, and what passes the bounds below.
 * What a scalar means is for the directive to say: no and 08:00 are only text here.
 *
 * In scalars (not in keys) ${NAME} stands for a variable of the environment, ${NAME:-text} likewise
 * with a text for one that is unset or empty, ${file:path} for the content of a file without its
 * last newline (such a value is secret), $$ for a dollar. A dollar before anything else is a
 * dollar.
 *
 * include: in the top level names a path, a glob pattern or a list of them, relative to the file it
 * stands in. Their top levels are merged at that point: lists are appended, maps united, and what
 * then stands there twice is an error. A pattern may match nothing, a path must exist.
 *
 * Nodes, texts and places live in the arena given and are never changed afterwards.
 */
#ifndef CONF_YAML_H
#define CONF_YAML_H

#include "conf/diagnostic.h"
#include "conf/source.h"

#define CONF_DEPTH_MAX 64	    /* of maps and lists in each other, aliases followed */
#define CONF_NODES_MAX 100000	    /* in all files, aliases counted as what they stand for */
#define CONF_INCLUDE_DEPTH_MAX 8    /* files that include files */
#define CONF_INCLUDE_FILES_MAX 256  /* in all */
#define CONF_SECRET_BYTES_MAX 65536 /* of a file that ${file:} names */

enum conf_kind { CONF_SCALAR, CONF_SEQUENCE, CONF_MAPPING };

struct conf_node;

struct conf_entry {
	const char *key;
	struct conf_place at; /* of the key */
	struct conf_node *value;
};

struct conf_node {
	enum conf_kind kind;
	struct conf_place at;
	bool is_plain;	     /* a scalar without quotes */
	bool is_secret;	     /* never printed */
	bool is_substituted; /* text is not what stands in the file */
	bool is_broken;	     /* an error was given for it; text means nothing */
	const char *text;    /* of a scalar, without NUL bytes; "" for others */
	const char *written; /* of a scalar, before substitution */
	size_t count;
	union {
		struct conf_node **items;   /* of a sequence */
		struct conf_entry *entries; /* of a mapping, in the order of the file */
	};
	uint32_t weight, height; /* nodes in it, itself included; levels below it */
};

/* Reads path and what it includes. The top level, which is a mapping, or NULL when there is none to
 * be had. Every reason is in d; a node may also come back while d has errors, so that the rest can
 * be checked all the same. */
struct conf_node *conf_yaml_load(const char *path, struct arena *mem, struct conf_diag *d);
/* The same for a text that came some other way, called name in d. It may not name files. */
struct conf_node *conf_yaml_parse(
    const char *name, struct slice text, struct arena *mem, struct conf_diag *d);

/* The value under key in a mapping, or NULL. */
struct conf_node *conf_node_get(const struct conf_node *map, const char *key);
/* Whether nothing stands there, as in "cache:" at the end of a line, or null or ~. */
bool conf_node_is_empty(const struct conf_node *n);

#endif
