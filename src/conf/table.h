/* clang-format off */
/* conf/table.h - directives declared once, seen everywhere: one row makes the field, the parser, the
 * range check, the default, the schema and the line of the reference page.
 *
 * How to declare. In the room's header, one list for each map of the configuration:
 *
 *	// name, type, default, least, most, text
 *	#define POOL_DIRECTIVES(X)                                                            \
 *		X(max,  int,      "100",  "1",  "65535", "Connections to one server")          \
 *		X(idle, duration, "300s", "1s", "1d",    "How long an idle one is kept")
 *	struct pool_conf {
 *		struct conf_head conf;                  // first in every struct a table fills
 *		POOL_DIRECTIVES(CONF_FIELD)
 *	};
 *	extern const struct conf_table pool_table;
 *
 *	#define UPSTREAM_DIRECTIVES(X)                                                        \
 *		X(servers, list(struct server_conf, server_table), NULL, "1", NULL,            \
 *		    "Where requests go", .required = true)                                     \
 *		X(balance, choice(balance_words), "round_robin", NULL, NULL, "Who is next")    \
 *		X(connections, map(struct pool_conf, pool_table), NULL, NULL, NULL, "The pool")
 *
 * and in a .c of the room:
 *
 *	const struct conf_word balance_words[] = {
 *	    {"round_robin", BALANCE_ROUND_ROBIN, 0}, {"least_connections", BALANCE_LEAST, 0}, {0}};
 *
 *	#define CONF_TARGET struct pool_conf
 *	static const struct conf_directive pool_rows[] = {POOL_DIRECTIVES(CONF_ROW)};
 *	const struct conf_table pool_table =
 *	    CONF_TABLE("pool", struct pool_conf, pool_rows, .text = "Connections kept to a server.");
 *	#undef CONF_TARGET
 *	#define CONF_TARGET struct upstream_conf
 *	static const struct conf_directive upstream_rows[] = {UPSTREAM_DIRECTIVES(CONF_ROW)};
 *	const struct conf_table upstream_table =        // upstreams: {app: "127.0.0.1:3000"}
 *	    CONF_TABLE("upstream", struct upstream_conf, upstream_rows, .shortcut = "servers");
 *	#undef CONF_TARGET
 *
 * The type column, and the field it makes:
 *	bool                   bool              yes no true false on off
 *	int                    int64_t
 *	duration               int64_t, ms       500ms 10s 5m 1h 7d "00:05:00"
 *	size                   int64_t, bytes    4KiB 256MiB 1GB
 *	ratio                  double, 0 to 1    0.05 5%
 *	status                 int               100 to 599
 *	string, secret         const char *      NULL when absent without default; least, most: bytes
 *	address                const char *      host:port :port [v6]:port unix:/path
 *	choice(words)          int               one of the words; 0 when absent without default
 *	strings, addresses     CONF_LIST_OF(const char *)   one value stands for a list of one
 *	choices(words)         CONF_LIST_OF(int)
 *	map(struct, table)     the struct itself, with its defaults also when absent
 *	list(struct, table)    CONF_LIST_OF(struct)         one element needs no brackets
 *	named(struct, table)   CONF_LIST_OF(struct)         a map of names; conf.name is each one's
 *	pairs                  struct conf_pairs            free names, texts or off
 *	custom(ctype, parse)   ctype                        parse() is given the node
 * least and most of lists and named maps count elements.
 *
 * What may follow the text, as designated initialisers of struct conf_directive:
 *	.required = true       an error when the map stands there without it
 *	.may_be_off = true     map, list, named: off is allowed; conf.is_off (maps), empty (others)
 *	.may_be_bare = true    size: a bare number is bytes
 *	.words = auto_words    int, duration, size: also these words, and the numbers they stand for
 *	.also = "PermitLimit"  further names, blanks between; the case of letters does not matter
 *	.called = "default"    the directive's name where it cannot be a field's
 *	.form = "METHOD PATH"  how a custom value is written, for the reference and errors
 *	.schema = "{...}"      the JSON Schema of a custom value; without it anything is allowed
 *	.is_rest = true        pairs: takes every name the table does not know (security_headers)
 * Defaults and bounds are texts as a user writes them ("[br, gzip]" for a list, "off" for a map).
 * Rows that do not fit the macro can be written out, with CONF_AT(struct, field).
 *
 * Afterwards: CONF_IS_SET(&pool_table, c, max) tells whether it was given; conf_place(&pool_table, c,
 * "max") is the place for an error found later (c->conf.node lives as long as the arena);
 * conf_inherit() puts a route's settings over the general ones. A table's .check is called for each
 * map that was filled without error: the place for rules between directives.
 */
/* clang-format on */
#ifndef CONF_TABLE_H
#define CONF_TABLE_H

#include "conf/yaml.h"

#define CONF_ROWS_MAX 64 /* in one table: a bit each */

/* What every configured struct begins with. */
struct conf_head {
	const char *name;	      /* in a named map; else NULL */
	const struct conf_node *node; /* where it stands; NULL: only defaults */
	uint64_t set;		      /* a bit for each row that was given or inherited */
	bool is_off;		      /* "off" stood instead of a map */
};

#define CONF_LIST_OF(type)    \
	struct {              \
		size_t count; \
		type *items;  \
	}

/* An entry of a map with free names. */
struct conf_pair {
	const char *name;
	const char *value; /* "" when off */
	bool is_off;	   /* off without quotes: removes what would be there */
	const struct conf_node *node;
};
struct conf_pairs {
	size_t count;
	struct conf_pair *items;
};

/* A word and what it stands for; a list of them ends with {0}. */
struct conf_word {
	const char *word;
	int64_t value;
	bool is_also; /* another name of the same: accepted, not advertised */
};

enum conf_type {
	CONF_BOOL,
	CONF_INT,
	CONF_DURATION,
	CONF_SIZE,
	CONF_RATIO,
	CONF_STATUS,
	CONF_STRING,
	CONF_SECRET,
	CONF_ADDRESS,
	CONF_CHOICE,
	CONF_STRINGS,
	CONF_ADDRESSES,
	CONF_CHOICES,
	CONF_MAP,
	CONF_LIST,
	CONF_NAMED,
	CONF_PAIRS,
	CONF_CUSTOM,
	CONF_TYPES
};

/* Where we are, for messages: routes[2].cache. Lives on the stack of the walk. */
struct conf_path {
	const struct conf_path *up;
	const char *name; /* NULL: an index */
	size_t index;
};

/* What a parser or check is given. */
struct conf_context {
	struct arena *mem; /* of the configuration: what is put into structs lives here */
	struct conf_diag *diag;
	const struct conf_path *path;
};

struct conf_directive;
struct conf_table;

/* Fills *field (zeroed) from n. 0, or -1 with an error given through conf_error() at n->at. */
typedef int conf_parse_fn(struct conf_context *cx, const struct conf_node *n,
    const struct conf_directive *row, void *field);
/* Looks at a filled struct; errors go to cx->diag. */
typedef void conf_check_fn(struct conf_context *cx, const struct conf_table *t, void *target);

struct conf_directive {
	const char *name; /* of the field; the directive's too unless called says otherwise */
	enum conf_type type;
	size_t offset, size; /* of the field */
	const char *def, *least, *most;
	const char *text; /* one line for the reference */
	const struct conf_table *table;
	const struct conf_word *words;
	conf_parse_fn *parse;
	const char *called, *also, *form, *schema;
	bool required, may_be_off, may_be_bare, is_rest;
};

struct conf_table {
	const char *name; /* one word, unique: names its part of the schema and of the reference */
	size_t size;	  /* of the struct */
	const struct conf_directive *rows;
	size_t count;
	const char *text;     /* a sentence or two for the reference */
	const char *shortcut; /* the directive that a value which is no map is taken for */
	conf_check_fn *check;
};

#define CONF_AT(type, field) .offset = offsetof(type, field), .size = sizeof(((type *)0)->field)
#define CONF_TABLE(name_, type_, rows_, ...)                             \
	{                                                                \
		.name = (name_), .size = sizeof(type_), .rows = (rows_), \
		.count = sizeof(rows_) / sizeof(*(rows_)), __VA_ARGS__   \
	}

/* One row of an X-macro list, as a field and as a directive of CONF_TARGET. */
#define CONF_FIELD(name_, type_, ...) CONF_CTYPE_##type_ name_;
#define CONF_ROW(name_, type_, def_, least_, most_, text_, ...) \
	{.name = #name_,                                        \
	    CONF_TYPE_##type_,                                  \
	    CONF_AT(CONF_TARGET, name_),                        \
	    .def = def_,                                        \
	    .least = least_,                                    \
	    .most = most_,                                      \
	    .text = text_,                                      \
	    ##__VA_ARGS__},

/* clang-format off */
#define CONF_CTYPE_bool               bool
#define CONF_CTYPE__Bool              bool
#define CONF_CTYPE_int                int64_t
#define CONF_CTYPE_duration           int64_t
#define CONF_CTYPE_size               int64_t
#define CONF_CTYPE_ratio              double
#define CONF_CTYPE_status             int
#define CONF_CTYPE_string             const char *
#define CONF_CTYPE_secret             const char *
#define CONF_CTYPE_address            const char *
#define CONF_CTYPE_choice(words_)     int
#define CONF_CTYPE_strings            CONF_LIST_OF(const char *)
#define CONF_CTYPE_addresses          CONF_LIST_OF(const char *)
#define CONF_CTYPE_choices(words_)    CONF_LIST_OF(int)
#define CONF_CTYPE_map(s_, t_)        s_
#define CONF_CTYPE_list(s_, t_)       CONF_LIST_OF(s_)
#define CONF_CTYPE_named(s_, t_)      CONF_LIST_OF(s_)
#define CONF_CTYPE_pairs              struct conf_pairs
#define CONF_CTYPE_custom(c_, parse_) c_

#define CONF_TYPE_bool                .type = CONF_BOOL
#define CONF_TYPE__Bool               .type = CONF_BOOL
#define CONF_TYPE_int                 .type = CONF_INT
#define CONF_TYPE_duration            .type = CONF_DURATION
#define CONF_TYPE_size                .type = CONF_SIZE
#define CONF_TYPE_ratio               .type = CONF_RATIO
#define CONF_TYPE_status              .type = CONF_STATUS
#define CONF_TYPE_string              .type = CONF_STRING
#define CONF_TYPE_secret              .type = CONF_SECRET
#define CONF_TYPE_address             .type = CONF_ADDRESS
#define CONF_TYPE_choice(words_)      .type = CONF_CHOICE, .words = words_
#define CONF_TYPE_strings             .type = CONF_STRINGS
#define CONF_TYPE_addresses           .type = CONF_ADDRESSES
#define CONF_TYPE_choices(words_)     .type = CONF_CHOICES, .words = words_
#define CONF_TYPE_map(s_, t_)         .type = CONF_MAP, .table = &t_
#define CONF_TYPE_list(s_, t_)        .type = CONF_LIST, .table = &t_
#define CONF_TYPE_named(s_, t_)       .type = CONF_NAMED, .table = &t_
#define CONF_TYPE_pairs               .type = CONF_PAIRS
#define CONF_TYPE_custom(c_, parse_)  .type = CONF_CUSTOM, .parse = parse_
/* clang-format on */

/* The name a user writes. */
const char *conf_row_name(const struct conf_directive *row);
/* The row under a name a user wrote, further names included, or NULL. */
const struct conf_directive *conf_row_find(const struct conf_table *t, const char *name);
/* The row that takes unknown names, or NULL. */
const struct conf_directive *conf_row_rest(const struct conf_table *t);
/* The word as a user wrote it, or NULL. */
const struct conf_word *conf_word_find(const struct conf_word *words, const char *text);
/* The advertised word for a value, or NULL: for status pages and logs. */
const char *conf_word_of(const struct conf_word *words, int64_t value);

/* Whether the field at offset was given, or inherited from where it was given. */
bool conf_is_set(const struct conf_table *t, const void *target, size_t offset);
#define CONF_IS_SET(table_, target_, field_) \
	conf_is_set((table_), (target_), offsetof(__typeof__(*(target_)), field_))
/* Where a directive of a filled struct stands: its value, else the map, else nowhere. */
struct conf_place conf_place(const struct conf_table *t, const void *target, const char *name);

/* Fills what child leaves unset from parent, which the same table filled. Maps are merged inside
 * unless the child's is off; pairs and named maps are united, the child's winning by name; other
 * values and lists are taken whole. What is taken is shared, not copied: both live in mem. */
void conf_inherit(struct arena *mem, const struct conf_table *t, void *child, const void *parent);

/* Aborts with the reason when a table contradicts itself: a default out of range, a field of
 * another size than its type, a name twice. conf_load() asks it; so should a room's unit test. */
void conf_table_verify(const struct conf_table *root);

#endif
