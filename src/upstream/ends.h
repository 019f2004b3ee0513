/* upstream/ends.h - how a request to a server may end: the access log's word, the client's status and the error in
 * Proxy-Status.
 */
#ifndef UPSTREAM_ENDS_H
#define UPSTREAM_ENDS_H

/* clang-format off */
/*  name               status  text: for the access log, the metrics' label and docs; Proxy-Status error (RFC 9209) */
#define FETCH_ENDS(X)                                                                                            \
	X(done,              0,  "the response was received in full",                      "")                       \
	X(unresolved,        502, "the server's name could not be resolved",                "dns_error")              \
	X(refused,           502, "no connection to any server",                            "connection_refused")     \
	X(connect_slow,      504, "no connection within timeouts.connect",                  "connection_timeout")     \
	X(tls_certificate,   502, "the server's certificate is not accepted",               "tls_certificate_error")  \
	X(tls_refused,       502, "the server refused TLS by an alert",                     "tls_alert_received")     \
	X(tls_failed,        502, "TLS could not be spoken with the server",                "tls_protocol_error")     \
	X(no_connection,     503, "all connections are in use and the queue is full",       "connection_limit_reached") \
	X(overloaded,        503, "each server has connections.requests on their way",   "connection_limit_reached") \
	X(turned_away,       503, "the server would not look at the request (REFUSED_STREAM, GOAWAY)", "connection_limit_reached") \
	X(not_h2,            502, "the server does not speak HTTP/2",                       "http_protocol_error")    \
	X(no_upgrade,        502, "the server takes no change of protocol: it is spoken to by HTTP/2", "http_upgrade_failed") \
	X(stream_reset,      502, "the server reset the request's stream",                  "connection_terminated")  \
	X(send_failed,       502, "the server closed while the request was being sent",     "connection_terminated")  \
	X(closed_early,      502, "the server closed without a response",                   "connection_terminated")  \
	X(response_slow,     504, "no response head within timeouts.response",              "http_response_timeout")  \
	X(response_bad,      502, "the response is not valid HTTP",                         "http_protocol_error")    \
	X(head_too_large,    502, "the response head is larger than limits.head_size",      "http_response_header_section_size") \
	X(upgrade_unasked,   502, "the server switched protocols without being asked",      "http_upgrade_failed")    \
	X(truncated,         502, "the response ended before its announced end",            "http_response_incomplete") \
	X(body_slow,         504, "the response's body stalled for timeouts.response",      "connection_read_timeout") \
	X(part_refused,      502, "the server did not give a part of what it gave before",  "destination_unavailable") \
	X(no_memory,         503, "no memory for the response",                             "proxy_internal_error")
/* clang-format on */
enum fetch_end {
#define X(name, status, text, proxy_status) FETCH_##name,
	FETCH_ENDS(X)
#undef X
	    FETCH_ENDS_COUNT
};
struct fetch_end_row {
	const char *name;
	int status; /* for the client when nothing has been sent to it */
	const char *text;
	const char *proxy_status;
};
extern const struct fetch_end_row fetch_ends[FETCH_ENDS_COUNT];

#endif
