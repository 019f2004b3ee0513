/* conf/source.h - the text of one configuration file, and places in it.
 *
 * Everything lives in the arena it was made with. Lines end at LF, CR LF or CR, as editors count
 * them; columns count characters, not bytes, and both start at 1.
 */
#ifndef CONF_SOURCE_H
#define CONF_SOURCE_H

#include "base/arena.h"
#include "base/slice.h"

#define CONF_FILE_BYTES_MAX (4u << 20) /* of one configuration file */

struct conf_line {
	uint32_t byte, chr; /* where it begins, from the start of the text */
};

struct conf_file {
	const char *name;  /* as the user wrote it */
	const char *dir;   /* relative paths start here; NULL: this text may not name files */
	unsigned ordinal;  /* files in the order they were opened */
	struct slice text; /* without a byte order mark */
	struct conf_line *lines;
	uint32_t line_count;
};

struct conf_place {
	const struct conf_file *file; /* NULL: nowhere, as for defaults */
	uint32_t line, column;	      /* 0: the file as a whole */
	uint32_t width;		      /* characters, within the line */
};

/* The text is borrowed and must live as long as mem; name and dir (may be NULL) are copied. */
struct conf_file *conf_file_new(
    struct arena *mem, const char *name, const char *dir, struct slice text);
/* The place of the characters from first up to end, counted from the start of the text. */
struct conf_place conf_place_of(const struct conf_file *f, size_t first, size_t end);
/* The place of one character by its byte. */
struct conf_place conf_place_of_byte(const struct conf_file *f, size_t byte);
/* The file as a whole. */
struct conf_place conf_place_of_file(const struct conf_file *f);
/* A line without its end. line is one that a place of this file named. */
struct slice conf_line_text(const struct conf_file *f, uint32_t line);
/* The bytes from a place to the end of the file. */
struct slice conf_text_from(struct conf_place at);

/* Reads a whole file of at most max bytes into mem. 0, or an errno (EFBIG when it is longer).
 * Never waits for a pipe that nobody writes to. *mode_out (may be NULL) gets its st_mode. */
int conf_read(
    struct arena *mem, const char *path, size_t max, struct slice *out, unsigned *mode_out);

#endif
