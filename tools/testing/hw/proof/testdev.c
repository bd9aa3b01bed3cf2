// SPDX-License-Identifier: GPL-2.0-only
/*
 * pasid-testdev itself: every operation, every refusal, reset, interrupts
 *
 * Requests without PASID, through a VFIO type1v2 container of an unmodified
 * kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "proof.h"

#define NR_QUEUES	8
#define DEPTH		64
#define MAX_LEN		(1u << 20)

/* One buffer, mapped at IOVA; around it nothing is */
#define IOVA		0x40000000ull
#define BUF_LEN		(4ul << 20)
#define NOWHERE		0x80000000ull
/* Parts of it */
#define SRC		0
#define DST		(BUF_LEN / 2)
#define REC		(BUF_LEN - PAGE)

static struct ptd dev;
static int container, group;
static uint8_t *buf;
static char bdf2[BDF_LEN];

static volatile struct ptd_record *record(int n)
{
	return (volatile struct ptd_record *)(buf + REC) + n;
}

static uint64_t rec_iova(int n)
{
	return IOVA + REC + n * sizeof(struct ptd_record);
}

static struct ptd_desc desc(uint8_t op)
{
	static uint32_t tag = 0x51000;

	return (struct ptd_desc) {
		.op = op,
		.tag = tag++,
		.src = IOVA + SRC,
		.dst = IOVA + DST,
		.len = PAGE,
		.record = rec_iova(0),
	};
}

/* Start each test from the same state */
static void fresh(void)
{
	memset(buf, 0, BUF_LEN);
	ptd_bus_master(&dev, true);
	ptd_reset(&dev);
	mon_w32(IMON_DMA_HOLD, 0);
}

static void map(void *va, uint64_t iova, size_t len)
{
	struct vfio_iommu_type1_dma_map m = {
		.argsz = sizeof(m),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)va,
		.iova = iova,
		.size = len,
	};

	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &m))
		die("VFIO_IOMMU_MAP_DMA: %s", strerror(errno));
}

static void unmap(uint64_t iova, size_t len)
{
	struct vfio_iommu_type1_dma_unmap u = {
		.argsz = sizeof(u),
		.iova = iova,
		.size = len,
	};

	if (ioctl(container, VFIO_IOMMU_UNMAP_DMA, &u))
		die("VFIO_IOMMU_UNMAP_DMA: %s", strerror(errno));
}

static uint32_t q_r32(int q, unsigned int reg)
{
	return ptd_r32(&dev, PTD_QUEUE(q) + reg);
}

static void q_w32(int q, unsigned int reg, uint32_t val)
{
	ptd_w32(&dev, PTD_QUEUE(q) + reg, val);
}

static void wait_for(int q, unsigned int reg, uint32_t mask, uint32_t val)
{
	if (!wait_until((q_r32(q, reg) & mask) == val))
		fail("queue %d: register %#x stays %#x", q, reg,
		     q_r32(q, reg));
}

/* Long enough for a device that wrongly goes on to be seen doing so */
static void linger(void)
{
	usleep(100 * 1000);
}

static void test_registers(void)
{
	int pasid = pci_ext_cap(dev.bdf, PCI_EXT_CAP_ID_PASID);
	int ats = pci_ext_cap(dev.bdf, PCI_EXT_CAP_ID_ATS);
	int i;

	fresh();
	check_eq(ptd_r32(&dev, PTD_CAPS), NR_QUEUES | DEPTH << 8);
	check_eq(ptd_r32(&dev, PTD_MAX_LEN), MAX_LEN);
	check(pasid && ats, "a capability is missing");
	check_eq(pci_config_read(dev.bdf, pasid + PCI_PASID_CAP, 2),
		 20 << 8 | PCI_PASID_CAP_EXEC | PCI_PASID_CAP_PRIV);
	check(pci_config_read(dev.bdf, ats + PCI_ATS_CAP, 2) &
	      PCI_ATS_CAP_PAGE_ALIGNED, "ATS is not page aligned");
	check(ptd_r32(&dev, PTD_STATUS) & PTD_STATUS_BUSMASTER, "bus master");
	for (i = PTD_CNT_DESC; i <= PTD_CNT_IRQ; i += 8)
		check(ptd_r64(&dev, i) == 0, "counter %#x", i);
	for (i = 0; i < NR_QUEUES; i++) {
		check_eq(q_r32(i, PTD_Q_CTRL), PTD_Q_CTRL_ENABLE);
		check_eq(q_r32(i, PTD_Q_STATUS), 0);
		check_eq(q_r32(i, PTD_Q_CPL_COUNT), 0);
	}
	/* 32 and 64 bit wide accesses see the same */
	q_w32(0, PTD_Q_DESC + 16, 0x11223344);
	q_w32(0, PTD_Q_DESC + 20, 0x55667788);
	check_eq(ptd_r64(&dev, PTD_QUEUE(0) + PTD_Q_DESC + 16),
		 0x5566778811223344ull);
}

static void test_nop(void)
{
	struct ptd_desc d = desc(PTD_OP_NOP);
	struct ptd_record r;

	fresh();
	r = ptd_do(&dev, &d);
	check_eq(r.status, PTD_ST_OK);
	check_eq(r.done, 0);
	check_eq(ptd_r64(&dev, PTD_CNT_DESC), 1);
	check_eq(ptd_r64(&dev, PTD_CNT_WRITES), 0);
	check(record(0)->status == 0, "a record nobody asked for");
}

static void test_memmove(void)
{
	struct ptd_desc d = desc(PTD_OP_MEMMOVE);
	uint32_t n = MAX_LEN;

	fresh();
	fill(buf + SRC, n, 1);
	d.len = n;
	check_eq(ptd_do(&dev, &d).status, PTD_ST_OK);
	check(filled(buf + DST, n, 1), "the copy differs");
	check(buf[DST + n] == 0 && buf[DST - 1] == 0, "out of bounds");
	check_eq(ptd_r64(&dev, PTD_CNT_READS), n / PAGE);
	check_eq(ptd_r64(&dev, PTD_CNT_WRITES), n / PAGE);

	/* Not aligned, and different on both sides */
	fresh();
	fill(buf + SRC, 3 * PAGE, 2);
	d.src = IOVA + SRC + 1;
	d.dst = IOVA + DST + 4093;
	d.len = 2 * PAGE + 5;
	check_eq(ptd_do(&dev, &d).status, PTD_ST_OK);
	check(!memcmp(buf + DST + 4093, buf + SRC + 1, d.len), "differs");
	check(buf[DST + 4092] == 0 && buf[DST + 4093 + d.len] == 0,
	      "out of bounds");
}

static void test_overlap(void)
{
	static const struct {
		int src, dst;
		uint32_t len;
	} c[] = {
		{ 0, 1, 3 * PAGE }, { 1, 0, 3 * PAGE },
		{ 100, 5000, 3 * PAGE + 7 }, { 5000, 100, 3 * PAGE + 7 },
		{ 0, 8192, 5 * PAGE }, { 8192, 0, 5 * PAGE },
		{ 7, 7, 2 * PAGE },
	};
	static uint8_t want[16 * PAGE];
	unsigned int i;

	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct ptd_desc d = desc(PTD_OP_MEMMOVE);

		fresh();
		fill(buf, sizeof(want), i);
		memcpy(want, buf, sizeof(want));
		memmove(want + c[i].dst, want + c[i].src, c[i].len);
		d.src = IOVA + c[i].src;
		d.dst = IOVA + c[i].dst;
		d.len = c[i].len;
		check_eq(ptd_do(&dev, &d).status, PTD_ST_OK);
		check(!memcmp(buf, want, sizeof(want)), "case %u", i);
	}
}

static void test_fill(void)
{
	struct ptd_desc d = desc(PTD_OP_FILL);
	uint32_t i;

	fresh();
	d.imm = 0x8877665544332211ull;
	d.dst = IOVA + DST + 4091;
	d.len = PAGE + 13;
	check_eq(ptd_do(&dev, &d).status, PTD_ST_OK);
	for (i = 0; i < d.len; i++)
		check(buf[DST + 4091 + i] == 0x11 * (i % 8 + 1), "byte %u", i);
	check(buf[DST + 4090] == 0 && buf[DST + 4091 + d.len] == 0,
	      "out of bounds");
	check_eq(ptd_r64(&dev, PTD_CNT_READS), 0);
}

static void test_compare(void)
{
	struct ptd_desc d = desc(PTD_OP_COMPARE);
	struct ptd_record r;

	fresh();
	fill(buf + SRC, 3 * PAGE, 3);
	fill(buf + DST, 3 * PAGE, 3);
	d.len = 3 * PAGE;
	check_eq(ptd_do(&dev, &d).status, PTD_ST_OK);
	buf[DST + PAGE + 77] ^= 1;
	r = ptd_do(&dev, &d);
	check_eq(r.status, PTD_ST_MISMATCH);
	check_eq(r.result, PAGE + 77);
	check_eq(r.done, PAGE + 77);
	check_eq(ptd_r64(&dev, PTD_CNT_WRITES), 0);
}

static void test_crc32(void)
{
	struct ptd_desc d = desc(PTD_OP_CRC32);
	struct ptd_record r;

	/* The check value of CRC-32, in one piece and over a page boundary */
	fresh();
	memcpy(buf + SRC, "123456789", 9);
	memcpy(buf + SRC + PAGE - 4, "123456789", 9);
	d.len = 9;
	r = ptd_do(&dev, &d);
	check_eq(r.status, PTD_ST_OK);
	check_eq(r.result, 0xcbf43926);
	d.src += PAGE - 4;
	check_eq(ptd_do(&dev, &d).result, 0xcbf43926);
	/* in two steps, the first seeds the second */
	d.src = IOVA + SRC;
	d.len = 4;
	d.imm = ptd_do(&dev, &d).result;
	d.src += 4;
	d.len = 5;
	check_eq(ptd_do(&dev, &d).result, 0xcbf43926);
}

static void test_fetchadd(void)
{
	struct ptd_desc d = desc(PTD_OP_FETCHADD);
	volatile uint64_t *p = (volatile uint64_t *)(buf + DST);
	struct ptd_record r;
	int i;

	fresh();
	*p = 0xfffffffffffffff0ull;
	d.len = 8;
	d.imm = 0x15;
	r = ptd_do(&dev, &d);
	check_eq(r.status, PTD_ST_OK);
	check_eq(r.result, 0xfffffffffffffff0ull);
	check_eq(*p, 5);

	/*
	 * Two queues at once.  Not against this CPU: with one thread for all
	 * CPUs, QEMU's guests have atomics among themselves only.
	 */
	*p = 0;
	d.imm = 1;
	for (i = 0; i < DEPTH; i++) {
		ptd_submit(&dev, 1, &d);
		ptd_submit(&dev, 2, &d);
	}
	for (i = 0; i < DEPTH; i++) {
		check_eq(ptd_wait(&dev, 1).status, PTD_ST_OK);
		check_eq(ptd_wait(&dev, 2).status, PTD_ST_OK);
	}
	check_eq(*p, 2 * DEPTH);
}

static void test_record(void)
{
	struct ptd_desc d = desc(PTD_OP_CRC32);
	struct ptd_record r;

	fresh();
	memcpy(buf + SRC, "123456789", 9);
	d.len = 9;
	d.flags = PTD_F_RECORD;
	d.record = rec_iova(5);
	r = ptd_do(&dev, &d);
	check_eq(r.status, PTD_ST_OK);
	check(!memcmp((void *)record(5), &r, sizeof(r)),
	      "memory and register differ");
	check_eq(record(5)->result, 0xcbf43926);
	check_eq(record(5)->done, 9);
	check_eq(record(5)->tag, d.tag);
	check(!record(4)->status && !record(6)->tag, "out of bounds");

	/* the record of a fault */
	d.src = NOWHERE;
	r = ptd_do(&dev, &d);
	check_eq(r.status, PTD_ST_READ_FAULT);
	check_eq(record(5)->status, PTD_ST_READ_FAULT);
	check_eq(record(5)->fault_addr, NOWHERE);

	/* a record that cannot be written */
	d.src = IOVA + SRC;
	d.record = NOWHERE;
	r = ptd_do(&dev, &d);
	check_eq(r.status, PTD_ST_RECORD_FAULT);
	check_eq(r.fault_addr, NOWHERE);
	check_eq(r.done, 9);
}

/* Who sees the record sees the data */
static void test_record_order(void)
{
	struct ptd_desc d = desc(PTD_OP_MEMMOVE);
	time_t end;
	int i;

	fresh();
	d.flags = PTD_F_RECORD;
	d.len = 4 * PAGE;
	for (i = 1; i <= 50; i++) {
		fill(buf + SRC, d.len, i);
		record(0)->status = 0;
		__sync_synchronize();
		d.tag = i;
		ptd_submit(&dev, 0, &d);
		/* Without a pause, for what comes first is what counts */
		end = now_s() + PATIENCE_S;
		while (!record(0)->status)
			if (now_s() > end)
				fail("no record");
		__sync_synchronize();
		check_eq(record(0)->status, PTD_ST_OK);
		check_eq(record(0)->tag, i);
		check(filled(buf + DST, d.len, i), "round %d", i);
		ptd_wait(&dev, 0);
	}
}

static bool signalled(int fd, uint64_t want)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n = 0;

	while (want) {
		if (poll(&p, 1, PATIENCE_S * 1000) != 1 || read(fd, &n, 8) != 8)
			return false;
		if (n > want)
			return false;
		want -= n;
	}
	return poll(&p, 1, 0) == 0;
}

static void test_irq(void)
{
	int efd[NR_QUEUES], q, i;

	fresh();
	for (q = 0; q < NR_QUEUES; q++)
		efd[q] = eventfd(0, EFD_CLOEXEC);
	ptd_enable_irqs(&dev, efd, NR_QUEUES);
	for (q = 0; q < NR_QUEUES; q++) {
		struct ptd_desc d = desc(PTD_OP_NOP);

		d.flags = PTD_F_IRQ | PTD_F_RECORD;
		record(0)->status = 0;
		ptd_submit(&dev, q, &d);
		check(signalled(efd[q], 1), "vector %d", q);
		/* the record comes before the interrupt */
		check_eq(record(0)->status, PTD_ST_OK);
		check_eq(record(0)->tag, d.tag);
		for (i = 0; i < NR_QUEUES; i++)
			check(signalled(efd[i], 0), "vector %d for %d", i, q);
		/* no flag, no interrupt */
		d.flags = 0;
		ptd_submit(&dev, q, &d);
		ptd_wait(&dev, q);
		check_eq(ptd_wait(&dev, q).status, PTD_ST_OK);
		check(signalled(efd[q], 0), "interrupt without flag");
	}
	check_eq(ptd_r64(&dev, PTD_CNT_IRQ), NR_QUEUES);
	ptd_enable_irqs(&dev, NULL, 0);
	for (q = 0; q < NR_QUEUES; q++)
		close(efd[q]);
}

static const struct malformed {
	const char *what;
	struct ptd_desc d;
	uint32_t status;
} malformed[] = {
#define OK_MOVE .op = PTD_OP_MEMMOVE, .src = IOVA, .dst = IOVA + DST, \
		.len = 8, .flags = PTD_F_RECORD, .record = IOVA + REC
#define BAD(st, w, ...) { w, { OK_MOVE, __VA_ARGS__ }, PTD_ST_BAD_##st }
	BAD(OP, "op above the last", .op = PTD_OP_MAX + 1),
	BAD(OP, "op 255", .op = 255),
	BAD(OP, "bad op comes first", .op = 255, .rsvd2 = 1, .flags = ~0u),
	BAD(RSVD, "rsvd0[0]", .rsvd0 = { 1, 0, 0 }),
	BAD(RSVD, "rsvd0[1]", .rsvd0 = { 0, 0x80, 0 }),
	BAD(RSVD, "rsvd0[2]", .rsvd0 = { 0, 0, 0xff }),
	BAD(RSVD, "rsvd1", .rsvd1 = 1u << 31),
	BAD(RSVD, "rsvd2 low", .rsvd2 = 1),
	BAD(RSVD, "rsvd2 high", .rsvd2 = 1ull << 63),
	BAD(FLAGS, "first unknown flag", .flags = PTD_F_ALL + 1),
	BAD(FLAGS, "last flag", .flags = 1u << 31),
	BAD(FLAGS, "EXEC without PASID", .flags = PTD_F_EXEC),
	BAD(FLAGS, "PRIV without PASID", .flags = PTD_F_PRIV),
	BAD(FLAGS, "EXEC of an op that does not read",
	    .op = PTD_OP_FILL, .flags = PTD_F_EXEC, .pasid = PTD_PASID_VALID),
	BAD(FLAGS, "EXEC of an atomic", .op = PTD_OP_FETCHADD,
	    .flags = PTD_F_EXEC, .pasid = PTD_PASID_VALID),
	BAD(PASID, "a PASID that is not valid", .pasid = 1),
	BAD(PASID, "bit 20", .pasid = PTD_PASID_VALID | 1u << 20),
	BAD(PASID, "bit 30", .pasid = PTD_PASID_VALID | 1u << 30),
	BAD(LEN, "copy of nothing", .len = 0),
	BAD(LEN, "copy too long", .len = MAX_LEN + 1),
	BAD(LEN, "copy of 4 GiB - 1", .len = ~0u),
	BAD(LEN, "fill of nothing", .op = PTD_OP_FILL, .len = 0),
	BAD(LEN, "fill too long", .op = PTD_OP_FILL, .len = MAX_LEN + 1),
	BAD(LEN, "compare of nothing", .op = PTD_OP_COMPARE, .len = 0),
	BAD(LEN, "compare too long", .op = PTD_OP_COMPARE, .len = MAX_LEN + 1),
	BAD(LEN, "crc of nothing", .op = PTD_OP_CRC32, .len = 0),
	BAD(LEN, "crc too long", .op = PTD_OP_CRC32, .len = MAX_LEN + 1),
	BAD(LEN, "atomic of 4", .op = PTD_OP_FETCHADD, .len = 4),
	BAD(LEN, "atomic of 16", .op = PTD_OP_FETCHADD, .len = 16),
	BAD(LEN, "source wraps", .src = ~0ull, .len = 2),
	BAD(LEN, "destination wraps", .dst = ~0ull - 6, .len = 8),
	BAD(LEN, "fill wraps", .op = PTD_OP_FILL, .dst = ~0ull, .len = 2),
	BAD(LEN, "crc wraps", .op = PTD_OP_CRC32, .src = ~0ull, .len = 2),
	BAD(ALIGN, "record at 8", .record = IOVA + REC + 8),
	BAD(ALIGN, "record at 16", .record = IOVA + REC + 16),
	BAD(ALIGN, "record at 1", .record = IOVA + REC + 1),
	BAD(ALIGN, "record of a NOP", .op = PTD_OP_NOP, .record = 16),
	BAD(ALIGN, "atomic at 4", .op = PTD_OP_FETCHADD, .dst = IOVA + DST + 4),
};

/* The designators above override OK_MOVE on purpose */
static void refuse(const struct ptd_desc *t, uint32_t status, const char *what)
{
	struct ptd_desc d = *t;
	struct ptd_record r;

	d.tag = 0xbad;
	ptd_submit(&dev, 3, &d);
	r = ptd_wait(&dev, 3);
	check(r.status == status, "%s: status %u, not %u", what, r.status,
	      status);
	check(r.tag == 0xbad && !r.done && !r.result && !r.fault_addr,
	      "%s: odd completion", what);
	check(!record(0)->status && !buf[DST], "%s: something was written",
	      what);
}

static void test_malformed(void)
{
	unsigned int i, n = sizeof(malformed) / sizeof(malformed[0]);

	fresh();
	buf[SRC] = 0x5a;
	for (i = 0; i < n; i++)
		refuse(&malformed[i].d, malformed[i].status, malformed[i].what);
	check_eq(ptd_r64(&dev, PTD_CNT_REJECTED), n);
	check_eq(ptd_r64(&dev, PTD_CNT_DESC), 0);
	check_eq(ptd_r64(&dev, PTD_CNT_READS) + ptd_r64(&dev, PTD_CNT_WRITES),
		 0);
	check_eq(ptd_r64(&dev, PTD_CNT_FAULTS), 0);
}

/* What the PASID capability does not enable is refused */
static void test_pasid_enables(void)
{
	int pos = pci_ext_cap(dev.bdf, PCI_EXT_CAP_ID_PASID) + PCI_PASID_CTRL;
	uint16_t was = pci_config_read(dev.bdf, pos, 2);
	struct ptd_desc d = { OK_MOVE, .pasid = PTD_PASID_VALID | 9 };
	uint32_t st;

	fresh();
	pci_config_write(dev.bdf, pos, 2, 0);
	check_eq(ptd_r32(&dev, PTD_STATUS) &
		 (PTD_STATUS_PASID | PTD_STATUS_EXEC | PTD_STATUS_PRIV), 0);
	refuse(&d, PTD_ST_BAD_PASID, "PASIDs are off");

	pci_config_write(dev.bdf, pos, 2, PCI_PASID_CTRL_ENABLE);
	d.flags = PTD_F_EXEC;
	refuse(&d, PTD_ST_BAD_FLAGS, "EXEC is off");
	d.flags = PTD_F_PRIV;
	refuse(&d, PTD_ST_BAD_FLAGS, "PRIV is off");

	/* All on: refused by the IOMMU now, for nothing is bound */
	pci_config_write(dev.bdf, pos, 2, PCI_PASID_CTRL_ENABLE |
			 PCI_PASID_CTRL_EXEC | PCI_PASID_CTRL_PRIV);
	d.flags = PTD_F_EXEC | PTD_F_PRIV;
	ptd_submit(&dev, 0, &d);
	st = ptd_wait(&dev, 0).status;
	pci_config_write(dev.bdf, pos, 2, was);
	check_eq(st, PTD_ST_READ_FAULT);
}

static void test_fault(void)
{
	struct ptd_desc d = desc(PTD_OP_MEMMOVE);
	struct ptd_record r;

	/* half of it is there */
	fresh();
	d.src = IOVA + BUF_LEN - 2 * PAGE;
	d.len = 4 * PAGE;
	r = ptd_do(&dev, &d);
	check_eq(r.status, PTD_ST_READ_FAULT);
	check_eq(r.fault_addr, IOVA + BUF_LEN);
	check_eq(r.done, 2 * PAGE);
	/* the first error stops it: one access, one fault */
	check_eq(ptd_r64(&dev, PTD_CNT_FAULTS), 1);
	check_eq(ptd_r64(&dev, PTD_CNT_WRITES), 2);

	d.src = IOVA + SRC;
	d.dst = NOWHERE + 0x123;
	d.len = 64;
	r = ptd_do(&dev, &d);
	check_eq(r.status, PTD_ST_WRITE_FAULT);
	check_eq(r.fault_addr, NOWHERE + 0x123);
	check_eq(ptd_r64(&dev, PTD_CNT_FAULTS), 2);
}

static void test_bus_master(void)
{
	struct ptd_desc d = desc(PTD_OP_MEMMOVE);

	fresh();
	buf[SRC] = 1;
	ptd_bus_master(&dev, false);
	check_eq(ptd_do(&dev, &d).status, PTD_ST_NO_BUSMASTER);
	check(!buf[DST], "DMA without bus master enable");
	ptd_bus_master(&dev, true);
	check_eq(ptd_do(&dev, &d).status, PTD_ST_OK);
	check(buf[DST], "no DMA");
}

static void test_queue_limits(void)
{
	struct ptd_desc hold = desc(PTD_OP_HOLD), nop = desc(PTD_OP_NOP);
	int i;

	fresh();
	ptd_submit(&dev, 2, &hold);
	wait_for(2, PTD_Q_STATUS, PTD_Q_STATUS_HELD, PTD_Q_STATUS_HELD);
	for (i = 1; i < DEPTH; i++)
		ptd_submit(&dev, 2, &nop);
	check_eq(q_r32(2, PTD_Q_PENDING), DEPTH);
	check_eq(ptd_r64(&dev, PTD_CNT_DROPPED), 0);
	ptd_submit(&dev, 2, &nop);
	check_eq(ptd_r64(&dev, PTD_CNT_DROPPED), 1);
	check_eq(q_r32(2, PTD_Q_PENDING), DEPTH);
	/* another queue is not held up */
	ptd_submit(&dev, 4, &nop);
	check_eq(ptd_wait(&dev, 4).status, PTD_ST_OK);
	check_eq(q_r32(2, PTD_Q_CPL_COUNT), 0);

	q_w32(2, PTD_Q_CTRL, PTD_Q_CTRL_ENABLE | PTD_Q_CTRL_RELEASE);
	check_eq(ptd_wait(&dev, 2).tag, hold.tag);
	wait_for(2, PTD_Q_CPL_COUNT, ~0u, DEPTH - 1);
	check_eq(q_r32(2, PTD_Q_STATUS), 0);

	/* off: dropped, and what it had is gone */
	ptd_submit(&dev, 2, &hold);
	wait_for(2, PTD_Q_STATUS, PTD_Q_STATUS_HELD, PTD_Q_STATUS_HELD);
	q_w32(2, PTD_Q_CTRL, 0);
	check_eq(q_r32(2, PTD_Q_PENDING), 0);
	ptd_submit(&dev, 2, &nop);
	check_eq(ptd_r64(&dev, PTD_CNT_DROPPED), 2);
	linger();
	check_eq(q_r32(2, PTD_Q_CPL_COUNT), DEPTH - 1);
}

static void test_completions_lost(void)
{
	struct ptd_desc d = desc(PTD_OP_NOP);
	int i;

	fresh();
	for (i = 0; i < PTD_CPL_DEPTH + 10; i++) {
		d.tag = i;
		ptd_submit(&dev, 0, &d);
		wait_for(0, PTD_Q_PENDING, ~0u, 0);
	}
	check_eq(q_r32(0, PTD_Q_CPL_COUNT), PTD_CPL_DEPTH);
	check_eq(q_r32(0, PTD_Q_CPL_LOST), 10);
	check_eq(ptd_wait(&dev, 0).tag, 10);
}

/* A drain waits for older work of every queue, and for nothing newer */
static void test_drain(void)
{
	struct ptd_desc hold = desc(PTD_OP_HOLD), drain = desc(PTD_OP_DRAIN);
	struct ptd_desc late = desc(PTD_OP_HOLD);

	fresh();
	ptd_submit(&dev, 0, &hold);
	ptd_submit(&dev, 1, &drain);
	ptd_submit(&dev, 2, &late);
	wait_for(0, PTD_Q_STATUS, PTD_Q_STATUS_HELD, PTD_Q_STATUS_HELD);
	wait_for(2, PTD_Q_STATUS, PTD_Q_STATUS_HELD, PTD_Q_STATUS_HELD);
	linger();
	check_eq(q_r32(1, PTD_Q_CPL_COUNT), 0);
	q_w32(0, PTD_Q_CTRL, PTD_Q_CTRL_ENABLE | PTD_Q_CTRL_RELEASE);
	check_eq(ptd_wait(&dev, 0).status, PTD_ST_OK);
	check_eq(ptd_wait(&dev, 1).tag, drain.tag);
	check_eq(q_r32(2, PTD_Q_CPL_COUNT), 0);
}

static void test_hold_dma(void)
{
	struct ptd_desc d = desc(PTD_OP_MEMMOVE);
	int i;

	for (i = 0; i < 2; i++) {
		fresh();
		fill(buf + SRC, PAGE, 7 + i);
		if (i)
			mon_w32(IMON_DMA_HOLD, 1);
		else
			ptd_w32(&dev, PTD_CTRL, PTD_CTRL_HOLD);
		ptd_submit(&dev, 0, &d);
		linger();
		check_eq(q_r32(0, PTD_Q_STATUS), PTD_Q_STATUS_BUSY);
		check(!buf[DST + 1], "DMA while it is held");
		check_eq(ptd_r64(&dev, PTD_CNT_READS), 0);
		if (i)
			mon_w32(IMON_DMA_HOLD, 0);
		else
			ptd_w32(&dev, PTD_CTRL, 0);
		check_eq(ptd_wait(&dev, 0).status, PTD_ST_OK);
		check(filled(buf + DST, PAGE, 7 + i), "no data");
	}
}

/* Two ways to reset, with work held in every queue */
static void test_reset(void)
{
	struct ptd_desc hold = desc(PTD_OP_HOLD), move = desc(PTD_OP_MEMMOVE);
	int i, q;

	for (i = 0; i < 2; i++) {
		fresh();
		fill(buf + SRC, PAGE, 1);
		mon_w32(IMON_DMA_HOLD, 1);
		for (q = 0; q < NR_QUEUES; q++) {
			if (q)
				ptd_submit(&dev, q, &hold);
			ptd_submit(&dev, q, &move);
		}
		if (i)
			check_eq(ioctl(dev.fd, VFIO_DEVICE_RESET), 0);
		else
			ptd_w32(&dev, PTD_CTRL, PTD_CTRL_RESET);
		mon_w32(IMON_DMA_HOLD, 0);
		linger();
		for (q = 0; q < NR_QUEUES; q++) {
			check_eq(q_r32(q, PTD_Q_CTRL), 0);
			check_eq(q_r32(q, PTD_Q_STATUS), 0);
			check_eq(q_r32(q, PTD_Q_PENDING), 0);
			check_eq(q_r32(q, PTD_Q_CPL_COUNT), 0);
		}
		check_eq(ptd_r64(&dev, PTD_CNT_DESC), 0);
		check(!buf[DST] && !buf[DST + 1], "DMA after the reset");

		fresh();
		fill(buf + SRC, PAGE, 2);
		check_eq(ptd_do(&dev, &move).status, PTD_ST_OK);
		check(filled(buf + DST, PAGE, 2), "dead after the reset");
	}
}

/* The device TLB: asked once, used, dropped when told and not before */
static void test_ats(void)
{
	struct ptd_desc d = desc(PTD_OP_FILL);
	uint8_t *page = page_alloc(PAGE, PAGE);
	uint64_t req, inv;

	fresh();
	if (!(ptd_r32(&dev, PTD_STATUS) & PTD_STATUS_ATS))
		skip("the kernel left ATS off");
	d.dst = NOWHERE;
	d.len = 64;
	d.imm = 0x1111111111111111ull;
	map(page, NOWHERE, PAGE);
	check_eq(ptd_do(&dev, &d).status, PTD_ST_OK);
	check(page[63] == 0x11, "no data");
	req = ptd_r64(&dev, PTD_CNT_ATS_REQ);
	check_eq(req, 1);
	check_eq(ptd_r64(&dev, PTD_CNT_ATS_HIT), 0);
	d.dst += 128;
	check_eq(ptd_do(&dev, &d).status, PTD_ST_OK);
	check(page[128] == 0x11, "no data");
	check_eq(ptd_r64(&dev, PTD_CNT_ATS_REQ), req);
	check_eq(ptd_r64(&dev, PTD_CNT_ATS_HIT), 1);

	d.flags = PTD_F_NO_ATS;
	check_eq(ptd_do(&dev, &d).status, PTD_ST_OK);
	check_eq(ptd_r64(&dev, PTD_CNT_ATS_REQ), req);
	check_eq(ptd_r64(&dev, PTD_CNT_ATS_HIT), 1);

	inv = ptd_r64(&dev, PTD_CNT_ATS_INV);
	unmap(NOWHERE, PAGE);
	check(ptd_r64(&dev, PTD_CNT_ATS_INV) > inv, "no invalidation came");
	d.flags = 0;
	d.imm = 0;
	check_eq(ptd_do(&dev, &d).status, PTD_ST_WRITE_FAULT);
	check(page[128] == 0x11, "written after unmap");
	check_eq(ptd_r64(&dev, PTD_CNT_ATS_REQ), req + 1);
	check_eq(ptd_r64(&dev, PTD_CNT_FAULTS), 1);
}

/* The other function has state of its own */
static void test_two_devices(void)
{
	struct ptd_desc hold = desc(PTD_OP_HOLD);
	struct ptd other;
	int grp;

	if (!bdf2[0])
		skip("there is only one test device");
	fresh();
	ptd_open_group(&other, bdf2, container, &grp);
	ptd_start(&other);
	ptd_submit(&dev, 0, &hold);
	wait_for(0, PTD_Q_STATUS, PTD_Q_STATUS_HELD, PTD_Q_STATUS_HELD);
	fill(buf + SRC, PAGE, 5);
	check_eq(ptd_copy(&other, IOVA + SRC, IOVA + DST, PAGE).status,
		 PTD_ST_OK);
	check(filled(buf + DST, PAGE, 5), "no data");
	check_eq(ptd_r64(&dev, PTD_CNT_READS), 0);
	check_eq(ptd_r64(&other, PTD_CNT_DESC), 1);
	check_eq(q_r32(0, PTD_Q_STATUS),
		 PTD_Q_STATUS_BUSY | PTD_Q_STATUS_HELD);
	ptd_close(&other);
	close(grp);
}

/*
 * The card of the other one is pulled.  Not with the rest: the unmodified
 * kernel's hotplug driver has a lock order that lockdep objects to.
 */
static void test_unplug(void)
{
	char path[64];

	if (!bdf2[0])
		skip("there is only one test device");
	mon_w32(IMON_UNPLUG, 0xffff);
	check_eq(mon_r32(IMON_UNPLUG), 0);
	mon_w32(IMON_UNPLUG, pci_sid(bdf2));
	check_eq(mon_r32(IMON_UNPLUG), 1);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", bdf2);
	if (!wait_until(access(path, F_OK)))
		fail("the kernel still has %s", bdf2);
	/* the first one lives on */
	test_nop();
}

static const struct test tests[] = {
	{ "registers", test_registers },
	{ "nop", test_nop },
	{ "memmove", test_memmove },
	{ "memmove_overlap", test_overlap },
	{ "fill", test_fill },
	{ "compare", test_compare },
	{ "crc32", test_crc32 },
	{ "fetchadd", test_fetchadd },
	{ "record", test_record },
	{ "record_order", test_record_order },
	{ "irq", test_irq },
	{ "malformed", test_malformed },
	{ "pasid_enables", test_pasid_enables },
	{ "fault", test_fault },
	{ "bus_master", test_bus_master },
	{ "queue_limits", test_queue_limits },
	{ "completions_lost", test_completions_lost },
	{ "drain", test_drain },
	{ "hold_dma", test_hold_dma },
	{ "reset", test_reset },
	{ "ats", test_ats },
	{ "two_devices", test_two_devices },
	{ "surprise_removal", test_unplug, .named = true },
};

int main(int argc, char **argv)
{
	char bdf[BDF_LEN];

	if (!pci_find(PTD_VENDOR_ID, PTD_DEVICE_ID, 0, bdf))
		die("this machine has no pasid-testdev");
	if (!pci_find(PTD_VENDOR_ID, PTD_DEVICE_ID, 1, bdf2))
		bdf2[0] = 0;
	mon_open();
	container = open("/dev/vfio/vfio", O_RDWR);
	if (container < 0)
		die("/dev/vfio/vfio: %s", strerror(errno));
	ptd_open_group(&dev, bdf, container, &group);
	buf = page_alloc(BUF_LEN, PAGE);
	map(buf, IOVA, BUF_LEN);
	ptd_map(&dev);
	return run_tests_argv(tests, sizeof(tests) / sizeof(tests[0]), argv);
}
