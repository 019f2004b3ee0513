/* http/hpack_static.h - the fields that every header block may refer to (RFC 7541 appendix A), from index 1 on; http/hpack.c
 * alone reads it. What is judged of them stands in the unit test. */
#define USUAL (H2_NAME_GOOD | H2_VALUE_GOOD | H2_VALUE_USUAL)
#define GOOD (H2_NAME_GOOD | H2_VALUE_GOOD)

/* clang-format off */
/*        name                           value            pseudo     id                            judged */
#define HPACK_STATIC(X)                                                                              \
	X(":authority",                  "",              authority, OTHER,                        GOOD)  \
	X(":method",                     "GET",           method,    OTHER,                        USUAL) \
	X(":method",                     "POST",          method,    OTHER,                        USUAL) \
	X(":path",                       "/",             path,      OTHER,                        USUAL) \
	X(":path",                       "/index.html",   path,      OTHER,                        USUAL) \
	X(":scheme",                     "http",          scheme,    OTHER,                        USUAL) \
	X(":scheme",                     "https",         scheme,    OTHER,                        USUAL) \
	X(":status",                     "200",           COUNT,     OTHER,                        GOOD)  \
	X(":status",                     "204",           COUNT,     OTHER,                        GOOD)  \
	X(":status",                     "206",           COUNT,     OTHER,                        GOOD)  \
	X(":status",                     "304",           COUNT,     OTHER,                        GOOD)  \
	X(":status",                     "400",           COUNT,     OTHER,                        GOOD)  \
	X(":status",                     "404",           COUNT,     OTHER,                        GOOD)  \
	X(":status",                     "500",           COUNT,     OTHER,                        GOOD)  \
	X("accept-charset",              "",              none,      ACCEPT_CHARSET,               GOOD)  \
	X("accept-encoding",             "gzip, deflate", none,      ACCEPT_ENCODING,              GOOD)  \
	X("accept-language",             "",              none,      ACCEPT_LANGUAGE,              GOOD)  \
	X("accept-ranges",               "",              none,      ACCEPT_RANGES,                GOOD)  \
	X("accept",                      "",              none,      ACCEPT,                       GOOD)  \
	X("access-control-allow-origin", "",              none,      ACCESS_CONTROL_ALLOW_ORIGIN,  GOOD)  \
	X("age",                         "",              none,      AGE,                          GOOD)  \
	X("allow",                       "",              none,      ALLOW,                        GOOD)  \
	X("authorization",               "",              none,      AUTHORIZATION,                GOOD)  \
	X("cache-control",               "",              none,      CACHE_CONTROL,                GOOD)  \
	X("content-disposition",         "",              none,      CONTENT_DISPOSITION,          GOOD)  \
	X("content-encoding",            "",              none,      CONTENT_ENCODING,             GOOD)  \
	X("content-language",            "",              none,      CONTENT_LANGUAGE,             GOOD)  \
	X("content-length",              "",              none,      CONTENT_LENGTH,               GOOD)  \
	X("content-location",            "",              none,      CONTENT_LOCATION,             GOOD)  \
	X("content-range",               "",              none,      CONTENT_RANGE,                GOOD)  \
	X("content-type",                "",              none,      CONTENT_TYPE,                 GOOD)  \
	X("cookie",                      "",              none,      COOKIE,                       GOOD)  \
	X("date",                        "",              none,      DATE,                         GOOD)  \
	X("etag",                        "",              none,      ETAG,                         GOOD)  \
	X("expect",                      "",              none,      EXPECT,                       GOOD)  \
	X("expires",                     "",              none,      EXPIRES,                      GOOD)  \
	X("from",                        "",              none,      FROM,                         GOOD)  \
	X("host",                        "",              none,      HOST,                         GOOD)  \
	X("if-match",                    "",              none,      IF_MATCH,                     GOOD)  \
	X("if-modified-since",           "",              none,      IF_MODIFIED_SINCE,            GOOD)  \
	X("if-none-match",               "",              none,      IF_NONE_MATCH,                GOOD)  \
	X("if-range",                    "",              none,      IF_RANGE,                     GOOD)  \
	X("if-unmodified-since",         "",              none,      IF_UNMODIFIED_SINCE,          GOOD)  \
	X("last-modified",               "",              none,      LAST_MODIFIED,                GOOD)  \
	X("link",                        "",              none,      LINK,                         GOOD)  \
	X("location",                    "",              none,      LOCATION,                     GOOD)  \
	X("max-forwards",                "",              none,      MAX_FORWARDS,                 GOOD)  \
	X("proxy-authenticate",          "",              none,      PROXY_AUTHENTICATE,           GOOD)  \
	X("proxy-authorization",         "",              none,      PROXY_AUTHORIZATION,          GOOD)  \
	X("range",                       "",              none,      RANGE,                        GOOD)  \
	X("referer",                     "",              none,      REFERER,                      GOOD)  \
	X("refresh",                     "",              none,      REFRESH,                      GOOD)  \
	X("retry-after",                 "",              none,      RETRY_AFTER,                  GOOD)  \
	X("server",                      "",              none,      SERVER,                       GOOD)  \
	X("set-cookie",                  "",              none,      SET_COOKIE,                   GOOD)  \
	X("strict-transport-security",   "",              none,      STRICT_TRANSPORT_SECURITY,    GOOD)  \
	X("transfer-encoding",           "",              none,      TRANSFER_ENCODING,            GOOD)  \
	X("user-agent",                  "",              none,      USER_AGENT,                   GOOD)  \
	X("vary",                        "",              none,      VARY,                         GOOD)  \
	X("via",                         "",              none,      VIA,                          GOOD)  \
	X("www-authenticate",            "",              none,      WWW_AUTHENTICATE,             GOOD)
/* clang-format on */
