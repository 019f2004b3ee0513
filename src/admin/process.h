/* admin/process.h - what the kernel says of this process. */
#ifndef ADMIN_PROCESS_H
#define ADMIN_PROCESS_H

struct process_facts {
	double cpu_seconds; /* user and system */
	double resident_bytes, virtual_bytes;
	double heap_bytes; /* taken by malloc and not given back */
	double open_fds, max_fds;
	double threads;
	double load1, load5, load15; /* of the machine */
};

/* What cannot be had (no /proc) is 0. Takes about a millisecond for some thousand descriptors. */
struct process_facts process_facts(void);

#endif
