/* What a peer's frames cost, and the end of who has used up his budget or broken the rules. */
#include "http/h2session_priv.h"

#define FULL_AGAIN_MS (H2_BUDGET * 1000 / H2_BUDGET_PER_S)

void
h2_end_for(struct h2_session *s, enum h2_end end)
{
	static const struct {
		enum h2_error code;
		const char *text;
	} rows[] = {
#define X(name, code, text) [H2_END_##name] = {code, text},
	    H2_ENDS(X)
#undef X
	};

	if (s->is_over)
		return;
	s->is_over = true;
	s->counts.end = end;
	h2_put_goaway(s, s->last_id, rows[end].code, slice_from(rows[end].text));
}

void
h2_earn(struct h2_session *s, int64_t tokens)
{
	s->tokens += tokens * 1000;
	if (s->tokens > H2_BUDGET * 1000)
		s->tokens = H2_BUDGET * 1000;
}

bool
h2_spend(struct h2_session *s, int64_t tokens)
{
	if (s->now_ms > s->refilled_ms) {
		int64_t passed_ms = s->now_ms - s->refilled_ms;

		s->refilled_ms = s->now_ms;
		if (passed_ms > FULL_AGAIN_MS)
			passed_ms = FULL_AGAIN_MS;
		s->tokens += passed_ms * H2_BUDGET_PER_S;
		h2_earn(s, 0);
	}
	s->tokens -= tokens * 1000;
	if (s->tokens >= 0)
		return true;
	h2_end_for(s, H2_END_flood);
	return false;
}
