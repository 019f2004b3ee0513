#include "http/absolute.h"

static bool
take_scheme(struct slice *rest, bool *is_tls_out)
{
	static const struct slice http = SLICE_LIT("http://"), https = SLICE_LIT("https://");

	*is_tls_out = rest->n >= https.n && slice_ieq(slice_of(rest->p, https.n), https);
	if (!*is_tls_out && (rest->n < http.n || !slice_ieq(slice_of(rest->p, http.n), http)))
		return false;
	*rest = slice_skip(*rest, *is_tls_out ? https.n : http.n);
	return true;
}

static bool
take_host(struct slice *rest, struct slice *out)
{
	size_t n = 0;

	while (n < rest->n && rest->p[n] != '/' && rest->p[n] != '?')
		n++;
	*out = slice_of(rest->p, n);
	*rest = slice_skip(*rest, n);
	return n > 0;
}

bool
absolute_read(struct slice base, struct slice address, struct absolute *out)
{
	struct slice rest = slice_of(address.p, slice_index(address, '#'));
	bool is_path = rest.n > 0 && rest.p[0] == '/';
	struct slice *origin = is_path ? &base : &rest;

	if (!take_scheme(origin, &out->is_tls) || !take_host(origin, &out->host))
		return false;
	out->target = rest.n > 0 ? rest : SLICE_LIT("/");
	return out->target.p[0] == '/';
}
