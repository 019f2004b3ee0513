#include "cache/flight.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"

#define TABLE_SHARDS 64
#define SHARD_SLOTS 256
#define UNSHARED_SLOTS \
	16384 /* keys remembered as not worth gathering for; the newest of a slot wins */

/* The riders of one worker. The list and its order are that worker's; the rest is atomic. */
struct seat {
	struct flight *flight;
	struct link riders;
	struct letter letter; /* to another worker */
	struct task task;     /* on the leader's own */
	_Atomic unsigned count;
	_Atomic bool posted;	  /* letter or task is on its way, with a reference */
	_Atomic uint64_t slowest; /* least position of its riders; UINT64_MAX without any */
	_Atomic uint64_t fastest; /* greatest; 0 without any */
	/* How many stand there, this worker's own: only when the last of them goes are all looked at again. */
	unsigned at_slowest, at_fastest;
};

struct flight {
	_Atomic uint32_t refs;
	_Atomic int state;
	struct flights *flights;
	struct flight *next; /* in the table's slot */
	_Atomic bool listed; /* changes under the shard's lock; once it is not, it never is again */
	uint64_t hash;
	char *key; /* own copy, the variant behind it; NULL: private */
	size_t key_len, variant_len;
	struct object *_Atomic object;
	_Atomic int fault;
	unsigned leader_worker;
	uint64_t log_pos;
	bool is_from_redis; /* written before the state is */
	void *owner;
	void (*on_room)(void *owner);
	struct letter room_letter;
	struct task room_task;
	_Atomic bool room_posted;
	_Atomic uint64_t room_above; /* the leader waits until all have read beyond; UINT64_MAX: it
					does not wait */
	_Atomic uint64_t expel_below;
	unsigned first_worker, seats_count; /* a private flight has its one worker's seat only */
	struct seat seats[];
};

struct shard {
	pthread_mutex_t lock;
	struct flight *slots[SHARD_SLOTS];
};

struct unshared {
	_Atomic uint64_t hash;
	_Atomic int64_t until_ms;
};

struct flights {
	struct flight_world world;
	struct shard shards[TABLE_SHARDS];
	struct unshared unshared[UNSHARED_SLOTS];
};

struct flights *
flights_new(const struct flight_world *world)
{
	struct flights *fs = must_calloc(1, sizeof(*fs));

	fs->world = *world;
	for (int i = 0; i < TABLE_SHARDS; i++)
		pthread_mutex_init(&fs->shards[i].lock, NULL);
	return fs;
}

void
flights_free(struct flights **fp)
{
	if (*fp == NULL)
		return;
	for (int i = 0; i < TABLE_SHARDS; i++)
		pthread_mutex_destroy(&(*fp)->shards[i].lock);
	free(*fp);
	*fp = NULL;
}

/* --- the table --- */

static struct shard *
shard_of(struct flights *fs, uint64_t hash)
{
	return &fs->shards[hash % TABLE_SHARDS];
}

static struct flight **
slot_of(struct shard *sh, uint64_t hash)
{
	return &sh->slots[hash / TABLE_SHARDS % SHARD_SLOTS];
}

static struct flight *
table_find(struct shard *sh, const struct cache_key *key, struct slice variant)
{
	for (struct flight *f = *slot_of(sh, key->hash); f != NULL; f = f->next)
		if (f->hash == key->hash && slice_eq(slice_of(f->key, f->key_len), key->text) &&
		    slice_eq(slice_of(f->key + f->key_len, f->variant_len), variant))
			return f;
	return NULL;
}

static void
table_add(struct shard *sh, struct flight *f)
{
	struct flight **slot = slot_of(sh, f->hash);

	f->next = *slot;
	*slot = f;
	f->listed = true;
}

static void
table_remove(struct shard *sh, struct flight *f)
{
	struct flight **at;

	if (!f->listed)
		return;
	for (at = slot_of(sh, f->hash); *at != f; at = &(*at)->next)
		;
	*at = f->next;
	f->listed = false;
}

void
flight_close(struct flight *f)
{
	struct shard *sh;

	if (f->key == NULL || !atomic_load_explicit(&f->listed, memory_order_relaxed))
		return;
	sh = shard_of(f->flights, f->hash);
	pthread_mutex_lock(&sh->lock);
	table_remove(sh, f);
	pthread_mutex_unlock(&sh->lock);
}

static struct unshared *
unshared_slot(const struct flights *fs, uint64_t hash)
{
	return (struct unshared *)&fs->unshared[hash % UNSHARED_SLOTS];
}

bool
flights_is_unshared(const struct flights *fs, uint64_t hash, int64_t now_ms)
{
	struct unshared *u = unshared_slot(fs, hash);

	return atomic_load_explicit(&u->hash, memory_order_relaxed) == hash &&
	    atomic_load_explicit(&u->until_ms, memory_order_relaxed) > now_ms;
}

void
flights_remember_unshared(struct flights *fs, uint64_t hash, int64_t until_ms)
{
	struct unshared *u = unshared_slot(fs, hash);

	atomic_store_explicit(&u->hash, hash, memory_order_relaxed);
	atomic_store_explicit(&u->until_ms, until_ms, memory_order_relaxed);
}

void
flights_share_again(struct flights *fs, uint64_t hash)
{
	struct unshared *u = unshared_slot(fs, hash);

	if (atomic_load_explicit(&u->hash, memory_order_relaxed) == hash)
		atomic_store_explicit(&u->until_ms, 0, memory_order_relaxed);
}

/* --- beginning and end --- */

static void on_seat_letter(struct letter *l);
static void on_seat_task(void *arg);
static void on_room_letter(struct letter *l);
static void on_room_task(void *arg);

static void
seat_init(struct flight *f, struct seat *seat)
{
	seat->flight = f;
	list_init(&seat->riders);
	atomic_init(&seat->slowest, UINT64_MAX);
	seat->letter.deliver = on_seat_letter;
	task_init(&seat->task, on_seat_task, seat);
}

static struct flight *
flight_new(struct flights *fs, const struct cache_key *key, struct slice variant, unsigned worker,
    struct purgelog *purges)
{
	unsigned seats = key == NULL ? 1 : fs->world.workers;
	size_t bytes = sizeof(struct flight) + seats * sizeof(struct seat);
	struct flight *f = must_malloc(bytes);

	memset(f, 0, bytes); /* cheaper than calloc, which passes by the thread's own free memory */
	atomic_init(&f->refs, 1);
	atomic_init(&f->state, FLIGHT_WAITING);
	atomic_init(&f->room_above, UINT64_MAX);
	f->flights = fs;
	f->leader_worker = worker;
	f->log_pos = purgelog_head(purges);
	f->first_worker = key == NULL ? worker : 0;
	f->seats_count = seats;
	for (unsigned i = 0; i < seats; i++)
		seat_init(f, &f->seats[i]);
	f->room_letter.deliver = on_room_letter;
	task_init(&f->room_task, on_room_task, f);
	if (key != NULL) {
		f->hash = key->hash;
		f->key = must_malloc(key->text.n + variant.n + 1);
		memcpy(f->key, key->text.p, key->text.n);
		if (variant.n > 0)
			memcpy(f->key + key->text.n, variant.p, variant.n);
		f->key_len = key->text.n;
		f->variant_len = variant.n;
	}
	return f;
}

struct flight *
flight_ref(struct flight *f)
{
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
	return f;
}

void
flight_unref(struct flight **fp)
{
	struct flight *f = *fp;
	struct object *o;

	*fp = NULL;
	if (f == NULL || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
		return;
	o = atomic_load_explicit(&f->object, memory_order_relaxed);
	object_unref(&o);
	free(f->key);
	free(f);
}

static struct seat *
seat_of(struct flight *f, unsigned worker)
{
	return &f->seats[worker - f->first_worker];
}

/* A rider stands at this position, or does so now: the ends are where they were, or here. */
static void
seat_count_at(struct seat *seat, uint64_t at)
{
	uint64_t slowest = atomic_load_explicit(&seat->slowest, memory_order_relaxed);
	uint64_t fastest = atomic_load_explicit(&seat->fastest, memory_order_relaxed);

	if (at > fastest || seat->at_fastest == 0) {
		seat->at_fastest = 0;
		atomic_store_explicit(&seat->fastest, at, memory_order_relaxed);
		fastest = at;
	}
	seat->at_fastest += at == fastest;
	if (at < slowest) {
		seat->at_slowest = 0;
		atomic_store(&seat->slowest, at);
		slowest = at;
	}
	seat->at_slowest += at == slowest;
}

static void
seat_find_ends(struct seat *seat)
{
	uint64_t slowest = UINT64_MAX, fastest = 0;
	unsigned at_slowest = 0, at_fastest = 0;

	LIST_EACH (r, &seat->riders, struct flight_rider, link) {
		if (r->at < slowest) {
			slowest = r->at;
			at_slowest = 0;
		}
		if (at_fastest == 0 || r->at > fastest) {
			fastest = r->at;
			at_fastest = 0;
		}
		at_slowest += r->at == slowest;
		at_fastest += r->at == fastest;
	}
	seat->at_slowest = at_slowest;
	seat->at_fastest = at_fastest;
	atomic_store_explicit(&seat->fastest, fastest, memory_order_relaxed);
	atomic_store(&seat->slowest, slowest);
}

/* A rider stands at this position no more. True: it was the last of the slowest. */
static bool
seat_uncount_at(struct seat *seat, uint64_t at)
{
	bool was_last_slowest = at == atomic_load_explicit(&seat->slowest, memory_order_relaxed) &&
	    --seat->at_slowest == 0;
	bool was_last_fastest = at == atomic_load_explicit(&seat->fastest, memory_order_relaxed) &&
	    --seat->at_fastest == 0;

	if (was_last_slowest || was_last_fastest)
		seat_find_ends(seat);
	return was_last_slowest;
}

/* Takes the rider aboard; it comes with a reference of its own. */
static void
seat_take(struct flight *f, struct flight_rider *r, bool is_leader)
{
	struct seat *seat = seat_of(f, r->worker);

	r->flight = flight_ref(f);
	r->is_leader = is_leader;
	r->at = 0;
	list_push_back(&seat->riders, &r->link);
	seat_count_at(seat, 0);
	atomic_fetch_add(&seat->count, 1);
}

/* Two references: the rider's and the leader's (f in rider->flight; the caller takes it with
 * flight_ref). */
enum flight_role
flight_board(struct flights *fs, const struct cache_key *key, struct slice variant,
    struct flight_rider *r, int64_t now_ms, struct purgelog *purges, struct slice tags)
{
	struct shard *sh = shard_of(fs, key->hash);
	struct flight *f;
	bool leads;

	if (flights_is_unshared(fs, key->hash, now_ms)) {
		flight_private(fs, r->worker, r, purges);
		return FLIGHT_ALONE;
	}
	pthread_mutex_lock(&sh->lock);
	f = table_find(sh, key, variant);
	if (f != NULL && purgelog_judge_parts(purges, key->text, tags, f->log_pos) != PURGE_VALID) {
		table_remove(sh, f);
		f = NULL;
	}
	leads = f == NULL;
	if (leads) {
		f = flight_new(fs, key, variant, r->worker, purges);
		table_add(sh, f);
	}
	seat_take(f, r, leads);
	pthread_mutex_unlock(&sh->lock);
	if (leads)
		flight_unref(
		    &f); /* the rider's reference keeps it until the leader's side takes its own */
	return leads ? FLIGHT_LEADS : FLIGHT_RIDES;
}

struct flight *
flight_private(struct flights *fs, unsigned worker, struct flight_rider *r, struct purgelog *purges)
{
	struct flight *f = flight_new(fs, NULL, SLICE_NONE, worker, purges);

	if (r == NULL)
		return f;
	seat_take(f, r, true);
	flight_unref(&f);
	return r->flight;
}

struct flight *
flight_background(struct flights *fs, const struct cache_key *key, struct slice variant,
    unsigned worker, struct purgelog *purges)
{
	struct shard *sh = shard_of(fs, key->hash);
	struct flight *f = NULL;

	pthread_mutex_lock(&sh->lock);
	if (table_find(sh, key, variant) == NULL) {
		f = flight_new(fs, key, variant, worker, purges);
		table_add(sh, f);
	}
	pthread_mutex_unlock(&sh->lock);
	return f;
}

/* Tells a leader that waits for its riders that all have read beyond what it waits for. */
static void
tell_leader(struct flight *f, unsigned from_worker)
{
	uint64_t above = atomic_load(&f->room_above);

	if (above == UINT64_MAX || flight_read_by_all(f) <= above)
		return;
	if (!atomic_compare_exchange_strong(&f->room_above, &above, UINT64_MAX))
		return;
	if (atomic_exchange(&f->room_posted, true))
		return;
	flight_ref(f);
	if (from_worker == f->leader_worker)
		loop_later(f->flights->world.loops[from_worker], &f->room_task);
	else
		mailbox_post(f->flights->world.mailboxes[f->leader_worker], &f->room_letter);
}

void
flight_leave(struct flight_rider *r)
{
	struct flight *f = r->flight;
	struct seat *seat;

	if (f == NULL)
		return;
	seat = seat_of(f, r->worker);
	list_leave(&r->link);
	atomic_fetch_sub(&seat->count, 1);
	if (seat_uncount_at(seat, r->at))
		tell_leader(f, r->worker);
	flight_unref(&r->flight);
}

/* --- reading a flight --- */

enum flight_state
flight_state(const struct flight *f)
{
	return (enum flight_state)atomic_load(&f->state);
}

struct object *
flight_object(const struct flight *f)
{
	return atomic_load_explicit(&f->object, memory_order_acquire);
}

uint64_t
flight_log_pos(const struct flight *f)
{
	return f->log_pos;
}

bool
flight_is_from_redis(const struct flight *f)
{
	return f->is_from_redis;
}

void
flight_from_redis(struct flight *f)
{
	f->is_from_redis = true;
}

int
flight_fault(const struct flight *f)
{
	return atomic_load(&f->fault);
}

unsigned
flight_riders(const struct flight *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->seats_count; i++)
		n += atomic_load(&f->seats[i].count);
	return n;
}

bool
flight_is_private(const struct flight *f)
{
	return f->key == NULL;
}

unsigned
flight_leader_worker(const struct flight *f)
{
	return f->leader_worker;
}

void *
flight_owner(const struct flight *f)
{
	return f->owner;
}

void
flight_set_owner(struct flight *f, void *owner, void (*on_room)(void *owner))
{
	f->owner = owner;
	f->on_room = on_room;
}

/* --- the leader --- */

/* State first, then the count: a rider that boards meanwhile looks at the state after it has been
 * counted. */
void
flight_progress(struct flight *f)
{
	const struct flight_world *w = &f->flights->world;

	for (unsigned i = 0; i < f->seats_count; i++) {
		struct seat *seat = &f->seats[i];

		if (atomic_load(&seat->count) == 0 || atomic_exchange(&seat->posted, true))
			continue;
		flight_ref(f);
		if (f->first_worker + i == f->leader_worker)
			loop_later(w->loops[f->leader_worker], &seat->task);
		else
			mailbox_post(w->mailboxes[f->first_worker + i], &seat->letter);
	}
}

void
flight_publish(struct flight *f, struct object *o)
{
	atomic_store_explicit(&f->object, object_ref(o), memory_order_release);
	atomic_store(&f->state, FLIGHT_RESPONSE);
	flight_progress(f);
}

void
flight_disband(struct flight *f, struct object *o, int64_t forget_ms)
{
	flight_close(f);
	if (f->key != NULL && forget_ms > 0)
		flights_remember_unshared(f->flights, f->hash, forget_ms);
	atomic_store_explicit(&f->object, object_ref(o), memory_order_release);
	atomic_store(&f->state, FLIGHT_DISBANDED);
	flight_progress(f);
}

void
flight_fail(struct flight *f, int fault)
{
	flight_close(f);
	atomic_store(&f->fault, fault);
	atomic_store(&f->state, FLIGHT_FAILED);
	flight_progress(f);
}

uint64_t
flight_read_by_all(const struct flight *f)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < f->seats_count; i++) {
		uint64_t at = atomic_load(&f->seats[i].slowest);
		if (at < least)
			least = at;
	}
	return least;
}

uint64_t
flight_read_by_any(const struct flight *f)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < f->seats_count; i++) {
		uint64_t at = atomic_load_explicit(&f->seats[i].fastest, memory_order_relaxed);
		if (at > most)
			most = at;
	}
	return most;
}

/* The wish is stated before the positions are looked at again: a rider that moves in between is
 * seen here or sees it. */
void
flight_await_room(struct flight *f, uint64_t position)
{
	atomic_store(&f->room_above, position);
	tell_leader(f, f->leader_worker);
}

void
flight_expel(struct flight *f, uint64_t position)
{
	atomic_store(&f->expel_below, position);
	flight_progress(f);
}

/* --- the riders --- */

void
flight_moved(struct flight_rider *r, uint64_t at)
{
	struct seat *seat = seat_of(r->flight, r->worker);
	uint64_t was = r->at;

	if (at == was)
		return;
	r->at = at;
	seat_count_at(seat, at);
	if (seat_uncount_at(seat, was))
		tell_leader(r->flight, r->worker);
}

bool
flight_is_expelled(const struct flight_rider *r)
{
	return r->at < atomic_load(&r->flight->expel_below);
}

/* --- wake-ups --- */

/* A rider's wake may make it or any other rider leave, or board: so the list is turned, first to
 * last, once round. */
static void
seat_deliver(struct seat *seat)
{
	struct flight *f = seat->flight;
	struct flight_rider *r;

	atomic_store(&seat->posted, false);
	for (unsigned n = atomic_load(&seat->count); n > 0; n--) {
		r = list_first(&seat->riders, struct flight_rider, link);
		if (r == NULL)
			break;
		list_leave(&r->link);
		list_push_back(&seat->riders, &r->link);
		r->wake(r);
	}
	flight_unref(&f);
}

static void
on_seat_letter(struct letter *l)
{
	seat_deliver(CONTAINER_OF(l, struct seat, letter));
}

static void
on_seat_task(void *arg)
{
	seat_deliver(arg);
}

static void
on_room_task(void *arg)
{
	struct flight *f = arg;

	atomic_store(&f->room_posted, false);
	if (f->owner != NULL)
		f->on_room(f->owner);
	flight_unref(&f);
}

static void
on_room_letter(struct letter *l)
{
	on_room_task(CONTAINER_OF(l, struct flight, room_letter));
}
