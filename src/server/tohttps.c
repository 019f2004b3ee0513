#include "server/tohttps.h"

#define HTTPS_PORT 443

/* 0: the listener sends nobody away. */
static unsigned
port_of_listener(const struct exchange *x)
{
	const struct door *d = x->client->door;

	for (unsigned i = 0; d != NULL && i < x->site->senders_count; i++)
		if (strcmp(x->site->senders[i].address, d->name) == 0)
			return x->site->senders[i].port;
	return 0;
}

bool
tohttps_takes(struct exchange *x, enum exchange_next *next)
{
	unsigned port;
	bool is_read = x->head.method == METHOD_GET || x->head.method == METHOD_HEAD;

	if (x->site->senders_count == 0 || x->is_https || x->client == NULL ||
	    x->url.path.p[0] != '/')
		return false;
	port = port_of_listener(x);
	if (port == 0)
		return false;
	*next = exchange_own(x, is_read ? 301 : 308, "redirect to https");
	buf_printf(&x->own_fields, "Location: https://%.*s", SLICE_FMT(x->url.host));
	if (port != HTTPS_PORT)
		buf_printf(&x->own_fields, ":%u", port);
	buf_add_slice(&x->own_fields, x->url.path);
	if (x->url.has_query)
		buf_add_char(&x->own_fields, '?');
	if (x->url.has_query)
		buf_add_slice(&x->own_fields, x->url.query);
	buf_add_lit(&x->own_fields, "\r\n");
	return true;
}
