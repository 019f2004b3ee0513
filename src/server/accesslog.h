/* server/accesslog.h - one line per finished request, made and written by a thread of its own.
 *
 * The story of a line: the worker copies what the line tells of the request into its ring (server/accessrecord.h) and goes
 * on; it never waits and takes no lock. One writer thread makes the lines (server/accessline.h) and hands them to the file
 * in few large writes (server/accessfile.h): 100 ms after the first of a batch, at once when a ring is half full. Without lines
 * it sleeps and costs nothing. When the file takes no more, it tries again each second; records stay in the rings meanwhile, and
 * what does not fit into a ring is dropped and counted.
 *
 * The order of lines is that of ends within a worker, not over all.
 */
#ifndef SERVER_ACCESSLOG_H
#define SERVER_ACCESSLOG_H

#include "server/accessline.h"

#define ACCESS_RING_BYTES ((size_t)1 << 20)

struct accesslog;

struct accesslog_conf {
	/* "-" or "stdout": standard output. Created with mode 0640, appended to. */
	const char *path;
	enum access_format format;
	unsigned workers;
	/* Of each worker, a power of two, at least 2 * ACCESS_RECORD_MAX; 0: ACCESS_RING_BYTES. */
	size_t ring_bytes;
};

/* clang-format off */
/* Read by accesslog_counts.
 *     name      metric                                   help */
#define ACCESS_COUNTERS(X)                                                                                        \
	X(lines,   "forebay_access_log_lines_total",        "Lines handed to the access log")                     \
	X(dropped, "forebay_access_log_dropped_total",      "Lines lost, because the file did not take them in time") \
	X(bytes,   "forebay_access_log_bytes_total",        "Bytes written to the access log")                    \
	X(errors,  "forebay_access_log_errors_total",       "Writes to the access log that failed")
/* clang-format on */

struct accesslog_counts {
#define X(name, metric, help) uint64_t name;
	ACCESS_COUNTERS(X)
#undef X
};

/* Opens the file and starts the writer. NULL (errno) when the file or the thread cannot be had. */
struct accesslog *accesslog_new(const struct accesslog_conf *conf);
/* Writes what is there, as far as the file takes it, and stops the writer. No worker writes any more. */
void accesslog_free(struct accesslog **ap);

/* That worker's thread only. Never blocks, never fails: a line that finds no room is counted. */
void accesslog_write(struct accesslog *a, unsigned worker, const struct outcome *out);

/* The rest is for one control thread. */

/* Opens the file again under its name (SIGUSR1, after the rotation has renamed it); lines handed over before go to the
 * old one. 0, or -1 (errno), and the old one stays. Does not wait. */
int accesslog_reopen(struct accesslog *a);
/* Another path or format after a reload; the same rules. */
int accesslog_change(struct accesslog *a, const char *path, enum access_format format);
/* Waits until all lines handed over before are written. 0, or -1: they are not, for the file takes none or
 * timeout_ms have passed. */
int accesslog_flush(struct accesslog *a, int64_t timeout_ms);

/* Any thread. */
struct accesslog_counts accesslog_counts(struct accesslog *a);

#endif
