#include "event/fileprint.h"

static bool
is_same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

void
file_print_take(struct file_print *p, const char *path)
{
	struct stat st;

	*p = (struct file_print){0};
	if (stat(path, &st) != 0)
		return;
	*p = (struct file_print){.dev = st.st_dev,
	    .ino = st.st_ino,
	    .size = st.st_size,
	    .mode = st.st_mode,
	    .changed = st.st_ctim,
	    .written = st.st_mtim};
}

bool
file_print_is_same(const struct file_print *a, const struct file_print *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mode == b->mode &&
	    is_same_time(a->changed, b->changed) && is_same_time(a->written, b->written);
}

bool
file_print_is_open_to_all(const struct file_print *p)
{
	return (p->mode & (S_IROTH | S_IWOTH)) != 0;
}
