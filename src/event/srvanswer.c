#include "event/srvanswer.h"

#include <ares.h>
#include <stdbool.h>
#include <string.h>

#define HEAD_BYTES 12	 /* RFC 1035 section 4.1.1 */
#define QUESTION_BYTES 4 /* behind its name: type, class */
#define RECORD_BYTES 10	 /* behind its name: type, class, TTL, length */
#define SRV_BYTES 6	 /* before the target */
#define TYPE_SRV 33
#define CLASS_IN 1

struct reader {
	const unsigned char *message, *at;
	int size;
};

static unsigned
two(const unsigned char *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static size_t
left(const struct reader *r)
{
	return (size_t)(r->message + r->size - r->at);
}

/* out: NULL, or SRV_HOST_MAX bytes. False: no valid name stands there. */
static bool
read_name(struct reader *r, const unsigned char *at, char *out, long *bytes_out)
{
	char *name;
	bool fits;

	if (ares_expand_name(at, r->message, r->size, &name, bytes_out) != ARES_SUCCESS)
		return false;
	fits = strlen(name) < SRV_HOST_MAX;
	if (out != NULL && fits)
		strcpy(out, name);
	ares_free_string(name);
	return fits;
}

static bool
skip_name(struct reader *r, size_t then)
{
	long n;

	if (left(r) == 0 || !read_name(r, r->at, NULL, &n) || left(r) < (size_t)n + then)
		return false;
	r->at += n;
	return true;
}

static bool
read_srv(struct reader *r, size_t length, struct srv_record *out)
{
	long n;

	if (length <= SRV_BYTES || !read_name(r, r->at + SRV_BYTES, out->host, &n) ||
	    SRV_BYTES + (size_t)n != length)
		return false;
	out->priority = (uint16_t)two(r->at);
	out->weight = (uint16_t)two(r->at + 2);
	out->port = (uint16_t)two(r->at + 4);
	return true;
}

/* One record of the answer. False: it is broken. */
static bool
read_record(struct reader *r, struct srv_record out[SRV_RECORDS_MAX], int *count, uint32_t *ttl_s)
{
	uint32_t life_s;
	size_t length;
	bool is_srv;

	if (!skip_name(r, RECORD_BYTES))
		return false;
	is_srv = two(r->at) == TYPE_SRV && two(r->at + 2) == CLASS_IN;
	life_s = two(r->at + 4) << 16 | two(r->at + 6);
	length = two(r->at + 8);
	r->at += RECORD_BYTES;
	if (left(r) < length)
		return false;
	if (life_s < *ttl_s)
		*ttl_s = life_s;
	if (is_srv && *count < SRV_RECORDS_MAX && !read_srv(r, length, &out[(*count)++]))
		return false;
	r->at += length;
	return true;
}

int
srvanswer_parse(const unsigned char *message, size_t size, struct srv_record out[SRV_RECORDS_MAX],
    uint32_t *ttl_s_out)
{
	struct reader r = {message, message + HEAD_BYTES, (int)size};
	unsigned questions, answers;
	int count = 0;

	if (size < HEAD_BYTES || size > 65535)
		return -1;
	questions = two(message + 4);
	answers = two(message + 6);
	*ttl_s_out = UINT32_MAX;
	for (; questions > 0; questions--) {
		if (!skip_name(&r, QUESTION_BYTES))
			return -1;
		r.at += QUESTION_BYTES;
	}
	for (; answers > 0; answers--)
		if (!read_record(&r, out, &count, ttl_s_out))
			return -1;
	return count;
}
