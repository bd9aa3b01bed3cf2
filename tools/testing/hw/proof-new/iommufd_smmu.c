// SPDX-License-Identifier: GPL-2.0-only
/*
 * SMMUv3: a guest's table of context descriptors on stage 2, by iommufd
 *
 * Needs a kernel with IOMMU_VIOMMU_TYPE_ARM_SMMUV3 and its events (6.16 and
 * later).  That kernel is an unmodified one and so is its path.  What is on
 * trial is the emulated hardware.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ifd.h"
#include "smmu.h"

#define GUEST_GPA	0x10000000ull
#define GUEST_LEN	(16 * SZ_2M)
#define SRC		0x7e0000000000ull
#define DST		0x7e0040000000ull

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#endif

/* What the guest calls its devices: nothing like the real StreamIDs */
#define VSID		0x1234
#define VSID2		0x4321

static struct ptd dev, dev2;
static int ifd;
static uint32_t ioas;
static struct guest mem;

/* A guest as iommufd knows it: a stage 2, and an SMMU on it */
struct vm {
	uint32_t parent;
	uint32_t viommu;
};

static struct vm vm;

struct space {
	uint64_t root;
	uint16_t asid;
	uint64_t src;
	uint64_t dst;
	uint8_t seed;
};

static void set(uint64_t gpa, uint8_t seed)
{
	fill(gpa_ptr(&mem, gpa), PAGE, seed);
}

static bool holds(uint64_t gpa, uint8_t seed)
{
	return filled(gpa_ptr(&mem, gpa), PAGE, seed);
}

static struct space space_new(uint8_t seed)
{
	static uint16_t asids;
	struct space s = { .seed = seed, .asid = ++asids };

	s.root = guest_pages(&mem, 1);
	s.src = guest_pages(&mem, 1);
	s.dst = guest_pages(&mem, 1);
	set(s.src, seed);
	*pte(&mem, s.root, SRC) = s.src | PTE_USER | PTE_RDONLY;
	*pte(&mem, s.root, DST) = s.dst | PTE_USER;
	return s;
}

static struct vm vm_new(struct ptd *d, uint64_t vsid, uint32_t ioas)
{
	struct vm v = {
		.parent = ifd_hwpt(ifd, d, ioas, IOMMU_HWPT_ALLOC_NEST_PARENT,
				   NULL),
	};
	struct iommu_viommu_alloc viommu = {
		.size = sizeof(viommu),
		.type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
		.dev_id = d->devid,
		.hwpt_id = v.parent,
	};
	struct iommu_vdevice_alloc vdev = {
		.size = sizeof(vdev),
		.dev_id = d->devid,
		.virt_id = vsid,
	};

	if (ioctl(ifd, IOMMU_VIOMMU_ALLOC, &viommu))
		die("IOMMU_VIOMMU_ALLOC: %s", strerror(errno));
	v.viommu = viommu.out_viommu_id;
	vdev.viommu_id = v.viommu;
	if (ioctl(ifd, IOMMU_VDEVICE_ALLOC, &vdev))
		die("IOMMU_VDEVICE_ALLOC: %s", strerror(errno));
	return v;
}

/* The guest's stream table entry; 0 or -errno */
static int ste_hwpt(struct ptd *d, const struct vm *v, uint64_t w0,
		    uint64_t w1, uint32_t *hwpt)
{
	struct iommu_hwpt_arm_smmuv3 ste = { .ste = { w0, w1 } };
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.dev_id = d->devid,
		.pt_id = v->viommu,
		.data_type = IOMMU_HWPT_DATA_ARM_SMMUV3,
		.data_len = sizeof(ste),
		.data_uptr = (uintptr_t)&ste,
	};

	if (ioctl(ifd, IOMMU_HWPT_ALLOC, &cmd))
		return -errno;
	*hwpt = cmd.out_hwpt_id;
	return 0;
}

static void ste_attach(struct ptd *d, const struct vm *v, uint64_t w0,
		       uint64_t w1)
{
	uint32_t hwpt = 0;

	check_eq(ste_hwpt(d, v, w0, w1, &hwpt), 0);
	ifd_attach(d, hwpt);
}

static void table_attach(struct ptd *d, const struct vm *v,
			 const struct cdtab *t, int dss, uint64_t eats)
{
	ste_attach(d, v, STE0_V | STE0_STAGE1 | STE0_FMT(t->fmt) |
		   STE0_CDMAX(t->bits) | t->base,
		   STE1_DSS(dss) | STE1_WALK_WB | eats);
}

static int command_of(const struct vm *v, uint64_t w0, uint64_t w1)
{
	struct iommu_viommu_arm_smmuv3_invalidate c = { .cmd = { w0, w1 } };
	struct iommu_hwpt_invalidate cmd = {
		.size = sizeof(cmd),
		.hwpt_id = v->viommu,
		.data_uptr = (uintptr_t)&c,
		.data_type = IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
		.entry_len = sizeof(c),
		.entry_num = 1,
	};

	return ioctl(ifd, IOMMU_HWPT_INVALIDATE, &cmd) ? -errno : 0;
}

static void command(uint64_t w0, uint64_t w1)
{
	check_eq(command_of(&vm, w0, w1), 0);
}

/* @ssid 0: without */
static struct ptd_record copy(struct ptd *d, uint32_t ssid, uint64_t src,
			      uint64_t dst, uint32_t flags)
{
	static uint32_t tag = 0x6000;
	struct ptd_desc desc = {
		.op = PTD_OP_MEMMOVE,
		.flags = flags,
		.pasid = ssid ? PTD_PASID_VALID | ssid : 0,
		.tag = tag++,
		.src = src,
		.dst = dst,
		.len = PAGE,
	};

	return ptd_do(d, &desc);
}

static void works_as(struct ptd *d, uint32_t ssid, const struct space *s,
		     uint32_t flags)
{
	struct ptd_record r;

	set(s->dst, ~s->seed);
	r = copy(d, ssid, SRC, DST, flags);
	check(r.status == PTD_ST_OK, "SSID %#x: status %u at %#llx", ssid,
	      r.status, (unsigned long long)r.fault_addr);
	check(holds(s->dst, s->seed), "SSID %#x: the data is not there", ssid);
}

/* By untranslated requests, whether ATS is on or not */
static void works(uint32_t ssid, const struct space *s)
{
	works_as(&dev, ssid, s, PTD_F_NO_ATS);
}

static void refused_as(struct ptd *d, uint32_t ssid, uint32_t flags)
{
	struct ptd_record r = copy(d, ssid, SRC, DST, flags);

	check(r.status == PTD_ST_READ_FAULT, "SSID %#x: status %u", ssid,
	      r.status);
	check_eq(r.fault_addr, SRC);
	check_eq(r.done, 0);
}

static void refused(uint32_t ssid)
{
	refused_as(&dev, ssid, PTD_F_NO_ATS);
}

/* Without SSID: addresses are those of stage 2 */
static void stage2(const struct space *s, bool ok)
{
	struct ptd_record r;

	set(s->dst, ~s->seed);
	r = copy(&dev, 0, s->src, s->dst, PTD_F_NO_ATS);
	check_eq(r.status, ok ? PTD_ST_OK : PTD_ST_READ_FAULT);
	check(holds(s->dst, ok ? s->seed : (uint8_t)~s->seed),
	      "stage 2: wrong data");
}

static uint64_t executed(uint64_t op)
{
	return mon_count(IOMMU_MON_EV_SMMU(op), IMON_SEL_ANY, IMON_SEL_ANY);
}

/* All but CMD_SYNC */
static uint64_t executed_all(void)
{
	uint64_t sum = 0, op;

	for (op = 0; op < 256; op++)
		sum += op == CMD_SYNC ? 0 : executed(op);
	return sum;
}

static void test_hw_info(void)
{
	struct iommu_hw_info_arm_smmuv3 info;

	ifd_hw_info(ifd, &dev, IOMMU_HW_INFO_TYPE_ARM_SMMUV3, &info,
		    sizeof(info));
	check_eq(info.idr[0] & 3, 3);			/* both stages */
	check_eq(info.idr[0] >> 19 & 1, 1);		/* two levels of CDs */
	check_eq(info.idr[1] >> 6 & 31, 20);		/* SSIDSIZE */
	check_eq(info.idr[3] >> 8 & 1, 1);		/* S2FWB */
	check(ptd_r32(&dev, PTD_STATUS) & PTD_STATUS_PASID,
	      "the device's PASIDs are off");
	check(mon_r64(IMON_MODES) & IOMMU_MON_MODE_STRICT,
	      "the model is not strict");
}

/* Entries without a table */
static void test_entries(void)
{
	struct space a = space_new(0x11);

	ste_attach(&dev, &vm, STE0_V | STE0_BYPASS, 0);
	stage2(&a, true);
	refused(1);
	ste_attach(&dev, &vm, STE0_V | STE0_ABORT, 0);
	stage2(&a, false);
	refused(1);
	ste_attach(&dev, &vm, 0, 0);
	stage2(&a, false);
	ifd_attach(&dev, vm.parent);
	stage2(&a, true);
}

static void table(int fmt, int bits, uint32_t last)
{
	struct space a = space_new(0x21), b = space_new(0x22);
	struct space none = space_new(0x23);
	struct cdtab t = cdtab_new(&mem, fmt, bits);
	int i;

	cd_write(&t, 0, none.root, none.asid);
	cd_write(&t, 1, a.root, a.asid);
	cd_write(&t, last, b.root, b.asid);
	table_attach(&dev, &vm, &t, DSS_SSID0, 0);
	for (i = 0; i < 3; i++) {
		works(0, &none);
		works(1, &a);
		works(last, &b);
	}
	/* no descriptor; no table of them; beyond the table */
	refused(2);
	refused(last ^ (1 << (bits - 1)));
	if (bits < 20)
		refused(1 << bits);
	stage2(&a, false);
	ifd_attach(&dev, vm.parent);
	refused(1);
	stage2(&a, true);
}

static void test_linear(void)
{
	table(FMT_LINEAR, 5, 31);
}

static void test_leaves_4k(void)
{
	table(FMT_4K, 12, 0xfff);
}

static void test_leaves_64k(void)
{
	table(FMT_64K, 20, 0xfffff);
}

/* Requests without SSID, beside some with */
static void test_s1dss(void)
{
	struct space a = space_new(0x31), none = space_new(0x32);
	struct cdtab t = cdtab_new(&mem, FMT_LINEAR, 4);

	cd_write(&t, 0, none.root, none.asid);
	cd_write(&t, 3, a.root, a.asid);
	table_attach(&dev, &vm, &t, DSS_TERMINATE, 0);
	works(3, &a);
	refused(0);
	stage2(&a, false);
	table_attach(&dev, &vm, &t, DSS_BYPASS, 0);
	works(3, &a);
	refused(0);
	stage2(&a, true);
	table_attach(&dev, &vm, &t, DSS_SSID0, 0);
	works(3, &a);
	works(0, &none);
}

/* What each command drops, and that it drops no more */
static void test_tlbi(void)
{
	struct space a = space_new(0x41), b = space_new(0x42);
	struct cdtab t = cdtab_new(&mem, FMT_LINEAR, 4);
	const struct {
		uint64_t w0, w1, really;
		bool both;
	} cmds[] = {
		{ CMD_NH_VA | C_ASID(a.asid), DST, CMD_NH_VA },
		/* whatever VMID the guest says */
		{ CMD_NH_VA | C_ASID(a.asid) | C_VMID(0x777), DST | 1,
		  CMD_NH_VA },
		{ CMD_NH_ASID | C_ASID(a.asid), 0, CMD_NH_ASID },
		{ CMD_NH_VAA, DST, CMD_NH_VAA, true },
		{ CMD_NH_ALL, 0, CMD_NH_ALL, true },
		{ CMD_NSNH_ALL, 0, CMD_NH_ALL, true },
	};
	uint64_t before, old_a = a.dst, old_b = b.dst, new_a, new_b;
	unsigned int i;

	new_a = guest_pages(&mem, 1);
	new_b = guest_pages(&mem, 1);
	cd_write(&t, 1, a.root, a.asid);
	cd_write(&t, 2, b.root, b.asid);
	table_attach(&dev, &vm, &t, DSS_BYPASS, 0);
	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		works(1, &a);
		works(2, &b);
		*pte(&mem, a.root, DST) = new_a | PTE_USER;
		*pte(&mem, b.root, DST) = new_b | PTE_USER;
		works(1, &a);
		works(2, &b);
		/* another address space, another page: of no help */
		command(CMD_NH_ASID | C_ASID(0x7f), 0);
		command(CMD_NH_VA | C_ASID(a.asid), SRC);
		works(1, &a);
		before = executed(cmds[i].really);
		command(cmds[i].w0, cmds[i].w1);
		check_eq(executed(cmds[i].really), before + 1);
		a.dst = new_a;
		works(1, &a);
		if (!cmds[i].both) {
			works(2, &b);
			command(CMD_NH_ASID | C_ASID(b.asid), 0);
		}
		b.dst = new_b;
		works(2, &b);
		/* and back */
		*pte(&mem, a.root, DST) = old_a | PTE_USER;
		*pte(&mem, b.root, DST) = old_b | PTE_USER;
		command(CMD_NH_ALL, 0);
		a.dst = old_a;
		b.dst = old_b;
	}
}

static void test_cfgi(void)
{
	struct space a = space_new(0x51), b = space_new(0x52);
	struct cdtab t = cdtab_new(&mem, FMT_64K, 12);
	int all;

	cd_write(&t, 5, a.root, a.asid);
	cd_write(&t, 6, a.root, a.asid);
	table_attach(&dev, &vm, &t, DSS_BYPASS, 0);
	for (all = 0; all < 2; all++) {
		works(5, &a);
		works(6, &a);
		cd_write(&t, 5, b.root, b.asid);
		works(5, &a);
		command(CMD_CFGI_CD | C_SSID(6) | C_SID(VSID), 1);
		works(5, &a);
		/* the StreamID is the guest's; another one it does not have */
		check_eq(command_of(&vm, CMD_CFGI_CD | C_SSID(5) |
				    C_SID(VSID + 1), 1), -EIO);
		works(5, &a);
		command(all ? CMD_CFGI_CD_ALL | C_SID(VSID) :
			CMD_CFGI_CD | C_SSID(5) | C_SID(VSID), all ? 0 : 1);
		works(5, &b);
		works(6, &a);
		/* an entry that is not valid is cached as well */
		*cd(&t, 5) &= ~CD0_V;
		works(5, &b);
		command(CMD_CFGI_CD | C_SSID(5) | C_SID(VSID), 1);
		refused(5);
		cd_write(&t, 5, a.root, a.asid);
		command(CMD_CFGI_CD | C_SSID(5) | C_SID(VSID), 1);
	}
	check_eq(mon_count(IOMMU_MON_EV_SMMU(CMD_CFGI_CD), VSID, IMON_SEL_ANY),
		 0);
}

/* Another table, with the same SSIDs */
static void test_replace(void)
{
	struct space a = space_new(0x61), b = space_new(0x62);
	struct cdtab t = cdtab_new(&mem, FMT_LINEAR, 4);
	struct cdtab u = cdtab_new(&mem, FMT_4K, 10);
	int i;

	cd_write(&t, 1, a.root, a.asid);
	cd_write(&u, 1, b.root, b.asid);
	for (i = 0; i < 3; i++) {
		table_attach(&dev, &vm, &t, DSS_BYPASS, 0);
		works(1, &a);
		table_attach(&dev, &vm, &u, DSS_BYPASS, 0);
		works(1, &b);
	}
}

/* Memory that leaves stage 2 is gone below stage 1, cached or not */
static void test_stage2_unmap(void)
{
	const uint64_t gpa = 0x40000000ull;
	struct space a = space_new(0x71);
	struct cdtab t = cdtab_new(&mem, FMT_LINEAR, 4);
	uint8_t *page = page_alloc(PAGE, PAGE);
	struct ptd_record r;

	ifd_map(ifd, ioas, page, PAGE, gpa);
	*pte(&mem, a.root, DST) = gpa | PTE_USER;
	cd_write(&t, 1, a.root, a.asid);
	table_attach(&dev, &vm, &t, DSS_BYPASS, 0);
	check_eq(copy(&dev, 1, SRC, DST, PTD_F_NO_ATS).status, PTD_ST_OK);
	check(filled(page, PAGE, a.seed), "the data is not there");
	ifd_unmap(ifd, ioas, gpa, PAGE);
	fill(page, PAGE, 0);
	r = copy(&dev, 1, SRC, DST, PTD_F_NO_ATS);
	check_eq(r.status, PTD_ST_WRITE_FAULT);
	check_eq(r.fault_addr, DST);
	check(filled(page, PAGE, 0), "written after the unmap");
}

static void test_write_back(void)
{
	/* Interrupts of other devices are writes to device memory */
	uint64_t before = mon_count(IOMMU_MON_EV_NOT_WB, dev.sid,
				    IMON_SEL_ANY);
	struct space a = space_new(0x81);
	struct cdtab t = cdtab_new(&mem, FMT_LINEAR, 4);

	cd_write(&t, 1, a.root, a.asid);
	cd(&t, 1)[3] = 0;			/* MAIR: device memory */
	table_attach(&dev, &vm, &t, DSS_BYPASS, 0);
	works(1, &a);
	check_eq(mon_count(IOMMU_MON_EV_NOT_WB, dev.sid, IMON_SEL_ANY),
		 before);
}

/* A translation that the device keeps is dropped by ATC_INV alone */
static void test_ats(void)
{
	struct space a = space_new(0x91);
	struct cdtab t = cdtab_new(&mem, FMT_LINEAR, 4);
	uint64_t req, other = guest_pages(&mem, 1);

	cd_write(&t, 0, a.root, a.asid);
	cd_write(&t, 1, a.root, a.asid);
	table_attach(&dev, &vm, &t, DSS_SSID0, 0);
	check(!(ptd_r32(&dev, PTD_STATUS) & PTD_STATUS_ATS),
	      "ATS is on, and the guest does not want it");
	table_attach(&dev, &vm, &t, DSS_SSID0, STE1_EATS);
	if (!(ptd_r32(&dev, PTD_STATUS) & PTD_STATUS_ATS))
		skip("the kernel left ATS off");
	works_as(&dev, 1, &a, 0);
	works_as(&dev, 0, &a, 0);
	req = ptd_r64(&dev, PTD_CNT_ATS_REQ);
	works_as(&dev, 1, &a, 0);
	check_eq(ptd_r64(&dev, PTD_CNT_ATS_REQ), req);

	*pte(&mem, a.root, DST) = other | PTE_USER;
	command(CMD_NH_VA | C_ASID(a.asid), DST);
	works_as(&dev, 1, &a, 0);
	command(CMD_ATC_INV | C_SSV | C_SSID(2) | C_SID(VSID), C_ATC_ALL);
	works_as(&dev, 1, &a, 0);
	command(CMD_ATC_INV | C_SSV | C_SSID(1) | C_SID(VSID), DST);
	works_as(&dev, 0, &a, 0);
	a.dst = other;
	works_as(&dev, 1, &a, 0);
	command(CMD_ATC_INV | C_SID(VSID), C_ATC_ALL);
	works_as(&dev, 0, &a, 0);
}

static void ignore(uint64_t op, bool on)
{
	mon_w64(IMON_IGNORE_SMMU, op);
	mon_w32(IMON_IGNORE_SMMU_ON, on);
}

/* With a command ignored the old page stays: the tests above can fail */
static void test_ignore(void)
{
	const uint64_t ops[] = { CMD_NH_VA, CMD_NH_ASID, CMD_NH_ALL };
	struct space a = space_new(0xa1), b = space_new(0xa2);
	struct cdtab t = cdtab_new(&mem, FMT_LINEAR, 4);
	uint64_t other = guest_pages(&mem, 1), old = a.dst;
	unsigned int i;

	cd_write(&t, 1, a.root, a.asid);
	table_attach(&dev, &vm, &t, DSS_BYPASS, 0);
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		works(1, &a);
		*pte(&mem, a.root, DST) = other | PTE_USER;
		ignore(ops[i], true);
		command(ops[i] | (ops[i] == CMD_NH_ALL ? 0 : C_ASID(a.asid)),
			ops[i] == CMD_NH_VA ? DST : 0);
		works(1, &a);
		ignore(ops[i], false);
		command(CMD_NH_ALL, 0);
		a.dst = other;
		works(1, &a);
		*pte(&mem, a.root, DST) = old | PTE_USER;
		command(CMD_NH_ALL, 0);
		a.dst = old;
	}

	works(1, &a);
	cd_write(&t, 1, b.root, b.asid);
	ignore(CMD_CFGI_CD, true);
	command(CMD_CFGI_CD | C_SSID(1) | C_SID(VSID), 1);
	works(1, &a);
	ignore(CMD_CFGI_CD, false);
	command(CMD_CFGI_CD | C_SSID(1) | C_SID(VSID), 1);
	works(1, &b);
}

/* What is reserved is refused by the kernel; the SMMU sees nothing of it */
static void test_bad_commands(void)
{
	struct space a = space_new(0xb1);
	struct cdtab t = cdtab_new(&mem, FMT_LINEAR, 4);
	const uint64_t bad[][2] = {
		{ CMD_NH_ALL | 1 << 8 }, { CMD_NH_ALL, 1 },
		{ CMD_NH_ASID, 1ull << 12 }, { CMD_NSNH_ALL | C_VMID(1) },
		{ CMD_CFGI_CD | C_SSV | C_SID(VSID) },
		{ CMD_CFGI_CD_ALL | C_SID(VSID), 31 },
		{ CMD_ATC_INV | C_SID(VSID), 53 },
		{ 0x03 | C_SID(VSID) },		/* CFGI_STE */
		{ 0x04, 31 },			/* CFGI_ALL */
		{ 0x28 }, { 0x2a },		/* stage 2 */
		{ 0x44 }, { CMD_SYNC },
	};
	uint64_t before;
	unsigned int i;

	cd_write(&t, 1, a.root, a.asid);
	table_attach(&dev, &vm, &t, DSS_BYPASS, 0);
	works(1, &a);
	before = executed_all();
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		check_eq(command_of(&vm, bad[i][0], bad[i][1]), -EIO);
	check_eq(executed_all(), before);
	works(1, &a);
}

/* The next event of the guest; true if there is one */
static bool event(int fd, uint64_t evt[4])
{
	struct {
		struct iommufd_vevent_header header;
		struct iommu_vevent_arm_smmuv3 event;
	} buf;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, PATIENCE_S * 1000) != 1)
		return false;
	check_eq(read(fd, &buf, sizeof(buf)), sizeof(buf));
	check_eq(buf.header.flags, 0);
	memcpy(evt, buf.event.evt, sizeof(buf.event.evt));
	return true;
}

/* 7.3.13, 7.3.7: what stage 1 refuses is an event, with the guest's StreamID */
static void test_events(void)
{
	struct iommu_veventq_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = vm.viommu,
		.type = IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
		.veventq_depth = 16,
	};
	struct space a = space_new(0xc1);
	struct cdtab t = cdtab_new(&mem, FMT_LINEAR, 4);
	uint64_t evt[4];
	int fd;

	check_eq(ioctl(ifd, IOMMU_VEVENTQ_ALLOC, &cmd), 0);
	fd = cmd.out_veventq_fd;
	cd_write(&t, 0, a.root, a.asid);
	cd_write(&t, 3, a.root, a.asid);
	*pte(&mem, a.root, SRC) = 0;
	table_attach(&dev, &vm, &t, DSS_SSID0, 0);
	refused(3);
	check(event(fd, evt), "no event");
	check_eq(evt[0] & 0xff, EVT_TRANSLATION);
	check_eq(evt[0] >> 11 & 1, 1);			/* SSV */
	check_eq(evt[0] >> 12 & 0xfffff, 3);
	check_eq(evt[0] >> 32, VSID);
	check_eq(evt[1] >> 35 & 1, 1);			/* a read */
	check_eq(evt[1] >> 39 & 1, 0);			/* of stage 1 */
	check_eq(evt[2], SRC);

	refused(0);
	check(event(fd, evt), "no event");
	check_eq(evt[0] & 0xff, EVT_TRANSLATION);
	check_eq(evt[0] >> 11 & 1, 0);
	check_eq(evt[2], SRC);

	/* beyond the table */
	refused(16);
	check(event(fd, evt), "no event");
	check_eq(evt[0] & 0xff, EVT_BAD_SSID);
	check_eq(evt[0] >> 12 & 0xfffff, 16);
	check_eq(evt[0] >> 32, VSID);
	close(fd);
}

/* Two guests, the same SSID, ASID and address: commands reach their own */
static void test_two_guests(void)
{
	struct space a = space_new(0xd1), b = space_new(0xd2);
	struct cdtab t = cdtab_new(&mem, FMT_LINEAR, 4);
	struct cdtab u = cdtab_new(&mem, FMT_LINEAR, 4);
	uint64_t new_a = guest_pages(&mem, 1), new_b = guest_pages(&mem, 1);
	const uint64_t cmds[] = { CMD_NH_ALL, CMD_NSNH_ALL,
				  CMD_NH_ASID | C_ASID(a.asid) };
	uint64_t old_a = a.dst, old_b = b.dst;
	uint32_t ioas2 = ifd_ioas(ifd);
	char bdf[BDF_LEN];
	unsigned int i;
	struct vm vm2;

	if (!pci_find(PTD_VENDOR_ID, PTD_DEVICE_ID, 1, bdf))
		skip("one device only");
	ptd_open_cdev(&dev2, bdf, ifd);
	ifd_map(ifd, ioas2, mem.hva, mem.len, mem.gpa);
	vm2 = vm_new(&dev2, VSID2, ioas2);
	cd_write(&t, 1, a.root, a.asid);
	cd_write(&u, 1, b.root, a.asid);
	table_attach(&dev, &vm, &t, DSS_BYPASS, 0);
	table_attach(&dev2, &vm2, &u, DSS_BYPASS, 0);
	ptd_start(&dev2);
	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		works(1, &a);
		works_as(&dev2, 1, &b, PTD_F_NO_ATS);
		*pte(&mem, a.root, DST) = new_a | PTE_USER;
		*pte(&mem, b.root, DST) = new_b | PTE_USER;
		command(cmds[i], 0);
		a.dst = new_a;
		works(1, &a);
		works_as(&dev2, 1, &b, PTD_F_NO_ATS);
		check_eq(command_of(&vm2, cmds[i], 0), 0);
		b.dst = new_b;
		works_as(&dev2, 1, &b, PTD_F_NO_ATS);
		*pte(&mem, a.root, DST) = old_a | PTE_USER;
		*pte(&mem, b.root, DST) = old_b | PTE_USER;
		command(CMD_NH_ALL, 0);
		check_eq(command_of(&vm2, CMD_NH_ALL, 0), 0);
		a.dst = old_a;
		b.dst = old_b;
	}
	/* nor a descriptor of the other's device */
	check_eq(command_of(&vm2, CMD_CFGI_CD_ALL | C_SID(VSID), 0), -EIO);
	ptd_close(&dev2);
}

static void test_accounts(void)
{
	uint64_t raised = mon_count(IOMMU_MON_EV_F_RAISED, IMON_SEL_ANY,
				    IMON_SEL_ANY);
	uint64_t sum = 0;
	unsigned int e;

	for (e = IOMMU_MON_EV_F_RECORDED; e <= IOMMU_MON_EV_F_LOST; e++)
		sum += mon_count(e, IMON_SEL_ANY, IMON_SEL_ANY);
	check(raised, "no fault in all these tests");
	check_eq(sum, raised);
	check_eq(mon_count(IOMMU_MON_EV_IQE, IMON_SEL_ANY, IMON_SEL_ANY), 0);
}

static const struct test tests[] = {
	{ "hardware_info", test_hw_info },
	{ "entries_without_table", test_entries },
	{ "linear", test_linear },
	{ "leaves_4k", test_leaves_4k },
	{ "leaves_64k", test_leaves_64k },
	{ "s1dss", test_s1dss },
	{ "tlbi", test_tlbi },
	{ "cfgi", test_cfgi },
	{ "replace", test_replace },
	{ "stage2_unmap", test_stage2_unmap },
	{ "write_back", test_write_back },
	{ "ats", test_ats },
	{ "ignore", test_ignore },
	{ "bad_commands", test_bad_commands },
	{ "events", test_events },
	{ "two_guests", test_two_guests },
	{ "accounts", test_accounts },
};

int main(int argc, char **argv)
{
	ifd = ifd_open_ptd(&dev);
	guest_init(&mem, GUEST_GPA, GUEST_LEN);
	ioas = ifd_ioas(ifd);
	ifd_map(ifd, ioas, mem.hva, mem.len, mem.gpa);
	vm = vm_new(&dev, VSID, ioas);
	ifd_attach(&dev, vm.parent);
	ptd_start(&dev);
	return run_tests_argv(tests, ARRAY_SIZE(tests), argv);
}
