/* LINK: server/compile server/rendered cache/object cache/body cache/slab server/compile_route server/routeindex server/judge server/pathtext server/conf event/nameserver event/address server/conf_route server/conf_vary server/pattern server/regexends cache/conf upstream/conf upstream/section upstream/secure upstream/target upstream/drains policy/conf policy/compress policy/headers policy/ratelimit policy/limiter policy/limittable policy/window policy/ratefields http/negotiate http/url base/clock base/log event/loop event/stream event/drain event/tlscontext event/tlsidentity event/tlstickets event/fileprint event/tls event/tlsgreet event/tlssocket event/tlsstate event/tlswrite event/tlsclient http/head http/fields event/redisurl conf/load conf/fill conf/scalar conf/table conf/inherit conf/value conf/yaml conf/include conf/substitute conf/diagnostic conf/excerpt conf/glyph conf/nearest conf/source base/arena base/buf base/mem base/hash http/cachestatus http/sf http/sf_bare */
/* Any text as a configuration: it becomes a site or is refused, and nothing is left behind either way. */
#include <stddef.h>
#include <stdint.h>

#include "server/compile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned
slot_of_nobody(void *arg, const char *name)
{
	return 0;
}

static void
wake_nobody(struct limit_waiter *w, void *arg)
{
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena mem = {0};
	struct conf_diag *diag = conf_diag_new();
	struct limit_table *limits = limit_table_new(0, wake_nobody, NULL);
	struct site_world world = {
	    .mem = &mem, .limits = limits, .workers = 1, .route_slot = slot_of_nobody};
	struct conf_text text = {"fuzz.yaml", slice_of(data, size)};
	struct server_conf *conf = server_conf_load_text(&text, &mem, diag);
	struct site *site = conf == NULL ? NULL : site_compile(conf, &world, diag);
	struct buf told = {0};

	if (site != NULL)
		site_judge(conf, site, diag);
	conf_diag_text(diag, &told);
	buf_fini(&told);
	site_unref(&site);
	limit_table_unref(&limits);
	conf_diag_free(&diag);
	arena_fini(&mem);
	return 0;
}
