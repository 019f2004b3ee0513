#include "server/regexends.h"

#include <ctype.h>

struct reading {
	const char *at;
	struct regex_ends *ends;
	unsigned depth;
	bool begins; /* nothing but text has been read */
};

static void
end_run(struct reading *r)
{
	r->begins = false;
	r->ends->last_len = 0;
}

static void
read_text(struct reading *r, char c)
{
	if (r->depth > 0)
		return;
	if (r->begins)
		r->ends->first[r->ends->first_len++] = c;
	else
		r->ends->last[r->ends->last_len++] = c;
}

/* What was before may be absent, by this or by another behind it. */
static bool
read_quantifier(struct reading *r)
{
	if (*r->at == '{') {
		r->at += 1 + strspn(r->at + 1, "0123456789, ");
		if (*r->at != '}')
			return false;
	}
	r->at++;
	if (r->depth == 0 && r->begins && r->ends->first_len > 0)
		r->ends->first_len--;
	end_run(r);
	return true;
}

static bool
read_escape(struct reading *r)
{
	unsigned char c = (unsigned char)r->at[1];

	if (c == '\0' || c >= 0x80)
		return false;
	r->at += 2;
	if (!isalnum(c)) {
		read_text(r, (char)c);
		return true;
	}
	end_run(r);
	return strchr("dDsSwWhHvVRbBAzZnrtf", c) != NULL; /* others may take what follows */
}

static bool
read_class(struct reading *r)
{
	r->at++;
	r->at += *r->at == '^';
	r->at += *r->at == ']';
	for (; *r->at != ']'; r->at++) {
		if (*r->at == '\0' || *r->at == '[')
			return false;
		if (*r->at != '\\')
			continue;
		if (!isalnum((unsigned char)r->at[1]) || strchr("dDsSwWhHvV", r->at[1]) != NULL)
			r->at += r->at[1] != '\0';
		else
			return false;
	}
	r->at++;
	end_run(r);
	return true;
}

static bool
read_group(struct reading *r)
{
	if (r->at[1] == '*' || (r->at[1] == '?' && strchr(":=!<'|>P", r->at[2]) == NULL))
		return false;
	r->at++;
	r->at += *r->at == '?';
	r->depth++;
	end_run(r);
	return true;
}

/* False: from here on it is not certain what is meant. */
static bool
read_one(struct reading *r)
{
	switch (*r->at) {
	case '\\':
		return read_escape(r);
	case '[':
		return read_class(r);
	case '(':
		return read_group(r);
	case ')':
		r->at++;
		end_run(r);
		return r->depth-- > 0;
	case '*':
	case '+':
	case '?':
	case '{':
		return read_quantifier(r);
	case '|':
		r->at++;
		return r->depth > 0;
	case '$':
		r->at++;
		return *r->at == '\0';
	case '^':
		return false;
	case '.':
		r->at++;
		end_run(r);
		return true;
	default:
		read_text(r, *r->at++);
		return true;
	}
}

void
regex_ends_find(const char *regex, struct regex_ends *ends)
{
	struct reading r = {.at = regex + (*regex == '^'), .ends = ends, .begins = true};

	ends->first_len = ends->last_len = 0;
	while (*r.at != '\0')
		if (!read_one(&r)) {
			ends->first_len = ends->last_len = 0;
			return;
		}
}
