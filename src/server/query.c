/* QUERY (RFC 10008): asks by its content as GET does by its URL. The content is collected, becomes part of the key (section
 * 2.7) and goes upstream in one piece with the head, so that flights, retries and refreshes know no difference. What is too
 * much to collect, or is to be passed on as it comes, passes. */
#include <openssl/evp.h>

#include "base/mem.h"
#include "http/incremental.h"
#include "server/exchange_priv.h"

#define CONTENT_MAX 65536 /* bytes */

enum query_content
exchange_collect_query(struct exchange *x)
{
	uint64_t length = x->upload.length;

	if (x->replays || (length != BODY_LENGTH_UNKNOWN && length > CONTENT_MAX) ||
	    message_is_incremental(&x->head))
		return QUERY_PASSES;
	if (!exchange_collect(x)) {
		if (x->upload_is_bad || x->upload_too_large)
			return QUERY_IS_BAD;
		if (x->collected.n <= CONTENT_MAX)
			return QUERY_IS_COMING;
	}
	x->replays = x->collected.n > CONTENT_MAX || x->upload.trailers.n > 0;
	x->is_query = !x->replays;
	return x->replays ? QUERY_PASSES : QUERY_IS_HERE;
}

/* What the content is, and its SHA-256: nobody can make another content of the same key. */
void
exchange_key_add_query(const struct exchange *x, struct buf *key)
{
	static const struct {
		enum field_id id;
		const char *name; /* however the client writes it */
	} about[] = {{FIELD_CONTENT_TYPE, "Content-Type"},
	    {FIELD_CONTENT_ENCODING, "Content-Encoding"},
	    {FIELD_CONTENT_LANGUAGE, "Content-Language"}};
	static const char digits[] = "0123456789abcdef";
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_Digest(x->collected.p, x->collected.n, sum, &n, EVP_sha256(), NULL) != 1)
		bug("SHA-256 is not to be had from OpenSSL");
	buf_add_char(key, '\0');
	buf_add_char(key, 'q');
	for (unsigned i = 0; i < n; i++) {
		buf_add_char(key, digits[sum[i] >> 4]);
		buf_add_char(key, digits[sum[i] & 15]);
	}
	for (size_t i = 0; i < sizeof(about) / sizeof(*about); i++)
		for (const struct field *f = head_find(&x->head, about[i].id); f != NULL;
		     f = head_next(&x->head, f)) {
			buf_add_char(key, '\n');
			buf_add_slice(key, slice_from(about[i].name));
			buf_add_char(key, ':');
			buf_add_slice(key, field_value(&x->head, f));
		}
}
