// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an administrator sees of nesting: fdinfo and trace events
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "smmu_test.h"

#define TRACING	"/sys/kernel/tracing/"
#define PASIDS	"/sys/kernel/debug/iommu/pasids"
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

/* What the container's file says */
#define fdinfo_read() ({						\
	char _path[64];							\
									\
	snprintf(_path, sizeof(_path), "/proc/self/fdinfo/%d",		\
		 self->n.c.fd);						\
	slurp(_metadata, _path, self->text, sizeof(self->text));	\
})

#define fdinfo_has(start, ...) ({					\
	char _end[128];							\
									\
	fdinfo_read();							\
	snprintf(_end, sizeof(_end), __VA_ARGS__);			\
	has_line(self->text, start, _end);				\
})

/* How many invalidations a line says, or -1 if there is none */
static long invalidated(struct __test_metadata *_metadata,
			FIXTURE_DATA(nesting_observe) *self, u32 pasid)
{
	char want[64];
	const char *line;

	fdinfo_read();
	snprintf(want, sizeof(want), "\t%s pasid 0x%x ", self->n.d.bdf, pasid);
	line = strstr(self->text, want);
	line = line ? strstr(line, " invalidated ") : NULL;
	return line ? strtol(line + strlen(" invalidated "), NULL, 10) : -1;
}

/* What the IOMMU was told that a guest can ask for, an entry each */
static u64 invalidations(struct nest *n)
{
	static const u32 smmu[] = {
		CFGI_CD, CFGI_CD_ALL, TLBI_NH_ALL, TLBI_NH_ASID, TLBI_NH_VA,
		TLBI_NH_VAA, TLBI_NSNH_ALL, ATC_INV,
	};
	u64 sum;
	unsigned int i;

	sum = imon_total(&n->mon, IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PIOTLB));
	for (i = 0; i < ARRAY_SIZE(smmu); i++)
		sum += executed(n, smmu[i]);
	return sum;
}

/* A line about the binding of a PASID, after so many invalidations */
#define binding_shown(pasid, count)					\
	fdinfo_has("nesting-bind:",					\
		   "\t%s pasid 0x%x format %u invalidated %u",		\
		   self->n.d.bdf, pasid, self->n.ops->format, count)

TEST_F(nesting_observe, fdinfo)
{
	const char *bdf = self->n.d.bdf;
	bool whole = self->n.ops->whole;
	/* Which line it is that counts */
	u32 bound = whole ? NEST_RID : PASID;
	struct vfio_container other;
	u64 had, did = 0;

	EXPECT_TRUE(fdinfo_has("nesting-bindings:", "\t0"));
	EXPECT_FALSE(fdinfo_has("nesting-bind:", "%s", ""));

	test_ok(nest_bind(&self->n.c, NEST_ALL_GROUPS, PASID, &self->s.t));
	test_ok(nest_bind(&self->n.c, NEST_ALL_GROUPS, 0, &self->s.t));
	EXPECT_TRUE(fdinfo_has("nesting-bindings:", "\t%d", whole ? 1 : 2));
	EXPECT_EQ(!whole, binding_shown(PASID, 0));
	EXPECT_FALSE(fdinfo_has("nesting-blocked:", "%s", ""));

	had = invalidated(_metadata, self, bound);
	if (self->n.have_mon)
		did = invalidations(&self->n);
	test_ok(nest_inval_range(&self->n.c, NEST_ALL_GROUPS, PASID,
				 &self->s.t, TEST_SRC, 1));
	test_ok(nest_inval_range(&self->n.c, NEST_ALL_GROUPS, PASID,
				 &self->s.t, TEST_SRC, 1));
	/* On SMMUv3 a page is two commands */
	EXPECT_EQ(had + (whole ? 4 : 2), invalidated(_metadata, self, bound));
	if (self->n.have_mon)
		EXPECT_EQ(invalidations(&self->n) - did,
			  invalidated(_metadata, self, bound) - had);
	if (!whole) {
		/* Each binding counts its own, a new table begins at 0 */
		EXPECT_TRUE(binding_shown(PASID, 2));
		EXPECT_TRUE(binding_shown(0, 0));
		test_ok(nest_bind(&self->n.c, NEST_ALL_GROUPS, PASID,
				  &self->s.t));
		EXPECT_TRUE(binding_shown(PASID, 0));
	}

	test_ok(nest_unbind(&self->n.c, NEST_ALL_GROUPS, PASID));
	EXPECT_TRUE(fdinfo_has("nesting-bindings:", "\t1"));
	EXPECT_FALSE(binding_shown(PASID, 0));

	test_ok(nest_block(&self->n.c, NEST_ALL_GROUPS, 0));
	EXPECT_TRUE(fdinfo_has("nesting-bindings:", "\t0"));
	EXPECT_TRUE(fdinfo_has("nesting-blocked:", "\t%s", bdf));

	/* A container without a device has nothing to say */
	test_ok(vfio_container_open(&other));
	vfio_container_close(&self->n.c);
	self->n.c = other;
	EXPECT_FALSE(fdinfo_has("nesting-", "%s", ""));
}

struct busy {
	struct nest *n;
	bool bound;	/* what is no table */
	bool stop;
};

/* Binds what is in the device: while that is being reset, this waits */
static void *bind_from_bar(void *arg)
{
	struct busy *b = arg;
	bool whole = b->n->ops->whole;
	struct vfio_iommu_type1_bind bind = {
		.argsz = sizeof(bind),
		.op = VFIO_BIND_OP_BIND,
		.target = whole ? VFIO_BIND_TARGET_PASID_TABLE :
				  VFIO_BIND_TARGET_GUEST_PASID,
		.pasid = whole ? NEST_RID : PASID,
		.format = b->n->ops->format,
		.data_len = b->n->ops->data_len,
		.data_uptr = (uintptr_t)b->n->d.bar[0],
	};

	while (!__atomic_load_n(&b->stop, __ATOMIC_RELAXED)) {
		if (!vfio_ioctl(b->n->c.fd, VFIO_IOMMU_BIND, &bind))
			b->bound = true;
	}
	return NULL;
}

static void *reset_thread(void *arg)
{
	struct busy *b = arg;

	vfio_device_reset(&b->n->d);
	__atomic_store_n(&b->stop, true, __ATOMIC_RELAXED);
	return NULL;
}

/* A BIND waits for its own memory: nobody who looks at it waits with it */
TEST_F(nesting_observe, fdinfo_busy)
{
	struct busy b = { .n = &self->n };
	pthread_t binder, resetter;
	u64 end = vfio_now_ms() + WAIT_MS;
	bool seen = false;

	test_ok(vfio_device_map_bar(&self->n.d, 0));
	while (!seen && vfio_now_ms() < end) {
		b.stop = false;
		ASSERT_EQ(0, pthread_create(&binder, NULL, bind_from_bar, &b));
		ASSERT_EQ(0, pthread_create(&resetter, NULL, reset_thread, &b));
		while (!seen && !__atomic_load_n(&b.stop, __ATOMIC_RELAXED))
			seen = fdinfo_has("nesting:", "\tbusy");
		ASSERT_EQ(0, pthread_join(resetter, NULL));
		ASSERT_EQ(0, pthread_join(binder, NULL));
	}
	EXPECT_TRUE(seen);
	EXPECT_FALSE(b.bound);

	/* Later all is told again */
	EXPECT_TRUE(fdinfo_has("nesting-bindings:", "\t0"));
	EXPECT_FALSE(fdinfo_has("nesting:", "%s", ""));
}

/*
 * Faults
 */

#define DEPTH		16
#define NO_PAGE		(TEST_DST + TEST_LEN)
/* Faults in a second */
#define FEW		4

FIXTURE(observe_faults)
{
	struct nest n;
	struct space s;
	struct fault_ring r;
	char text[16384];
};

FIXTURE_SETUP(observe_faults)
{
	nest_setup_faults(_metadata, &self->n, &self->s, &self->r, PASID,
			  VFIO_DMA_FAULT_UNRECOVERABLE |
			  VFIO_DMA_FAULT_PAGE_REQUEST, DEPTH);
}

FIXTURE_TEARDOWN(observe_faults)
{
	set_limit(FAULT_NO_LIMIT);
}

/* And nothing is lost or muted */
static void faults_shown(struct __test_metadata *_metadata,
			 FIXTURE_DATA(observe_faults) *self, u32 faults,
			 u32 requests, u32 waiting, u32 dropped, u32 resets)
{
	EXPECT_TRUE(fdinfo_has("nesting-faults:",
			       "\t%s faults %u requests %u waiting %u dropped %u lost 0 muted 0 resets %u",
			       self->n.d.bdf, faults, requests, waiting,
			       dropped, resets)) {
		TH_LOG("%s", self->text);
	}
}

/* Accesses of a PASID that is bound nowhere, each of which is recorded */
static void refused(struct __test_metadata *_metadata, struct nest *n, u32 nr)
{
	while (nr--) {
		dma_start(&n->ptd, 0, PASID + 1, 0x1000, 8, false,
			  PTD_F_NO_ATS);
		dma_ended(_metadata, &n->ptd, 0, PTD_ST_READ_FAULT);
		test_ok(fault_drain(&n->d));
	}
}

/* What the IOMMU has recorded for software, faults and page requests */
static u64 raised(const struct nest *n)
{
	return imon_total(&n->mon, IOMMU_MON_EV_F_RECORDED) +
	       imon_total(&n->mon, IOMMU_MON_EV_PR_QUEUED);
}

TEST_F(observe_faults, counts)
{
	struct nest *n = &self->n;
	struct fault_ring *r = &self->r;
	u64 before = raised(n);
	struct vfio_dma_fault f;

	faults_shown(_metadata, self, 0, 0, 0, 0, 0);
	refused(_metadata, n, 3);
	faults_shown(_metadata, self, 3, 0, 0, 0, 0);
	fault_consume(r, 3);

	dma_demand(n, &n->ptd, 0, PASID, NO_PAGE);
	ASSERT_EQ(1, fault_next(r, &f, WAIT_MS));
	faults_shown(_metadata, self, 3, 1, 1, 0, 0);
	test_ok(fault_answer(r, &f, VFIO_DMA_FAULT_RESPONSE_INVALID));
	faults_shown(_metadata, self, 3, 1, 0, 0, 0);
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_READ_FAULT);

	/* More than there is room for: the last of them is a page request */
	refused(_metadata, n, DEPTH + 2);
	dma_demand(n, &n->ptd, 0, PASID, NO_PAGE);
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_READ_FAULT);
	faults_shown(_metadata, self, 3 + DEPTH, 1, 0, 3, 0);
	EXPECT_EQ(before + 3 + 1 + DEPTH + 3, raised(n));
	EXPECT_EQ(3, r->header->lost);

	test_ok(vfio_device_reset(&n->d));
	faults_shown(_metadata, self, 3 + DEPTH, 1, 0, 3, 1);

	/* Off, and from the start again */
	test_ok(fault_set(&n->d, 0, 0, -1));
	EXPECT_FALSE(fdinfo_has("nesting-faults:", "%s", ""));
	test_ok(fault_set(&n->d, VFIO_DMA_FAULT_UNRECOVERABLE, DEPTH, -1));
	faults_shown(_metadata, self, 0, 0, 0, 0, 0);
}

/* More than the IOMMU can record */
TEST_F(observe_faults, lost)
{
	struct nest *n = &self->n;
	struct ptd_desc d = {
		.op = PTD_OP_FLOOD,
		.flags = PTD_F_NO_ATS,
		.pasid = ptd_pasid(PASID + 1),
		.src = PTD_PACE_NONE,
		.dst = 0x1000,
		.len = 8,
		.imm = 2000,
	};
	u64 was_lost = imon_total(&n->mon, IOMMU_MON_EV_F_LOST);

	ASSERT_EQ(PTD_ST_OK, ptd_run(&n->ptd, 0, &d, NULL));
	test_ok(fault_drain(&n->d));
	EXPECT_LT(was_lost, imon_total(&n->mon, IOMMU_MON_EV_F_LOST));
	EXPECT_LT(0, self->r.header->hw_lost);
	EXPECT_TRUE(fdinfo_has("nesting-faults:", " lost %llu muted 0 resets 0",
			       (u64)self->r.header->hw_lost));
}

/* A PASID that raises too many */
TEST_F(observe_faults, muted)
{
	struct nest *n = &self->n;
	u64 end = vfio_now_ms() + WAIT_MS;
	struct vfio_dma_fault f;
	u32 i, muted = 0;

	if (!set_limit(FEW))
		SKIP(return, NOT_MUTED);
	while (!muted && vfio_now_ms() < end) {
		EXPECT_TRUE(fdinfo_has("nesting-faults:", " muted 0 resets 0"));
		/* At once, for they have a second */
		for (i = 0; i < FEW; i++)
			dma_start(&n->ptd, 0, PASID + 1, 0x1000, 8, false,
				  PTD_F_NO_ATS);
		for (i = 0; i < FEW; i++)
			dma_ended(_metadata, &n->ptd, 0, PTD_ST_READ_FAULT);
		test_ok(fault_drain(&n->d));
		/* What was recorded before it was muted may say so again */
		while (fault_next(&self->r, &f, 0) == 1)
			muted += !!(f.flags & VFIO_DMA_FAULT_F_MUTED);
	}
	EXPECT_LT(0, muted);
	EXPECT_TRUE(fdinfo_has("nesting-faults:", " muted %u resets 0", muted));
}

/* Record the events of a trace system; false if this cannot be */
static bool trace_start(struct __test_metadata *_metadata, const char *enable)
{
	if (access(enable, W_OK))
		return false;
	ASSERT_EQ(0, vfio_write_file(TRACING "trace", ""));
	ASSERT_EQ(0, vfio_write_file(enable, "1"));
	return true;
}

TEST_F(nesting_observe, trace)
{
	const char *enable = TRACING "events/vfio_nesting/enable";
	/* What has a binding of its own */
	u32 pasid = self->n.ops->whole ? NEST_RID : PASID;
	const char *bdf = self->n.d.bdf;
	union s1_inv_entry e;
	char want[128];

	if (!trace_start(_metadata, enable))
		SKIP(return, "no %s: no tracefs, or not root", enable);
	test_ok(nest_bind(&self->n.c, NEST_ALL_GROUPS, pasid, &self->s.t));
	test_ok(nest_bind(&self->n.c, NEST_ALL_GROUPS, pasid, &self->s.t));
	self->n.ops->inv_entry(&self->s.t, &e, TEST_SRC, 1);
	test_ok(nest_inval(&self->n.c, NEST_ALL_GROUPS,
			   VFIO_INVALIDATE_TARGET_PASID, pasid, self->n.ops, &e,
			   1, NULL));
	test_ok(nest_unbind(&self->n.c, NEST_ALL_GROUPS, pasid));
	test_ok(nest_block(&self->n.c, NEST_ALL_GROUPS, 0));
	EXPECT_EQ(0, vfio_write_file(enable, "0"));
	slurp(_metadata, TRACING "trace", self->text, sizeof(self->text));

	snprintf(want, sizeof(want),
		 "device=%s pasid=%u format=%u replaced=0 ret=0", bdf, pasid,
		 self->n.ops->format);
	EXPECT_TRUE(has_line(self->text, "vfio_nesting_bind:", want));
	snprintf(want, sizeof(want),
		 "device=%s pasid=%u format=%u replaced=1 ret=0", bdf, pasid,
		 self->n.ops->format);
	EXPECT_TRUE(has_line(self->text, "vfio_nesting_bind:", want));
	snprintf(want, sizeof(want), "device=%s pasid=%u entries=1 ret=0",
		 bdf, pasid);
	EXPECT_TRUE(has_line(self->text, "vfio_nesting_invalidate:", want));
	snprintf(want, sizeof(want), "device=%s pasid=%u blocked=%d", bdf,
		 pasid, pasid != NEST_RID);
	EXPECT_TRUE(has_line(self->text, "vfio_nesting_unbind:", want));
	snprintf(want, sizeof(want), "device=%s pasid=0 blocked=1", bdf);
	EXPECT_TRUE(has_line(self->text, "vfio_nesting_unbind:", want)) {
		TH_LOG("trace:\n%s", self->text);
	}
}

TEST_F(nesting_observe, trace_pasid)
{
	const char *enable = TRACING "events/iommu_pasid/enable";
	const struct vfio_container *c = &self->n.c;
	/* Where the kernel does not look into a table, a bind is no use */
	const bool seen = !self->n.ops->whole;
	const struct {
		const char *event;
		const char *args;
	} events[] = {
		{ "iommu_pasid_alloc:", "min=1536 max=1537 ret=1536" },
		{ "iommu_pasid_alloc:", "min=1536 max=1536 ret=-28" },
		{ "iommu_pasid_free:", seen ? "pasid=1536 users=1" :
					      "pasid=1536 users=0" },
		{ "iommu_pasid_reclaim:", "pasid=1536 users=0" },
		{ "iommu_pasid_alloc:", "min=1537 max=1537 ret=1537" },
		{ "iommu_pasid_free:", "pasid=1537 users=0" },
	};
	char want[128], *line, *save, *text = self->text;
	unsigned int i = 0;

	if (!trace_start(_metadata, enable))
		SKIP(return, "no %s: no tracefs, or not root", enable);
	EXPECT_EQ(1536, nest_pasid_alloc(c, 1536, 1537));
	test_err(ENOSPC, nest_pasid_alloc(c, 1536, 1536));
	test_ok(nest_bind(c, NEST_ALL_GROUPS, 1536, &self->s.t));
	test_ok(nest_pasid_free(c, 1536, 1536));
	test_ok(nest_pasid_free(c, 1, 0xfffff));
	test_ok(nest_unbind(c, NEST_ALL_GROUPS, 1536));
	EXPECT_EQ(1537, nest_pasid_alloc(c, 1537, 1537));
	test_ok(nest_pasid_free(c, 1, 0xfffff));
	EXPECT_EQ(0, vfio_write_file(enable, "0"));
	slurp(_metadata, TRACING "trace", text, sizeof(self->text));

	/* These, in this order, and no other */
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (!strstr(line, ": iommu_pasid_"))
			continue;
		if (!seen && i == 3)
			i++;
		ASSERT_GT(ARRAY_SIZE(events), i);
		snprintf(want, sizeof(want), "%s set=user/%d %s",
			 events[i].event, getpid(), events[i].args);
		EXPECT_TRUE(has_line(line, events[i].event, want)) {
			TH_LOG("not %s: %s", want, line);
		}
		i++;
	}
	EXPECT_EQ(ARRAY_SIZE(events), i);
}

/* How many PASIDs this container has, and how many of them are pending */
static bool pasids_are(struct __test_metadata *_metadata, char *text,
		       size_t size, u32 count, u32 pending)
{
	u32 token, is_count = 0, is_pending = 0, quota = 0;
	char *line, *save;
	int found = 0;

	slurp(_metadata, PASIDS, text, size);
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "user %u %u %u %u", &token, &is_count, &quota,
			   &is_pending) == 4 && token == (u32)getpid()) {
			found++;
			/* What a process has by default */
			EXPECT_EQ(1000, quota);
			EXPECT_EQ(count, is_count);
			EXPECT_EQ(pending, is_pending);
		}
	return found == 1;
}

TEST_F(nesting_observe, debugfs_pasids)
{
	const struct vfio_container *c = &self->n.c;
	/* Freed while it is bound */
	u32 pending = !self->n.ops->whole;
	size_t size = sizeof(self->text);
	char *text = self->text;

	if (access(PASIDS, R_OK))
		SKIP(return, "no %s: no debugfs, or not root", PASIDS);
	slurp(_metadata, PASIDS, text, size);
	EXPECT_NE(NULL, strstr(text, "\nnull "));
	EXPECT_NE(NULL, strstr(text, "\nkernel "));
	EXPECT_TRUE(pasids_are(_metadata, text, size, 0, 0));

	EXPECT_EQ(0x600, nest_pasid_alloc(c, 0x600, 0x600));
	EXPECT_EQ(0x601, nest_pasid_alloc(c, 0x601, 0x601));
	EXPECT_EQ(0x602, nest_pasid_alloc(c, 0x602, 0x602));
	EXPECT_TRUE(pasids_are(_metadata, text, size, 3, 0));
	test_ok(nest_bind(c, NEST_ALL_GROUPS, 0x601, &self->s.t));
	test_ok(nest_pasid_free(c, 0x601, 0x602));
	EXPECT_TRUE(pasids_are(_metadata, text, size, 1 + pending,
			       pending));
	test_ok(nest_unbind(c, NEST_ALL_GROUPS, 0x601));
	EXPECT_TRUE(pasids_are(_metadata, text, size, 1, 0));
	nest_close(&self->n);
	EXPECT_FALSE(pasids_are(_metadata, text, size, 0, 0));
}

VFIO_TEST_MAIN
