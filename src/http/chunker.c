#include "http/chunker.h"

static const char hex[] = "0123456789abcdef";

/* The tail in three pieces: the last chunk, the trailers, the empty line. */
#define LAST "\r\n0\r\n"
#define LAST_LEN 5

static struct slice
last_chunk(const struct chunker *c)
{
	return c->begun ? SLICE_LIT(LAST) : SLICE_LIT("0\r\n");
}

static size_t
tail_len(const struct chunker *c)
{
	return last_chunk(c).n + c->trailers.n + 2;
}

static void
open_chunk(struct chunker *c, uint64_t bytes)
{
	char digits[16];
	size_t n = 0, at = 0;

	if (c->begun) {
		c->frame[at++] = '\r';
		c->frame[at++] = '\n';
	}
	for (uint64_t v = bytes; v > 0; v >>= 4)
		digits[n++] = hex[v & 15];
	while (n > 0)
		c->frame[at++] = digits[--n];
	c->frame[at++] = '\r';
	c->frame[at++] = '\n';
	c->frame_len = (uint8_t)at;
	c->frame_sent = 0;
	c->left = bytes;
	c->begun = true;
}

/* The tail from where it was sent to, as up to three pieces. */
static int
add_tail(const struct chunker *c, struct iovec *iov)
{
	struct slice parts[3] = {last_chunk(c), c->trailers, SLICE_LIT("\r\n")};
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
	if (c->left == 0 && bytes > 0)
		open_chunk(c, bytes);
	if (bytes > c->left) { /* more has come since the chunk was opened: it waits for the next */
		n = cut_pieces(iov + 1, n, c->left);
		bytes = c->left;
		last = false;
	}
	*payload_out = (size_t)bytes;
	iov[0] = (struct iovec){c->frame + c->frame_sent, (size_t)(c->frame_len - c->frame_sent)};
	if (iov[0].iov_len == 0 && n > 0) {
		memmove(iov, iov + 1, (size_t)n * sizeof(*iov));
		n--;
	}
	n += iov[0].iov_len > 0 ? 1 : 0;
	if (last) {
		c->ending = true;
		n += add_tail(c, iov + n);
	}
	return n;
}

size_t
chunker_sent(struct chunker *c, size_t sent)
{
	size_t frame = (size_t)(c->frame_len - c->frame_sent), payload;

	frame = sent < frame ? sent : frame;
	c->frame_sent = (uint8_t)(c->frame_sent + frame);
	sent -= frame;
	payload = sent < c->left ? sent : (size_t)c->left;
	c->left -= payload;
	c->tail_sent += sent - payload;
	return payload;
}

bool
chunker_is_done(const struct chunker *c)
{
	return c->ending && c->tail_sent == tail_len(c);
}
