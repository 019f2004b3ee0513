/* base/metric.h - what a number about ourselves is called, and how it is told to Prometheus (text format 0.0.4).
 *
 * A family is declared once, in a table of the room it belongs to; the rooms' readers hand out samples, family by
 * family. Nothing is counted here.
 */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include "base/buf.h"

enum metric_kind { METRIC_counter, METRIC_gauge, METRIC_histogram };

struct metric_family {
	const char *name;
	enum metric_kind kind;
	const char *labels; /* their names, for the reference: "route, method, code"; "" for none */
	const char *help;
};

struct metric_sample {
	const struct metric_family *family;
	const char *suffix;  /* of a histogram's parts: "_bucket"; else "" */
	struct slice labels; /* escaped, without braces: route="/",code="200"; may be empty */
	double value;
};

typedef void metric_see(void *arg, const struct metric_sample *s);

/* Appends name="value", after a comma unless it is the first; the value is escaped, and what is no UTF-8 in it is
 * replaced. */
void metric_label(struct buf *labels, const char *name, struct slice value);
/* HELP and TYPE, before the samples of a family. */
void metric_write_family(struct buf *b, const struct metric_family *f);
void metric_write_sample(struct buf *b, const struct metric_sample *s);
/* A row of the reference page's table. */
void metric_write_reference(struct buf *b, const struct metric_family *f);

#endif
