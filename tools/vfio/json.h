/* SPDX-License-Identifier: GPL-2.0-only */
/* Just enough to print JSON: commas, quotes and ends in the right places */
#ifndef TOOLS_VFIO_JSON_H
#define TOOLS_VFIO_JSON_H

#include <stdbool.h>
#include <stdio.h>

#define JSON_DEPTH	8

/* All zeroes to begin with; what is printed goes to stdout */
struct json {
	int depth;
	bool comma;
	char ends[JSON_DEPTH];
};

static inline void json_text(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			printf("\\u%04x", *text);
		else
			putchar(*text);
	}
	putchar('"');
}

/* name: NULL in an array and at the top */
static inline void json_name(struct json *j, const char *name)
{
	if (j->comma)
		putchar(',');
	j->comma = true;
	if (name) {
		json_text(name);
		putchar(':');
	}
}

static inline void json_begin(struct json *j, const char *name, char begin,
			      char end)
{
	json_name(j, name);
	putchar(begin);
	j->ends[j->depth++] = end;
	j->comma = false;
}

static inline void json_object(struct json *j, const char *name)
{
	json_begin(j, name, '{', '}');
}

static inline void json_array(struct json *j, const char *name)
{
	json_begin(j, name, '[', ']');
}

/* Ends what was begun last */
static inline void json_end(struct json *j)
{
	putchar(j->ends[--j->depth]);
	j->comma = true;
}

static inline void json_string(struct json *j, const char *name,
			       const char *text)
{
	json_name(j, name);
	json_text(text);
}

static inline void json_number(struct json *j, const char *name,
			       unsigned long long n)
{
	json_name(j, name);
	printf("%llu", n);
}

/* As text: programs that read JSON lose bits of large numbers */
static inline void json_hex(struct json *j, const char *name,
			    unsigned long long n)
{
	json_name(j, name);
	printf("\"0x%llx\"", n);
}

static inline void json_bool(struct json *j, const char *name, bool b)
{
	json_name(j, name);
	printf(b ? "true" : "false");
}

static inline void json_null(struct json *j, const char *name)
{
	json_name(j, name);
	printf("null");
}

/* One value is one line */
static inline void json_done(struct json *j)
{
	putchar('\n');
	j->comma = false;
}

#endif
