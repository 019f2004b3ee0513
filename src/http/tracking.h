/* http/tracking.h - parameters that advertisers and newsletters put on links to recognize who followed them. Scripts in the
 * page read them; no page is made of them.
 *
 * A name that ends in a star means all that begin so, as in url.h. */
#ifndef HTTP_TRACKING_H
#define HTTP_TRACKING_H

extern const char *const tracking_params[];
extern const unsigned tracking_params_count;

#endif
