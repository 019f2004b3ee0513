#include "daemon/limits.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"

#define FILES_KEPT 128	  /* for listeners, logs, loops, Redis and the admin's connections */
#define FILES_LITTLE 4096 /* fewer than this is not what a proxy should run with */
#define FILES_BOUND (1u << 24)

static void
say(uint64_t before, uint64_t now)
{
	unsigned long long was = before, is = now;

	if (now < FILES_LITTLE)
		log_warn("open files: at most %llu, enough for %u connections; raise LimitNOFILE= "
			 "in the unit, or ulimit -Hn",
		    is, limits_connections(now));
	else if (now != before)
		log_info("open files: at most %llu (raised from %llu)", is, was);
	else
		log_info("open files: at most %llu", is);
}

uint64_t
limits_raise_files(void)
{
	struct rlimit files;
	rlim_t before, hard;

	if (getrlimit(RLIMIT_NOFILE, &files) == -1) {
		log_warn("open files: the limit cannot be read: %s", strerror(errno));
		return FILES_LITTLE;
	}
	before = files.rlim_cur;
	/* Some container engines give a thousand million: tables sized by it would fill memory. */
	hard = files.rlim_max > FILES_BOUND ? FILES_BOUND : files.rlim_max;
	if (before < hard) {
		files.rlim_cur = hard;
		if (setrlimit(RLIMIT_NOFILE, &files) == -1) {
			log_warn("open files: cannot be raised to %llu: %s",
			    (unsigned long long)hard, strerror(errno));
			files.rlim_cur = before;
		}
	}
	say(before, files.rlim_cur);
	return files.rlim_cur;
}

unsigned
limits_connections(uint64_t files)
{
	uint64_t left = files > FILES_KEPT ? files - FILES_KEPT : 1, n = left - left / 4;

	return n > UINT_MAX ? UINT_MAX : (unsigned)n;
}
