/* http/fields.h - the field names Forebay knows, each with what is known of it by name alone.
 *
 * A row makes the number a parsed field carries (FIELD_AGE), its spelling and its flags. The look-up is a perfect hash
 * over length and four letters whose slots are generated: after a change of rows run src/http/fields_slots.py; a row
 * that cannot be found fails tests/unit/test_http_fields.c. Constant tables only: any thread may ask.
 */
#ifndef HTTP_FIELDS_H
#define HTTP_FIELDS_H

#include "base/slice.h"

/* What a row says of its field. */
enum field_flag {
	F_HOP = 1,  /* for the next hop alone, whatever Connection says (RFC 9110 section 7.6.1) */
	F_LIST = 2, /* its value is a comma-separated list: several lines make one */
	F_UNSTORED =
	    4, /* of one response or one hop: never kept with a stored response (RFC 9111 section 3.1) */
	F_FORGED =
	    8, /* what a client sends under it is not to be believed and never goes upstream as it came */
	F_TOLD = 16, /* goes upstream only as a trusted proxy's word */
};

/* clang-format off */
#define FIELDS(X)                                                                               \
	X(A_IM,                                "A-IM",                                  F_LIST) \
	X(ACCEPT,                              "Accept",                                F_LIST) \
	X(ACCEPT_CHARSET,                      "Accept-Charset",                        F_LIST) \
	X(ACCEPT_CH,                           "Accept-CH",                             F_LIST) \
	X(ACCEPT_ENCODING,                     "Accept-Encoding",                       F_LIST) \
	X(ACCEPT_LANGUAGE,                     "Accept-Language",                       F_LIST) \
	X(ACCEPT_PATCH,                        "Accept-Patch",                          F_LIST) \
	X(ACCEPT_POST,                         "Accept-Post",                           F_LIST) \
	X(ACCEPT_QUERY,                        "Accept-Query",                          F_LIST) \
	X(ACCEPT_RANGES,                       "Accept-Ranges",                         F_LIST) \
	X(ACCESS_CONTROL_ALLOW_CREDENTIALS,    "Access-Control-Allow-Credentials",      0)      \
	X(ACCESS_CONTROL_ALLOW_HEADERS,        "Access-Control-Allow-Headers",          F_LIST) \
	X(ACCESS_CONTROL_ALLOW_METHODS,        "Access-Control-Allow-Methods",          F_LIST) \
	X(ACCESS_CONTROL_ALLOW_ORIGIN,         "Access-Control-Allow-Origin",           0)      \
	X(ACCESS_CONTROL_EXPOSE_HEADERS,       "Access-Control-Expose-Headers",         F_LIST) \
	X(ACCESS_CONTROL_MAX_AGE,              "Access-Control-Max-Age",                0)      \
	X(ACCESS_CONTROL_REQUEST_HEADERS,      "Access-Control-Request-Headers",        F_LIST) \
	X(ACCESS_CONTROL_REQUEST_METHOD,       "Access-Control-Request-Method",         0)      \
	X(AGE,                                 "Age",                                   0)      \
	X(ALLOW,                               "Allow",                                 F_LIST) \
	X(ALT_SVC,                             "Alt-Svc",                               F_LIST) \
	X(ALT_USED,                            "Alt-Used",                              0)      \
	X(AUTHENTICATION_INFO,                 "Authentication-Info",                   F_LIST) \
	X(AUTHORIZATION,                       "Authorization",                         0)      \
	X(AVAILABLE_DICTIONARY,                "Available-Dictionary",                  0)      \
	X(CACHE_CONTROL,                       "Cache-Control",                         F_LIST) \
	X(CACHE_GROUPS,                        "Cache-Groups",                          F_LIST) \
	X(CACHE_GROUP_INVALIDATION,            "Cache-Group-Invalidation",              F_LIST) \
	X(CACHE_STATUS,                        "Cache-Status",                          F_LIST) \
	X(CACHE_TAG,                           "Cache-Tag",                             F_LIST) \
	X(CDN_CACHE_CONTROL,                   "CDN-Cache-Control",                     F_LIST) \
	X(CDN_LOOP,                            "CDN-Loop",                              F_LIST) \
	X(CF_CONNECTING_IP,                    "CF-Connecting-IP",                      F_TOLD )\
	X(CLEAR_SITE_DATA,                     "Clear-Site-Data",                       F_LIST) \
	X(CLIENT_CERT,                         "Client-Cert",                           F_FORGED)\
	X(CLIENT_CERT_CHAIN,                   "Client-Cert-Chain",                     F_LIST | F_FORGED)\
	X(CLOSE,                               "Close",                                 F_HOP)  \
	X(CONNECTION,                          "Connection",                            F_HOP | F_LIST)\
	X(CONTENT_DIGEST,                      "Content-Digest",                        F_LIST) \
	X(CONTENT_DISPOSITION,                 "Content-Disposition",                   0)      \
	X(CONTENT_ENCODING,                    "Content-Encoding",                      F_LIST) \
	X(CONTENT_LANGUAGE,                    "Content-Language",                      F_LIST) \
	X(CONTENT_LENGTH,                      "Content-Length",                        F_UNSTORED)\
	X(CONTENT_LOCATION,                    "Content-Location",                      0)      \
	X(CONTENT_MD5,                         "Content-MD5",                           0)      \
	X(CONTENT_RANGE,                       "Content-Range",                         0)      \
	X(CONTENT_SECURITY_POLICY,             "Content-Security-Policy",               F_LIST) \
	X(CONTENT_SECURITY_POLICY_REPORT_ONLY, "Content-Security-Policy-Report-Only",   F_LIST) \
	X(CONTENT_TYPE,                        "Content-Type",                          0)      \
	X(COOKIE,                              "Cookie",                                0)      \
	X(CROSS_ORIGIN_EMBEDDER_POLICY,        "Cross-Origin-Embedder-Policy",          0)      \
	X(CROSS_ORIGIN_OPENER_POLICY,          "Cross-Origin-Opener-Policy",            0)      \
	X(CROSS_ORIGIN_RESOURCE_POLICY,        "Cross-Origin-Resource-Policy",          0)      \
	X(DATE,                                "Date",                                  0)      \
	X(DICTIONARY_ID,                       "Dictionary-ID",                         0)      \
	X(DIGEST,                              "Digest",                                F_LIST) \
	X(DNT,                                 "DNT",                                   0)      \
	X(EARLY_DATA,                          "Early-Data",                            0)      \
	X(ETAG,                                "ETag",                                  0)      \
	X(EXPECT,                              "Expect",                                F_LIST) \
	X(EXPIRES,                             "Expires",                               0)      \
	X(FASTLY_CLIENT_IP,                    "Fastly-Client-IP",                      F_TOLD )\
	X(FOREBAY_CACHE_CONTROL,               "Forebay-Cache-Control",                 F_LIST) \
	X(FORWARDED,                           "Forwarded",                             F_LIST | F_FORGED)\
	X(FROM,                                "From",                                  0)      \
	X(FRONT_END_HTTPS,                     "Front-End-Https",                       F_FORGED)\
	X(HOST,                                "Host",                                  0)      \
	X(HTTP2_SETTINGS,                      "HTTP2-Settings",                        F_HOP | F_FORGED)\
	X(IF_MATCH,                            "If-Match",                              F_LIST) \
	X(IF_MODIFIED_SINCE,                   "If-Modified-Since",                     0)      \
	X(IF_NONE_MATCH,                       "If-None-Match",                         F_LIST) \
	X(IF_RANGE,                            "If-Range",                              0)      \
	X(IF_UNMODIFIED_SINCE,                 "If-Unmodified-Since",                   0)      \
	X(INCREMENTAL,                         "Incremental",                           0)      \
	X(KEEP_ALIVE,                          "Keep-Alive",                            F_HOP | F_LIST)\
	X(LAST_EVENT_ID,                       "Last-Event-ID",                         0)      \
	X(LAST_MODIFIED,                       "Last-Modified",                         0)      \
	X(LINK,                                "Link",                                  F_LIST) \
	X(LOCATION,                            "Location",                              0)      \
	X(MAX_FORWARDS,                        "Max-Forwards",                          0)      \
	X(NEL,                                 "NEL",                                   0)      \
	X(NO_VARY_SEARCH,                      "No-Vary-Search",                        0)      \
	X(ORIGIN,                              "Origin",                                0)      \
	X(ORIGIN_AGENT_CLUSTER,                "Origin-Agent-Cluster",                  0)      \
	X(PERMISSIONS_POLICY,                  "Permissions-Policy",                    F_LIST) \
	X(PRAGMA,                              "Pragma",                                F_LIST) \
	X(PREFER,                              "Prefer",                                F_LIST) \
	X(PREFERENCE_APPLIED,                  "Preference-Applied",                    F_LIST) \
	X(PRIORITY,                            "Priority",                              F_LIST) \
	X(PROXY,                               "Proxy",                                 F_FORGED)\
	X(PROXY_AUTHENTICATE,                  "Proxy-Authenticate",                    F_HOP | F_LIST | F_UNSTORED)\
	X(PROXY_AUTHENTICATION_INFO,           "Proxy-Authentication-Info",             F_HOP | F_LIST | F_UNSTORED)\
	X(PROXY_AUTHORIZATION,                 "Proxy-Authorization",                   F_HOP | F_UNSTORED | F_FORGED)\
	X(PROXY_CONNECTION,                    "Proxy-Connection",                      F_HOP | F_LIST | F_FORGED)\
	X(PROXY_STATUS,                        "Proxy-Status",                          F_LIST) \
	X(RANGE,                               "Range",                                 0)      \
	X(RATELIMIT,                           "RateLimit",                             F_LIST | F_UNSTORED)\
	X(RATELIMIT_POLICY,                    "RateLimit-Policy",                      F_LIST | F_UNSTORED)\
	X(REFERER,                             "Referer",                               0)      \
	X(REFERRER_POLICY,                     "Referrer-Policy",                       F_LIST) \
	X(REFRESH,                             "Refresh",                               0)      \
	X(REPORTING_ENDPOINTS,                 "Reporting-Endpoints",                   F_LIST) \
	X(REPORT_TO,                           "Report-To",                             F_LIST) \
	X(REPR_DIGEST,                         "Repr-Digest",                           F_LIST) \
	X(RETRY_AFTER,                         "Retry-After",                           0)      \
	X(SAVE_DATA,                           "Save-Data",                             0)      \
	X(SEC_CH_UA,                           "Sec-CH-UA",                             F_LIST) \
	X(SEC_CH_UA_MOBILE,                    "Sec-CH-UA-Mobile",                      0)      \
	X(SEC_CH_UA_PLATFORM,                  "Sec-CH-UA-Platform",                    0)      \
	X(SEC_FETCH_DEST,                      "Sec-Fetch-Dest",                        0)      \
	X(SEC_FETCH_MODE,                      "Sec-Fetch-Mode",                        0)      \
	X(SEC_FETCH_SITE,                      "Sec-Fetch-Site",                        0)      \
	X(SEC_FETCH_USER,                      "Sec-Fetch-User",                        0)      \
	X(SEC_GPC,                             "Sec-GPC",                               0)      \
	X(SEC_PURPOSE,                         "Sec-Purpose",                           F_LIST) \
	X(SEC_WEBSOCKET_ACCEPT,                "Sec-WebSocket-Accept",                  0)      \
	X(SEC_WEBSOCKET_EXTENSIONS,            "Sec-WebSocket-Extensions",              F_LIST) \
	X(SEC_WEBSOCKET_KEY,                   "Sec-WebSocket-Key",                     0)      \
	X(SEC_WEBSOCKET_PROTOCOL,              "Sec-WebSocket-Protocol",                F_LIST) \
	X(SEC_WEBSOCKET_VERSION,               "Sec-WebSocket-Version",                 F_LIST) \
	X(SERVER,                              "Server",                                0)      \
	X(SERVER_TIMING,                       "Server-Timing",                         F_LIST) \
	X(SERVICE_WORKER,                      "Service-Worker",                        0)      \
	X(SERVICE_WORKER_ALLOWED,              "Service-Worker-Allowed",                0)      \
	X(SET_COOKIE,                          "Set-Cookie",                            0)      \
	X(SET_COOKIE2,                         "Set-Cookie2",                           0)      \
	X(SOURCEMAP,                           "SourceMap",                             0)      \
	X(STRICT_TRANSPORT_SECURITY,           "Strict-Transport-Security",             0)      \
	X(SURROGATE_CAPABILITY,                "Surrogate-Capability",                  F_LIST | F_FORGED)\
	X(SURROGATE_CONTROL,                   "Surrogate-Control",                     F_LIST) \
	X(SURROGATE_KEY,                       "Surrogate-Key",                         0)      \
	X(TE,                                  "TE",                                    F_HOP | F_LIST)\
	X(TIMING_ALLOW_ORIGIN,                 "Timing-Allow-Origin",                   F_LIST) \
	X(TRACEPARENT,                         "traceparent",                           0)      \
	X(TRACESTATE,                          "tracestate",                            F_LIST) \
	X(TRAILER,                             "Trailer",                               F_HOP | F_LIST)\
	X(TRANSFER_ENCODING,                   "Transfer-Encoding",                     F_HOP | F_LIST)\
	X(TRUE_CLIENT_IP,                      "True-Client-IP",                        F_TOLD )\
	X(UPGRADE,                             "Upgrade",                               F_HOP | F_LIST)\
	X(UPGRADE_INSECURE_REQUESTS,           "Upgrade-Insecure-Requests",             0)      \
	X(USER_AGENT,                          "User-Agent",                            0)      \
	X(USE_AS_DICTIONARY,                   "Use-As-Dictionary",                     F_LIST) \
	X(VARY,                                "Vary",                                  F_LIST) \
	X(VIA,                                 "Via",                                   F_LIST) \
	X(WANT_CONTENT_DIGEST,                 "Want-Content-Digest",                   F_LIST) \
	X(WANT_REPR_DIGEST,                    "Want-Repr-Digest",                      F_LIST) \
	X(WARNING,                             "Warning",                               F_LIST) \
	X(WWW_AUTHENTICATE,                    "WWW-Authenticate",                      F_LIST) \
	X(X_CLIENT_IP,                         "X-Client-IP",                           F_TOLD )\
	X(X_CLUSTER_CLIENT_IP,                 "X-Cluster-Client-IP",                   F_TOLD )\
	X(X_FORWARDED_CLIENT_CERT,             "X-Forwarded-Client-Cert",               F_TOLD )\
	X(X_FORWARDED_METHOD,                  "X-Forwarded-Method",                    F_FORGED)\
	X(X_FORWARDED_PATH,                    "X-Forwarded-Path",                      F_FORGED)\
	X(X_FORWARDED_PROTOCOL,                "X-Forwarded-Protocol",                  F_FORGED)\
	X(X_FORWARDED_URI,                     "X-Forwarded-Uri",                       F_FORGED)\
	X(X_HOST,                              "X-Host",                                F_FORGED)\
	X(X_HTTP_HOST_OVERRIDE,                "X-HTTP-Host-Override",                  F_FORGED)\
	X(X_INVOKE_PATH,                       "X-Invoke-Path",                         F_FORGED)\
	X(X_INVOKE_QUERY,                      "X-Invoke-Query",                        F_FORGED)\
	X(X_INVOKE_STATUS,                     "X-Invoke-Status",                       F_FORGED)\
	X(X_MATCHED_PATH,                      "X-Matched-Path",                        F_FORGED)\
	X(X_MIDDLEWARE_SUBREQUEST,             "X-Middleware-Subrequest",               F_FORGED)\
	X(X_NOW_ROUTE_MATCHES,                 "X-Now-Route-Matches",                   F_FORGED)\
	X(X_ORIGINAL_URI,                      "X-Original-URI",                        F_FORGED)\
	X(X_OVERRIDE_URL,                      "X-Override-URL",                        F_FORGED)\
	X(X_URL_SCHEME,                        "X-Url-Scheme",                          F_FORGED)\
	X(XKEY,                                "xkey",                                  0)      \
	X(X_ACCEL_BUFFERING,                   "X-Accel-Buffering",                     0)      \
	X(X_ACCEL_CHARSET,                     "X-Accel-Charset",                       0)      \
	X(X_ACCEL_EXPIRES,                     "X-Accel-Expires",                       0)      \
	X(X_ACCEL_LIMIT_RATE,                  "X-Accel-Limit-Rate",                    0)      \
	X(X_ACCEL_REDIRECT,                    "X-Accel-Redirect",                      0)      \
	X(X_API_KEY,                           "X-Api-Key",                             0)      \
	X(X_CACHE,                             "X-Cache",                               0)      \
	X(X_CACHE_STATUS,                      "X-Cache-Status",                        F_UNSTORED)\
	X(X_CLIENT_CERT,                       "X-Client-Cert",                         F_FORGED)\
	X(X_CONTENT_TYPE_OPTIONS,              "X-Content-Type-Options",                0)      \
	X(X_CORRELATION_ID,                    "X-Correlation-Id",                      0)      \
	X(X_DNS_PREFETCH_CONTROL,              "X-DNS-Prefetch-Control",                0)      \
	X(X_DOWNLOAD_OPTIONS,                  "X-Download-Options",                    0)      \
	X(X_FORWARDED_FOR,                     "X-Forwarded-For",                       F_LIST | F_FORGED)\
	X(X_FORWARDED_HOST,                    "X-Forwarded-Host",                      F_LIST | F_FORGED)\
	X(X_FORWARDED_PORT,                    "X-Forwarded-Port",                      F_LIST | F_FORGED)\
	X(X_FORWARDED_PREFIX,                  "X-Forwarded-Prefix",                    F_LIST | F_FORGED)\
	X(X_FORWARDED_PROTO,                   "X-Forwarded-Proto",                     F_LIST | F_FORGED)\
	X(X_FORWARDED_SCHEME,                  "X-Forwarded-Scheme",                    F_LIST | F_FORGED)\
	X(X_FORWARDED_SERVER,                  "X-Forwarded-Server",                    F_LIST | F_FORGED)\
	X(X_FORWARDED_SSL,                     "X-Forwarded-Ssl",                       F_FORGED)\
	X(X_FRAME_OPTIONS,                     "X-Frame-Options",                       0)      \
	X(X_HTTP_METHOD,                       "X-HTTP-Method",                         F_FORGED)\
	X(X_HTTP_METHOD_OVERRIDE,              "X-HTTP-Method-Override",                F_FORGED)\
	X(X_METHOD_OVERRIDE,                   "X-Method-Override",                     F_FORGED)\
	X(X_KEY,                               "X-Key",                                 0)      \
	X(X_ORIGINAL_HOST,                     "X-Original-Host",                       F_FORGED)\
	X(X_ORIGINAL_URL,                      "X-Original-URL",                        F_FORGED)\
	X(X_PERMITTED_CROSS_DOMAIN_POLICIES,   "X-Permitted-Cross-Domain-Policies",     0)      \
	X(X_POWERED_BY,                        "X-Powered-By",                          0)      \
	X(X_REAL_IP,                           "X-Real-IP",                             F_FORGED)\
	X(X_REQUESTED_WITH,                    "X-Requested-With",                      0)      \
	X(X_REQUEST_ID,                        "X-Request-Id",                          F_UNSTORED)\
	X(X_REWRITE_URL,                       "X-Rewrite-URL",                         F_FORGED)\
	X(X_ROBOTS_TAG,                        "X-Robots-Tag",                          F_LIST) \
	X(X_RUNTIME,                           "X-Runtime",                             0)      \
	X(X_XSS_PROTECTION,                    "X-XSS-Protection",                      0)
/* clang-format on */

enum field_id {
	FIELD_OTHER, /* any name without a row */
#define X(id, spelling, flags) FIELD_##id,
	FIELDS(X)
#undef X
	    FIELD_COUNT
};
_Static_assert(FIELD_COUNT <= 250, "a field id is kept in one byte");

/* The id of a name in any case, FIELD_OTHER if there is no row for it. */
enum field_id field_id_of(struct slice name);
/* The name as its standard spells it; "" for FIELD_OTHER. */
struct slice field_spelling(enum field_id id);
/* The flags of its row together; 0 for FIELD_OTHER. */
unsigned field_flags(enum field_id id);

static inline bool
field_is(enum field_id id, enum field_flag flag)
{
	return (field_flags(id) & flag) != 0;
}

#endif
