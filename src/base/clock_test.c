/* The clock of the test binary: base/clock.h says how tests move it. */
#include "base/clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t *offset_ms;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
map_offset(void)
{
	const char *path = getenv("FOREBAY_TEST_CLOCK");
	void *map;
	int fd;

	if (path == NULL)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		perror(path);
		exit(1);
	}
	close(fd);
	offset_ms = map;
}

static int64_t
read_us(clockid_t id)
{
	struct timespec t;

	pthread_once(&once, map_offset);
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 +
	    (offset_ms == NULL ? 0 : atomic_load(offset_ms) * 1000);
}

int64_t
clock_wall_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

int64_t
clock_mono_ms(void)
{
	return read_us(CLOCK_BOOTTIME) / 1000;
}

int64_t
clock_mono_us(void)
{
	return read_us(CLOCK_BOOTTIME);
}

bool
clock_is_steered(void)
{
	pthread_once(&once, map_offset);
	return offset_ms != NULL;
}

int64_t
clock_offset_ms(void)
{
	pthread_once(&once, map_offset);
	return offset_ms == NULL ? 0 : atomic_load(offset_ms);
}
