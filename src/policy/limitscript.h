/* policy/limitscript.h - one decision about one key in Redis: the words of the command, and what the answer says.
 *
 * The arithmetic is that of policy/window.h, in Lua, on Redis' own clock; a property test holds the two together. What
 * Redis keeps of a key is a short string of numbers that expires when all its permits are back. One call does, in this order:
 * takes back what is due, gives permits back (refund), counts permits that were used without Redis (charge), takes
 * those that are wanted as far as there are any, and a slice beyond them.
 *
 * A slice is for later use. It is counted from now on, so it may be used only while permits taken now and then come back at the
 * same moment: until lease_ms from the time the command was sent (the end of the fixed window, or of the segment; an exact log
 * has no such time). What is left then is given back.
 *
 * Pure: words out, numbers in.
 */
#ifndef POLICY_LIMITSCRIPT_H
#define POLICY_LIMITSCRIPT_H

#include "event/redisreply.h"
#include "policy/window.h"

#define LIMIT_SCRIPT_WORDS 18
#define LIMIT_SCRIPT_KEY_BYTES 192

struct limit_wish {
	uint32_t want;	   /* permits, one for each request that waits */
	uint32_t charge;   /* used already */
	bool charge_rest;  /* of want, what there is not counts as used too (`count: all`) */
	uint32_t slice;	   /* beyond want, if there is plenty */
	uint32_t share;	   /* a slice is at most so many-th of what is left; at least 1 */
	uint64_t behind;   /* retry_ms is reckoned for so many permits */
	uint32_t refund;   /* given back */
	int64_t refund_ms; /* when they were taken: now_ms of that answer */
};

struct limit_grant {
	uint32_t granted;   /* of want */
	uint32_t slice;	    /* beyond it */
	uint32_t remaining; /* left after both */
	int64_t reset_ms;   /* from now until there is one more; 0: all are there */
	int64_t retry_ms;   /* from now until `behind` are free */
	int64_t lease_ms;   /* how long the slice is good; 0: not at all */
	int64_t now_ms;	    /* Redis' clock */
};

/* The words of one command; they point into it. */
struct limit_words {
	unsigned argc;
	struct slice argv[LIMIT_SCRIPT_WORDS];
	char text[LIMIT_SCRIPT_WORDS][24];
};

/* The key in Redis under which a limit counts: "{prefix:rl:name:hash}", so that a cluster keeps it in one slot. Limits of the
 * same name and other parameters have other keys. Written to out, cut short where it is too long. */
struct slice limit_script_key(struct slice prefix, const char *name, const struct window_rule *r,
    struct slice key, char out[LIMIT_SCRIPT_KEY_BYTES]);

/* whole: EVAL with the script, after Redis has said NOSCRIPT; else by its hash. offset_ms: added to Redis' clock. */
void limit_words_write(struct limit_words *w, bool whole, struct slice key,
    const struct window_rule *r, const struct limit_wish *wish, int64_t offset_ms);

/* False: it is no answer of the script's. */
bool limit_grant_read(const struct redis_reply *reply, struct limit_grant *out);

/* The heartbeat by which instances count each other: says that id is there, and answers how many have said so within
 * life_ms. */
void limit_words_beat(struct limit_words *w, struct slice key, struct slice id, int64_t life_ms);

#endif
