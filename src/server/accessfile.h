/* server/accessfile.h - where the lines of the access log go: a file, a pipe or standard output, and what is on the way there.
 *
 * The log's thread alone, but for accessfile_open and the counts. Lines are gathered and written many at a time. What the file did not take (disk
 * full, I/O error, a pipe nobody reads) is kept and tried again; trouble is told to the daemon's log once, and its end, too. A line is
 * never cut in the file: what a full disk took of it is completed when there is room again, or when another file is used left behind.
 */
#ifndef SERVER_ACCESSFILE_H
#define SERVER_ACCESSFILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct accessfile {
	int fd; /* own; -1: none yet */
	bool is_regular;
	bool in_trouble;
	bool is_cut; /* the file has the beginning of the line that stands at from */
	char *bytes;
	size_t from, until; /* what is to be written */
	_Atomic uint64_t written, errors;
};

/* The descriptor for a path, or -1 (errno). "-", "stdout": standard output. Created with mode 0640, appended to. Any thread. */
int accessfile_open(const char *path);

void accessfile_init(struct accessfile *f);
void accessfile_fini(struct accessfile *f);
/* Takes over fd: what is written from now on goes there. */
void accessfile_use(struct accessfile *f, int fd);

/* Where the next line may be written, ACCESS_LINE_MAX bytes; NULL: what is gathered is to be written first. */
char *accessfile_room(struct accessfile *f);
/* n bytes were written there: a line. */
void accessfile_add(struct accessfile *f, size_t n);
/* Writes what is gathered. False: the file did not take it all, the rest is kept. */
bool accessfile_write(struct accessfile *f);
/* All lines of a round have been taken: if there was trouble, it is over. */
void accessfile_is_well(struct accessfile *f);

static inline bool
accessfile_is_empty(const struct accessfile *f)
{
	return f->from == f->until;
}

#endif
