#include "admin/process.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static double
seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static double
count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	double n = 0;

	if (d == NULL)
		return 0;
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n > 3 ? n - 3 : 0; /* ".", "..", and the directory itself */
}

/* Pages, from /proc/self/statm: size, resident, ... */
static void
read_memory(struct process_facts *f)
{
	double page = (double)sysconf(_SC_PAGESIZE), size = 0, resident = 0;
	struct mallinfo2 heap = mallinfo2();
	FILE *in = fopen("/proc/self/statm", "re");

	if (in != NULL) {
		if (fscanf(in, "%lf %lf", &size, &resident) != 2)
			size = resident = 0;
		fclose(in);
	}
	f->virtual_bytes = size * page;
	f->resident_bytes = resident * page;
	f->heap_bytes = (double)(heap.uordblks + heap.hblkhd);
}

static double
count_threads(void)
{
	FILE *in = fopen("/proc/self/status", "re");
	char line[256];
	double n = 0;

	if (in == NULL)
		return 0;
	while (n == 0 && fgets(line, sizeof(line), in) != NULL)
		if (sscanf(line, "Threads: %lf", &n) != 1)
			n = 0;
	fclose(in);
	return n;
}

struct process_facts
process_facts(void)
{
	struct process_facts f = {0};
	struct rusage usage;
	struct rlimit files;
	double load[3];

	if (getrusage(RUSAGE_SELF, &usage) == 0)
		f.cpu_seconds = seconds(&usage.ru_utime) + seconds(&usage.ru_stime);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		f.max_fds = (double)files.rlim_cur;
	if (getloadavg(load, 3) == 3)
		f.load1 = load[0], f.load5 = load[1], f.load15 = load[2];
	read_memory(&f);
	f.open_fds = count_fds();
	f.threads = count_threads();
	return f;
}
