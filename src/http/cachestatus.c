#include "http/cachestatus.h"

#include "http/sf.h"

static const struct {
	const char *name, *meaning;
} words[] = {
#define X(word, meaning) {#word, meaning},
    CACHE_WORDS(X)
#undef X
};

static const char *const fwd_tokens[] = {
#define X(reason, token, meaning) token,
    CACHE_FWDS(X)
#undef X
};

const char *
cache_word_name(enum cache_word w)
{
	return words[w].name;
}

const char *
cache_word_meaning(enum cache_word w)
{
	return words[w].meaning;
}

const char *
cache_fwd_token(enum cache_fwd f)
{
	return fwd_tokens[f];
}

void
cache_status_write(struct buf *b, const struct cache_status *s)
{
	sf_write_token_or_string(b, s->name);
	if (s->fwd == CACHE_FWD_NONE) {
		buf_add_lit(b, "; hit");
	} else {
		buf_add_lit(b, "; fwd=");
		buf_add_slice(b, slice_from(fwd_tokens[s->fwd]));
		if (s->fwd_status != 0) {
			buf_add_lit(b, "; fwd-status=");
			buf_add_u64(b, s->fwd_status);
		}
		if (s->stored)
			buf_add_lit(b, "; stored");
		if (s->collapsed)
			buf_add_lit(b, "; collapsed");
	}
	if (s->ttl_s != CACHE_TTL_NONE) {
		buf_add_lit(b, "; ttl=");
		buf_add_i64(b, s->ttl_s);
	}
	if (s->key.p != NULL) {
		buf_add_lit(b, "; key=");
		sf_write_string(b, s->key);
	}
	if (s->detail.p != NULL) {
		buf_add_lit(b, "; detail=");
		sf_write_token_or_string(b, s->detail);
	}
}

void
cache_status_append(struct buf *b, const struct head *response, const struct cache_status *s)
{
	const struct field *f = head_find(response, FIELD_CACHE_STATUS);

	for (; f != NULL; f = head_next(response, f)) {
		struct slice line = slice_trim(field_value(response, f));
		if (line.n == 0 || !sf_list_is_valid(line))
			continue;
		buf_add_slice(b, line);
		buf_add_lit(b, ", ");
	}
	cache_status_write(b, s);
}
