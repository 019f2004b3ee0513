/* With a clock that a test might move, a press does not wait until the machine is idle. */
#ifndef UNIT_STEERED_CLOCK_H
#define UNIT_STEERED_CLOCK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"

static inline void
begin_steered(void)
{
	int fd = memfd_create("clock", 0);
	char path[32];

	if (ftruncate(fd, sizeof(int64_t)) != 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	setenv("FOREBAY_TEST_CLOCK", path, 1);
	if (!clock_is_steered())
		abort();
}

#endif
