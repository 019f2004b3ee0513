/* server/accessrecord.h - one finished request as its worker leaves it for the log: numbers as numbers, texts copied once.
 *
 * What a line costs its worker is this copy; the log's thread reads the record back into an outcome and makes the line
 * (server/accessline.h). Only the texts that the format tells are copied. A record names its format: after a reload, those
 * under way become lines of the format they were made for.
 *
 * No record is larger than ACCESS_RECORD_MAX. A text longer than its share of a line is cut here so that the line is the
 * same as from the whole; from such a one, user and password of a URL are left out here already.
 */
#ifndef SERVER_ACCESSRECORD_H
#define SERVER_ACCESSRECORD_H

#include "server/accessline.h"
#include "server/accessring.h"

/* clang-format off */
/* In the order in which formats want them.
 *     name         kind     share                  least format */
#define ACCESS_TEXTS(X)                                                   \
	X(method_text, slice,  ACCESS_SHARE_NAME,   ACCESS_COMBINED)      \
	X(target,      url,    ACCESS_SHARE_TARGET, ACCESS_COMBINED)      \
	X(referer,     url,    ACCESS_SHARE_AGENT,  ACCESS_COMBINED)      \
	X(user_agent,  url,    ACCESS_SHARE_AGENT,  ACCESS_COMBINED)      \
	X(server,      slice,  ACCESS_SHARE_NAME,   ACCESS_EXTENDED)      \
	X(request_id,  slice,  ACCESS_SHARE_NAME,   ACCESS_JSON)          \
	X(host,        slice,  ACCESS_SHARE_HOST,   ACCESS_JSON)          \
	X(scheme,      slice,  ACCESS_SHARE_NAME,   ACCESS_JSON)          \
	X(route,       slice,  ACCESS_SHARE_ROUTE,  ACCESS_JSON)          \
	X(upstream,    slice,  ACCESS_SHARE_NAME,   ACCESS_JSON)          \
	X(reason,      string, ACCESS_SHARE_ROUTE,  ACCESS_JSON)          \
	X(detail,      string, ACCESS_SHARE_NAME,   ACCESS_JSON)          \
	X(hedge,       string, ACCESS_SHARE_NAME,   ACCESS_JSON)          \
	X(fetch_end,   string, ACCESS_SHARE_NAME,   ACCESS_JSON)
/* clang-format on */

#define ACCESS_RECORD_MAX ((size_t)16384)
/* What access_record_put needs for texts that it cuts. */
#define ACCESS_RECORD_ROOM (ACCESS_SHARE_TARGET + 2 * ACCESS_SHARE_AGENT)

/* The worker: a record into its ring, seen by the writer from then on. False: no room. */
bool access_record_put(
    struct access_ring *r, enum access_format format, const struct outcome *out, char *room);

/* The writer: what the record's format tells of the request; all else in *out is left as it is. Texts lie in the record. */
enum access_format access_record_read(const struct access_frame *f, struct outcome *out);

#endif
