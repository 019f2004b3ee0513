/* LINK: conf/load conf/fill conf/scalar conf/table conf/inherit conf/value conf/yaml conf/include conf/substitute conf/diagnostic conf/excerpt conf/glyph conf/nearest conf/source base/arena base/buf base/mem */
/* Any bytes as a configuration: every answer is a filled struct or diagnostics, never a crash, a leak or
 * an endless walk. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "../unit/conf_usual.h"
#include "conf/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct conf_text src = {"fuzz.yaml", slice_of(data, n)};
	struct conf_diag *d = conf_diag_new();
	struct usual_conf conf;
	struct arena mem = {0};
	struct buf out = {0};
	int result = conf_load_text(&src, &usual_table, &conf, &mem, d);

	if ((result == 0) != (conf_diag_errors(d) == 0))
		abort();
	for (size_t i = 0; result == 0 && i < conf.routes.count; i++)
		conf_inherit(&mem, &headers_table, &conf.routes.items[i].security_headers,
		    &conf.security_headers);
	conf_diag_text(d, &out);
	conf_diag_json(d, &out);
	buf_fini(&out);
	conf_diag_free(&d);
	arena_fini(&mem);
	return 0;
}
