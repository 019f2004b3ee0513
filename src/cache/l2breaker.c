#include "cache/l2breaker.h"

#include "base/hash.h"

void
breaker_init(struct breaker *b, struct loop *l, void (*on_probe)(void *arg), void *arg)
{
	*b = (struct breaker){
	    .loop = l,
	    .is_open = true,
	    .wait_ms = BREAKER_PROBE_LEAST_MS,
	    .on_probe = on_probe,
	    .arg = arg,
	};
	timer_init(&b->probe, on_probe, arg);
}

void
breaker_fini(struct breaker *b)
{
	timer_disarm(&b->probe);
}

static void
remember(struct breaker *b, uint32_t failed)
{
	b->history = b->history << 1 | failed;
	if (b->samples < BREAKER_SAMPLES)
		b->samples++;
}

void
breaker_success(struct breaker *b)
{
	b->failures = 0;
	remember(b, 0);
}

bool
breaker_failure(struct breaker *b)
{
	bool is_often;

	b->failures++;
	remember(b, 1);
	is_often =
	    b->samples == BREAKER_SAMPLES && __builtin_popcount(b->history) >= BREAKER_SAMPLES_BAD;
	return (b->failures >= BREAKER_FAILURES || is_often) && breaker_open(b);
}

/* Up to a quarter earlier, so that instances do not probe in step. */
static void
arm_probe(struct breaker *b)
{
	uint32_t dice;

	random_bytes(&dice, sizeof(dice));
	timer_arm(b->loop, &b->probe,
	    loop_now_ms(b->loop) + b->wait_ms - dice % (uint32_t)(b->wait_ms / 4));
	b->wait_ms *= 2;
	if (b->wait_ms > BREAKER_PROBE_MOST_MS)
		b->wait_ms = BREAKER_PROBE_MOST_MS;
}

bool
breaker_open(struct breaker *b)
{
	if (b->is_open)
		return false;
	b->is_open = true;
	b->wait_ms = BREAKER_PROBE_LEAST_MS;
	arm_probe(b);
	return true;
}

void
breaker_disconnect(struct breaker *b)
{
	b->is_open = true;
	timer_disarm(&b->probe);
}

void
breaker_probe_now(struct breaker *b)
{
	b->wait_ms = BREAKER_PROBE_LEAST_MS;
	b->on_probe(b->arg);
}

bool
breaker_probed(struct breaker *b, bool is_fine)
{
	if (!is_fine) {
		arm_probe(b);
		return false;
	}
	b->is_open = false;
	b->failures = b->samples = b->history = 0;
	return true;
}
