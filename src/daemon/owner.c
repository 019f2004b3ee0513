#include "daemon/owner.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TCP_LISTENING 0x0a /* column st of /proc/net/tcp */

/* One line of /proc/net/tcp or tcp6. */
struct row {
	struct in6_addr ip; /* IPv4 as ::ffff:a.b.c.d */
	unsigned port, state;
	uid_t uid;
	unsigned long inode;
};

static bool
is_number(const char *s)
{
	return *s != '\0' && s[strspn(s, "0123456789")] == '\0';
}

static struct in6_addr
mapped(uint32_t in4)
{
	struct in6_addr ip = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

	memcpy(ip.s6_addr + 12, &in4, 4);
	return ip;
}

/* The kernel prints each 32-bit word of the address as a number of this machine. */
static bool
read_row(const char *line, struct row *r)
{
	char hex[33];
	uint32_t words[4];
	unsigned uid;
	int n;

	if (sscanf(line, "%*u: %32[0-9A-F]:%x %*s %x %*s %*s %*s %u %*u %lu", hex, &r->port,
		&r->state, &uid, &r->inode) != 5)
		return false;
	r->uid = uid;
	n = sscanf(hex, "%8x%8x%8x%8x", &words[0], &words[1], &words[2], &words[3]);
	if (n == 1)
		r->ip = mapped(words[0]);
	else if (n == 4)
		memcpy(&r->ip, words, sizeof(r->ip));
	return n == 1 || n == 4;
}

static bool
is_any(const struct in6_addr *ip)
{
	struct in6_addr any4 = mapped(INADDR_ANY);

	return IN6_IS_ADDR_UNSPECIFIED(ip) || memcmp(ip, &any4, sizeof(any4)) == 0;
}

static bool
row_clashes(const struct row *r, const struct in6_addr *ip, unsigned port)
{
	return r->state == TCP_LISTENING && r->port == port &&
	    (is_any(&r->ip) || is_any(ip) || memcmp(&r->ip, ip, sizeof(*ip)) == 0);
}

static bool
find_row(const char *table, const struct in6_addr *ip, unsigned port, struct row *r)
{
	FILE *f = fopen(table, "re");
	char line[512];
	bool found = false;

	if (f == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), f) != NULL)
		found = read_row(line, r) && row_clashes(r, ip, port);
	fclose(f);
	return found;
}

/* Whether the process has this socket open. */
static bool
process_has(const char *pid, const char *socket_link)
{
	char path[300], target[64];
	struct dirent *e;
	bool found = false;
	ssize_t n;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	if ((d = opendir(path)) == NULL)
		return false;
	while (!found && (e = readdir(d)) != NULL) {
		n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		found = strcmp(target, socket_link) == 0;
	}
	closedir(d);
	return found;
}

static pid_t
process_with(unsigned long inode)
{
	char link[48];
	DIR *d = opendir("/proc");
	struct dirent *e;
	pid_t pid = 0;

	if (d == NULL)
		return 0;
	snprintf(link, sizeof(link), "socket:[%lu]", inode);
	while (pid == 0 && (e = readdir(d)) != NULL)
		if (is_number(e->d_name) && process_has(e->d_name, link))
			pid = (pid_t)atol(e->d_name);
	closedir(d);
	return pid;
}

static void
read_name(struct owner *o)
{
	char path[64];
	FILE *f;

	o->name[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%ld/comm", (long)o->pid);
	if (o->pid == 0 || (f = fopen(path, "re")) == NULL)
		return;
	if (fgets(o->name, sizeof(o->name), f) == NULL)
		o->name[0] = '\0';
	o->name[strcspn(o->name, "\n")] = '\0';
	fclose(f);
}

bool
owner_of_port(const struct address *a, struct owner *out)
{
	bool is_v6 = a->u.sa.sa_family == AF_INET6;
	struct in6_addr ip = is_v6 ? a->u.in6.sin6_addr : mapped(a->u.in4.sin_addr.s_addr);
	unsigned port = ntohs(is_v6 ? a->u.in6.sin6_port : a->u.in4.sin_port);
	const char *tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
	struct row r;

	if (!find_row(tables[is_v6], &ip, port, &r) && !find_row(tables[!is_v6], &ip, port, &r))
		return false;
	*out = (struct owner){.pid = process_with(r.inode), .uid = r.uid};
	read_name(out);
	return true;
}

bool
owner_of_peer(int fd, struct owner *out)
{
	struct ucred c;
	socklen_t len = sizeof(c);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) == -1)
		return false;
	*out = (struct owner){.pid = c.pid, .uid = c.uid};
	read_name(out);
	return true;
}

char *
owner_text(const struct owner *o, char *text, size_t size)
{
	struct passwd *user = o->uid == (uid_t)-1 ? NULL : getpwuid(o->uid);

	if (o->pid != 0 && o->name[0] != '\0')
		snprintf(text, size, "pid %ld, %s", (long)o->pid, o->name);
	else if (o->pid != 0)
		snprintf(text, size, "pid %ld", (long)o->pid);
	else if (user != NULL)
		snprintf(text, size, "a process of user %s", user->pw_name);
	else if (o->uid != (uid_t)-1)
		snprintf(text, size, "a process of user %lu", (unsigned long)o->uid);
	else
		snprintf(text, size, "another process");
	return text;
}
