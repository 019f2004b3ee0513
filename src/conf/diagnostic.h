/* conf/diagnostic.h - everything that is wrong with a configuration, said at once and in its place.
 *
 *	conf/forebay.yaml:12:5: error: unknown directive "cahce" in routes[2]
 *	    12 |     cahce: {ttl: 10m}
 *	             ^~~~~ did you mean "cache"?
 *
 * A diagnosis copies what it shows, so it outlives the files it speaks of. Source lines are shown
 *as they stand in the file, never with ${...} replaced; nothing that could steer a terminal gets
 * through, long lines are shown in part. At most CONF_DIAG_MAX errors and as many warnings are
 * kept, the rest only counted. The same words at the same place are said once.
 * One thread at a time.
 */
#ifndef CONF_DIAGNOSTIC_H
#define CONF_DIAGNOSTIC_H

#include "base/buf.h"
#include "conf/source.h"

#define CONF_DIAG_MAX 100

struct conf_diag;

struct conf_diag *conf_diag_new(void);
void conf_diag_free(struct conf_diag **dp);

/* The text is a secret that stands in the file itself: source lines are shown with stars in its place, also those of
 * errors given before. */
void conf_diag_hide(struct conf_diag *d, const char *secret);
/* One line, no full stop. Values that may be secret are not the caller's to print: conf/table.h's
 * conf_shown() says what may be. */
void conf_error(struct conf_diag *d, struct conf_place at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void conf_warning(struct conf_diag *d, struct conf_place at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* What the files are that a configuration names, to whom it is told. */
enum conf_sight {
	CONF_SIGHT_SERVES,    /* he will need them: each that he cannot read is an error */
	CONF_SIGHT_LOOKS,     /* of one that is there, but not his to read, he is warned */
	CONF_SIGHT_ELSEWHERE, /* they are another machine's: so he is of one that is not here */
};
/* Before anything is judged; else CONF_SIGHT_SERVES. */
void conf_diag_set_sight(struct conf_diag *d, enum conf_sight sight);
/* A file that cannot be read because of error (an errno): an error or a warning. */
void conf_unreadable(struct conf_diag *d, struct conf_place at, int error, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Tells so, naming directive and path, if path cannot be read; true: it can, or is NULL. */
bool conf_is_readable(
    struct conf_diag *d, struct conf_place at, const char *directive, const char *path);
/* What was expected or what to do, for the error or warning given last: shown behind its caret. */
void conf_hint(struct conf_diag *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* How many were given, also those not kept. */
size_t conf_diag_errors(const struct conf_diag *d);
size_t conf_diag_warnings(const struct conf_diag *d);

/* All of them by file, line and column, as text or as JSON:
 * {"errors": n, "warnings": n, "diagnostics": [{"severity", "file", "line", "column", "message",
 * "hint", "source"}, ...]}, where line, column and source are absent for a file as a whole. */
void conf_diag_text(struct conf_diag *d, struct buf *out);
void conf_diag_json(struct conf_diag *d, struct buf *out);

#endif
