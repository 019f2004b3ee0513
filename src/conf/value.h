/* conf/value.h - what one text means: durations, sizes, addresses and the like. Pure. */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include <stdbool.h>
#include <stdint.h>

enum conf_value_result {
	CONF_VALUE_OK,
	CONF_VALUE_BAD,	     /* not of that kind */
	CONF_VALUE_NO_UNIT,  /* a bare number where a unit is needed */
	CONF_VALUE_TOO_LARGE /* does not fit */
};

/* yes no true false on off, in any case of letters. */
enum conf_value_result conf_value_bool(const char *s, bool *out);
/* Decimal digits, perhaps after a minus. */
enum conf_value_result conf_value_int(const char *s, int64_t *out);
/* 500ms 10s 5m 1h 7d 1w, several in a row (1h30m), .NET's [d.]hh:mm:ss[.fff], and 0. */
enum conf_value_result conf_value_duration(const char *s, int64_t *ms_out);
/* 0, 512B, 4KiB MiB GiB TiB, 4KB MB GB TB (thousands). */
enum conf_value_result conf_value_size(const char *s, int64_t *bytes_out);
/* 0.25 or 25%, both 0.25 in *out. */
enum conf_value_result conf_value_ratio(const char *s, double *out);
/* host:port, :port, *:port, [v6]:port, unix:/path. */
bool conf_value_is_address(const char *s);

#endif
