/* policy/press.h - a thread that codes one text at a time as small as it can be, when nobody else wants the processor.
 *
 * The thread runs under SCHED_IDLE: while anything else is to be done on its processor, it stands still, for as long as that may
 * be. So it must never hold what others wait for. It touches nothing but its own memory: the text is handed over as a copy, what
 * comes out lies in a buffer of its own, and the two are passed to and fro by one atomic word. Nor does anybody ever wait for it:
 * a press that is not needed any more is left behind, and frees itself when its thread gets to hear of it.
 *
 * What it holds while it works: the text, room for what must come out smaller than most_bytes, and the state of the compressor
 * (brotli 11 and zstd 19 of 1 MiB: 11 to 30 MiB).
 */
#ifndef POLICY_PRESS_H
#define POLICY_PRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "http/negotiate.h"

struct press;

/* One text. */
struct press_job {
	/* Filled in by who begins it */
	enum encoding coding;
	char *text; /* malloc's; the press' from press_begin to press_finish */
	size_t text_n;
	size_t most_bytes; /* what comes out longer is of no use, and it stops there */
	/* Found by press_finish */
	bool is_smaller;
	bool was_cancelled;
	char *out; /* malloc's, to be taken; NULL unless is_smaller */
	size_t out_n;
	double cpu_ms;
};

/* Starts the thread. NULL: none could be made. */
struct press *press_new(void);
/* Gives it up, whatever it is at. Sets *pp to NULL; NULL is allowed. */
void press_free(struct press **pp);

/* One thread uses a press: */

bool press_is_busy(const struct press *p);
/* Not while it is busy. */
void press_begin(struct press *p, struct press_job *job);
/* It stops at the next piece. */
void press_cancel(struct press *p);
/* What has become of the job. False: it is still at it, or there was none. */
bool press_finish(struct press *p, struct press_job *job_out);

#endif
