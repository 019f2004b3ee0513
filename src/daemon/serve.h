/* daemon/serve.h - `forebay serve`: starts everything, listens to signals, stops everything.
 *
 * SIGTERM, SIGINT: stop accepting, finish what runs within limits.drain_timeout, end. SIGHUP: read the configuration again; a bad
 * one leaves the running one in place and says so. SIGUSR1: open the logs again.
 */
#ifndef DAEMON_SERVE_H
#define DAEMON_SERVE_H

/* The exit status: 0 after an orderly stop, 1 when it could not start. */
int daemon_serve(int argc, char **argv);

#endif
