/* conf/nearest.h - the word somebody may have meant. */
#ifndef CONF_NEAREST_H
#define CONF_NEAREST_H

#include <stddef.h>

struct nearest {
	const char *wrong; /* what was written; borrowed */
	const char *best;  /* the nearest so far, or NULL while nothing is near; borrowed */
	size_t distance;   /* of best */
};

/* Nothing is near yet. Up to a third of the letters may be wrong, at most 3. */
struct nearest nearest_to(const char *wrong);
/* Considers one valid word; of two equally near the first stays. Case differences cost nothing. */
void nearest_try(struct nearest *n, const char *word);

#endif
