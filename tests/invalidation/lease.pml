/* The lease of strict coherence (docs/invalidation.md): an instance that may answer from its memory has applied every purge that
 * has been acknowledged.
 *
 * One instance takes a purge, another holds an old answer and a lease. Messages take any time, the holder may stop at any moment for any
 * time, clocks run alike (the margin is for that). Redis and the purger are one process each; time passes when nobody objects.
 *
 *   spin -a lease.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -E     no error
 *   spin -a -DFROM_THE_ANSWER lease.pml ...                           the lease counted from the answer's time: an error
 *   spin -a -DNO_CATCHING_UP lease.pml ...                            a lease used before what it is about was applied: an error
 *   spin -a -DCHECKED_BEFORE lease.pml ...                            looked at before the request was read: an error
 */
#define LEASE 3
#define LONGEST 10	/* the model's end of time */

byte now = 0;

/* Redis */
byte last = 0;		/* number of the newest entry: 0, then 1 */
byte expiry = LEASE;	/* of the holder's lease; the play begins just after a renewal */
byte confirmed = 0;	/* what the holder has said that it applied */

/* The purger */
bool acknowledged = false;

/* The holder */
byte applied = 0;
byte valid_until = LEASE;

chan renewal = [1] of { byte };	     /* what the holder has applied */
chan granted = [1] of { byte };	     /* the newest number at that moment */

active proctype time()
{
	do
	:: now < LONGEST -> now++
	:: now == LONGEST -> break
	od
}

active proctype redis()
{
	byte told;
end:	do
	:: atomic { renewal ? told ->
		if
		:: told > confirmed -> confirmed = told
		:: else
		fi;
		expiry = now + LEASE;
		granted ! last }
	od
}

active proctype purger()
{
	atomic { last = 1 }
	/* every live lease has confirmed it, or has run out */
	atomic { confirmed >= last || now >= expiry -> acknowledged = true }
}

/* Renews, and hears of the purge at any time after it was appended. */
active proctype clerk()
{
	byte sent_at, newest;

	do
	:: now < LONGEST ->
		sent_at = now;
		renewal ! applied;
		do
		:: granted ? newest -> break
		:: applied < last -> applied = last
		od;
#ifndef NO_CATCHING_UP
		do
		:: applied >= newest -> break
		:: applied < last -> applied = last
		od;
#endif
#ifdef FROM_THE_ANSWER
		valid_until = now + LEASE
#else
		valid_until = sent_at + LEASE
#endif
	:: applied < last -> applied = last
	:: now == LONGEST -> break
	od
}

/* A request is read, then the clock and the lease are looked at, then the memory is judged. Between any two, any time may pass. */
active proctype reader()
{
	bool late, may;

	do
	:: now < LONGEST ->
#ifdef CHECKED_BEFORE
		may = now < valid_until;
		late = acknowledged;
#else
		late = acknowledged;
		may = now < valid_until;
#endif
		if
		:: may -> assert(!late || applied == 1)
		:: else
		fi
	:: now == LONGEST -> break
	od
}
