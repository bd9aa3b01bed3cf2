// SPDX-License-Identifier: GPL-2.0-only
/*
 * VT-d nested translation of PASIDs, driven by iommufd
 *
 * Needs a kernel whose VFIO attaches page tables to PASIDs (6.15 and later).
 * That kernel is an unmodified one and so is its path.  What is on trial is
 * the emulated hardware.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "ifd.h"
#include "s1.h"

#define GUEST_GPA	0x10000000ull
#define GUEST_LEN	(16 * SZ_2M)
/* Nothing is mapped here in stage 2 */
#define HOLE_GPA	0x70000000ull
/* Every table maps these two, each to pages of its own */
#define SRC		0x7e0000000000ull
#define DST		0x7e0040000000ull

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#endif

#define PASID_BITS	20
#define PASID_LAST	((1u << PASID_BITS) - 1)

static struct ptd dev, dev2;
static bool have_dev2;
static int ifd;
static uint32_t ioas, parent;
static struct guest mem;

/* What a process of the guest would see */
struct space {
	uint64_t root;
	uint32_t hwpt;
	uint64_t src;
	uint64_t dst;
	uint8_t seed;
};

static struct space rid;		/* of requests without PASID */

static int attach(struct ptd *d, uint32_t pasid, uint32_t pt)
{
	struct vfio_device_attach_iommufd_pt cmd = {
		.argsz = sizeof(cmd),
		.flags = VFIO_DEVICE_ATTACH_PASID,
		.pt_id = pt,
		.pasid = pasid,
	};

	return ioctl(d->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd) ? -errno : 0;
}

static int detach(struct ptd *d, uint32_t pasid)
{
	struct vfio_device_detach_iommufd_pt cmd = {
		.argsz = sizeof(cmd),
		.flags = VFIO_DEVICE_DETACH_PASID,
		.pasid = pasid,
	};

	return ioctl(d->fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &cmd) ? -errno : 0;
}

static bool holds(uint64_t gpa, uint8_t seed)
{
	return filled(gpa_ptr(&mem, gpa), PAGE, seed);
}

static void set(uint64_t gpa, uint8_t seed)
{
	fill(gpa_ptr(&mem, gpa), PAGE, seed);
}

/* @flags, @fault: see ifd_hwpt_fault() */
static struct space space_fault(struct ptd *d, uint8_t seed, uint32_t flags,
				uint32_t fault)
{
	struct space s = { .seed = seed };
	struct iommu_hwpt_vtd_s1 s1 = { .addr_width = 48 };

	s.root = guest_pages(&mem, 1);
	s.src = guest_pages(&mem, 1);
	s.dst = guest_pages(&mem, 1);
	set(s.src, seed);
	s1_map(&mem, s.root, SRC, s.src, S1_RW);
	s1_map(&mem, s.root, DST, s.dst, S1_RW);
	s1.pgtbl_addr = s.root;
	s.hwpt = ifd_hwpt_fault(ifd, d, parent,
				IOMMU_HWPT_ALLOC_PASID | flags, fault, &s1);
	return s;
}

static struct space space_new(struct ptd *d, uint8_t seed)
{
	return space_fault(d, seed, 0, 0);
}

/* @pasid 0: without */
static struct ptd_record copy(struct ptd *d, uint32_t pasid, uint64_t src,
			      uint64_t dst, uint32_t flags)
{
	static uint32_t tag = 0x5000;
	struct ptd_desc desc = {
		.op = PTD_OP_MEMMOVE,
		.flags = flags,
		.pasid = pasid ? PTD_PASID_VALID | pasid : 0,
		.tag = tag++,
		.src = src,
		.dst = dst,
		.len = PAGE,
	};

	return ptd_do(d, &desc);
}

static void works_as(struct ptd *d, uint32_t pasid, const struct space *s,
		     uint32_t flags)
{
	struct ptd_record r;

	set(s->dst, ~s->seed);
	r = copy(d, pasid, SRC, DST, flags);
	check(r.status == PTD_ST_OK, "PASID %#x: status %u at %#llx", pasid,
	      r.status, (unsigned long long)r.fault_addr);
	check_eq(r.done, PAGE);
	check(holds(s->dst, s->seed), "PASID %#x: the data is not there",
	      pasid);
	check(holds(s->src, s->seed), "PASID %#x: the source has changed",
	      pasid);
}

/* By untranslated requests, whether ATS is on or not */
static void works(struct ptd *d, uint32_t pasid, const struct space *s)
{
	works_as(d, pasid, s, PTD_F_NO_ATS);
}

static uint64_t count(uint32_t event, uint32_t pasid)
{
	return mon_count(event, dev.sid, pasid ? pasid : IMON_SEL_NONE);
}

/* Descriptors that name a PASID but no function */
static uint64_t descs(uint32_t type, uint32_t pasid)
{
	return mon_count(IOMMU_MON_EV_VTD(type), IMON_SEL_ANY, pasid);
}

/* Stopped at the first byte; one fault, of that PASID */
static void refused(struct ptd *d, uint32_t pasid)
{
	uint64_t before = mon_count(IOMMU_MON_EV_F_RAISED, d->sid,
				    pasid ? pasid : IMON_SEL_NONE);
	struct ptd_record r = copy(d, pasid, SRC, DST, PTD_F_NO_ATS);

	check(r.status == PTD_ST_READ_FAULT, "PASID %#x: status %u", pasid,
	      r.status);
	check_eq(r.fault_addr, SRC);
	check_eq(r.done, 0);
	check_eq(mon_count(IOMMU_MON_EV_F_RAISED, d->sid,
			   pasid ? pasid : IMON_SEL_NONE), before + 1);
}

static void invalidate(const struct space *s, uint64_t va, uint64_t npages)
{
	check_eq(ifd_invalidate(ifd, s->hwpt, va, npages), 0);
}

static bool ats_on(void)
{
	return ptd_r32(&dev, PTD_STATUS) & PTD_STATUS_ATS;
}

static void test_hw_info(void)
{
	struct iommu_hw_info_vtd vtd;
	struct iommu_hw_info cmd = ifd_hw_info(ifd, &dev,
					       IOMMU_HW_INFO_TYPE_INTEL_VTD,
					       &vtd, sizeof(vtd));
	int pos = pci_ext_cap(dev.bdf, PCI_EXT_CAP_ID_PASID);
	uint16_t cap = pci_config_read(dev.bdf, pos + PCI_PASID_CAP, 2);

	check_eq(cmd.out_max_pasid_log2, PASID_BITS);
	check_eq(!!(cmd.out_capabilities & IOMMU_HW_CAP_PCI_PASID_EXEC),
		 !!(cap & PCI_PASID_CAP_EXEC));
	check_eq(!!(cmd.out_capabilities & IOMMU_HW_CAP_PCI_PASID_PRIV),
		 !!(cap & PCI_PASID_CAP_PRIV));
	check(ptd_r32(&dev, PTD_STATUS) & PTD_STATUS_PASID,
	      "the device's PASIDs are off");
	check_eq(mon_r64(IMON_MODES) & (IOMMU_MON_MODE_STRICT |
					IOMMU_MON_MODE_NESTING),
		 IOMMU_MON_MODE_STRICT | IOMMU_MON_MODE_NESTING);
}

/* Wait a little until a line of the kernel's log has all of @want in it */
static bool logged(int kmsg, const char *const *want, unsigned int n)
{
	time_t end = now_s() + 5;
	char line[1024];
	unsigned int i;
	ssize_t len;

	while (now_s() <= end) {
		len = read(kmsg, line, sizeof(line) - 1);
		if (len < 0) {
			usleep(1000);
			continue;
		}
		line[len] = 0;
		for (i = 0; i < n && strstr(line, want[i]); i++)
			;
		if (i == n) {
			note("%.*s", (int)strcspn(line, "\n"), line);
			return true;
		}
	}
	return false;
}

/* Nothing is attached, and the kernel reads from the record what happened */
static void refused_because(uint32_t pasid, const char *reason)
{
	int kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	char who[32], addr[32];
	const char *const want[] = { "DMA Read", who, addr, reason };
	time_t end = now_s() + PATIENCE_S;
	bool found = false;
	int i = 0;

	check(kmsg >= 0, "/dev/kmsg: %s", strerror(errno));
	lseek(kmsg, 0, SEEK_END);
	snprintf(who, sizeof(who), "PASID 0x%x]", pasid);
	snprintf(addr, sizeof(addr), "fault addr 0x%llx ", SRC);
	/* after ten lines the kernel holds its tongue for five seconds */
	while (!found && now_s() <= end) {
		refused(&dev, pasid);
		found = logged(kmsg, want, ARRAY_SIZE(want));
		i++;
	}
	close(kmsg);
	check(found, "the kernel logs no such fault of PASID %#x", pasid);
	check_eq(count(IOMMU_MON_EV_F_RECORDED, pasid), i);
}

static void test_not_attached(void)
{
	/* no table at that place of the directory; a table, and no entry */
	refused_because(0x54321, "fault reason 0x51");
	refused_because(0x3f, "fault reason 0x59");
}

/* One address, three memories: two PASIDs and requests without */
static void test_two_pasids(void)
{
	struct space a = space_new(&dev, 0x11), b = space_new(&dev, 0x22);
	uint64_t none = count(IOMMU_MON_EV_TRANS, 0);
	int i;

	check_eq(attach(&dev, 1, a.hwpt), 0);
	refused(&dev, 2);
	check_eq(attach(&dev, 2, b.hwpt), 0);
	check_eq(count(IOMMU_MON_EV_TRANS, 1), 0);
	check_eq(count(IOMMU_MON_EV_TRANS, 2), 1);
	for (i = 1; i <= 3; i++) {
		works(&dev, 1, &a);
		works(&dev, 2, &b);
		works(&dev, 0, &rid);
		/* one read and one write each */
		check_eq(count(IOMMU_MON_EV_TRANS, 1), 2 * i);
		check_eq(count(IOMMU_MON_EV_TRANS, 2), 2 * i + 1);
		check_eq(count(IOMMU_MON_EV_TRANS, 0), none + 2 * i);
	}
	check_eq(count(IOMMU_MON_EV_F_RAISED, 1), 0);
	check_eq(count(IOMMU_MON_EV_F_RAISED, 2), 1);

	check_eq(detach(&dev, 1), 0);
	refused(&dev, 1);
	works(&dev, 2, &b);
	works(&dev, 0, &rid);
	check_eq(attach(&dev, 1, b.hwpt), 0);
	works(&dev, 1, &b);
	check_eq(detach(&dev, 1), 0);
	check_eq(detach(&dev, 2), 0);
	refused(&dev, 1);
	refused(&dev, 2);
	works(&dev, 0, &rid);
}

/* The last PASID there is; and one beyond */
static void test_last_pasid(void)
{
	struct space a = space_new(&dev, 0x31);

	check(attach(&dev, PASID_LAST + 1, a.hwpt), "PASID %#x was accepted",
	      PASID_LAST + 1);
	check_eq(attach(&dev, PASID_LAST, a.hwpt), 0);
	works(&dev, PASID_LAST, &a);
	refused(&dev, PASID_LAST - 1);
	check_eq(detach(&dev, PASID_LAST), 0);
	refused(&dev, PASID_LAST);
}

static void test_accessed_dirty(void)
{
	struct space a = space_new(&dev, 0x41);
	int level;

	check_eq(attach(&dev, 5, a.hwpt), 0);
	works(&dev, 5, &a);
	for (level = 1; level <= 4; level++) {
		check(*s1_entry(&mem, a.root, SRC, level) & S1_A,
		      "no A at level %d", level);
		check(*s1_entry(&mem, a.root, DST, level) & S1_A,
		      "no A at level %d", level);
	}
	check(!(*s1_entry(&mem, a.root, SRC, 1) & S1_D), "a read sets D");
	check(*s1_entry(&mem, a.root, DST, 1) & S1_D, "a write sets no D");
	check_eq(detach(&dev, 5), 0);
}

/* Old page until the invalidation, new page after; of this PASID alone */
static void test_stale(void)
{
	struct space a = space_new(&dev, 0x51), b = space_new(&dev, 0x52);
	uint64_t other = guest_pages(&mem, 1), piotlb, neighbour, old = a.dst;

	check_eq(attach(&dev, 7, a.hwpt), 0);
	check_eq(attach(&dev, 8, b.hwpt), 0);
	works(&dev, 7, &a);
	works(&dev, 8, &b);
	s1_map(&mem, a.root, DST, other, S1_RW);
	works(&dev, 7, &a);

	/* that of the neighbour does not help */
	invalidate(&b, DST, 1);
	works(&dev, 7, &a);

	piotlb = descs(IOMMU_MON_VTD_PIOTLB, 7);
	neighbour = descs(IOMMU_MON_VTD_PIOTLB, 8);
	invalidate(&a, DST, 1);
	check_eq(descs(IOMMU_MON_VTD_PIOTLB, 7), piotlb + 1);
	check_eq(descs(IOMMU_MON_VTD_PIOTLB, 8), neighbour);
	a.dst = other;
	set(old, 0);
	works(&dev, 7, &a);
	check(holds(old, 0), "the old page was written");
	works(&dev, 8, &b);
	check_eq(detach(&dev, 7), 0);
	check_eq(detach(&dev, 8), 0);
}

static void test_unmap(void)
{
	struct space a = space_new(&dev, 0x61);
	uint64_t faults;
	struct ptd_record r;

	check_eq(attach(&dev, 9, a.hwpt), 0);
	works(&dev, 9, &a);
	*s1_entry(&mem, a.root, DST, 1) = 0;
	works(&dev, 9, &a);
	invalidate(&a, DST, 1);
	set(a.dst, 0);
	faults = count(IOMMU_MON_EV_F_RAISED, 9);
	r = copy(&dev, 9, SRC, DST, PTD_F_NO_ATS);
	check_eq(r.status, PTD_ST_WRITE_FAULT);
	check_eq(r.fault_addr, DST);
	check_eq(count(IOMMU_MON_EV_F_RAISED, 9), faults + 1);
	check(holds(a.dst, 0), "written after unmap and invalidate");
	/* no invalidation is due for what was not present */
	s1_map(&mem, a.root, DST, a.dst, S1_RW);
	works(&dev, 9, &a);
	check_eq(detach(&dev, 9), 0);
}

/* One table for two PASIDs: an invalidation is for both */
static void test_shared_table(void)
{
	struct space a = space_new(&dev, 0x71);
	uint64_t p10 = descs(IOMMU_MON_VTD_PIOTLB, 10);
	uint64_t p11 = descs(IOMMU_MON_VTD_PIOTLB, 11);

	check_eq(attach(&dev, 10, a.hwpt), 0);
	check_eq(attach(&dev, 11, a.hwpt), 0);
	works(&dev, 10, &a);
	works(&dev, 11, &a);
	*s1_entry(&mem, a.root, SRC, 1) = 0;
	works(&dev, 10, &a);
	works(&dev, 11, &a);
	invalidate(&a, SRC, 1);
	check_eq(descs(IOMMU_MON_VTD_PIOTLB, 10), p10 + 1);
	check_eq(descs(IOMMU_MON_VTD_PIOTLB, 11), p11 + 1);
	refused(&dev, 10);
	refused(&dev, 11);
	check_eq(detach(&dev, 10), 0);
	check_eq(detach(&dev, 11), 0);
}

static void test_replace(void)
{
	struct space a = space_new(&dev, 0x81), b = space_new(&dev, 0x82);
	int i;

	check_eq(attach(&dev, 12, a.hwpt), 0);
	for (i = 0; i < 4; i++) {
		works(&dev, 12, &a);
		check_eq(attach(&dev, 12, b.hwpt), 0);
		works(&dev, 12, &b);
		check_eq(attach(&dev, 12, a.hwpt), 0);
	}
	check_eq(count(IOMMU_MON_EV_F_RAISED, 12), 0);
	/* stage 2 alone: addresses are guest physical ones */
	check_eq(attach(&dev, 12, parent), 0);
	set(b.dst, 0);
	check_eq(copy(&dev, 12, a.src, b.dst, PTD_F_NO_ATS).status, PTD_ST_OK);
	check(holds(b.dst, a.seed), "stage 2: the data is not there");
	refused(&dev, 12);
	check_eq(detach(&dev, 12), 0);
	check_eq(copy(&dev, 12, a.src, b.dst, PTD_F_NO_ATS).status,
		 PTD_ST_READ_FAULT);
}

/* Requests without PASID change tables; those with one do not notice */
static void test_rid_switch(void)
{
	struct space a = space_new(&dev, 0x91), b = space_new(&dev, 0x92);

	check_eq(attach(&dev, 13, a.hwpt), 0);
	works(&dev, 13, &a);
	ifd_attach(&dev, b.hwpt);
	works(&dev, 0, &b);
	works(&dev, 13, &a);
	ifd_attach(&dev, parent);
	check_eq(copy(&dev, 0, a.src, a.dst, PTD_F_NO_ATS).status, PTD_ST_OK);
	check(holds(a.dst, a.seed), "stage 2: the data is not there");
	works(&dev, 13, &a);
	ifd_attach(&dev, rid.hwpt);
	works(&dev, 0, &rid);
	works(&dev, 13, &a);
	check_eq(count(IOMMU_MON_EV_F_RAISED, 13), 0);
	check_eq(detach(&dev, 13), 0);
}

/* A table that the kernel itself keeps: its first stage, for a PASID */
static void test_kernel_first_stage(void)
{
	const uint64_t iova = 0x40000000ull;
	uint32_t space = ifd_ioas(ifd);
	uint8_t *va = page_alloc(2 * PAGE, PAGE);
	uint64_t piotlb, pasid = 14;
	uint32_t pt;

	fill(va, PAGE, 0xa1);
	memset(va + PAGE, 0, PAGE);
	ifd_map(ifd, space, va, 2 * PAGE, iova);
	pt = ifd_hwpt(ifd, &dev, space, IOMMU_HWPT_ALLOC_PASID, NULL);
	check_eq(attach(&dev, pasid, pt), 0);
	check_eq(copy(&dev, pasid, iova, iova + PAGE, PTD_F_NO_ATS).status,
		 PTD_ST_OK);
	check(filled(va + PAGE, PAGE, 0xa1), "the data is not there");

	/* PASID-selective: so it is a first stage */
	piotlb = descs(IOMMU_MON_VTD_PIOTLB, pasid);
	ifd_unmap(ifd, space, iova, 2 * PAGE);
	check(descs(IOMMU_MON_VTD_PIOTLB, pasid) > piotlb,
	      "no invalidation of this PASID");
	check_eq(copy(&dev, pasid, iova, iova + PAGE, PTD_F_NO_ATS).status,
		 PTD_ST_READ_FAULT);
	check_eq(detach(&dev, pasid), 0);
}

/* Guest memory is taken away below the tables of two PASIDs */
static void test_stage2_unmap(void)
{
	struct space a = space_new(&dev, 0xb1), b = space_new(&dev, 0xb2);
	void *va = page_alloc(PAGE, PAGE);

	fill(va, PAGE, 0xb3);
	ifd_map(ifd, ioas, va, PAGE, HOLE_GPA);
	s1_map(&mem, a.root, SRC, HOLE_GPA, S1_RW);
	s1_map(&mem, b.root, SRC, HOLE_GPA, S1_RW);
	check_eq(attach(&dev, 15, a.hwpt), 0);
	check_eq(attach(&dev, 16, b.hwpt), 0);
	check_eq(copy(&dev, 15, SRC, DST, PTD_F_NO_ATS).status, PTD_ST_OK);
	check_eq(copy(&dev, 16, SRC, DST, PTD_F_NO_ATS).status, PTD_ST_OK);
	check(holds(a.dst, 0xb3) && holds(b.dst, 0xb3),
	      "the data is not there");
	ifd_unmap(ifd, ioas, HOLE_GPA, PAGE);
	refused(&dev, 15);
	refused(&dev, 16);
	check_eq(detach(&dev, 15), 0);
	check_eq(detach(&dev, 16), 0);
}

/*
 * Translations in the device: used until the kernel drops them.  @type is the
 * invalidation it has to send for requests like these.
 */
static void device_tlb(uint32_t pasid, struct space *s, uint32_t type)
{
	uint64_t other = guest_pages(&mem, 1), old = s->dst;
	uint64_t trans = count(IOMMU_MON_EV_TRANS, pasid);
	uint64_t ats = count(IOMMU_MON_EV_ATS, pasid);
	uint64_t hit = ptd_r64(&dev, PTD_CNT_ATS_HIT), inv;

	works_as(&dev, pasid, s, 0);
	check_eq(count(IOMMU_MON_EV_ATS, pasid), ats + 2);
	check_eq(ptd_r64(&dev, PTD_CNT_ATS_HIT), hit);
	works_as(&dev, pasid, s, 0);
	check_eq(count(IOMMU_MON_EV_ATS, pasid), ats + 2);
	check_eq(ptd_r64(&dev, PTD_CNT_ATS_HIT), hit + 2);

	s1_map(&mem, s->root, DST, other, S1_RW);
	works_as(&dev, pasid, s, 0);
	inv = count(IOMMU_MON_EV_VTD(type), pasid);
	invalidate(s, DST, 1);
	check_eq(count(IOMMU_MON_EV_VTD(type), pasid), inv + 1);
	s->dst = other;
	set(old, 0);
	works_as(&dev, pasid, s, 0);
	check(holds(old, 0), "the old page was written");
	/* all of it by way of the device's own translations */
	check_eq(count(IOMMU_MON_EV_TRANS, pasid), trans);
}

static void test_ats(void)
{
	struct space a = space_new(&dev, 0xc1);
	const uint32_t pasid = 17;

	if (!ats_on())
		skip("the kernel left ATS off");
	check_eq(attach(&dev, pasid, a.hwpt), 0);
	device_tlb(pasid, &a, IOMMU_MON_VTD_PDTLB);
	check_eq(detach(&dev, pasid), 0);
	set(a.dst, 0);
	check_eq(copy(&dev, pasid, SRC, DST, 0).status, PTD_ST_READ_FAULT);
	check(holds(a.dst, 0), "written after the detach");
}

static void test_ats_rid(void)
{
	struct space a = space_new(&dev, 0xc2);

	if (!ats_on())
		skip("the kernel left ATS off");
	ifd_attach(&dev, a.hwpt);
	device_tlb(0, &a, IOMMU_MON_VTD_DTLB);
	/* what the device knew of that table is not used for the next */
	ifd_attach(&dev, rid.hwpt);
	works_as(&dev, 0, &rid, 0);
}

/* The detach overtakes a descriptor that has not begun */
static void test_detach_pending(void)
{
	struct space a = space_new(&dev, 0xd1);
	const uint32_t pasid = 18;
	struct ptd_desc d = {
		.op = PTD_OP_MEMMOVE, .flags = PTD_F_NO_ATS,
		.pasid = PTD_PASID_VALID | pasid, .tag = 0x77,
		.src = SRC, .dst = DST, .len = PAGE,
	};
	struct ptd_record r;

	check_eq(attach(&dev, pasid, a.hwpt), 0);
	works(&dev, pasid, &a);
	set(a.dst, 0);
	ptd_w32(&dev, PTD_CTRL, PTD_CTRL_HOLD);
	ptd_submit(&dev, 0, &d);
	check_eq(detach(&dev, pasid), 0);
	ptd_w32(&dev, PTD_CTRL, 0);
	r = ptd_wait(&dev, 0);
	check_eq(r.tag, 0x77);
	check_eq(r.status, PTD_ST_READ_FAULT);
	check(holds(a.dst, 0), "written after the detach");
}

/* One PASID, two functions, two tables */
static void test_two_devices(void)
{
	struct space a = space_new(&dev, 0xe1), b;
	const uint32_t pasid = 19;

	if (!have_dev2)
		skip("there is only one test device");
	b = space_new(&dev2, 0xe2);
	check_eq(attach(&dev, pasid, a.hwpt), 0);
	refused(&dev2, pasid);
	check_eq(attach(&dev2, pasid, b.hwpt), 0);
	works(&dev, pasid, &a);
	works(&dev2, pasid, &b);
	check_eq(mon_count(IOMMU_MON_EV_TRANS, dev2.sid, pasid), 3);
	check_eq(detach(&dev, pasid), 0);
	refused(&dev, pasid);
	works(&dev2, pasid, &b);
	check_eq(detach(&dev2, pasid), 0);
	refused(&dev2, pasid);
}

/* All over the directory, all at once */
static void test_many(void)
{
	enum { N = 40 };
	static struct space s[N];
	int i;

	for (i = 0; i < N; i++) {
		s[i] = space_new(&dev, i);
		check_eq(attach(&dev, 1000 + i * 0x6001, s[i].hwpt), 0);
	}
	for (i = 0; i < N; i++)
		works(&dev, 1000 + i * 0x6001, &s[i]);
	for (i = 0; i < N; i += 2)
		check_eq(detach(&dev, 1000 + i * 0x6001), 0);
	for (i = 0; i < N; i++) {
		if (i % 2)
			works(&dev, 1000 + i * 0x6001, &s[i]);
		else
			refused(&dev, 1000 + i * 0x6001);
	}
	for (i = 1; i < N; i += 2)
		check_eq(detach(&dev, 1000 + i * 0x6001), 0);
}

/*
 * The hardware ignores one type of invalidation, and the same sequences show
 * it: what is seen above is the kernel's doing, and not there by chance.
 */
static void test_ignore_piotlb(void)
{
	struct space a = space_new(&dev, 0xf1);

	check_eq(attach(&dev, 20, a.hwpt), 0);
	works(&dev, 20, &a);
	*s1_entry(&mem, a.root, SRC, 1) = 0;
	mon_w64(IMON_IGNORE_VTD, 1ull << IOMMU_MON_VTD_PIOTLB);
	invalidate(&a, SRC, 1);
	mon_w64(IMON_IGNORE_VTD, 0);
	works(&dev, 20, &a);
	invalidate(&a, SRC, 1);
	refused(&dev, 20);
	check_eq(detach(&dev, 20), 0);
}

static void test_ignore_pdtlb(void)
{
	struct space a = space_new(&dev, 0xf2);

	if (!ats_on())
		skip("the kernel left ATS off");
	check_eq(attach(&dev, 21, a.hwpt), 0);
	works_as(&dev, 21, &a, 0);
	*s1_entry(&mem, a.root, SRC, 1) = 0;
	mon_w64(IMON_IGNORE_VTD, 1ull << IOMMU_MON_VTD_PDTLB);
	invalidate(&a, SRC, 1);
	mon_w64(IMON_IGNORE_VTD, 0);
	works_as(&dev, 21, &a, 0);
	invalidate(&a, SRC, 1);
	check_eq(copy(&dev, 21, SRC, DST, 0).status, PTD_ST_READ_FAULT);
	check_eq(detach(&dev, 21), 0);
}

static void test_ignore_pasid_cache(void)
{
	struct space a = space_new(&dev, 0xf3);

	check_eq(attach(&dev, 22, a.hwpt), 0);
	works(&dev, 22, &a);
	mon_w64(IMON_IGNORE_VTD, 1ull << IOMMU_MON_VTD_PC);
	check_eq(detach(&dev, 22), 0);
	mon_w64(IMON_IGNORE_VTD, 0);
	works(&dev, 22, &a);
	check_eq(attach(&dev, 22, a.hwpt), 0);
	check_eq(detach(&dev, 22), 0);
	refused(&dev, 22);
}

/* Page requests by the kernel's own fault queue */

static int fault_fd = -1;

/* A table whose page requests come to fault_fd */
static struct space space_queue(uint8_t seed)
{
	struct iommu_fault_alloc cmd = { .size = sizeof(cmd) };

	check(!ioctl(ifd, IOMMU_FAULT_QUEUE_ALLOC, &cmd),
	      "IOMMU_FAULT_QUEUE_ALLOC: %s", strerror(errno));
	fault_fd = cmd.out_fault_fd;
	return space_fault(&dev, seed, IOMMU_HWPT_FAULT_ID_VALID,
			   cmd.out_fault_id);
}

static unsigned int faults_read(struct iommu_hwpt_pgfault *f, unsigned int max)
{
	struct pollfd p = { .fd = fault_fd, .events = POLLIN };
	ssize_t n;

	check_eq(poll(&p, 1, PATIENCE_S * 1000), 1);
	n = read(fault_fd, f, max * sizeof(*f));
	check(n > 0, "the fault queue: %s", strerror(errno));
	return n / sizeof(*f);
}

static void fault_answer(uint32_t cookie, uint32_t code)
{
	struct iommu_hwpt_page_response r = { .cookie = cookie, .code = code };

	check_eq(write(fault_fd, &r, sizeof(r)), sizeof(r));
}

static struct ptd_desc demand(uint32_t pasid, uint32_t flags, uint32_t len)
{
	return (struct ptd_desc) {
		.op = PTD_OP_FILL, .flags = flags,
		.pasid = PTD_PASID_VALID | pasid, .tag = pasid,
		.dst = DST, .imm = 0x6b6b6b6b6b6b6b6bull, .len = len,
	};
}

/* The table is filled when the device asks, and not before */
static void test_fault_queue(void)
{
	struct iommu_hwpt_pgfault f;
	struct space a = space_queue(0xa5);
	const uint32_t pasid = 30;
	struct ptd_desc d = demand(pasid, 0, PAGE);
	uint64_t raised = count(IOMMU_MON_EV_F_RAISED, pasid);

	if (!ats_on())
		skip("the kernel left ATS off");
	check_eq(attach(&dev, pasid, a.hwpt), 0);
	check(ptd_r32(&dev, PTD_STATUS) & PTD_STATUS_PRI, "PRI is off");
	*s1_entry(&mem, a.root, DST, 1) = 0;
	ptd_submit(&dev, 0, &d);
	check_eq(faults_read(&f, 1), 1);
	/* 7.3 lets a flag of its own through, which the uAPI does not know */
	check_eq(f.flags & (IOMMU_PGFAULT_FLAGS_PASID_VALID |
			    IOMMU_PGFAULT_FLAGS_LAST_PAGE),
		 IOMMU_PGFAULT_FLAGS_PASID_VALID |
		 IOMMU_PGFAULT_FLAGS_LAST_PAGE);
	check_eq(f.dev_id, dev.devid);
	check_eq(f.pasid, pasid);
	check_eq(f.perm, IOMMU_PGFAULT_PERM_WRITE);
	check_eq(f.addr, DST);
	s1_map(&mem, a.root, DST, a.dst, S1_RW);
	fault_answer(f.cookie, IOMMUFD_PAGE_RESP_SUCCESS);
	check_eq(ptd_wait(&dev, 0).status, PTD_ST_OK);
	check_eq(*(uint8_t *)gpa_ptr(&mem, a.dst), 0x6b);
	check_eq(count(IOMMU_MON_EV_PR_QUEUED, pasid), 1);
	check_eq(count(IOMMU_MON_EV_PR_ANSWERED(IOMMUFD_PAGE_RESP_SUCCESS),
		       pasid), 1);

	/* what nobody can repair ends the access, and is no other fault */
	*s1_entry(&mem, a.root, DST, 1) = 0;
	invalidate(&a, DST, 1);
	ptd_submit(&dev, 0, &d);
	check_eq(faults_read(&f, 1), 1);
	fault_answer(f.cookie, IOMMUFD_PAGE_RESP_INVALID);
	check_eq(ptd_wait(&dev, 0).status, PTD_ST_WRITE_FAULT);
	check_eq(count(IOMMU_MON_EV_F_RAISED, pasid), raised);
	check_eq(detach(&dev, pasid), 0);
	close(fault_fd);
}

/* Three pages in one group, answered once */
static void test_fault_group(void)
{
	struct iommu_hwpt_pgfault f[8];
	struct space a = space_queue(0xa6);
	const uint32_t pasid = 31;
	struct ptd_desc d = demand(pasid, PTD_F_GROUP, 3 * PAGE);
	uint64_t groups = ptd_r64(&dev, PTD_CNT_PR_GROUP);
	int i, n = 0;

	if (!ats_on())
		skip("the kernel left ATS off");
	check_eq(attach(&dev, pasid, a.hwpt), 0);
	*s1_entry(&mem, a.root, DST, 1) = 0;
	ptd_submit(&dev, 0, &d);
	while (n < 3)
		n += faults_read(f + n, 8 - n);
	check_eq(n, 3);
	for (i = 0; i < 3; i++) {
		check_eq(f[i].cookie, f[0].cookie);
		check_eq(f[i].grpid, f[0].grpid);
		check_eq(!!(f[i].flags & IOMMU_PGFAULT_FLAGS_LAST_PAGE),
			 i == 2);
		s1_map(&mem, a.root, f[i].addr, guest_pages(&mem, 1), S1_RW);
	}
	fault_answer(f[0].cookie, IOMMUFD_PAGE_RESP_SUCCESS);
	check_eq(ptd_wait(&dev, 0).status, PTD_ST_OK);
	check_eq(ptd_r64(&dev, PTD_CNT_PR_GROUP), groups + 1);
	check_eq(detach(&dev, pasid), 0);
	close(fault_fd);
}

/* Detached while a request waits in the queue: the kernel answers it */
static void test_fault_detach(void)
{
	struct iommu_hwpt_pgfault f;
	struct space a = space_queue(0xa7);
	const uint32_t pasid = 32;
	struct ptd_desc d = demand(pasid, 0, PAGE);

	if (!ats_on())
		skip("the kernel left ATS off");
	check_eq(attach(&dev, pasid, a.hwpt), 0);
	*s1_entry(&mem, a.root, DST, 1) = 0;
	ptd_submit(&dev, 0, &d);
	check_eq(faults_read(&f, 1), 1);
	check_eq(detach(&dev, pasid), 0);
	check_eq(ptd_wait(&dev, 0).status, PTD_ST_WRITE_FAULT);
	close(fault_fd);
}

/* Over all that went before */
static void test_accounts(void)
{
	uint64_t raised = mon_count(IOMMU_MON_EV_F_RAISED, IMON_SEL_ANY,
				    IMON_SEL_ANY);
	uint64_t rec = mon_count(IOMMU_MON_EV_F_RECORDED, IMON_SEL_ANY,
				 IMON_SEL_ANY);
	uint64_t col = mon_count(IOMMU_MON_EV_F_COLLAPSED, IMON_SEL_ANY,
				 IMON_SEL_ANY);
	uint64_t lost = mon_count(IOMMU_MON_EV_F_LOST, IMON_SEL_ANY,
				  IMON_SEL_ANY);

	note("faults: %llu raised, %llu recorded, %llu collapsed, %llu lost",
	     (unsigned long long)raised, (unsigned long long)rec,
	     (unsigned long long)col, (unsigned long long)lost);
	check(raised, "no fault was counted");
	check_eq(rec + col + lost, raised);
	check_eq(mon_count(IOMMU_MON_EV_PR_QUEUED, IMON_SEL_ANY,
			   IMON_SEL_ANY),
		 mon_count(IOMMU_MON_EV_PR_RECEIVED, IMON_SEL_ANY,
			   IMON_SEL_ANY));
	/* the kernel's queue never stood */
	check_eq(mon_count(IOMMU_MON_EV_IQE, IMON_SEL_ANY, IMON_SEL_ANY), 0);
	check_eq(mon_count(IOMMU_MON_EV_ITE, IMON_SEL_ANY, IMON_SEL_ANY), 0);
}

static const struct test tests[] = {
	{ "hardware_info", test_hw_info },
	{ "not_attached", test_not_attached },
	{ "two_pasids", test_two_pasids },
	{ "last_pasid", test_last_pasid },
	{ "accessed_dirty", test_accessed_dirty },
	{ "stale_until_invalidated", test_stale },
	{ "unmap_and_invalidate", test_unmap },
	{ "shared_table", test_shared_table },
	{ "replace", test_replace },
	{ "rid_switch", test_rid_switch },
	{ "kernel_first_stage", test_kernel_first_stage },
	{ "stage2_unmap", test_stage2_unmap },
	{ "ats", test_ats },
	{ "ats_rid", test_ats_rid },
	{ "detach_pending", test_detach_pending },
	{ "two_devices", test_two_devices },
	{ "many_pasids", test_many },
	{ "ignore_piotlb", test_ignore_piotlb },
	{ "ignore_pdtlb", test_ignore_pdtlb },
	{ "ignore_pasid_cache", test_ignore_pasid_cache },
	{ "fault_queue", test_fault_queue },
	{ "fault_group", test_fault_group },
	{ "fault_detach", test_fault_detach },
	{ "accounts", test_accounts },
};

static void open_dev(struct ptd *d, const char *bdf)
{
	ptd_open_cdev(d, bdf, ifd);
	ifd_attach(d, parent);
	ptd_start(d);
}

int main(int argc, char **argv)
{
	char bdf[BDF_LEN];

	ifd = ifd_open_ptd(&dev);
	guest_init(&mem, GUEST_GPA, GUEST_LEN);
	ioas = ifd_ioas(ifd);
	ifd_map(ifd, ioas, mem.hva, mem.len, mem.gpa);
	/* whatever shares a function with PASIDs has to be told of them */
	parent = ifd_hwpt(ifd, &dev, ioas, IOMMU_HWPT_ALLOC_NEST_PARENT |
			  IOMMU_HWPT_ALLOC_PASID, NULL);
	rid = space_new(&dev, 0x01);
	ifd_attach(&dev, rid.hwpt);
	ptd_start(&dev);

	have_dev2 = pci_find(PTD_VENDOR_ID, PTD_DEVICE_ID, 1, bdf);
	if (have_dev2)
		open_dev(&dev2, bdf);
	return run_tests_argv(tests, ARRAY_SIZE(tests), argv);
}
