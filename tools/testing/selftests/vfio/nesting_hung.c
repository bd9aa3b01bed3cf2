// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that answers no invalidation of its TLB: a reset gets it back, and
 * nobody who asks it keeps others from that.
 */
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#include <sys/wait.h>

#include "nest_test.h"

#define PASID	1

FIXTURE(hung)
{
	struct nest n;
	struct space s;
	int (*ask)(struct nest *n, struct space *s);
	int ret;
	bool done;
};

/* What has the kernel ask the TLB, for as long as it takes */
FIXTURE_VARIANT(hung)
{
	int (*ask)(struct nest *n, struct space *s);
	bool irqs_off;
};

static int ask_unbind(struct nest *n, struct space *s)
{
	return nest_unbind(&n->c, NEST_ALL_GROUPS, PASID);
}

FIXTURE_VARIANT_ADD(hung, unbind)
{
	.ask = ask_unbind,
};

static int ask_rebind(struct nest *n, struct space *s)
{
	return nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &s->t);
}

FIXTURE_VARIANT_ADD(hung, rebind)
{
	.ask = ask_rebind,
};

static int ask_unmap(struct nest *n, struct space *s)
{
	return vfio_unmap(&n->c, n->g.gpa, n->g.size, NULL);
}

FIXTURE_VARIANT_ADD(hung, unmap)
{
	.ask = ask_unmap,
	.irqs_off = true,
};

FIXTURE_SETUP(hung)
{
	struct nest *n = &self->n;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "needs a processor for who waits");
	nest_setup_mon(_metadata, n, 0);
	if (_metadata->exit_code)
		return;
	self->ask = variant->ask;
	space_init(_metadata, n, &self->s, 0xa1);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
	EXPECT_NE(0, ptd_read64(&n->ptd, PTD_CNT_ATS_REQ));
}

FIXTURE_TEARDOWN(hung)
{
}

static void run_on(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

/* Interrupts are off meanwhile: not where the others run */
static void *ask_thread(void *arg)
{
	FIXTURE_DATA(hung) *self = arg;

	run_on(sysconf(_SC_NPROCESSORS_ONLN) - 1);
	self->ret = self->ask(&self->n, &self->s);
	__atomic_store_n(&self->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void stop_answering(struct nest *n)
{
	imon_write32(&n->mon, IMON_INV_TIMEOUT, n->sid |
		     IMON_INV_TIMEOUT_ARMED | IMON_INV_TIMEOUT_STICKY);
}

/* Stop answering, and have somebody ask */
static pthread_t hang(struct __test_metadata *_metadata,
		      FIXTURE_DATA(hung) *self)
{
	struct nest *n = &self->n;
	pthread_t thread = 0;
	u64 before;

	run_on(0);
	before = imon_total(&n->mon, IOMMU_MON_EV_ITE);
	stop_answering(n);
	ASSERT_EQ(0, pthread_create(&thread, NULL, ask_thread, self));
	/* VT-d asks again until it is answered, SMMUv3 once */
	while (imon_total(&n->mon, IOMMU_MON_EV_ITE) == before &&
	       !__atomic_load_n(&self->done, __ATOMIC_ACQUIRE))
		sched_yield();
	EXPECT_LT(before, imon_total(&n->mon, IOMMU_MON_EV_ITE));
	return thread;
}

static int ask_all(struct nest *n, struct space *s)
{
	return nest_inval_range(&n->c, NEST_ALL_GROUPS, PASID, &s->t, TEST_SRC,
				1);
}

/* A reset is what makes it answer again */
static void cure(struct __test_metadata *_metadata, struct nest *n)
{
	test_ok(vfio_device_reset(&n->d));
	imon_write32(&n->mon, IMON_INV_TIMEOUT, 0);
}

/* All is as if it had always answered */
static void well_again(struct __test_metadata *_metadata, struct nest *n,
		       struct space *s)
{
	nest_close(n);
	memset(n, 0, sizeof(*n));
	nest_setup_mon(_metadata, n, 0);
	ASSERT_EQ(0, _metadata->exit_code);
	space_init(_metadata, n, s, 0xcc);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &s->t));
	dma_copies(_metadata, n, &n->ptd, PASID, s);
	EXPECT_NE(0, ptd_read64(&n->ptd, PTD_CNT_ATS_REQ));
	test_ok(s1_unmap(&s->t, TEST_SRC));
	test_ok(ask_all(n, s));
	dma_refused(_metadata, &n->ptd, PASID);
	nest_close(n);
}

TEST_F(hung, reset)
{
	pthread_t thread = hang(_metadata, self);

	cure(_metadata, &self->n);
	pthread_join(thread, NULL);
	/* SMMUv3 does not ask again: a BIND fails */
	if (!self->n.ops->whole || self->ret != -EIO)
		EXPECT_EQ(0, self->ret);
	well_again(_metadata, &self->n, &self->s);
}

/*
 * Resets @bdf when it may, in a process of its own: one that shares memory with
 * who waits would have to interrupt it
 */
static pid_t resetter(const char *bdf, int *go)
{
	int fds[2];
	pid_t pid;
	char c;

	if (pipe(fds))
		return -1;
	pid = fork();
	if (!pid) {
		close(fds[1]);
		_exit(read(fds[0], &c, 1) != 1 ||
		      vfio_sysfs_write(bdf, "reset", "1"));
	}
	close(fds[0]);
	*go = fds[1];
	return pid;
}

/* Of a function that is well, while another is not */
TEST_F(hung, reset_another)
{
	struct nest other = {};
	pthread_t thread;
	struct space s;
	int go, status;
	pid_t pid;

	if (test_nr < 2)
		SKIP(return, "needs two devices");
	/* If it is the one that keeps time, no sleep ends, nor one of a reset */
	if (variant->irqs_off)
		test_skip(return, "a processor waits with interrupts off");
	nest_setup_ptd(_metadata, &other, 1);
	if (_metadata->exit_code)
		return;
	space_init(_metadata, &other, &s, 0xb2);
	test_ok(nest_bind(&other.c, NEST_ALL_GROUPS, PASID, &s.t));
	pid = resetter(test_bdf[1], &go);
	ASSERT_LT(0, pid);
	thread = hang(_metadata, self);

	ASSERT_EQ(1, write(go, "", 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	cure(_metadata, &self->n);
	pthread_join(thread, NULL);
	/* SMMUv3 does not ask again: a BIND fails */
	if (!self->n.ops->whole || self->ret != -EIO)
		EXPECT_EQ(0, self->ret);

	/* With its TLB, if not at once then from the next reset on */
	test_ok(vfio_device_reset(&other.d));
	test_ok(ptd_init(&other.ptd, &other.d));
	dma_copies(_metadata, &other, &other.ptd, PASID, &s);
	EXPECT_NE(0, ptd_read64(&other.ptd, PTD_CNT_ATS_REQ));
	nest_close(&other);
	well_again(_metadata, &self->n, &self->s);
}

/* Its owner is told once, and is then refused until a reset */
FIXTURE(hung_owner)
{
	struct nest n;
	struct space s;
};

FIXTURE_SETUP(hung_owner)
{
	struct nest *n = &self->n;

	nest_setup_mon(_metadata, n, 0);
	if (_metadata->exit_code)
		return;
	/* Not where SMMUv3's interrupt is, which would wait for us */
	run_on(sysconf(_SC_NPROCESSORS_ONLN) - 1);
	space_init(_metadata, n, &self->s, 0xa1);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
}

FIXTURE_TEARDOWN(hung_owner)
{
}

TEST_F(hung_owner, invalidate)
{
	struct nest *n = &self->n;
	u64 before = imon_total(&n->mon, IOMMU_MON_EV_ITE), first;
	int i;

	stop_answering(n);
	/* SMMUv3 does not say who it was: it is tried three times */
	test_err(EIO, ask_all(n, &self->s));
	first = imon_total(&n->mon, IOMMU_MON_EV_ITE);
	EXPECT_LT(before, first);
	EXPECT_GE(before + (n->ops->whole ? 3 : 1), first);
	for (i = 0; i < 100; i++)
		test_err(EIO, ask_all(n, &self->s));
	EXPECT_EQ(first, imon_total(&n->mon, IOMMU_MON_EV_ITE));

	/* Also when it would answer: whether it did all before is not known */
	imon_write32(&n->mon, IMON_INV_TIMEOUT, 0);
	test_err(EIO, ask_all(n, &self->s));
	test_ok(vfio_device_reset(&n->d));
	test_ok(ask_all(n, &self->s));
	test_ok(ptd_init(&n->ptd, &n->d));
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
	nest_close(n);
}

/* The guest's wait for its page requests ends as well */
TEST_F(hung_owner, drain)
{
	struct nest *n = &self->n;
	struct fault_ring r;
	int ret;

	ret = fault_open(&r, &n->d, VFIO_DMA_FAULT_UNRECOVERABLE |
			 VFIO_DMA_FAULT_PAGE_REQUEST, 16);
	if (ret == -EOPNOTSUPP)
		test_skip(return, "no page requests here");
	test_ok(ret);
	stop_answering(n);
	test_ok(fault_drain(&n->d));
	cure(_metadata, n);
	test_ok(fault_drain(&n->d));
	fault_close(&r);
	nest_close(n);
}

VFIO_TEST_MAIN
