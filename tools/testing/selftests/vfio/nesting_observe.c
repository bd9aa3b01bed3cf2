// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an administrator sees of nesting: fdinfo and trace events
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "nest_test.h"

#define TRACING	"/sys/kernel/tracing/"
#define EVENTS	TRACING "events/vfio_nesting/enable"
#define PASID	0x77u

FIXTURE(nesting_observe)
{
	struct nest n;
	struct space s;
	char text[16384];
};

FIXTURE_SETUP(nesting_observe)
{
	nest_setup(_metadata, &self->n, 0);
	if (_metadata->exit_code)
		return;
	if (!self->n.feat.pasid_bits)
		SKIP(return, "%s has no PASID", self->n.d.bdf);
	space_init(_metadata, &self->n, &self->s, 0x11);
}

FIXTURE_TEARDOWN(nesting_observe)
{
}

static void slurp(struct __test_metadata *_metadata, const char *path,
		  char *text, size_t size)
{
	size_t len = 0;
	int fd, n;

	fd = open(path, O_RDONLY);
	ASSERT_LE(0, fd);
	while ((n = read(fd, text + len, size - 1 - len)) > 0)
		len += n;
	EXPECT_EQ(0, n);
	text[len] = 0;
	close(fd);
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

/* Is there a line that begins like this, and ends in that? */
static bool has_line(const char *text, const char *start, const char *end)
{
	const char *line = text, *stop;
	size_t len = strlen(end);

	while ((line = strstr(line, start))) {
		stop = line + strcspn(line, "\n");
		if (stop >= line + len && !strncmp(stop - len, end, len))
			return true;
		line = stop;
	}
	return false;
}

#define fdinfo_has(start, ...) ({					\
	char _path[64], _end[128];					\
									\
	snprintf(_path, sizeof(_path), "/proc/self/fdinfo/%d",		\
		 self->n.c.fd);						\
	slurp(_metadata, _path, self->text, sizeof(self->text));	\
	snprintf(_end, sizeof(_end), __VA_ARGS__);			\
	has_line(self->text, start, _end);				\
})

TEST_F(nesting_observe, fdinfo)
{
	const char *bdf = self->n.d.bdf;
	u32 format = self->n.ops->format;
	struct vfio_container other;

	EXPECT_TRUE(fdinfo_has("nesting-bindings:", "\t0"));
	EXPECT_FALSE(fdinfo_has("nesting-bind:", "%s", ""));

	test_ok(nest_bind(&self->n.c, NEST_ALL_GROUPS, PASID, &self->s.t));
	test_ok(nest_bind(&self->n.c, NEST_ALL_GROUPS, 0, &self->s.t));
	EXPECT_TRUE(fdinfo_has("nesting-bindings:", "\t2"));
	EXPECT_TRUE(fdinfo_has("nesting-bind:", "\t%s pasid 0x%x format %u",
			       bdf, PASID, format));
	EXPECT_TRUE(fdinfo_has("nesting-bind:", "\t%s pasid 0x0 format %u",
			       bdf, format));
	EXPECT_FALSE(fdinfo_has("nesting-blocked:", "%s", ""));

	test_ok(nest_unbind(&self->n.c, NEST_ALL_GROUPS, PASID));
	EXPECT_TRUE(fdinfo_has("nesting-bindings:", "\t1"));
	EXPECT_FALSE(fdinfo_has("nesting-bind:", "\t%s pasid 0x%x format %u",
				bdf, PASID, format));

	test_ok(nest_block(&self->n.c, NEST_ALL_GROUPS, 0));
	EXPECT_TRUE(fdinfo_has("nesting-bindings:", "\t0"));
	EXPECT_TRUE(fdinfo_has("nesting-blocked:", "\t%s", bdf));

	/* A container without a device has nothing to say */
	test_ok(vfio_container_open(&other));
	vfio_container_close(&self->n.c);
	self->n.c = other;
	EXPECT_FALSE(fdinfo_has("nesting-", "%s", ""));
}

TEST_F(nesting_observe, trace)
{
	const char *bdf = self->n.d.bdf;
	char want[128];

	if (access(EVENTS, W_OK))
		SKIP(return, "no %s: no tracefs, or not root", EVENTS);
	ASSERT_TRUE(write_file(TRACING "trace", ""));
	ASSERT_TRUE(write_file(EVENTS, "1"));
	test_ok(nest_bind(&self->n.c, NEST_ALL_GROUPS, PASID, &self->s.t));
	test_ok(nest_bind(&self->n.c, NEST_ALL_GROUPS, PASID, &self->s.t));
	test_ok(nest_inval_range(&self->n.c, NEST_ALL_GROUPS, PASID,
				 &self->s.t, TEST_SRC, 1));
	test_ok(nest_unbind(&self->n.c, NEST_ALL_GROUPS, PASID));
	test_ok(nest_block(&self->n.c, NEST_ALL_GROUPS, 0));
	EXPECT_TRUE(write_file(EVENTS, "0"));
	slurp(_metadata, TRACING "trace", self->text, sizeof(self->text));

	snprintf(want, sizeof(want),
		 "device=%s pasid=0x%x format=%u replaced=0 ret=0", bdf, PASID,
		 self->n.ops->format);
	EXPECT_TRUE(has_line(self->text, "vfio_nesting_bind:", want));
	snprintf(want, sizeof(want),
		 "device=%s pasid=0x%x format=%u replaced=1 ret=0", bdf, PASID,
		 self->n.ops->format);
	EXPECT_TRUE(has_line(self->text, "vfio_nesting_bind:", want));
	snprintf(want, sizeof(want), "device=%s pasid=0x%x entries=1 ret=0",
		 bdf, PASID);
	EXPECT_TRUE(has_line(self->text, "vfio_nesting_invalidate:", want));
	snprintf(want, sizeof(want), "device=%s pasid=0x%x blocked=1", bdf,
		 PASID);
	EXPECT_TRUE(has_line(self->text, "vfio_nesting_unbind:", want));
	snprintf(want, sizeof(want), "device=%s pasid=0x0 blocked=1", bdf);
	EXPECT_TRUE(has_line(self->text, "vfio_nesting_unbind:", want)) {
		TH_LOG("trace:\n%s", self->text);
	}
}

VFIO_TEST_MAIN
