/* server/certificates.h - from a listener's `tls` as written to what it offers, each finding told in the configuration's place.
 *
 * For the control thread and for `forebay check`: files are read.
 */
#ifndef SERVER_CERTIFICATES_H
#define SERVER_CERTIFICATES_H

#include "event/tlsoffer.h"
#include "server/conf.h"

/* l has tls. NULL with an error in diag; warnings either way. */
struct tls_offer *certificates_offer(const struct listen_conf *l, struct conf_diag *diag);
/* Makes all of c's offers for what there is to be said of them. */
void certificates_try(const struct server_conf *c, struct conf_diag *diag);

#endif
