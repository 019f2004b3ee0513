#include "policy/conf.h"

#include <strings.h>

#include "policy/token.h"

/* --- Compression -------------------------------------------------------------------------------- */

const struct conf_word compression_level_words[] = {{"auto", 0, false}, {0}};
const struct conf_word compression_encoding_words[] = {{"br", ENC_BR, false},
    {"zstd", ENC_ZSTD, false}, {"gzip", ENC_GZIP, false}, {"brotli", ENC_BR, true}, {0}};

static void
check_compression(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct compression_conf *c = target;
	int64_t seen = 0;
	bool twice = false;

	for (size_t i = 0; i < c->types.count; i++)
		if (!compress_type_is_valid(slice_from(c->types.items[i]))) {
			conf_error(cx->diag, conf_place(t, c, "types"),
			    "types: \"%s\" is no media type", c->types.items[i]);
			conf_hint(cx->diag, "expected type/subtype, type/* or +suffix");
		}
	for (size_t i = 0; i < c->encodings.count; i++)
		twice |= (seen & c->encodings.items[i]) != 0, seen |= c->encodings.items[i];
	if (twice)
		conf_error(cx->diag, conf_place(t, c, "encodings"),
		    "encodings: a coding stands there twice");
}

#define CONF_TARGET struct compression_level_conf
static const struct conf_directive level_rows[] = {COMPRESSION_LEVEL_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table compression_level_table =
    CONF_TABLE("compression_levels", struct compression_level_conf, level_rows,
	.text = "`auto` is the level that was measured to keep up with a stream.");

#define CONF_TARGET struct compression_conf
static const struct conf_directive compression_rows[] = {COMPRESSION_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table compression_table = CONF_TABLE("compression", struct compression_conf,
    compression_rows, .shortcut = "encodings", .check = check_compression,
    .text =
	"Bodies are sent in the coding that the client likes best. What a route says adds to the "
	"general settings; `off` sends them as they come.");

void
compression_rules_from(
    struct arena *mem, const struct compression_conf *c, struct compress_rules *out)
{
	struct slice *types;

	compress_rules_init(out);
	out->is_on = !c->conf.is_off;
	memset(out->encodings, 0, sizeof(out->encodings));
	for (size_t i = 0; i < c->encodings.count && i < ENC_KNOWN; i++)
		out->encodings[i] = (uint8_t)c->encodings.items[i];
	out->min_size_bytes = (uint64_t)c->min_size;
	out->gzip_level = (int)c->levels.gzip;
	out->br_quality = (int)c->levels.br;
	out->zstd_level = (int)c->levels.zstd;
	if (c->types.count == 0)
		return;
	types = arena_alloc(mem, c->types.count * sizeof(*types));
	for (size_t i = 0; i < c->types.count; i++)
		types[i] = slice_from(c->types.items[i]);
	out->types = types;
	out->type_count = c->types.count;
}

#define CONF_TARGET struct recompress_conf
static const struct conf_directive recompress_rows[] = {RECOMPRESS_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table recompress_table =
    CONF_TABLE("recompress", struct recompress_conf, recompress_rows,
	.text = "Stored bodies that are asked for often are compressed again, as small as their "
		"coding makes them, by a thread that "
		"runs when no other wants the processor. `off`: they stay as they were made while "
		"they streamed.");

struct recompress_rules
recompress_rules_from(const struct recompress_conf *c)
{
	return (struct recompress_rules){.is_on = !c->conf.is_off,
	    .hits_least = (uint32_t)c->hits,
	    .share_percent = (uint32_t)c->share,
	    .max_bytes = (size_t)c->max_size};
}

/* --- Security headers --------------------------------------------------------------------------- */

const struct conf_word headers_preset_words[] = {{"standard", HEADERS_PRESET_STANDARD, false},
    {"strict", HEADERS_PRESET_STRICT, false}, {"none", HEADERS_PRESET_NONE, false}, {0}};
const struct conf_word headers_server_words[] = {
    {"hide", HEADERS_SERVER_HIDE, false}, {"keep", HEADERS_SERVER_KEEP, false}, {0}};

#define CONF_TARGET struct headers_conf
static const struct conf_directive headers_rows[] = {HEADERS_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table headers_table = CONF_TABLE("security_headers", struct headers_conf,
    headers_rows, .shortcut = "preset",
    .text = "Fields that every response carries. What a route says adds to the general settings.");

static void
add_rules(struct header_rule *rules, size_t *count, const struct conf_pairs *pairs,
    enum header_mode set, enum header_mode off)
{
	for (size_t i = 0; i < pairs->count; i++) {
		const struct conf_pair *p = &pairs->items[i];

		rules[(*count)++] = (struct header_rule){
		    .name = slice_from(p->name),
		    .value = slice_from(p->value),
		    .mode = p->is_off ? off : set,
		};
	}
}

void
headers_level_from(struct arena *mem, const struct headers_conf *c, struct headers_level *out)
{
	struct header_rule *rules;

	if (c->conf.is_off) {
		*out = (struct headers_level){
		    .preset = HEADERS_PRESET_NONE, .server = HEADERS_SERVER_KEEP};
		return;
	}
	rules = arena_alloc(mem, (c->fields.count + c->force.count + 1) * sizeof(*rules));
	*out = (struct headers_level){
	    .preset = (enum headers_preset)c->preset,
	    .server = (enum headers_server)c->server,
	    .rules = rules,
	};
	add_rules(rules, &out->rule_count, &c->fields, HEADER_SET, HEADER_OFF);
	add_rules(rules, &out->rule_count, &c->force, HEADER_FORCE, HEADER_STRIP);
}

struct conf_place
headers_rule_place(const struct headers_conf *c, size_t rule)
{
	const struct conf_pair *p = rule < c->fields.count
	    ? &c->fields.items[rule]
	    : &c->force.items[rule - c->fields.count];

	return p->node->at;
}

/* --- Rate limits -------------------------------------------------------------------------------- */

const struct conf_word rate_algorithm_words[] = {{"fixed_window", LIMIT_FIXED_WINDOW, false},
    {"sliding_window", LIMIT_SLIDING_WINDOW, false}, {"FixedWindow", LIMIT_FIXED_WINDOW, true},
    {"SlidingWindow", LIMIT_SLIDING_WINDOW, true}, {0}};
const struct conf_word rate_semantics_words[] = {{"exact", 0, false}, {"dotnet", 1, false}, {0}};
const struct conf_word rate_align_words[] = {{"first", 0, false}, {"clock", 1, false}, {0}};
const struct conf_word rate_order_words[] = {{"oldest_first", 0, false}, {"newest_first", 1, false},
    {"OldestFirst", 0, true}, {"NewestFirst", 1, true}, {0}};
const struct conf_word rate_timeout_words[] = {{"off", 0, false}, {0}};
const struct conf_word rate_count_words[] = {{"allowed", 0, false}, {"all", 1, false}, {0}};
const struct conf_word rate_scope_words[] = {{"local", 0, false}, {"shared", 1, false}, {0}};
const struct conf_word rate_untracked_words[] = {{"allow", 0, false}, {"refuse", 1, false}, {0}};

const char *
rate_key_part_from(const char *text, struct rate_key_part *out)
{
	struct slice s = slice_from(text);
	size_t colon = slice_index(s, ':');
	struct slice kind = slice_of(s.p, colon);
	bool has_name = colon < s.n;

	*out = (struct rate_key_part){.name = has_name ? text + colon + 1 : NULL};
	if (slice_eq(kind, SLICE_LIT("jwt")))
		return "the claims of tokens are not read by this version";
	if (slice_eq(kind, SLICE_LIT("client")))
		out->kind = LIMIT_KEY_CLIENT;
	else if (slice_eq(kind, SLICE_LIT("route")))
		out->kind = LIMIT_KEY_ROUTE;
	else if (slice_eq(kind, SLICE_LIT("header")))
		out->kind = LIMIT_KEY_HEADER;
	else if (slice_eq(kind, SLICE_LIT("cookie")))
		out->kind = LIMIT_KEY_COOKIE;
	else
		return "it is none of client, header:NAME, cookie:NAME, route";
	if (has_name != (out->kind == LIMIT_KEY_HEADER || out->kind == LIMIT_KEY_COOKIE))
		return has_name ? "it takes no name" : "it wants a name, as in header:X-Api-Key";
	return has_name && !slice_is_token(slice_from(out->name))
	    ? "the name has letters it may not have"
	    : NULL;
}

/* Whether the parts of the window were given under .NET's name, which stands for .NET's way of counting them. */
static bool
has_dotnet_segments(const struct rate_limit_conf *c)
{
	const struct conf_node *n = c->conf.node;

	for (size_t i = 0; n != NULL && n->kind == CONF_MAPPING && i < n->count; i++)
		if (strcasecmp(n->entries[i].key, "SegmentsPerWindow") == 0)
			return true;
	return false;
}

void
rate_limit_from(const struct rate_limit_conf *c, struct limit_conf *out)
{
	bool says_semantics = CONF_IS_SET(&rate_limit_table, c, semantics);

	*out = (struct limit_conf){
	    .algorithm = (enum limit_algorithm)c->algorithm,
	    .limit = (uint32_t)c->limit,
	    .window_ms = c->window,
	    .segments = (uint32_t)c->segments,
	    .dotnet = says_semantics ? c->semantics != 0 : has_dotnet_segments(c),
	    .align_clock = c->align != 0,
	    .queue = (uint32_t)c->queue,
	    .newest_first = c->queue_order != 0,
	    .queue_timeout_ms = c->queue_timeout,
	    .count_all = c->count != 0,
	    .shadow = c->shadow,
	    .refuse_untracked = c->untracked != 0,
	    .shared = c->scope != 0,
	};
}

static void
check_rate_limit(struct conf_context *cx, const struct conf_table *t, void *target)
{
	const struct rate_limit_conf *c = target;
	struct limit_conf made;
	const char *problem;

	for (size_t i = 0; i < c->key.count; i++) {
		struct rate_key_part part;
		const char *why = rate_key_part_from(c->key.items[i], &part);

		if (why != NULL)
			conf_error(cx->diag, conf_place(t, c, "key"), "key: \"%s\": %s",
			    c->key.items[i], why);
	}
	rate_limit_from(c, &made);
	problem = limit_conf_problem(&made);
	if (problem != NULL)
		conf_error(cx->diag, c->conf.node->at, "%s", problem);
}

#define CONF_TARGET struct rate_limit_conf
static const struct conf_directive rate_limit_rows[] = {RATE_LIMIT_DIRECTIVES(CONF_ROW)};
#undef CONF_TARGET
const struct conf_table rate_limit_table =
    CONF_TABLE("rate_limit", struct rate_limit_conf, rate_limit_rows, .check = check_rate_limit,
	.text = "A limit, under the name that routes use. Routes that name the same limit share "
		"its permits. The names "
		"of .NET's options are accepted as they are.");
