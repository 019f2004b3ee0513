#include "http/tracking.h"

/* clang-format off */
const char *const tracking_params[] = {
	"utm_*", "mtm_*",                                                       /* campaigns: Urchin's and Matomo's names */
	"gclid", "gclsrc", "dclid", "gbraid", "wbraid", "gad_source", "gad_campaignid", "srsltid", "_gl", /* Google */
	"fbclid", "igshid", "igsh",                                             /* Meta */
	"msclkid", "yclid", "ymclid", "twclid", "ttclid", "li_fat_id", "ScCid", "epik", "rdt_cid", /* other advertisers */
	"mc_cid", "mc_eid", "_hsenc", "_hsmi", "__hstc", "__hssc", "__hsfp", "hsCtaTracking", "mkt_tok", "_kx", "dm_i",
	"vero_id", "vero_conv", "oly_enc_id", "oly_anon_id", "_openstat", "wickedid", "rb_clickid", /* letters */
};
/* clang-format on */
const unsigned tracking_params_count = sizeof(tracking_params) / sizeof(*tracking_params);
