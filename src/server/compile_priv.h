/* server/compile_priv.h - what compile.c (a site) and compile_route.c (one route) share. */
#ifndef SERVER_COMPILE_PRIV_H
#define SERVER_COMPILE_PRIV_H

#include "server/compile.h"

struct compiling {
	const struct server_conf *conf;
	struct site_world *world;
	struct conf_diag *diag;
	struct site *site;
};

/* Fills *r, which is zero, from c. Errors are given; what has been made is in *r also then, for route_fini(). */
void route_compile(struct compiling *k, const struct route_conf *c, struct route *r);
void route_fini(struct route *r);

#endif
