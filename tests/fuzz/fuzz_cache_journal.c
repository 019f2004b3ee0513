/* LINK: cache/journal cache/logbook base/buf base/mem base/log base/clock */
/* Any bytes as a journal; as records sealed by somebody who knows how; and sound records changed here and there: what it says is
 * the same for the next process, and what is added then comes behind it. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/buf.h"
#include "base/log.h"
#include "cache/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char directory[64], path[96];

static void
on_exit_tidy(void)
{
	rmdir(directory);
}

static void
on_seen(void *arg, const struct purge *p)
{
	struct buf *seen = arg;

	buf_printf(seen, "%d %d %zu ", (int)p->kind, p->soft, p->what.n);
	buf_add_slice(seen, p->what);
}

static struct journal *
open_it(struct buf *seen)
{
	struct journal *j = journal_open(directory, on_seen, seen);

	if (j == NULL)
		abort();
	return j;
}

static void
write_file(struct slice bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, bytes.p, bytes.n) != (ssize_t)bytes.n)
		abort();
	close(fd);
}

/* Pieces of the input, each behind its length, as bodies of records. */
static void
seal(struct buf *out, struct slice input)
{
	while (input.n > 1) {
		size_t n = (unsigned char)input.p[0];
		struct slice body;
		struct {
			uint32_t length, opposite;
			uint64_t sum;
		} head;

		input = slice_skip(input, 1);
		body = slice_of(input.p, n < input.n ? n : input.n);
		input = slice_skip(input, body.n);
		head.length = (uint32_t)body.n;
		head.opposite = ~head.length;
		head.sum = XXH3_64bits(body.p, body.n);
		buf_add(out, &head, sizeof(head));
		buf_add_slice(out, body);
	}
}

/* Bytes of three sound records, each changed where the input says. */
static void
change(struct buf *out, struct slice input)
{
	seal(out, SLICE_LIT("\012uha.test/1x\004ts-a\002ah"));
	for (; input.n > 1; input = slice_skip(input, 2))
		out->p[(unsigned char)input.p[0] % out->n] ^= input.p[1];
}

static void
try(struct slice bytes)
{
	const struct purge more = {.kind = PURGE_TAG, .what = SLICE_LIT("more")};
	struct buf first = {0}, second = {0};
	struct journal *j;

	write_file(bytes);
	j = open_it(&first);
	journal_add(j, &more);
	if (journal_sync(j) != 0)
		abort();
	journal_close(&j);
	j = open_it(&second);
	journal_close(&j);
	on_seen(&first, &more);
	/* Or it was damaged, and has become one purge of everything, with what was added behind it. */
	if (!slice_eq(buf_slice(&first), buf_slice(&second)) &&
	    !slice_eq(SLICE_LIT("4 0 0 3 0 4 more"), buf_slice(&second)))
		abort();
	buf_fini(&first);
	buf_fini(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice input = slice_of((const char *)data, n);
	struct buf made = {0};

	if (directory[0] == '\0') {
		snprintf(directory, sizeof(directory), "/dev/shm/forebay-fuzz-XXXXXX");
		if (mkdtemp(directory) == NULL)
			abort();
		atexit(on_exit_tidy);
		snprintf(path, sizeof(path), "%s/purges.journal", directory);
		log_set_path("/dev/null");
	}
	if (n == 0)
		return 0;
	switch (data[0] % 3) {
	case 0:
		try(slice_skip(input, 1));
		break;
	case 1:
		seal(&made, slice_skip(input, 1));
		try(buf_slice(&made));
		break;
	case 2:
		change(&made, slice_skip(input, 1));
		try(buf_slice(&made));
		break;
	}
	buf_fini(&made);
	unlink(path);
	return 0;
}
