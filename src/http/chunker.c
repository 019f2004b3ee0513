#include "http/chunker.h"

static const char hex[] = "0123456789abcdef";

/* The tail in three pieces: the last chunk, the trailers, the empty line. */
static const struct slice last_chunk = {"0\r\n", 3}, line_end = {"\r\n", 2};

static size_t
tail_len(const struct chunker *c)
{
	return last_chunk.n + c->trailers.n + line_end.n;
}

static void
open_chunk(struct chunker *c, uint64_t bytes)
{
	char digits[16];
	size_t n = 0, at = 0;

	for (uint64_t v = bytes; v > 0; v >>= 4)
		digits[n++] = hex[v & 15];
	while (n > 0)
		c->frame[at++] = digits[--n];
	c->frame[at++] = '\r';
	c->frame[at++] = '\n';
	c->frame_len = (uint8_t)at;
	c->frame_sent = 0;
	c->left = bytes;
	c->end_left = 2;
}

/* The tail from where it was sent to, as up to three pieces. */
static int
add_tail(const struct chunker *c, struct iovec *iov)
{
	struct slice parts[3] = {last_chunk, c->trailers, line_end};
	size_t skip = c->tail_sent;
	int n = 0;

	for (int i = 0; i < 3; i++) {
		size_t cut = skip < parts[i].n ? skip : parts[i].n;

		skip -= cut;
		if (parts[i].n > cut)
			iov[n++] =
			    (struct iovec){(void *)(uintptr_t)(parts[i].p + cut), parts[i].n - cut};
	}
	return n;
}

/* Cuts the pieces to limit bytes; returns how many are left. */
static int
cut_pieces(struct iovec *iov, int n, uint64_t limit)
{
	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len >= limit) {
			iov[i].iov_len = (size_t)limit;
			return limit > 0 ? i + 1 : i;
		}
		limit -= iov[i].iov_len;
	}
	return n;
}

int
chunker_frame(struct chunker *c, struct iovec *iov, int n, bool last, size_t *payload_out)
{
	uint64_t bytes = 0;

	for (int i = 1; i <= n; i++)
		bytes += iov[i].iov_len;
	if (c->left == 0 && c->end_left == 0 && bytes > 0)
		open_chunk(c, bytes);
	if (bytes > c->left) { /* more has come since the chunk was opened: it waits for the next */
		n = cut_pieces(iov + 1, n, c->left);
		bytes = c->left;
		last = false;
	}
	*payload_out = (size_t)bytes;
	iov[0] = (struct iovec){c->frame + c->frame_sent, (size_t)(c->frame_len - c->frame_sent)};
	if (iov[0].iov_len == 0)
		memmove(iov, iov + 1, (size_t)n * sizeof(*iov));
	else
		n++;
	if (bytes < c->left) /* the rest of the chunk's payload comes first */
		return n;
	if (c->end_left > 0)
		iov[n++] = (struct iovec){
		    (void *)(uintptr_t)(line_end.p + line_end.n - c->end_left), c->end_left};
	if (last) {
		c->ending = true;
		n += add_tail(c, iov + n);
	}
	return n;
}

size_t
chunker_sent(struct chunker *c, size_t sent)
{
	size_t frame = (size_t)(c->frame_len - c->frame_sent), payload, end;

	frame = sent < frame ? sent : frame;
	c->frame_sent = (uint8_t)(c->frame_sent + frame);
	sent -= frame;
	payload = sent < c->left ? sent : (size_t)c->left;
	c->left -= payload;
	sent -= payload;
	end = sent < c->end_left ? sent : c->end_left;
	c->end_left = (uint8_t)(c->end_left - end);
	c->tail_sent += sent - end;
	return payload;
}

bool
chunker_is_done(const struct chunker *c)
{
	return c->ending && c->tail_sent == tail_len(c);
}
