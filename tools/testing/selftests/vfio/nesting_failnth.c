// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each allocation of each operation fails once.  The operation says so and
 * changes nothing: what was bound translates, what was not is refused, and
 * the next attempt works.
 *
 * Not here: closing a group.  To give the device back to its default domain
 * takes memory, and where there is none the IOMMU core warns, with any type
 * of container (__iommu_release_dma_ownership()).
 */
#include <fcntl.h>

#include "nest_test.h"

#define PASID	1
/* More than any operation here allocates */
#define MAX_NTH	400

static int fail_fd = -1;

static void fault_attr(const char *attr, const char *file, const char *val)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", attr, file);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return;
	/* Not every kernel has every one */
	if (write(fd, val, strlen(val)) < 0)
		fprintf(stderr, "# %s: %s\n", path, strerror(errno));
	close(fd);
}

/* Of this thread only, with allocations that may sleep, and quietly */
static bool fail_setup(void)
{
	fault_attr("failslab", "ignore-gfp-wait", "N");
	fault_attr("fail_page_alloc", "ignore-gfp-wait", "N");
	fault_attr("fail_page_alloc", "min-order", "0");
	fault_attr("failslab", "verbose", "0");
	fault_attr("fail_page_alloc", "verbose", "0");
	fault_attr("fail_usercopy", "verbose", "0");
	fail_fd = open("/proc/thread-self/fail-nth", O_RDWR);
	return fail_fd >= 0;
}

static void fail_arm(int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", nth);

	if (pwrite(fail_fd, text, len, 0) != len)
		abort();
}

/*
 * Whether the failure happened.  Copies to and from the user count as well:
 * those made here may be the one that fails.
 */
static bool fail_disarm(void)
{
	char text[16] = "";

	if (pread(fail_fd, text, sizeof(text) - 1, 0) <= 0)
		return false;
	if (atoi(text) == 0)
		return true;
	while (pwrite(fail_fd, "0", 1, 0) != 1)
		;
	return false;
}

/*
 * From @bytes on all allocations of this thread fail, if @fd is that of
 * /proc/thread-self/make-it-fail.
 */
static void poor_arm(int fd, unsigned int bytes)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", bytes);
	fault_attr("failslab", "task-filter", "Y");
	fault_attr("failslab", "times", "-1");
	fault_attr("failslab", "probability", "100");
	fault_attr("failslab", "space", text);
	if (pwrite(fd, "1", 1, 0) != 1)
		abort();
}

static void poor_disarm(int fd)
{
	if (pwrite(fd, "0", 1, 0) != 1)
		abort();
	fault_attr("failslab", "probability", "0");
	fault_attr("failslab", "task-filter", "N");
}

FIXTURE(nesting_failnth)
{
	struct nest n;
	struct space a;
	struct space b;
};

FIXTURE_SETUP(nesting_failnth)
{
	struct nest *n = &self->n;

	if (!fail_setup())
		SKIP(return, "no fault injection in this kernel");
	nest_setup_ptd(_metadata, n, 0);
	if (_metadata->exit_code)
		return;
	space_init(_metadata, n, &self->a, 0xa1);
	space_init(_metadata, n, &self->b, 0xb2);
}

FIXTURE_TEARDOWN(nesting_failnth)
{
}

/* An injected failure is ENOMEM, or EFAULT where user memory is read */
static void check_failed(struct __test_metadata *_metadata, int ret)
{
	EXPECT_TRUE(ret == -ENOMEM || ret == -EFAULT) {
		TH_LOG("errno %d", -ret);
	}
}

/* How often the caller's loop has to go on */
#define for_each_failure(nth, failed)					\
	for (nth = 1, failed = true; failed && nth < MAX_NTH; nth++)

FIXTURE(failnth_bind)
{
	FIXTURE_DATA(nesting_failnth) f;
};

FIXTURE_VARIANT(failnth_bind)
{
	bool rid;
	bool replace;
};

FIXTURE_VARIANT_ADD(failnth_bind, pasid)
{
};

FIXTURE_VARIANT_ADD(failnth_bind, pasid_replace)
{
	.replace = true,
};

FIXTURE_VARIANT_ADD(failnth_bind, rid)
{
	.rid = true,
};

FIXTURE_VARIANT_ADD(failnth_bind, rid_replace)
{
	.rid = true,
	.replace = true,
};

FIXTURE_SETUP(failnth_bind)
{
	nesting_failnth_setup(_metadata, &self->f, NULL);
}

FIXTURE_TEARDOWN(failnth_bind)
{
}

TEST_F(failnth_bind, bind)
{
	struct nest *n = &self->f.n;
	struct space *a = &self->f.a, *b = &self->f.b;
	int nth, ret, failures = 0;
	bool failed;
	u32 pasid;

	for_each_failure(nth, failed) {
		/* Each time in another page of the PASID table */
		pasid = variant->rid ? NEST_RID : nth * 64;
		if (variant->replace)
			test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid,
					  &a->t));
		fail_arm(nth);
		ret = nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &b->t);
		failed = fail_disarm();

		if (!ret) {
			/* It could do without, or nothing failed */
			dma_copies(_metadata, n, &n->ptd, pasid, b);
			test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, pasid));
			continue;
		}
		ASSERT_TRUE(failed);
		check_failed(_metadata, ret);
		failures++;
		bindings_are(_metadata, n, variant->replace,
			     variant->replace);
		if (variant->replace) {
			dma_copies(_metadata, n, &n->ptd, pasid, a);
			test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, pasid));
		} else {
			dma_refused(_metadata, &n->ptd, pasid);
			dma_stage2(_metadata, n, &n->ptd, a, true);
		}
	}
	ASSERT_FALSE(failed);
	TH_LOG("%d points of failure", nth - 2);
	EXPECT_LT(2, failures);
	bindings_are(_metadata, n, 0, 0);
}

/* What takes a binding away may not need memory that is not there */
TEST_F(failnth_bind, unbind)
{
	struct nest *n = &self->f.n;
	struct space *a = &self->f.a;
	u32 pasid = variant->rid ? NEST_RID : PASID;
	int nth, ret;
	bool failed;

	for_each_failure(nth, failed) {
		test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &a->t));
		fail_arm(nth);
		/* The other two variants: block */
		if (variant->replace)
			ret = nest_block(&n->c, NEST_ALL_GROUPS, pasid);
		else
			ret = nest_unbind(&n->c, NEST_ALL_GROUPS, pasid);
		failed = fail_disarm();
		if (ret) {
			ASSERT_TRUE(failed);
			check_failed(_metadata, ret);
			dma_copies(_metadata, n, &n->ptd, pasid, a);
			test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, pasid));
		}
		dma_refused(_metadata, &n->ptd, pasid);
		bindings_are(_metadata, n, 0, 0);
		if (variant->rid && variant->replace && !ret)
			test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, pasid));
		dma_stage2(_metadata, n, &n->ptd, a, true);
	}
	ASSERT_FALSE(failed);
	TH_LOG("%d points of failure", nth - 2);
}

/* Both groups or none */
TEST_F(failnth_bind, bind_groups)
{
	struct nest *n = &self->f.n;
	struct space *a = &self->f.a, *b = &self->f.b;
	struct vfio_device d2;
	bool failed, replace = variant->replace;
	struct ptd ptd2;
	int nth, ret;
	u32 pasid;

	if (test_nr < 2)
		SKIP(return, "needs two devices");
	nest_add_device(_metadata, n, &d2, &ptd2, 1);
	for_each_failure(nth, failed) {
		pasid = variant->rid ? NEST_RID : nth * 64;
		if (replace)
			test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid,
					  &a->t));
		fail_arm(nth);
		ret = nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &b->t);
		failed = fail_disarm();
		if (ret)
			check_failed(_metadata, ret);
		if (!ret || replace) {
			dma_copies(_metadata, n, &n->ptd, pasid, ret ? a : b);
			dma_copies(_metadata, n, &ptd2, pasid, ret ? a : b);
			bindings_are(_metadata, n, 2, 2);
			test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, pasid));
		} else {
			dma_refused(_metadata, &n->ptd, pasid);
			dma_refused(_metadata, &ptd2, pasid);
			bindings_are(_metadata, n, 0, 0);
		}
	}
	ASSERT_FALSE(failed);
	TH_LOG("%d points of failure", nth - 2);
}

/*
 * What cannot be put back is blocked, and the kernel says so.  Not requests
 * without PASID: where memory stays away the IOMMU core warns of them by itself
 * (__iommu_group_set_domain_internal()).
 */
TEST_F(nesting_failnth, bind_groups_poor)
{
	struct nest *n = &self->n;
	struct space *a = &self->a, *b = &self->b;
	int fd, kmsg, bytes, said = 0, ret = -ENOMEM;
	struct vfio_device d2;
	struct ptd ptd2;

	if (test_nr < 2)
		SKIP(return, "needs two devices");
	if (n->ops->whole)
		SKIP(return, "each group is bound by itself");
	fd = open("/proc/thread-self/make-it-fail", O_WRONLY);
	ASSERT_LE(0, fd);
	kmsg = log_open(_metadata);
	nest_add_device(_metadata, n, &d2, &ptd2, 1);

	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &a->t));
	for (bytes = 0; !said && ret; bytes += 64) {
		poor_arm(fd, bytes);
		ret = nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &b->t);
		poor_disarm(fd);
		EXPECT_EQ(-ENOMEM, ret);
		said = log_lines(kmsg, "PASID 0x1 is blocked, its table could not");
	}
	ASSERT_EQ(1, said);

	/* The first device; the second is what it was */
	bindings_are(_metadata, n, 1, 1);
	dma_refused(_metadata, &n->ptd, PASID);
	dma_stage2(_metadata, n, &n->ptd, a, true);
	dma_copies(_metadata, n, &ptd2, PASID, a);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &b->t));
	dma_copies(_metadata, n, &n->ptd, PASID, b);
	dma_copies(_metadata, n, &ptd2, PASID, b);
}

FIXTURE(failnth_inval)
{
	FIXTURE_DATA(nesting_failnth) f;
};

FIXTURE_VARIANT(failnth_inval)
{
	u32 nr;
};

FIXTURE_VARIANT_ADD(failnth_inval, entries_1)
{
	.nr = 1,
};

FIXTURE_VARIANT_ADD(failnth_inval, entries_64)
{
	.nr = 64,
};

FIXTURE_SETUP(failnth_inval)
{
	nesting_failnth_setup(_metadata, &self->f, NULL);
}

FIXTURE_TEARDOWN(failnth_inval)
{
}

TEST_F(failnth_inval, invalidate)
{
	struct nest *n = &self->f.n;
	struct space *a = &self->f.a;
	union s1_inv_entry e[64 + S1_MAX_INV];
	int nth, ret;
	bool failed;
	u32 done, nr, page;

	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &a->t));
	page = s1_inv_range(&a->t, e, PASID, TEST_SRC, 1);
	for (nr = page; nr < variant->nr; nr += page)
		s1_inv_range(&a->t, &e[nr], PASID, TEST_SRC + nr * SZ_4K, 1);
	for_each_failure(nth, failed) {
		dma_copies(_metadata, n, &n->ptd, PASID, a);
		test_ok(s1_unmap(&a->t, TEST_SRC));
		fail_arm(nth);
		ret = nest_inval(&n->c, NEST_ALL_GROUPS,
				 VFIO_INVALIDATE_TARGET_PASID, PASID, n->ops,
				 e, nr, &done);
		failed = fail_disarm();
		if (ret) {
			ASSERT_TRUE(failed);
			check_failed(_metadata, ret);
		} else {
			EXPECT_EQ(nr, done);
		}
		/* What is said to be done is done */
		if (!ret || (done >= page && done < nr))
			dma_refused(_metadata, &n->ptd, PASID);
		test_ok(nest_inval_range(&n->c, NEST_ALL_GROUPS, PASID, &a->t,
					 TEST_SRC, 1));
		dma_refused(_metadata, &n->ptd, PASID);
		test_ok(s1_map(&a->t, TEST_SRC, a->src, SZ_4K, SZ_4K,
			       S1_READ | S1_USER));
	}
	ASSERT_FALSE(failed);
	TH_LOG("%d points of failure", nth - 2);
}

TEST_F(nesting_failnth, pasid_alloc)
{
	struct nest *n = &self->n;
	int nth, ret, failures = 0;
	bool failed;

	for_each_failure(nth, failed) {
		fail_arm(nth);
		ret = nest_pasid_alloc(&n->c, 0x77, 0x77);
		failed = fail_disarm();
		if (ret < 0) {
			ASSERT_TRUE(failed);
			check_failed(_metadata, ret);
			failures++;
			nest_read_info(_metadata, n);
			EXPECT_EQ(0, n->info.cap.pasid_used);
			/* It is still there to be had */
			ret = nest_pasid_alloc(&n->c, 0x77, 0x77);
		}
		EXPECT_EQ(0x77, ret);
		fail_arm(nth);
		ret = nest_pasid_free(&n->c, 0x77, 0x77);
		fail_disarm();
		if (ret)
			test_ok(nest_pasid_free(&n->c, 0x77, 0x77));
	}
	ASSERT_FALSE(failed);
	TH_LOG("%d points of failure", nth - 2);
	EXPECT_LT(0, failures);
}

/* The first group of a container, and another one in it */
TEST_F(nesting_failnth, attach)
{
	int nth, ret, fd, failures = 0;
	struct nest *n = &self->n;
	struct vfio_container c;
	u64 used = n->g.used;
	bool failed;

	vfio_device_close(&n->d);
	vfio_container_close(&n->c);
	fd = vfio_group_open(test_bdf[0], NULL);
	ASSERT_LE(0, fd);
	for_each_failure(nth, failed) {
		/* A table of PASIDs is in the guest's memory */
		n->g.used = used;
		test_ok(vfio_container_open(&c));
		test_ok(vfio_group_set_container(fd, &c));
		fail_arm(nth);
		ret = vfio_container_set_type(&c, VFIO_TYPE1_NESTING_IOMMU);
		failed = fail_disarm();
		if (ret) {
			ASSERT_TRUE(failed);
			check_failed(_metadata, ret);
			failures++;
			test_ok(vfio_container_set_type(&c,
							VFIO_TYPE1_NESTING_IOMMU));
		}
		test_ok(nest_bind(&c, fd, PASID, &self->a.t));
		test_ok(vfio_group_unset_container(fd));
		vfio_container_close(&c);
	}
	ASSERT_FALSE(failed);
	TH_LOG("%d points of failure", nth - 2);
	EXPECT_LT(2, failures);
}

/*
 * Faults
 */
#define FAULT_KINDS							\
	(VFIO_DMA_FAULT_UNRECOVERABLE | VFIO_DMA_FAULT_PAGE_REQUEST)

/* A page that no table has */
#define NO_PAGE		(TEST_DST + TEST_LEN)

FIXTURE(failnth_fault)
{
	struct nest n;
	struct space s;
	struct fault_ring r;
};

FIXTURE_SETUP(failnth_fault)
{
	struct nest *n = &self->n;

	if (!fail_setup())
		SKIP(return, "no fault injection in this kernel");
	nest_setup_demand(_metadata, n);
	if (_metadata->exit_code)
		return;
	space_init(_metadata, n, &self->s, 0xa1);
	self->s.t.demand = true;
	/* Mapped, and off */
	test_ok(fault_open(&self->r, &n->d, FAULT_KINDS, 64));
	test_ok(fault_set(&n->d, 0, 0, -1));
}

FIXTURE_TEARDOWN(failnth_fault)
{
}

/* Faults from now on, in an empty ring */
static int faults_on(FIXTURE_DATA(failnth_fault) *self, u32 kinds, u32 depth)
{
	self->r.index = 0;
	self->r.depth = depth;
	return fault_set(&self->n.d, kinds, depth, self->r.eventfd);
}

/* The device asks for a page: somebody hears that, or it was told no */
static void ask(struct __test_metadata *_metadata,
		FIXTURE_DATA(failnth_fault) *self, struct vfio_dma_fault *f,
		bool heard)
{
	struct nest *n = &self->n;

	if (!n->ops->stalls)
		EXPECT_EQ(heard, !!(ptd_read32(&n->ptd, PTD_STATUS) &
				    PTD_STATUS_PRI));
	dma_demand(n, &n->ptd, 0, PASID, NO_PAGE);
	if (!heard) {
		dma_ended(_metadata, &n->ptd, 0, PTD_ST_READ_FAULT);
		return;
	}
	ASSERT_EQ(1, fault_next(&self->r, f, WAIT_MS));
	ASSERT_EQ(VFIO_DMA_FAULT_TYPE_PAGE_REQUEST, f->type);
	EXPECT_EQ(NO_PAGE, f->addr);
}

/* And is told no in the end */
static void check_requests(struct __test_metadata *_metadata,
			   FIXTURE_DATA(failnth_fault) *self, bool on)
{
	struct vfio_dma_fault f;

	ask(_metadata, self, &f, on);
	if (!on)
		return;
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_INVALID));
	dma_ended(_metadata, &self->n.ptd, 0, PTD_ST_READ_FAULT);
}

TEST_F(failnth_fault, enable)
{
	struct nest *n = &self->n;
	int nth, ret, failures = 0;
	bool failed;

	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
	for_each_failure(nth, failed) {
		fail_arm(nth);
		ret = faults_on(self, FAULT_KINDS, 64);
		failed = fail_disarm();
		if (ret) {
			ASSERT_TRUE(failed);
			check_failed(_metadata, ret);
			failures++;
			test_err(ENODATA, fault_drain(&n->d));
		} else {
			test_ok(fault_drain(&n->d));
		}
		check_requests(_metadata, self, !ret);
		test_ok(fault_set(&n->d, 0, 0, -1));
		check_requests(_metadata, self, false);
	}
	ASSERT_FALSE(failed);
	TH_LOG("%d points of failure", nth - 2);
	EXPECT_LT(5, failures);
}

/* The first bind switches page requests on, or nothing happened */
TEST_F(failnth_fault, bind)
{
	struct nest *n = &self->n;
	struct fault_ring *r = &self->r;
	int nth, ret;
	bool failed;

	test_ok(faults_on(self, FAULT_KINDS, 64));
	for_each_failure(nth, failed) {
		fail_arm(nth);
		ret = nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t);
		failed = fail_disarm();
		check_requests(_metadata, self, !ret);
		bindings_are(_metadata, n, !ret, !ret);
		if (ret)
			check_failed(_metadata, ret);
		else
			test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, PASID));
		check_requests(_metadata, self, false);
		/* The faults of those that were told no */
		test_ok(fault_drain(&n->d));
		fault_consume(r, fault_pending(r));
	}
	ASSERT_FALSE(failed);
	TH_LOG("%d points of failure", nth - 2);
}

/* Another depth, more kinds */
TEST_F(failnth_fault, change)
{
	const u32 few = VFIO_DMA_FAULT_UNRECOVERABLE;
	struct nest *n = &self->n;
	struct fault_ring *r = &self->r;
	int nth, ret;
	bool failed;

	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
	for_each_failure(nth, failed) {
		test_ok(faults_on(self, few, 64));
		fail_arm(nth);
		ret = fault_set(&n->d, FAULT_KINDS, 128, r->eventfd);
		failed = fail_disarm();
		if (ret) {
			ASSERT_TRUE(failed);
			check_failed(_metadata, ret);
		}
		EXPECT_EQ(ret ? 64 : 128, r->header->depth);
		check_requests(_metadata, self, !ret);
		test_ok(fault_set(&n->d, 0, 0, -1));
	}
	ASSERT_FALSE(failed);
	TH_LOG("%d points of failure", nth - 2);
}

/* An answer is taken once, or was not */
TEST_F(failnth_fault, answer)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;
	bool failed;
	int nth, ret;

	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
	test_ok(faults_on(self, FAULT_KINDS, 64));
	for_each_failure(nth, failed) {
		ask(_metadata, self, &f, true);
		fail_arm(nth);
		ret = fault_answer(&self->r, &f,
				   VFIO_DMA_FAULT_RESPONSE_INVALID);
		failed = fail_disarm();
		if (ret) {
			ASSERT_TRUE(failed);
			check_failed(_metadata, ret);
			test_ok(fault_answer(&self->r, &f,
					     VFIO_DMA_FAULT_RESPONSE_INVALID));
		}
		test_err(ENOENT, fault_answer(&self->r, &f,
					      VFIO_DMA_FAULT_RESPONSE_INVALID));
		dma_ended(_metadata, &n->ptd, 0, PTD_ST_READ_FAULT);
	}
	ASSERT_FALSE(failed);
	TH_LOG("%d points of failure", nth - 2);
}

VFIO_TEST_MAIN
