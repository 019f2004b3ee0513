#include "event/redisreply.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "base/mem.h"

#define SLACK_BYTES 65536 /* of bytes received beyond one reply: the beginning of the next */
#define STRING_BYTES 32	  /* what the shortest string takes from the budget */

#if HIREDIS_MAJOR >= 1
typedef size_t element_count; /* as hiredis declares it */
#else
typedef int element_count;
#endif

struct replies {
	redisReader *reader;
	size_t max_bytes, left_bytes; /* of the reply that is being read */
	bool is_too_large;
};

/* --- what hiredis' reader builds: one struct for the root, arrays of them below --- */

/* Where the value goes that is being read; NULL when the reply outgrows its budget. */
static struct redis_reply *
place(const redisReadTask *task, size_t bytes)
{
	struct replies *r = task->privdata;

	if (bytes > r->left_bytes) {
		r->is_too_large = true;
		return NULL;
	}
	r->left_bytes -= bytes;
	if (task->parent != NULL)
		return &((struct redis_reply *)task->parent->obj)->items[task->idx];
	return calloc(1, sizeof(struct redis_reply));
}

/* A child's memory is its parent's; the parent is freed by hiredis when NULL is returned. */
static void *
discard(const redisReadTask *task, struct redis_reply *o)
{
	if (task->parent == NULL)
		free(o);
	return NULL;
}

static void *
create_string(const redisReadTask *task, char *text, size_t n)
{
	struct redis_reply *o = place(task, n + STRING_BYTES);
	char *copy;

	if (o == NULL)
		return NULL;
	copy = malloc(n + 1);
	if (copy == NULL)
		return discard(task, o);
	memcpy(copy, text, n);
	copy[n] = '\0';
	o->type = task->type == REDIS_REPLY_ERROR ? REPLY_ERROR
	    : task->type == REDIS_REPLY_STATUS	  ? REPLY_STATUS
						  : REPLY_STRING;
	o->text = slice_of(copy, n);
	return o;
}

static void *
create_array(const redisReadTask *task, element_count n)
{
	size_t count = (size_t)n;
	struct redis_reply *o;

	if (count > ((struct replies *)task->privdata)->max_bytes) /* the product may overflow */
		count = SIZE_MAX / sizeof(*o);
	o = place(task, count * sizeof(*o));
	if (o == NULL)
		return NULL;
	o->items = calloc(count == 0 ? 1 : count, sizeof(*o));
	if (o->items == NULL)
		return discard(task, o);
	o->type = REPLY_ARRAY;
	o->count = count;
	return o;
}

static void *
create_integer(const redisReadTask *task, long long value)
{
	struct redis_reply *o = place(task, 0);

	if (o != NULL)
		*o = (struct redis_reply){.type = REPLY_INTEGER, .integer = value};
	return o;
}

static void *
create_nil(const redisReadTask *task)
{
	struct redis_reply *o = place(task, 0);

	if (o != NULL)
		*o = (struct redis_reply){.type = REPLY_NIL};
	return o;
}

#if HIREDIS_MAJOR >= 1
/* RESP3, which we never ask for. */
static void *
create_double(const redisReadTask *task, double value, char *text, size_t n)
{
	return create_string(task, text, n);
}

static void *
create_bool(const redisReadTask *task, int value)
{
	return create_integer(task, value);
}
#endif

static void
fini_reply(struct redis_reply *o)
{
	for (size_t i = 0; i < o->count; i++)
		fini_reply(&o->items[i]);
	free(o->items);
	free((char *)(uintptr_t)o->text.p);
}

static void
free_reply(void *o)
{
	fini_reply(o);
	free(o);
}

static redisReplyObjectFunctions functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createNil = create_nil,
#if HIREDIS_MAJOR >= 1
    .createDouble = create_double,
    .createBool = create_bool,
#endif
    .freeObject = free_reply,
};

/* --- the interface --- */

bool
reply_is_error(const struct redis_reply *r, const char *word)
{
	size_t n = strlen(word);

	return r->type == REPLY_ERROR && slice_starts(r->text, slice_from(word)) &&
	    (r->text.n == n || r->text.p[n] == ' ');
}

bool
reply_is_status(const struct redis_reply *r, const char *text)
{
	return r->type == REPLY_STATUS && slice_eq(r->text, slice_from(text));
}

struct replies *
replies_new(size_t max_bytes)
{
	struct replies *r = must_calloc(1, sizeof(*r));

	r->reader = redisReaderCreateWithFunctions(&functions);
	if (r->reader == NULL)
		bug("no memory for a Redis reader");
	r->reader->privdata = r;
	r->max_bytes = r->left_bytes = max_bytes;
	return r;
}

void
replies_free(struct replies **rp)
{
	struct replies *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	redisReaderFree(r->reader);
	free(r);
}

void
replies_feed(struct replies *r, const void *p, size_t n)
{
	redisReaderFeed(r->reader, p, n); /* its error stays and is seen by replies_next */
}

enum replies_next
replies_next(struct replies *r, struct redis_reply **out)
{
	void *reply = NULL;

	if (redisReaderGetReply(r->reader, &reply) != REDIS_OK)
		return REPLIES_BAD;
	if (reply != NULL) {
		r->left_bytes = r->max_bytes;
		*out = reply;
		return REPLIES_ONE;
	}
	if (r->reader->len - r->reader->pos > r->max_bytes + SLACK_BYTES) {
		r->is_too_large = true;
		return REPLIES_BAD;
	}
	return REPLIES_PARTIAL;
}

const char *
replies_error(const struct replies *r)
{
	return r->is_too_large ? "a reply larger than allowed" : r->reader->errstr;
}

struct buf
redis_reply_take_text(const struct redis_reply *r)
{
	struct redis_reply *own =
	    (struct redis_reply *)(uintptr_t)r; /* made here, and not constant */
	struct buf b = {
	    .p = (char *)(uintptr_t)own->text.p, .n = own->text.n, .cap = own->text.n + 1};

	own->text = SLICE_NONE;
	return b;
}

void
redis_reply_free(struct redis_reply **rp)
{
	if (*rp != NULL)
		free_reply(*rp);
	*rp = NULL;
}
