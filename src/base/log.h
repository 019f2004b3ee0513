/* base/log.h - what the daemon says about itself: standard error, or the file of `log.path`.
 *
 * One line per event, with its time, in a single write; any thread. A line that repeats too often
 * is counted instead of written (at most 20 lines a second of each level below error). Under
 * systemd the level is told by the journal's prefix.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

extern _Atomic int log_level_now; /* enum log_level */

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                          \
	do {                                                    \
		if (log_level_now >= LOG_LEVEL_DEBUG)           \
			log_line(LOG_LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* One line of any length, told at info whatever the level is, and never left out. */
void log_whole(const char *text);

void log_set_level(enum log_level level);
/* Writes to path from now on; NULL: standard error. 0, or -1 (errno) and nothing has changed. */
int log_set_path(const char *path);
/* Opens the file again under its name (SIGUSR1). 0, or -1 (errno) and the old one stays. */
int log_reopen(void);

#endif
