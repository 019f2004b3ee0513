/* cli/ask.h - asks the Forebay of this machine through its admin interface: one request, one answer, blocking.
 *
 * Whom to ask stands in the configuration that the daemon was started with (admin.address, admin.token); who may not
 * read that, because of the secrets in it, names the address himself. An address that stands for all of the machine's
 * is asked at its loopback.
 */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "base/arena.h"
#include "base/buf.h"
#include "event/stream.h"

#define ASK_TIMEOUT_MS 5000
#define ASK_BODY_MAX ((size_t)64 << 20)

struct admin_door {
	const char *name; /* the address as it was written */
	struct address address;
	const char *token; /* NULL: none */
};

/* The door as address names it, or, where that is NULL, as the configuration at path does (NULL: the usual file). Lives
 * in mem. -1: why tells (several lines when the configuration is wrong), and what to do. */
int admin_door_find(const char *path, const char *address, struct arena *mem,
    struct admin_door *out, struct buf *why);

struct answer {
	unsigned status;
	struct buf body; /* whole */
};

/* Sends method and target, and json (empty: no body), and waits for the whole answer, all within timeout_ms. 0: the caller ends
 * it with answer_fini(). -1: why tells what went wrong, one line without its end. */
int ask(const struct admin_door *door, const char *method, const char *target, struct slice json,
    int timeout_ms, struct answer *out, struct buf *why);
void answer_fini(struct answer *a);

#endif
