#include "http/h2field.h"

#include "http/headrules.h"
#include "http/scan.h"

static uint8_t
pseudo_of(struct slice name)
{
	static const struct slice names[H2_PSEUDO_COUNT] = {
	    [H2_PSEUDO_method] = SLICE_LIT(":method"),
	    [H2_PSEUDO_scheme] = SLICE_LIT(":scheme"),
	    [H2_PSEUDO_authority] = SLICE_LIT(":authority"),
	    [H2_PSEUDO_path] = SLICE_LIT(":path"),
	    [H2_PSEUDO_protocol] = SLICE_LIT(":protocol"),
	};
	uint8_t i = 0;

	while (i < H2_PSEUDO_COUNT && !slice_eq(name, names[i]))
		i++;
	return i;
}

/* RFC 9113 section 8.2.1. */
void
h2_field_judge_name(struct h2_field *f)
{
	struct slice name = f->name;
	bool has_upper = false;

	f->pseudo = H2_PSEUDO_none;
	f->id = FIELD_OTHER;
	f->judged = H2_NAME_GOOD;
	if (name.n > 0 && name.p[0] == ':') {
		f->pseudo = pseudo_of(name);
		return;
	}
	for (size_t i = 0; i < name.n; i++)
		has_upper |= name.p[i] >= 'A' && name.p[i] <= 'Z';
	if (has_upper || !h1_is_token(name))
		f->judged = 0;
	f->id = (uint8_t)field_id_of(name);
}

static inline bool
is_target(struct slice v)
{
	return v.n > 0 && scan_target(v.p, v.n) == v.n;
}

/* All of it is such that h2_head has no more to ask, nor has HTTP/1.1. */
static bool
is_usual(enum h2_pseudo pseudo, struct slice v)
{
	switch (pseudo) {
	case H2_PSEUDO_method:
		return h1_is_token(v) && v.n <= METHOD_BYTES_MAX &&
		    !slice_eq(v, SLICE_LIT("CONNECT"));
	case H2_PSEUDO_scheme:
		return slice_eq(v, SLICE_LIT("https")) || slice_eq(v, SLICE_LIT("http"));
	case H2_PSEUDO_authority:
		return is_target(v) && slice_index(v, '@') == v.n;
	case H2_PSEUDO_path:
		return is_target(v) && v.p[0] == '/';
	default:
		return false;
	}
}

static inline bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

void
h2_field_judge_value(struct h2_field *f)
{
	struct slice v = f->value;

	f->judged &= H2_NAME_GOOD;
	if (f->pseudo != H2_PSEUDO_none && is_usual((enum h2_pseudo)f->pseudo, v))
		f->judged |= H2_VALUE_GOOD | H2_VALUE_USUAL;
	else if (v.n == 0 ||
	    (scan_value(v.p, v.n) == v.n && !is_blank(v.p[0]) && !is_blank(v.p[v.n - 1])))
		f->judged |= H2_VALUE_GOOD;
}
