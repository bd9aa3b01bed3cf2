// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shared virtual addresses on SMMUv3: a PASID for each process, stalls,
 * invalidation
 *
 * By sva_client.ko on an unmodified kernel.  The process hands its own
 * pointers to the device.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "proof.h"
#include "sva_client.h"

/* SMMUv3 commands and events that the monitor counts */
#define CMD_CFGI_CD	0x05
#define CMD_NH_ASID	0x11
#define CMD_NH_VA	0x12
#define CMD_ATC_INV	0x40
#define CMD_RESUME	0x44

static struct ptd dev;
static uint32_t pasid;			/* of this process */
static int bond = -1;

static void bind_self(void)
{
	bond = open("/dev/sva_client", O_RDWR);
	if (bond < 0)
		die("/dev/sva_client: %s", strerror(errno));
	if (ioctl(bond, SVA_CLIENT_BIND, &pasid))
		fail("SVA_CLIENT_BIND: %s", strerror(errno));
	check(pasid, "PASID 0");
}

/* Each test starts with a bond, and with nothing left of the one before */
static void fresh(void)
{
	unsigned int op;

	for (op = 0; op < 256; op++) {
		mon_w32(IMON_IGNORE_SMMU, op);
		mon_w32(IMON_IGNORE_SMMU_ON, 0);
	}
	if (bond >= 0)
		close(bond);
	ptd_reset(&dev);
	bind_self();
	mon_w32(IMON_CLEAR, 1);
}

static void ignore(unsigned int op, bool on)
{
	mon_w32(IMON_IGNORE_SMMU, op);
	mon_w32(IMON_IGNORE_SMMU_ON, on);
}

static struct ptd_desc desc(uint8_t op, uint32_t flags, volatile void *src,
			    volatile void *dst, uint32_t len)
{
	static uint32_t tag = 0x5a000;

	return (struct ptd_desc) {
		.op = op,
		.flags = flags,
		.pasid = PTD_PASID_VALID | pasid,
		.tag = tag++,
		.src = (uintptr_t)src,
		.dst = (uintptr_t)dst,
		.len = len,
		.imm = 0x1122334455667788ull,
	};
}

/* Without ATS: a translation request does not stall */
static struct ptd_record copy(void *src, void *dst, uint32_t len)
{
	struct ptd_desc d = desc(PTD_OP_MEMMOVE, PTD_F_NO_ATS, src, dst, len);

	return ptd_do(&dev, &d);
}

static uint32_t store(volatile uint64_t *p)
{
	struct ptd_desc d = desc(PTD_OP_FILL, PTD_F_NO_ATS, NULL, p, 8);

	return ptd_do(&dev, &d).status;
}

static uint64_t cmds(unsigned int op)
{
	return mon_count(IOMMU_MON_EV_SMMU(op), IMON_SEL_ANY, IMON_SEL_ANY);
}

static uint64_t events(void)
{
	return mon_count(IOMMU_MON_EV_F_RAISED, dev.sid, pasid);
}

static void *anon(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	return p;
}

static void test_enables(void)
{
	fresh();
	check(ptd_r32(&dev, PTD_STATUS) & PTD_STATUS_PASID, "PASID is off");
	check(mon_r64(IMON_MODES) & IOMMU_MON_MODE_STRICT, "not strict");
}

static void test_copy(void)
{
	uint8_t *src = page_alloc(8 * PAGE, PAGE);
	uint8_t *dst = page_alloc(8 * PAGE, PAGE);
	struct ptd_record r;

	fresh();
	fill(src, 8 * PAGE, 3);
	memset(dst, 0, 8 * PAGE);
	r = copy(src, dst, 8 * PAGE);
	check_eq(r.status, PTD_ST_OK);
	check(filled(dst, 8 * PAGE, 3), "the data is wrong");
	check(mon_count(IOMMU_MON_EV_TRANS, dev.sid, pasid) >= 16,
	      "no request carried the PASID");
	check_eq(events(), 0);
}

/* Pages that nobody has touched: each access stalls, and goes on */
static void test_demand(void)
{
	uint8_t *src = page_alloc(8 * PAGE, PAGE);
	uint8_t *dst = anon(8 * PAGE);
	struct ptd_record r;

	fresh();
	fill(src, 8 * PAGE, 4);
	r = copy(src, dst, 8 * PAGE);
	check_eq(r.status, PTD_ST_OK);
	check(filled(dst, 8 * PAGE, 4), "the data is wrong");
	check(events() >= 8, "only %llu events",
	      (unsigned long long)events());
	check_eq(cmds(CMD_RESUME), events());
	check_eq(ptd_r64(&dev, PTD_CNT_FAULTS), 0);
	munmap(dst, 8 * PAGE);
}

/* First a read, which maps the zero page, then a write to it */
static void test_read_then_write(void)
{
	uint8_t *p = anon(PAGE), *dst = page_alloc(PAGE, PAGE);
	struct ptd_record r;
	uint64_t n;

	fresh();
	fill(dst, PAGE, 9);
	r = copy(p, dst, PAGE);
	check_eq(r.status, PTD_ST_OK);
	check(!dst[0] && !memcmp(dst, dst + 1, PAGE - 1), "not zeroes");
	n = events();
	check(n, "no stall");
	check_eq(store((void *)p), PTD_ST_OK);
	check(events() > n, "no stall of the write");
	check_eq(*(uint64_t *)p, 0x1122334455667788ull);
	munmap(p, PAGE);
}

static void test_nothing_there(void)
{
	uint8_t *p = anon(PAGE);
	uint64_t n;

	fresh();
	munmap(p, PAGE);
	check_eq(store((void *)p), PTD_ST_WRITE_FAULT);
	n = events();
	check(n, "no event");
	check_eq(cmds(CMD_RESUME), n);
	/* others work on */
	test_copy();
}

static void test_read_only(void)
{
	volatile uint64_t *p = anon(PAGE);

	fresh();
	*p = 1;
	check_eq(store(p), PTD_ST_OK);
	mprotect((void *)p, PAGE, PROT_READ);
	check_eq(store(p), PTD_ST_WRITE_FAULT);
	check_eq(*p, 0x1122334455667788ull);
	munmap((void *)p, PAGE);
}

/* What was unmapped is gone for the device; with @op ignored, it is not */
static void unmap(unsigned int op)
{
	uint8_t *p = anon(2 * PAGE), *src = page_alloc(PAGE, PAGE);
	uint64_t n;

	fresh();
	fill(src, PAGE, 1);
	memset(p, 7, 2 * PAGE);
	check_eq(copy(src, p, PAGE).status, PTD_ST_OK);
	n = cmds(CMD_NH_VA) + cmds(CMD_NH_ASID);
	if (op) {
		ignore(CMD_NH_VA, true);
		ignore(CMD_NH_ASID, true);
	}
	munmap(p, PAGE);
	check(cmds(CMD_NH_VA) + cmds(CMD_NH_ASID) > n, "no invalidation");
	check_eq(copy(src, p, PAGE).status,
		 op ? PTD_ST_OK : PTD_ST_WRITE_FAULT);
	ignore(CMD_NH_VA, false);
	ignore(CMD_NH_ASID, false);
	munmap(p + PAGE, PAGE);
}

static void test_unmap(void)
{
	unmap(0);
}

static void test_ignore_tlbi(void)
{
	unmap(CMD_NH_VA);
}

/* By way of the device TLB; with its invalidation ignored, it is stale */
static void ats(bool ignored)
{
	uint8_t *p = anon(PAGE), *src = page_alloc(PAGE, PAGE);
	struct ptd_desc d;
	uint64_t sent, got;

	fresh();
	if (!(ptd_r32(&dev, PTD_STATUS) & PTD_STATUS_ATS))
		skip("the kernel left ATS off");
	fill(src, PAGE, 1);
	memset(p, 7, PAGE);
	d = desc(PTD_OP_MEMMOVE, 0, src, p, PAGE);
	check_eq(ptd_do(&dev, &d).status, PTD_ST_OK);
	check(ptd_r64(&dev, PTD_CNT_ATS_REQ), "no translation request");
	sent = cmds(CMD_ATC_INV);
	got = ptd_r64(&dev, PTD_CNT_ATS_INV);
	ignore(CMD_ATC_INV, ignored);
	munmap(p, PAGE);
	ignore(CMD_ATC_INV, false);
	check(cmds(CMD_ATC_INV) > sent, "no invalidation");
	check_eq(ptd_r64(&dev, PTD_CNT_ATS_INV) == got, ignored);
	check_eq(ptd_do(&dev, &d).status,
		 ignored ? PTD_ST_OK : PTD_ST_WRITE_FAULT);
}

static void test_ats(void)
{
	ats(false);
}

static void test_ignore_atc_inv(void)
{
	ats(true);
}

/* After a fork the device writes to its own process's copy */
static void test_fork(void)
{
	volatile uint64_t *p = anon(PAGE);
	int status;
	pid_t pid;

	fresh();
	*p = 5;
	check_eq(store(p), PTD_ST_OK);
	*p = 5;
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	check_eq(store(p), PTD_ST_OK);
	check_eq(*p, 0x1122334455667788ull);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	pid = fork();
	if (!pid) {
		/* and the child writes to its own */
		*p = 6;
		_exit(store(p) != PTD_ST_OK || *p != 6);
	}
	waitpid(pid, &status, 0);
	check_eq(status, 0);
	check_eq(*p, 0x1122334455667788ull);
}

/* Runs @fn in a process of its own */
static int in_child(int (*fn)(void *), void *arg)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(fn(arg));
	waitpid(pid, &status, 0);
	return status;
}

struct two {
	volatile uint64_t *p;
	uint32_t pasid;
};

static int other_process(void *arg)
{
	struct two *t = arg;

	bond = -1;
	bind_self();
	if (pasid == t->pasid)
		return 2;
	*t->p = 0x77;
	if (store(t->p) != PTD_ST_OK || *t->p != 0x1122334455667788ull)
		return 3;
	/* the parent's PASID, from here */
	pasid = t->pasid;
	*t->p = 0x78;
	if (store(t->p + 1) != PTD_ST_OK || *t->p != 0x78 || t->p[1])
		return 4;
	return 0;
}

/* The same address in two processes */
static void test_two_processes(void)
{
	volatile uint64_t *p = anon(PAGE);
	struct two t = { .p = p };

	fresh();
	t.pasid = pasid;
	p[0] = 0x66;
	check_eq(in_child(other_process, &t), 0);
	check_eq(p[0], 0x66);
	check_eq(p[1], 0x1122334455667788ull);
}

static int report;			/* where a child tells its PASID */

static int dies(void *arg)
{
	struct ptd_desc d;

	bond = -1;
	bind_self();
	if (write(report, &pasid, sizeof(pasid)) != sizeof(pasid))
		return 1;
	d = desc(PTD_OP_HOLD, 0, NULL, NULL, 0);
	ptd_submit(&dev, 1, &d);
	d = desc(PTD_OP_FILL, PTD_F_NO_ATS, NULL, arg, 8);
	ptd_submit(&dev, 1, &d);
	kill(getpid(), SIGKILL);
	return 0;
}

/* A process is killed while the device is about to use its memory */
static void test_killed(void)
{
	volatile uint64_t *p = anon(PAGE);
	uint32_t mine, dead;
	int fds[2], status;

	fresh();
	mine = pasid;
	*p = 1;
	if (pipe(fds))
		die("pipe: %s", strerror(errno));
	report = fds[1];
	status = in_child(dies, (void *)p);
	check(WIFSIGNALED(status), "status %#x", status);
	check_eq(read(fds[0], &dead, sizeof(dead)), sizeof(dead));
	close(fds[0]);
	close(fds[1]);
	ptd_w32(&dev, PTD_QUEUE(1) + PTD_Q_CTRL,
		PTD_Q_CTRL_ENABLE | PTD_Q_CTRL_RELEASE);
	check_eq(ptd_wait(&dev, 1).status, PTD_ST_OK);
	check_eq(ptd_wait(&dev, 1).status, PTD_ST_WRITE_FAULT);
	pasid = dead;
	check_eq(store(p), PTD_ST_WRITE_FAULT);
	pasid = mine;
	check_eq(*p, 1);
	check_eq(store(p), PTD_ST_OK);
}

/* After the bond has ended; with CFGI_CD ignored, it goes on */
static void unbind(bool ignored)
{
	volatile uint64_t *p = anon(PAGE);

	fresh();
	*p = 1;
	check_eq(store(p), PTD_ST_OK);
	*p = 1;
	ignore(CMD_CFGI_CD, ignored);
	/* the TLB has the page as well: only the CD is what this is about */
	if (ioctl(bond, SVA_CLIENT_UNBIND))
		fail("SVA_CLIENT_UNBIND: %s", strerror(errno));
	ignore(CMD_CFGI_CD, false);
	check(cmds(CMD_CFGI_CD), "no invalidation");
	if (!ignored) {
		check_eq(store(p), PTD_ST_WRITE_FAULT);
		check_eq(*p, 1);
	} else {
		check_eq(store(p), PTD_ST_OK);
	}
}

static void test_unbind(void)
{
	unbind(false);
}

static void test_ignore_cfgi_cd(void)
{
	unbind(true);
}

static const struct test tests[] = {
	{ "enables", test_enables },
	{ "copy", test_copy },
	{ "demand", test_demand },
	{ "read_then_write", test_read_then_write },
	{ "nothing_there", test_nothing_there },
	{ "read_only", test_read_only },
	{ "unmap", test_unmap },
	{ "ignore_tlbi", test_ignore_tlbi },
	{ "ats", test_ats },
	{ "ignore_atc_inv", test_ignore_atc_inv },
	{ "fork", test_fork },
	{ "two_processes", test_two_processes },
	{ "killed", test_killed },
	{ "unbind", test_unbind },
	{ "ignore_cfgi_cd", test_ignore_cfgi_cd },
};

int main(int argc, char **argv)
{
	char bdf[BDF_LEN];

	/* the second one can stall */
	if (!pci_find(PTD_VENDOR_ID, PTD_DEVICE_ID, 1, bdf))
		die("there is no second pasid-testdev");
	mon_open();
	pci_bind(bdf, "sva_client");
	ptd_open_sysfs(&dev, bdf);
	return run_tests_argv(tests, sizeof(tests) / sizeof(tests[0]), argv);
}
