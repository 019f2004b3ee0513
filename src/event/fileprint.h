/* event/fileprint.h - whether a file is still the one that was read: by what stat tells. */
#ifndef EVENT_FILEPRINT_H
#define EVENT_FILEPRINT_H

#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

struct file_print {
	dev_t dev;
	ino_t ino;
	off_t size;
	mode_t mode; /* 0: cannot be looked at */
	struct timespec changed, written;
};

/* Symbolic links are followed: what certbot renews is what its link points at. */
void file_print_take(struct file_print *p, const char *path);
bool file_print_is_same(const struct file_print *a, const struct file_print *b);
bool file_print_is_open_to_all(const struct file_print *p);

#endif
