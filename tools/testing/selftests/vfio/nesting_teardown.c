// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of bindings: in every order, by force and by reset.  The next user
 * of a device finds nothing of the last one, and nothing is left allocated.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "nest_test.h"

#define PASID	1

/* Whoever has device @index now is alone with it */
static void next_user(struct __test_metadata *_metadata, int index)
{
	struct nest n = {};
	struct space s;

	nest_setup_ptd(_metadata, &n, index);
	if (_metadata->exit_code)
		return;
	EXPECT_EQ(0, n.info.cap.nr_bindings);
	EXPECT_EQ(0, n.info.cap.pasid_used);
	dma_refused(_metadata, &n.ptd, PASID);
	dma_refused(_metadata, &n.ptd, NEST_RID);

	/* The same PASID and addresses lead to new memory, and no further */
	space_init(_metadata, &n, &s, 0xcc);
	dma_stage2(_metadata, &n, &n.ptd, &s, true);
	test_ok(s1_unmap(&s.t, TEST_SRC + SZ_4K));
	test_ok(nest_bind(&n.c, NEST_ALL_GROUPS, PASID, &s.t));
	test_ok(nest_bind(&n.c, NEST_ALL_GROUPS, NEST_RID, &s.t));
	EXPECT_EQ(PTD_ST_READ_FAULT,
		  ptd_crc(&n.ptd, PASID, TEST_SRC + SZ_4K, 64, 0, NULL));
	EXPECT_EQ(PTD_ST_READ_FAULT,
		  ptd_crc(&n.ptd, PTD_NO_PASID, TEST_SRC + SZ_4K, 64, 0, NULL));
	test_ok(s1_map(&s.t, TEST_SRC + SZ_4K, s.src + SZ_4K, SZ_4K, SZ_4K,
		       S1_READ | S1_USER));
	dma_copies(_metadata, &n, &n.ptd, PASID, &s);
	dma_copies(_metadata, &n, &n.ptd, NEST_RID, &s);
	nest_close(&n);
}

/* Bound with and without PASID, and cached wherever it can be */
static void use(struct __test_metadata *_metadata, struct nest *n,
		struct space *s, u8 fill)
{
	space_init(_metadata, n, s, fill);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &s->t));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, NEST_RID, &s->t));
	dma_copies(_metadata, n, &n->ptd, PASID, s);
	dma_copies(_metadata, n, &n->ptd, NEST_RID, s);
}

/*
 * Orders of closing
 */

FIXTURE(teardown_order)
{
	struct nest n;
	struct space s;
};

/* c: container, g: group, d: device */
FIXTURE_VARIANT(teardown_order)
{
	const char *order;
};

FIXTURE_VARIANT_ADD(teardown_order, cgd)
{
	.order = "cgd",
};

FIXTURE_VARIANT_ADD(teardown_order, cdg)
{
	.order = "cdg",
};

FIXTURE_VARIANT_ADD(teardown_order, gcd)
{
	.order = "gcd",
};

FIXTURE_VARIANT_ADD(teardown_order, gdc)
{
	.order = "gdc",
};

FIXTURE_VARIANT_ADD(teardown_order, dcg)
{
	.order = "dcg",
};

FIXTURE_VARIANT_ADD(teardown_order, dgc)
{
	.order = "dgc",
};

FIXTURE_SETUP(teardown_order)
{
	nest_setup_ptd(_metadata, &self->n, 0);
}

FIXTURE_TEARDOWN(teardown_order)
{
}

TEST_F(teardown_order, close)
{
	struct nest *n = &self->n;
	bool device = true;
	const char *o;

	use(_metadata, n, &self->s, 0xa1);
	for (o = variant->order; *o; o++) {
		switch (*o) {
		case 'c':
			close(n->c.fd);
			break;
		case 'g':
			close(n->d.group_fd);
			break;
		case 'd':
			vfio_device_close(&n->d);
			device = false;
			break;
		}
		/* An open device keeps its group and its container */
		if (device) {
			dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
			dma_copies(_metadata, n, &n->ptd, NEST_RID, &self->s);
		}
	}
	next_user(_metadata, 0);
}

FIXTURE(nesting_teardown)
{
	struct nest n;
	struct space s;
};

FIXTURE_SETUP(nesting_teardown)
{
	nest_setup_ptd(_metadata, &self->n, 0);
}

FIXTURE_TEARDOWN(nesting_teardown)
{
}

/* The device is closed and opened again: bindings are the container's */
TEST_F(nesting_teardown, reopen_device)
{
	struct nest *n = &self->n;

	use(_metadata, n, &self->s, 0xa1);
	vfio_device_close(&n->d);
	test_ok(vfio_device_get(&n->d, n->c.groups[0].fd, test_bdf[0]));
	test_ok(ptd_init(&n->ptd, &n->d));
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
	dma_copies(_metadata, n, &n->ptd, NEST_RID, &self->s);
}

/* A mapping of a BAR holds the device, and with it all else */
TEST_F(nesting_teardown, bar_holds_device)
{
	struct nest *n = &self->n;

	use(_metadata, n, &self->s, 0xa1);
	close(n->d.fd);
	close(n->d.group_fd);
	close(n->c.fd);
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
	munmap(n->d.bar[0], n->d.bar_size[0]);
	next_user(_metadata, 0);
}

/* One group leaves, the other stays and does not notice */
TEST_F(nesting_teardown, one_group_leaves)
{
	struct nest *n = &self->n;
	struct vfio_device d2;
	struct ptd ptd2;
	int i;

	if (test_nr < 2)
		SKIP(return, "needs two devices");
	use(_metadata, n, &self->s, 0xa1);
	for (i = 0; i < 3; i++) {
		nest_add_device(_metadata, n, &d2, &ptd2, 1);
		/* A group that joins has nothing bound */
		dma_refused(_metadata, &ptd2, PASID);
		dma_refused(_metadata, &ptd2, NEST_RID);
		dma_stage2(_metadata, n, &ptd2, &self->s, true);
		test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
		dma_copies(_metadata, n, &ptd2, PASID, &self->s);
		bindings_are(_metadata, n, 3, 2);

		vfio_device_close(&d2);
		vfio_container_detach(&n->c, d2.group_fd);
		bindings_are(_metadata, n, 2, 1);
		dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
		dma_copies(_metadata, n, &n->ptd, NEST_RID, &self->s);
	}
	next_user(_metadata, 1);
}

/* What process after process leaves behind is no longer there */
TEST(teardown_next_user)
{
	u8 fill[] = { 0xa1, 0xb2, 0xd3, 0xe4 };
	int status;
	unsigned int i;
	pid_t child;

	if (!test_nr)
		SKIP(return, "no device is bound to vfio-pci");
	for (i = 0; i < ARRAY_SIZE(fill); i++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			struct nest n = {};
			struct space s;

			nest_setup_ptd(_metadata, &n, 0);
			if (!_metadata->exit_code)
				use(_metadata, &n, &s, fill[i]);
			_exit(0);
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		if (_metadata->exit_code)
			return;
	}
	next_user(_metadata, 0);
}

/*
 * kill -9
 */

FIXTURE(teardown_kill)
{
	u8 *mem;
	struct imon mon;
};

/* What the device is doing when its process dies */
FIXTURE_VARIANT(teardown_kill)
{
	bool hold_queue;	/* stopped between two descriptors */
	bool hold_dma;		/* stopped in the middle of accesses */
};

FIXTURE_VARIANT_ADD(teardown_kill, writing)
{
};

FIXTURE_VARIANT_ADD(teardown_kill, queue_held)
{
	.hold_queue = true,
};

FIXTURE_VARIANT_ADD(teardown_kill, dma_held)
{
	.hold_dma = true,
};

FIXTURE_SETUP(teardown_kill)
{
	if (!test_nr)
		SKIP(return, "no device is bound to vfio-pci");
	if (imon_open(&self->mon) && variant->hold_dma)
		SKIP(return, "no iommu-monitor in this machine");
	self->mem = mmap(NULL, TEST_MEM, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
}

FIXTURE_TEARDOWN(teardown_kill)
{
	if (self->mon.bar)
		imon_write32(&self->mon, IMON_DMA_HOLD, 0);
}

/* Lets the device write to all of TEST_DST, with two queues, for ever */
static void victim(struct __test_metadata *_metadata, void *mem, int ready,
		   bool hold_queue)
{
	struct nest n = { .mem = mem };
	struct ptd_desc d = {
		.op = PTD_OP_FILL,
		.dst = TEST_DST,
		.imm = 0x5a5a5a5a5a5a5a5aull,
		.len = TEST_LEN,
	};
	struct space s;
	u32 ids[] = { ptd_pasid(PASID), 0 };
	unsigned int q;

	nest_setup_ptd(_metadata, &n, 0);
	if (_metadata->exit_code)
		_exit(0);
	use(_metadata, &n, &s, 0xa1);
	if (hold_queue)
		test_ok(ptd_hold(&n.ptd, 2));
	ASSERT_EQ(1, write(ready, "", 1));
	for (;;) {
		for (q = 0; q < 3; q++) {
			d.pasid = ids[q & 1];
			if (ptd_read32(&n.ptd, PTD_QUEUE(q) + PTD_Q_PENDING) <
			    8)
				ptd_submit(&n.ptd, q, &d);
		}
	}
}

TEST_F(teardown_kill, in_mid_dma)
{
	int ready[2], status, round;
	pid_t child;
	char c;

	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, pipe(ready));
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			close(ready[0]);
			victim(_metadata, self->mem, ready[1],
			       variant->hold_queue);
		}
		close(ready[1]);
		if (read(ready[0], &c, 1) != 1) {
			/* It said why */
			waitpid(child, &status, 0);
			return;
		}
		usleep(20000);
		if (variant->hold_dma)
			imon_write32(&self->mon, IMON_DMA_HOLD, 1);
		kill(child, SIGKILL);
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
		close(ready[0]);

		/* From now on the memory is for others */
		memset(self->mem, 0, TEST_MEM);
		if (variant->hold_dma)
			imon_write32(&self->mon, IMON_DMA_HOLD, 0);
		usleep(50000);
		EXPECT_EQ(0, self->mem[0]);
		EXPECT_EQ(0, memcmp(self->mem, self->mem + 1, TEST_MEM - 1));
		next_user(_metadata, 0);
	}
}

/*
 * Reset
 */

TEST_F(nesting_teardown, reset)
{
	struct nest *n = &self->n;
	int i;

	use(_metadata, n, &self->s, 0xa1);
	for (i = 0; i < 3; i++) {
		test_ok(vfio_device_reset(&n->d));
		test_ok(ptd_init(&n->ptd, &n->d));
		EXPECT_TRUE(ptd_read32(&n->ptd, PTD_STATUS) &
			    PTD_STATUS_PASID);
		/* The bindings are there as before */
		dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
		dma_copies(_metadata, n, &n->ptd, NEST_RID, &self->s);
		dma_refused(_metadata, &n->ptd, PASID + 1);
		bindings_are(_metadata, n, 2, 1);
	}
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, PASID));
	test_ok(vfio_device_reset(&n->d));
	test_ok(ptd_init(&n->ptd, &n->d));
	dma_refused(_metadata, &n->ptd, PASID);
	dma_copies(_metadata, n, &n->ptd, NEST_RID, &self->s);
}

/* A blocked function stays blocked */
TEST_F(nesting_teardown, reset_blocked)
{
	struct nest *n = &self->n;

	use(_metadata, n, &self->s, 0xa1);
	test_ok(nest_block(&n->c, NEST_ALL_GROUPS, NEST_RID));
	test_ok(vfio_device_reset(&n->d));
	test_ok(ptd_init(&n->ptd, &n->d));
	dma_refused(_metadata, &n->ptd, NEST_RID);
	dma_stage2(_metadata, n, &n->ptd, &self->s, false);
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
}

/* Nobody has it open, so it is in D3: does it answer anything?  */
static void still_asleep(struct __test_metadata *_metadata,
			 const struct imon *mon, const char *bdf, u64 timeouts)
{
	char state[32];

	test_ok(vfio_sysfs_read(bdf, "power_state", state, sizeof(state)));
	EXPECT_EQ(0, strncmp(state, "D3", 2));
	EXPECT_EQ(timeouts, imon_total(mon, IOMMU_MON_EV_ITE));
	EXPECT_EQ(0, imon_total(mon, IOMMU_MON_EV_ATS_OFF));
}

/* A group comes and goes, and its device is not opened */
TEST(teardown_not_opened)
{
	struct vfio_container c;
	struct imon mon;
	u64 timeouts;
	int ret, fd, i;

	if (!test_nr)
		SKIP(return, "no device is bound to vfio-pci");
	if (imon_open(&mon))
		SKIP(return, "no iommu-monitor in this machine");
	ret = vfio_idle_d3() ? vfio_wait_asleep(test_bdf[0]) : -ENOENT;
	if (ret == -ENOENT)
		SKIP(return, "%s is never put to sleep", test_bdf[0]);
	test_ok(ret);
	imon_clear(&mon);
	timeouts = imon_total(&mon, IOMMU_MON_EV_ITE);
	for (i = 0; i < 2; i++) {
		test_ok(vfio_container_open(&c));
		fd = vfio_container_attach(&c, VFIO_TYPE1_NESTING_IOMMU,
					   test_bdf[0]);
		ASSERT_LE(0, fd);
		still_asleep(_metadata, &mon, test_bdf[0], timeouts);
		vfio_container_detach(&c, fd);
		vfio_container_close(&c);
		still_asleep(_metadata, &mon, test_bdf[0], timeouts);
	}
	next_user(_metadata, 0);
}

/* Of stage 1, of stage 2, of a whole PASID, while @n's device is asleep */
static void change_all(struct __test_metadata *_metadata, struct nest *n,
		       struct space *s, struct space *b)
{
	test_ok(s1_unmap(&s->t, TEST_SRC));
	test_ok(nest_inval_range(&n->c, NEST_ALL_GROUPS, PASID, &s->t,
				 TEST_SRC, 1));
	test_ok(nest_inval_range(&n->c, NEST_ALL_GROUPS, NEST_RID, &s->t,
				 TEST_SRC, 1));
	test_ok(vfio_unmap(&n->c, n->g.gpa, n->g.size, NULL));
	test_ok(vfio_map(&n->c, n->g.va, n->g.gpa, n->g.size,
			 VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE));
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, PASID + 1));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID + 2, &b->t));
}

/* Awake, the device sees what change_all() has made of its bindings */
static void all_changed(struct __test_metadata *_metadata, struct nest *n,
			struct space *s, struct space *b)
{
	const u32 on = PTD_STATUS_PASID | PTD_STATUS_ATS | PTD_STATUS_BUSMASTER;

	test_ok(ptd_init(&n->ptd, &n->d));
	EXPECT_EQ(on, ptd_read32(&n->ptd, PTD_STATUS) & on);
	dma_refused(_metadata, &n->ptd, PASID);
	dma_refused(_metadata, &n->ptd, NEST_RID);
	dma_refused(_metadata, &n->ptd, PASID + 1);
	dma_copies(_metadata, n, &n->ptd, PASID + 2, b);
	test_ok(s1_map(&s->t, TEST_SRC, s->src, SZ_4K, SZ_4K,
		       S1_READ | S1_USER));
	dma_copies(_metadata, n, &n->ptd, PASID, s);
}

/* Who puts the device to sleep */
enum sleep {
	SLEEP_D3HOT,		/* its user, by its capability */
	SLEEP_LOW_POWER,	/* the kernel, asked to by its user */
	SLEEP_CLOSED,		/* the kernel: nobody has it open */
};

static int fall_asleep(struct nest *n, enum sleep how)
{
	int ret;

	switch (how) {
	case SLEEP_D3HOT:
		return vfio_device_power(&n->d, 3);
	case SLEEP_LOW_POWER:
		ret = vfio_device_low_power(&n->d, true);
		if (ret)
			return ret;
		break;
	case SLEEP_CLOSED:
		if (!vfio_idle_d3())
			return -ENOENT;
		vfio_device_close(&n->d);
		break;
	}
	return vfio_wait_asleep(test_bdf[0]);
}

static int wake_up(struct nest *n, enum sleep how)
{
	switch (how) {
	case SLEEP_D3HOT:
		return vfio_device_power(&n->d, 0);
	case SLEEP_LOW_POWER:
		return vfio_device_low_power(&n->d, false);
	case SLEEP_CLOSED:
		break;
	}
	return vfio_device_get(&n->d, n->c.groups[0].fd, test_bdf[0]);
}

FIXTURE(teardown_asleep)
{
	struct nest n;
	struct space s;
	struct space b;
};

FIXTURE_VARIANT(teardown_asleep)
{
	enum sleep how;
};

FIXTURE_VARIANT_ADD(teardown_asleep, d3hot)
{
	.how = SLEEP_D3HOT,
};

FIXTURE_VARIANT_ADD(teardown_asleep, low_power)
{
	.how = SLEEP_LOW_POWER,
};

/* Bindings are the container's */
FIXTURE_VARIANT_ADD(teardown_asleep, closed)
{
	.how = SLEEP_CLOSED,
};

FIXTURE_SETUP(teardown_asleep)
{
	nest_setup_mon(_metadata, &self->n, 0);
}

FIXTURE_TEARDOWN(teardown_asleep)
{
}

/* A device that sleeps answers nothing, is asked nothing, and wakes up clean */
TEST_F(teardown_asleep, asleep)
{
	struct nest *n = &self->n;
	struct space *s = &self->s, *b = &self->b;
	u64 timeouts;
	int ret;

	use(_metadata, n, s, 0xa1);
	space_init(_metadata, n, b, 0xb2);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID + 1, &b->t));
	dma_copies(_metadata, n, &n->ptd, PASID + 1, b);
	imon_clear(&n->mon);
	timeouts = imon_total(&n->mon, IOMMU_MON_EV_ITE);
	ret = fall_asleep(n, variant->how);
	if (ret == -ENOENT)
		SKIP(return, "%s is never put to sleep", test_bdf[0]);
	test_ok(ret);
	change_all(_metadata, n, s, b);
	still_asleep(_metadata, &n->mon, test_bdf[0], timeouts);
	test_ok(wake_up(n, variant->how));
	all_changed(_metadata, n, s, b);

	/* Whoever is next need not know */
	test_ok(fall_asleep(n, variant->how));
	vfio_device_close(&n->d);
	vfio_container_close(&n->c);
	EXPECT_EQ(timeouts, imon_total(&n->mon, IOMMU_MON_EV_ITE));
	imon_close(&n->mon);
	next_user(_metadata, 0);
}

/* The consumer of its faults is told, also if the device has no ATS */
TEST(teardown_asleep_told)
{
	const u32 kinds = VFIO_DMA_FAULT_UNRECOVERABLE;
	struct vfio_dma_fault f;
	int i, ret, tested = 0;

	for (i = 0; i < test_nr; i++) {
		struct nest n = {};
		struct fault_ring r;

		nest_setup(_metadata, &n, i);
		if (_metadata->exit_code)
			return;
		ret = fault_open(&r, &n.d, kinds, 16);
		if (ret != -ENOTTY) {
			test_ok(ret);
			EXPECT_EQ(0, r.header->resets);
			ret = vfio_device_power(&n.d, 3);
			if (ret != -ENOENT) {
				test_ok(ret);
				EXPECT_EQ(1, r.header->resets) {
					TH_LOG("%s", n.d.bdf);
				}
				EXPECT_EQ(1, fault_next(&r, &f, 0));
				EXPECT_EQ(VFIO_DMA_FAULT_TYPE_RESET, f.type);
				test_ok(vfio_device_power(&n.d, 0));
				EXPECT_EQ(1, r.header->resets);
				tested++;
			}
			fault_close(&r);
		}
		nest_close(&n);
	}
	if (!tested)
		test_skip(return, "no device here sleeps and has faults");
}

struct inval_loop {
	struct nest *n;
	struct space *s;
	volatile int calls;
	volatile int ret;
	bool stop;
};

static void *inval_loop(void *arg)
{
	struct inval_loop *l = arg;

	while (!__atomic_load_n(&l->stop, __ATOMIC_RELAXED)) {
		l->ret = nest_inval_range(&l->n->c, NEST_ALL_GROUPS, PASID,
					  &l->s->t, TEST_SRC, 2);
		l->calls++;
		if (l->ret)
			break;
	}
	return NULL;
}

/* A guest can reset a device and invalidate its TLB at the same time */
TEST_F(nesting_teardown, reset_while_invalidating)
{
	struct nest *n = &self->n;
	struct inval_loop l = { .n = n, .s = &self->s };
	u64 end = vfio_now_ms() + WAIT_MS;
	pthread_t thread;
	int i = 0, calls;

	use(_metadata, n, &self->s, 0xa1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, inval_loop, &l));
	/* It goes on meanwhile, but for resets that are too short for that */
	while (i < 10 && !l.ret && vfio_now_ms() < end) {
		calls = l.calls;
		test_ok(vfio_device_reset(&n->d));
		i += calls < l.calls;
	}
	EXPECT_EQ(10, i);
	__atomic_store_n(&l.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, l.ret);
	test_ok(ptd_init(&n->ptd, &n->d));
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
}

/* The group leaves under other threads' ioctls */
TEST_F(nesting_teardown, detach_while_invalidating)
{
	struct nest *n = &self->n;
	struct inval_loop l = { .n = n, .s = &self->s };
	pthread_t thread;
	int i, fd;

	use(_metadata, n, &self->s, 0xa1);
	vfio_device_close(&n->d);
	for (i = 0; i < 20; i++) {
		l.ret = 0;
		ASSERT_EQ(0, pthread_create(&thread, NULL, inval_loop, &l));
		usleep(1000 * (i % 4));
		vfio_container_detach(&n->c, n->c.groups[0].fd);
		pthread_join(thread, NULL);
		/* No group, no IOMMU: as any ioctl of an empty container */
		EXPECT_EQ(-EINVAL, l.ret);

		fd = vfio_container_attach(&n->c, VFIO_TYPE1_NESTING_IOMMU,
					   test_bdf[0]);
		ASSERT_LE(0, fd);
		test_ok(vfio_map(&n->c, n->g.va, n->g.gpa, n->g.size,
				 VFIO_DMA_MAP_FLAG_READ |
				 VFIO_DMA_MAP_FLAG_WRITE));
		test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
	}
	vfio_container_close(&n->c);
	next_user(_metadata, 0);
}

/*
 * Leaks: what is allocated after many rounds is what was after a few
 */

#define MAX_CACHES	256
#define WARM_ROUNDS	20
#define LEAK_ROUNDS	200

struct memory {
	int nr;
	struct {
		char name[32];
		long objects;
	} cache[MAX_CACHES];
	long tables;		/* kB */
};

static void shrink_caches(void)
{
	/* Empties what the allocator keeps back.  KASAN's quarantine stays. */
	int ret = system("for f in /sys/kernel/slab/*/shrink; do echo 1 >$f; done 2>/dev/null");

	(void)ret;
}

static bool read_memory(struct memory *m)
{
	char line[256];
	FILE *f;

	memset(m, 0, sizeof(*m));
	usleep(200000);
	shrink_caches();
	f = fopen("/proc/slabinfo", "r");
	if (!f)
		return false;
	while (m->nr < MAX_CACHES && fgets(line, sizeof(line), f))
		if (sscanf(line, "%31s %ld", m->cache[m->nr].name,
			   &m->cache[m->nr].objects) == 2)
			m->nr++;
	fclose(f);
	f = fopen("/proc/meminfo", "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "SecPageTables: %ld", &m->tables);
	if (f)
		fclose(f);
	return true;
}

/*
 * The cache that grew by the most objects since @before.  What the debugging
 * of objects needs is its own business.
 */
static long most_grown(const struct memory *before, const struct memory *after,
		       const char **name)
{
	long most = 0, grown;
	int i, j;

	for (i = 0; i < after->nr; i++) {
		for (j = 0; j < before->nr; j++)
			if (!strcmp(after->cache[i].name,
				    before->cache[j].name))
				break;
		if (j == before->nr ||
		    !strncmp(after->cache[i].name, "debug_objects", 13))
			continue;
		grown = after->cache[i].objects - before->cache[j].objects;
		if (grown > most) {
			most = grown;
			*name = after->cache[i].name;
		}
	}
	return most;
}

static void check_leaks(struct __test_metadata *_metadata,
			const struct memory *before, int rounds)
{
	const char *name = "";
	struct memory after;
	long grown = 0;

	/* kfree_rcu() takes some seconds */
	wait_until(read_memory(&after) &&
		   (grown = most_grown(before, &after, &name)) < rounds / 2 &&
		   after.tables - before->tables < rounds);
	ASSERT_NE(0, after.nr);
	EXPECT_GT(rounds / 2, grown) {
		TH_LOG("%s: %ld objects more after %d rounds", name, grown,
		       rounds);
	}
	/* Tables of the IOMMU; the PASID table of a device may have grown */
	EXPECT_GT(rounds, after.tables - before->tables) {
		TH_LOG("page tables: %ld kB became %ld", before->tables,
		       after.tables);
	}
}

FIXTURE(teardown_leak)
{
	struct nest n;
	struct s1_table t;
	struct memory before;
};

FIXTURE_SETUP(teardown_leak)
{
	struct nest *n = &self->n;

	nest_setup(_metadata, n, 0);
	if (_metadata->exit_code)
		return;
	if (access("/proc/slabinfo", R_OK))
		SKIP(return, "no /proc/slabinfo to read");
	if (!n->feat.pasid_bits)
		SKIP(return, "%s has no PASID", n->d.bdf);
	test_ok(s1_init(&self->t, n->ops, &n->g));
}

FIXTURE_TEARDOWN(teardown_leak)
{
}

TEST_F(teardown_leak, bind_unbind)
{
	struct nest *n = &self->n;
	int i;

	for (i = 0; i < WARM_ROUNDS + LEAK_ROUNDS; i++) {
		if (i == WARM_ROUNDS)
			ASSERT_TRUE(read_memory(&self->before));
		test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, 1 + i % 8, &self->t));
		test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, 1 + i % 8, &self->t));
		test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, NEST_RID, &self->t));
		test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, 1 + i % 8));
		if (i & 1)
			test_ok(nest_block(&n->c, NEST_ALL_GROUPS, NEST_RID));
		test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, NEST_RID));
	}
	check_leaks(_metadata, &self->before, LEAK_ROUNDS);
}

TEST_F(teardown_leak, close)
{
	struct nest *n = &self->n;
	const char *bdf = test_bdf[0];
	struct vfio_container c;
	u64 used = n->g.used;
	int i, j;

	nest_close(n);
	for (i = 0; i < WARM_ROUNDS + LEAK_ROUNDS; i++) {
		if (i == WARM_ROUNDS)
			ASSERT_TRUE(read_memory(&self->before));
		test_ok(vfio_container_open(&c));
		ASSERT_LE(0, vfio_container_attach(&c, VFIO_TYPE1_NESTING_IOMMU,
						   bdf));
		n->g.used = used;
		for (j = 0; j < 4; j++) {
			test_ok(nest_bind(&c, NEST_ALL_GROUPS, j, &self->t));
			ASSERT_LT(0, nest_pasid_alloc(&c, 1, 0xfffff));
		}
		vfio_container_close(&c);
	}
	check_leaks(_metadata, &self->before, LEAK_ROUNDS);
}

/* Numbers are limited: a leak ends this early */
TEST_F(nesting_teardown, pasids)
{
	struct nest *n = &self->n;
	u32 quota = n->info.cap.pasid_quota, i, round;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < quota; i++)
			ASSERT_LT(0, nest_pasid_alloc(&n->c, 1, 2 * quota));
		test_ok(nest_pasid_free(&n->c, 1, 2 * quota));
	}
}

/*
 * Each bind takes one of VT-d's domain ids, of which there are 2^16 or what
 * CAP.ND says (10.4.2).  With 2^16, an emulated machine needs minutes.
 */
TEST_F(nesting_teardown, domain_ids)
{
	struct nest *n = &self->n;
	int i, ids;

	if (n->ops->format != VFIO_NESTING_FORMAT_VTD_S1)
		SKIP(return, "a binding takes no id of its own here");
	ids = 1 << (4 + 2 * (n->hw.vtd.cap_reg & 7));
	space_init(_metadata, n, &self->s, 0xa1);
	/* Two in each round */
	for (i = 0; i <= ids / 2; i++) {
		test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
		test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
		test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, PASID));
	}
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
}

VFIO_TEST_MAIN
