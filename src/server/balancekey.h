/* server/balancekey.h - what of a request decides its server where the upstream balances by consistent_hash. */
#ifndef SERVER_BALANCEKEY_H
#define SERVER_BALANCEKEY_H

#include "server/exchange_priv.h"

/* The same in every instance. 0 where the route's upstream does not ask for it. */
uint64_t balance_key_of(const struct exchange *x);

#endif
