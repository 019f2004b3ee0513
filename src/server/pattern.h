/* server/pattern.h - what a route matches paths with, and texts that take captures.
 *
 * A pattern is literal segments, {name} for one segment, ** for the rest (also nothing), or a regular expression with
 * named groups. It is matched against the path in normal form (http/url.h), which is the one string that key, access
 * rule and upstream see too. A template is a text in which {name} stands for a capture.
 */
#ifndef SERVER_PATTERN_H
#define SERVER_PATTERN_H

#include "base/arena.h"
#include "base/buf.h"

#define CAPTURES_MAX 16

struct pattern;
struct pattern_regex;
struct template;

struct captures {
	unsigned count;
	struct slice values[CAPTURES_MAX];
};

/* Text: a path of segments; two stars at its end match the rest, nothing included. NULL with a reason in *problem_out (a phrase): not absolute, a name twice, too many, ** not at the end. Lives in mem. */
struct pattern *pattern_new(struct arena *mem, const char *text, const char **problem_out);
/* The same from a regular expression (PCRE2, anchored at both ends, with JIT and a bound on backtracking); *offset_out is where it is wrong.
 * Frees with pattern_free, which does nothing for the others. */
struct pattern *pattern_new_regex(
    struct arena *mem, const char *regex, const char **problem_out, size_t *offset_out);
void pattern_free(struct pattern *p);
/* Gives back what the calling thread holds for regular expressions; before a thread ends. */
void pattern_thread_end(void);
bool pattern_matches(const struct pattern *p, struct slice path, struct captures *out);
/* The names it captures, in order of captures. */
unsigned pattern_names(const struct pattern *p, const struct slice **names_out);
/* What it asks of segment i of a path. Not asked behind TAIL, REST and END: those are of all that is left, and what follows BEGIN
 * is so, too. Of a regular expression it is what everything that it may match has in common. */
enum pattern_wish {
	PATTERN_TEXT,  /* this text */
	PATTERN_ANY,   /* anything but nothing */
	PATTERN_BEGIN, /* that there is one that begins so; then comes TAIL or REST */
	PATTERN_TAIL,  /* that what is left ends so */
	PATTERN_REST,  /* whatever follows */
	PATTERN_END    /* that there be none */
};
enum pattern_wish pattern_wish(const struct pattern *p, unsigned i, struct slice *text_out);
/* Whether every path that b matches is matched by a as well, as far as can be told: for warnings. */
bool pattern_covers(const struct pattern *a, const struct pattern *b);

/* A compiled regular expression that is searched for, not anchored: for header conditions. */
struct pattern_regex *regex_new(const char *regex, const char **problem_out, size_t *offset_out);
void regex_free(struct pattern_regex **rp);
bool regex_finds(const struct pattern_regex *r, struct slice text);

/* A text with {name}s, each of which must be one that p captures. NULL with a reason. Lives in mem. */
struct template *template_new(
    struct arena *mem, const char *text, const struct pattern *p, const char **problem_out);
/* A text in which braces mean nothing. Lives in mem. */
struct template *template_literal(struct arena *mem, struct slice text);
void template_expand(const struct template *t, const struct captures *c, struct buf *out);

#endif
