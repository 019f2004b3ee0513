#include "admin/probe.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"

static void
probe_end(struct probe *p, const char *why)
{
	p->is_over = true;
	p->is_connected = why == NULL;
	p->took_us = clock_mono_us() - p->started_us;
	snprintf(p->why, sizeof(p->why), "%s", why == NULL ? "" : why);
	resolver_cancel(&p->resolve);
	if (p->stream != NULL)
		stream_close(&p->stream);
}

static void
on_probe_writable(void *arg)
{
	struct probe *p = arg;
	int e = stream_error(p->stream);

	probe_end(p, e == 0 ? NULL : strerror(e));
	p->done(p);
}

/* What a server says first is not waited for; nor is it connected before it may be written to. */
static void
on_probe_readable(void *arg)
{
	struct probe *p = arg;

	stream_want_read(p->stream, false);
}

static const struct stream_handler probe_handler = {on_probe_readable, on_probe_writable};

static void
probe_connect(struct probe *p, const struct address *to)
{
	p->stream = stream_connect(p->loop, to, &probe_handler, p);
	if (p->stream != NULL)
		return;
	probe_end(p, strerror(errno));
	p->done(p);
}

static void
on_probe_resolved(void *arg, const struct resolved *answer)
{
	struct probe *p = arg;

	p->resolve = NULL;
	if (answer->count > 0) {
		probe_connect(p, &answer->addresses[0]);
		return;
	}
	probe_end(p, answer->error == NULL ? "its name has no address" : answer->error);
	p->done(p);
}

void
probe_start_address(struct probe *p, struct loop *l, const struct address *to)
{
	p->loop = l;
	p->started_us = clock_mono_us();
	probe_connect(p, to);
}

void
probe_start(struct probe *p, struct loop *l, struct resolver *r, const char *host, uint16_t port,
    int64_t timeout_ms)
{
	struct address literal;

	if (address_of_literal(host, port, &literal)) {
		probe_start_address(p, l, &literal);
		return;
	}
	p->loop = l;
	p->started_us = clock_mono_us();
	p->resolve = resolver_start(r, host, port, timeout_ms, on_probe_resolved, p);
	if (p->resolve != NULL)
		return;
	probe_end(p, "too many names are being resolved");
	p->done(p);
}

void
probe_fail(struct probe *p, const char *why)
{
	p->started_us = clock_mono_us();
	probe_end(p, why);
	p->done(p);
}

void
probe_stop(struct probe *p, const char *why)
{
	if (!p->is_over)
		probe_end(p, why);
}
