/* event/srvanswer.h - the SRV records of a DNS message (RFC 2782), with their lives, which c-ares 1.18 does not tell.
 *
 * Bytes in, structs out; the bytes may be anything.
 */
#ifndef EVENT_SRVANSWER_H
#define EVENT_SRVANSWER_H

#include <stddef.h>
#include <stdint.h>

#define SRV_RECORDS_MAX 16 /* of one answer; what is beyond is left out */
#define SRV_HOST_MAX 254   /* with its end */

struct srv_record {
	uint16_t priority, weight, port;
	char host
	    [SRV_HOST_MAX]; /* without the last dot; empty: the service is decidedly not there */
};

/* How many there are in the answer, whatever name they are for (aliases lead there); -1: it is no valid message. ttl_s_out: the
 * shortest life of all records of the answer. */
int srvanswer_parse(const unsigned char *message, size_t size,
    struct srv_record out[SRV_RECORDS_MAX], uint32_t *ttl_s_out);

#endif
