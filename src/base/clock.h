/* base/clock.h - the only place that asks what time it is.
 *
 * Two clocks: the wall (Date, Expires, logs) in ms since 1970, and a monotonic one for lives,
 * deadlines and limits that goes on during suspend (CLOCK_BOOTTIME). A loop reads them once per
 * turn and passes now_ms down; pure code never asks. clock_test.c is linked instead of clock.c into
 * the binary that tests use: it adds the offset found in the file that FOREBAY_TEST_CLOCK names, so
 * that a test moves time instead of sleeping.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

int64_t clock_wall_ms(void);
int64_t clock_mono_ms(void);
/* Monotonic microseconds, for measuring how long something took. */
int64_t clock_mono_us(void);
/* Whether time may jump because a test moves it: loops then look at their deadlines at least every
 * 10 ms. */
bool clock_is_steered(void);
/* How far a test has moved time, for what is timed by another's clock; 0 in the release build. */
int64_t clock_offset_ms(void);

#endif
