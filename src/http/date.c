#include "http/date.h"

static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char day_tails[7][7] = {"day", "day", "sday", "nesday", "rsday", "day", "urday"};
static const char month_names[12][4] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

#define DATE_MAX_S 253402300799	  /* 9999-12-31 23:59:59 */
#define DATE_MIN_S (-62167219200) /* 0000-01-01 00:00:00 */

struct civil {
	int year, month, day; /* month and day from 1 */
	int hour, minute, second;
};

/* Days since 1970 in the proleptic Gregorian calendar, counted in years that begin in March so that the leap day
 * is the last. */
static int64_t
civil_days(int year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void
days_civil(int64_t days, struct civil *c)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	c->day = (int)(doy - (153 * mp + 2) / 5 + 1);
	c->month = (int)(mp < 10 ? mp + 3 : mp - 9);
	c->year = (int)(yoe + era * 400 + (c->month <= 2));
}

static bool
is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t
civil_seconds(const struct civil *c)
{
	static const uint8_t lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	if (c->month < 1 || c->day < 1 || c->year < 0 || c->hour < 0 || c->minute < 0 ||
	    c->second < 0)
		return DATE_NONE;
	if (c->day > lengths[c->month - 1] + (c->month == 2 && is_leap(c->year)))
		return DATE_NONE;
	if (c->hour > 23 || c->minute > 59 || c->second > 60) /* 60: a leap second */
		return DATE_NONE;
	return civil_days(c->year, c->month, c->day) * 86400 + c->hour * 3600 + c->minute * 60 +
	    c->second;
}

/* The number in exactly n digits, or -1. */
static int
digits(const char *p, int n)
{
	int v = 0;

	for (int i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = v * 10 + (p[i] - '0');
	}
	return v;
}

static bool
is_word(const char *p, const char *word, size_t n)
{
	return slice_ieq(slice_of(p, n), slice_of(word, n));
}

/* Three letters as one number. A letter and what differs from it in the bit of case alone are the same letter, so nothing
 * else is taken for one. */
#define LETTERS(a, b, c) ((uint32_t)(a) << 16 | (uint32_t)(b) << 8 | (uint32_t)(c))

static uint32_t
letters(const char *p)
{
	return LETTERS((unsigned char)p[0], (unsigned char)p[1], (unsigned char)p[2]) |
	    LETTERS(0x20, 0x20, 0x20);
}

/* 0 to 6, or -1. */
static int
weekday(const char *p)
{
	static const uint32_t names[7] = {LETTERS('s', 'u', 'n'), LETTERS('m', 'o', 'n'),
	    LETTERS('t', 'u', 'e'), LETTERS('w', 'e', 'd'), LETTERS('t', 'h', 'u'),
	    LETTERS('f', 'r', 'i'), LETTERS('s', 'a', 't')};
	uint32_t name = letters(p);

	for (int i = 0; i < 7; i++)
		if (names[i] == name)
			return i;
	return -1;
}

/* 1 to 12, or 0. */
static int
month(const char *p)
{
	static const uint32_t names[12] = {LETTERS('j', 'a', 'n'), LETTERS('f', 'e', 'b'),
	    LETTERS('m', 'a', 'r'), LETTERS('a', 'p', 'r'), LETTERS('m', 'a', 'y'),
	    LETTERS('j', 'u', 'n'), LETTERS('j', 'u', 'l'), LETTERS('a', 'u', 'g'),
	    LETTERS('s', 'e', 'p'), LETTERS('o', 'c', 't'), LETTERS('n', 'o', 'v'),
	    LETTERS('d', 'e', 'c')};
	uint32_t name = letters(p);

	for (int i = 0; i < 12; i++)
		if (names[i] == name)
			return i + 1;
	return 0;
}

/* hh:mm:ss */
static bool
read_time(const char *p, struct civil *c)
{
	c->hour = digits(p, 2);
	c->minute = digits(p + 3, 2);
	c->second = digits(p + 6, 2);
	return p[2] == ':' && p[5] == ':';
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static int64_t
parse_imf(const char *p)
{
	struct civil c = {
	    .year = digits(p + 12, 4), .month = month(p + 8), .day = digits(p + 5, 2)};

	if (weekday(p) < 0 || p[3] != ',' || p[4] != ' ' || p[7] != ' ' || p[11] != ' ' ||
	    p[16] != ' ')
		return DATE_NONE;
	if (!read_time(p + 17, &c) || !is_word(p + 25, " GMT", 4))
		return DATE_NONE;
	return civil_seconds(&c);
}

/* Sun Nov  6 08:49:37 1994 */
static int64_t
parse_asctime(const char *p)
{
	struct civil c = {.year = digits(p + 20, 4), .month = month(p + 4)};

	c.day = p[8] == ' ' ? digits(p + 9, 1) : digits(p + 8, 2);
	if (weekday(p) < 0 || p[3] != ' ' || p[7] != ' ' || p[10] != ' ' || p[19] != ' ')
		return DATE_NONE;
	if (!read_time(p + 11, &c))
		return DATE_NONE;
	return civil_seconds(&c);
}

/* A year of two digits that seems to lie more than 50 years ahead is the last one in the past that ends so. */
static int
full_year(int two, int64_t now_s)
{
	struct civil now;

	days_civil(now_s / 86400, &now);
	int year = now.year - now.year % 100 + two;
	if (year > now.year + 50)
		year -= 100;
	else if (year <= now.year - 50)
		year += 100;
	return year;
}

/* Sunday, 06-Nov-94 08:49:37 GMT */
static int64_t
parse_rfc850(struct slice s, int64_t now_s)
{
	int day = weekday(s.p);

	if (day < 0)
		return DATE_NONE;
	size_t tail = strlen(day_tails[day]);
	if (s.n != 3 + tail + 24 || !is_word(s.p + 3, day_tails[day], tail))
		return DATE_NONE;
	const char *p = s.p + 3 + tail;
	struct civil c = {.month = month(p + 5), .day = digits(p + 2, 2)};
	int two = digits(p + 9, 2);
	if (two < 0 || p[0] != ',' || p[1] != ' ' || p[4] != '-' || p[8] != '-' || p[11] != ' ')
		return DATE_NONE;
	if (!read_time(p + 12, &c) || !is_word(p + 20, " GMT", 4))
		return DATE_NONE;
	c.year = full_year(two, now_s);
	return civil_seconds(&c);
}

int64_t
date_parse(struct slice s, int64_t now_s)
{
	if (s.n == DATE_LEN)
		return parse_imf(s.p);
	if (s.n == 24)
		return parse_asctime(s.p);
	if (s.n >= 30 && s.n <= 33)
		return parse_rfc850(s, now_s);
	return DATE_NONE;
}

/* Only of the form that is the same date at any time. */
int64_t
date_parse_again(struct date_memo *memo, struct slice s, int64_t now_s)
{
	int64_t date_s;

	if (s.n != DATE_LEN)
		return date_parse(s, now_s);
	if (memo->text[0] != '\0' && memcmp(memo->text, s.p, DATE_LEN) == 0)
		return memo->s;
	date_s = date_parse(s, now_s);
	if (date_s != DATE_NONE) {
		memcpy(memo->text, s.p, DATE_LEN);
		memo->s = date_s;
	}
	return date_s;
}

static void
put_digits(char *p, int n, int v)
{
	for (int i = n - 1; i >= 0; i--, v /= 10)
		p[i] = (char)('0' + v % 10);
}

void
date_format(int64_t s, char out[DATE_LEN])
{
	struct civil c;

	s = s < DATE_MIN_S ? DATE_MIN_S : s > DATE_MAX_S ? DATE_MAX_S : s;
	int64_t days = (s >= 0 ? s : s - 86399) / 86400;
	int rest = (int)(s - days * 86400);
	days_civil(days, &c);
	memcpy(out, "---, -- --- ---- --:--:-- GMT", DATE_LEN);
	memcpy(out, day_names[((days + 4) % 7 + 7) % 7], 3); /* 1970 began on a Thursday */
	put_digits(out + 5, 2, c.day);
	memcpy(out + 8, month_names[c.month - 1], 3);
	put_digits(out + 12, 4, c.year);
	put_digits(out + 17, 2, rest / 3600);
	put_digits(out + 20, 2, rest / 60 % 60);
	put_digits(out + 23, 2, rest % 60);
}
