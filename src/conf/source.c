#include "conf/source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

static bool
is_char_start(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

/* The bytes of the line end at i, or 0. */
static size_t
line_end(struct slice t, size_t i)
{
	if (t.p[i] == '\n')
		return 1;
	if (t.p[i] != '\r')
		return 0;
	return i + 1 < t.n && t.p[i + 1] == '\n' ? 2 : 1;
}

static uint32_t
scan_lines(struct slice t, struct conf_line *lines)
{
	uint32_t count = 1, chr = 0;

	if (lines != NULL)
		lines[0] = (struct conf_line){0, 0};
	for (size_t i = 0; i < t.n;) {
		size_t end = line_end(t, i);

		chr += end > 0 ? (uint32_t)end : is_char_start(t.p[i]);
		i += end > 0 ? end : 1;
		if (end == 0)
			continue;
		if (lines != NULL)
			lines[count] = (struct conf_line){(uint32_t)i, chr};
		count++;
	}
	return count;
}

struct conf_file *
conf_file_new(struct arena *mem, const char *name, const char *dir, struct slice text)
{
	struct conf_file *f = arena_zalloc(mem, sizeof(*f));

	if (slice_starts(text, SLICE_LIT("\xef\xbb\xbf")))
		text = slice_skip(text, 3);
	f->name = arena_copy(mem, slice_from(name)).p;
	f->dir = dir == NULL ? NULL : arena_copy(mem, slice_from(dir)).p;
	f->text = text;
	f->line_count = scan_lines(text, NULL);
	f->lines = arena_alloc(mem, f->line_count * sizeof(*f->lines));
	scan_lines(text, f->lines);
	return f;
}

/* The last line that begins at or before at, which is a byte or a character. */
static uint32_t
find_line(const struct conf_file *f, size_t at, bool by_byte)
{
	uint32_t low = 0, high = f->line_count;

	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		if ((by_byte ? f->lines[mid].byte : f->lines[mid].chr) <= at)
			low = mid;
		else
			high = mid;
	}
	return low;
}

static uint32_t
count_chars(struct slice s)
{
	uint32_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += is_char_start(s.p[i]);
	return n;
}

struct conf_place
conf_place_of(const struct conf_file *f, size_t first, size_t end)
{
	uint32_t i = find_line(f, first, false);
	size_t most = i + 1 < f->line_count ? f->lines[i + 1].chr - 1 : SIZE_MAX;

	if (end > most)
		end = most;
	return (struct conf_place){.file = f,
	    .line = i + 1,
	    .column = (uint32_t)(first - f->lines[i].chr) + 1,
	    .width = end > first ? (uint32_t)(end - first) : 1};
}

struct conf_place
conf_place_of_byte(const struct conf_file *f, size_t byte)
{
	uint32_t i;

	if (byte > f->text.n)
		byte = f->text.n;
	i = find_line(f, byte, true);
	return (struct conf_place){.file = f,
	    .line = i + 1,
	    .column =
		count_chars(slice_of(f->text.p + f->lines[i].byte, byte - f->lines[i].byte)) + 1,
	    .width = 1};
}

struct conf_place
conf_place_of_file(const struct conf_file *f)
{
	return (struct conf_place){.file = f};
}

struct slice
conf_line_text(const struct conf_file *f, uint32_t line)
{
	struct slice rest = slice_skip(f->text, f->lines[line - 1].byte);
	size_t n = 0;

	while (n < rest.n && line_end(rest, n) == 0)
		n++;
	return slice_of(rest.p, n);
}

struct slice
conf_text_from(struct conf_place at)
{
	struct slice rest;

	if (at.file == NULL || at.line == 0)
		return SLICE_NONE;
	rest = slice_skip(at.file->text, at.file->lines[at.line - 1].byte);
	for (uint32_t c = 1; rest.n > 0 && c < at.column; c++)
		do
			rest = slice_skip(rest, 1);
		while (rest.n > 0 && !is_char_start(rest.p[0]));
	return rest;
}

static int
read_all(int fd, size_t max, struct buf *b)
{
	for (;;) {
		ssize_t n = read(fd, buf_room(b, 16384), 16384);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (n == 0)
			return 0;
		b->n += (size_t)n;
		if (b->n > max)
			return EFBIG;
	}
}

int
conf_read(struct arena *mem, const char *path, size_t max, struct slice *out, unsigned *mode_out)
{
	struct buf b = {0};
	struct stat st;
	int failure = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return errno;
	if (fstat(fd, &st) < 0)
		failure = errno;
	/* Only what was opened to be read to its end may block meanwhile: /dev/stdin, a shell's
	 * <(). */
	else if (S_ISFIFO(st.st_mode) && fcntl(fd, F_SETFL, 0) < 0)
		failure = errno;
	else
		failure = read_all(fd, max, &b);
	if (failure == 0) {
		*out = arena_copy(mem, buf_slice(&b));
		if (mode_out != NULL)
			*mode_out = st.st_mode;
	}
	buf_fini(&b);
	close(fd);
	return failure;
}
