// SPDX-License-Identifier: GPL-2.0-only
/*
 * Message signalled interrupts through a guest's tables: where the IOMMU
 * translates them, they are writes of the device like any other
 *
 * The device writes to an address that the host chose in the MSI window.  The
 * guest maps the window to itself, stage 2 leads to the interrupt controller.
 */
#include <poll.h>
#include <pthread.h>

#include "smmu_test.h"

#define MSIX	VFIO_PCI_MSIX_IRQ_INDEX

FIXTURE(msi)
{
	struct nest n;
	struct cd_table ct;
	struct space s;
	struct vfio_nesting_smmuv3_ste ste;
	u64 start;
	u64 size;
};

FIXTURE_SETUP(msi)
{
	struct nest *n = &self->n;

	smmu_open(_metadata, n, 0);
	if (_metadata->exit_code)
		return;
	self->start = n->info.cap.msi_start;
	self->size = n->info.cap.msi_size;
	test_ok(cd_table_init(&self->ct, &n->g, CD_LINEAR, 1));
	space_init(_metadata, n, &self->s, 0xa1);
	test_ok(s1_map(&self->s.t, self->start, self->start, self->size, SZ_4K,
		       S1_RW));
	test_ok(cd_set(&self->ct, NEST_RID, &self->s.t, 1));
	cd_ste(&self->ct, &self->ste);
}

FIXTURE_TEARDOWN(msi)
{
}

static int bind_it(FIXTURE_DATA(msi) *self)
{
	return nest_bind_table(&self->n.c, NEST_ALL_GROUPS, &self->ste);
}

static int unbind(FIXTURE_DATA(msi) *self)
{
	return nest_table_op(&self->n.c, NEST_ALL_GROUPS, VFIO_BIND_OP_UNBIND);
}

/* No vectors any more; the eventfd is the caller's */
static int irqs_off(struct nest *n)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = MSIX,
	};

	return vfio_ioctl(n->d.fd, VFIO_DEVICE_SET_IRQS, &set);
}

/* The vector once more, with another eventfd */
static int irq_again(struct __test_metadata *_metadata, struct nest *n, int fd)
{
	test_ok(irqs_off(n));
	close(fd);
	fd = vfio_device_irq_eventfd(&n->d, MSIX, 0);
	EXPECT_LE(0, fd);
	return fd;
}

/* Have the device send one; does it arrive? */
static bool arrives(struct __test_metadata *_metadata, struct nest *n, int fd,
		    int timeout_ms)
{
	struct ptd_desc d = { .op = PTD_OP_NOP, .flags = PTD_F_IRQ };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	u64 sent = ptd_read64(&n->ptd, PTD_CNT_IRQ), count;
	bool yes;

	EXPECT_EQ(PTD_ST_OK, ptd_run(&n->ptd, 0, &d, NULL));
	EXPECT_EQ(sent + 1, ptd_read64(&n->ptd, PTD_CNT_IRQ));
	yes = poll(&p, 1, timeout_ms) == 1;
	if (yes)
		EXPECT_EQ(sizeof(count), read(fd, &count, sizeof(count)));
	return yes;
}

/* Set up before the bind, it goes on */
TEST_F(msi, before)
{
	struct nest *n = &self->n;
	int fd = vfio_device_irq_eventfd(&n->d, MSIX, 0), i;

	ASSERT_LE(0, fd);
	EXPECT_NE(0, self->size);
	EXPECT_TRUE(arrives(_metadata, n, fd, WAIT_MS));
	for (i = 0; i < 3; i++) {
		test_ok(bind_it(self));
		EXPECT_TRUE(arrives(_metadata, n, fd, WAIT_MS));
		dma_copies(_metadata, n, &n->ptd, NEST_RID, &self->s);
		test_ok(unbind(self));
		EXPECT_TRUE(arrives(_metadata, n, fd, WAIT_MS));
	}
}

/* Set up while the guest's tables are there, and again after them */
TEST_F(msi, after)
{
	struct nest *n = &self->n;
	int fd;

	test_ok(bind_it(self));
	fd = vfio_device_irq_eventfd(&n->d, MSIX, 0);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(arrives(_metadata, n, fd, WAIT_MS));
	test_ok(unbind(self));
	EXPECT_TRUE(arrives(_metadata, n, fd, WAIT_MS));

	fd = irq_again(_metadata, n, fd);
	test_ok(bind_it(self));
	EXPECT_TRUE(arrives(_metadata, n, fd, WAIT_MS));
	/* More of them, where the first is */
	fd = irq_again(_metadata, n, fd);
	EXPECT_TRUE(arrives(_metadata, n, fd, WAIT_MS));
}

/* Under an entry that aborts, and under one without stage 1 */
TEST_F(msi, other_entries)
{
	struct nest *n = &self->n;
	int fd;

	self->ste.ste[0] = htole64(1);
	test_ok(bind_it(self));
	fd = vfio_device_irq_eventfd(&n->d, MSIX, 0);
	ASSERT_LE(0, fd);
	EXPECT_FALSE(arrives(_metadata, n, fd, 300));
	self->ste.ste[0] = htole64(1 | 4 << 1);
	test_ok(bind_it(self));
	EXPECT_TRUE(arrives(_metadata, n, fd, WAIT_MS));

	/* Requests without PASID go through stage 2 alone */
	self->ct.s1dss = CD_DSS_STAGE2;
	cd_ste(&self->ct, &self->ste);
	test_ok(bind_it(self));
	fd = irq_again(_metadata, n, fd);
	EXPECT_TRUE(arrives(_metadata, n, fd, WAIT_MS));
}

/* What the guest does not map does not arrive: it is refused in stage 1 */
TEST_F(msi, unmapped)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;
	struct fault_ring r;
	u64 off;
	int fd;

	for (off = 0; off < self->size; off += SZ_4K)
		test_ok(s1_unmap(&self->s.t, self->start + off));
	test_ok(bind_it(self));
	test_ok(fault_open(&r, &n->d, VFIO_DMA_FAULT_UNRECOVERABLE, 16));
	fd = vfio_device_irq_eventfd(&n->d, MSIX, 0);
	ASSERT_LE(0, fd);
	EXPECT_FALSE(arrives(_metadata, n, fd, 300));
	ASSERT_EQ(1, fault_next(&r, &f, WAIT_MS));
	EXPECT_EQ(VFIO_DMA_FAULT_REASON_TRANSLATION, f.reason);
	EXPECT_EQ(VFIO_DMA_FAULT_PERM_WRITE, f.perm);
	EXPECT_LE(self->start, f.addr);
	EXPECT_GT(self->start + self->size, f.addr);
	fault_close(&r);
}

struct race {
	FIXTURE_DATA(msi) *self;
	volatile bool stop;
	volatile u64 rounds;
	volatile int ret;
};

static void *bind_all_the_time(void *arg)
{
	struct race *race = arg;

	while (!race->stop && !race->ret) {
		race->ret = bind_it(race->self) ?: unbind(race->self);
		race->rounds++;
	}
	return NULL;
}

/* Whatever domain is there when an interrupt is set up, it is that window */
TEST_F(msi, race)
{
	struct nest *n = &self->n;
	struct race race = { .self = self };
	u64 end = vfio_now_ms() + WAIT_MS;
	pthread_t thread;
	int fd, i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, bind_all_the_time, &race));
	for (i = 0; i < 40 || (race.rounds <= 10 && !race.ret &&
			       vfio_now_ms() < end); i++) {
		fd = vfio_device_irq_eventfd(&n->d, MSIX, 0);
		ASSERT_LE(0, fd);
		EXPECT_TRUE(arrives(_metadata, n, fd, WAIT_MS));
		test_ok(irqs_off(n));
		close(fd);
	}
	race.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	test_ok(race.ret);
	EXPECT_LT(10, race.rounds);
	printf("# %llu rounds of bind and unbind\n", race.rounds);
}

VFIO_TEST_MAIN
