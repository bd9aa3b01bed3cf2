// SPDX-License-Identifier: GPL-2.0-only
/*
 * VT-d nested translation of requests without PASID, driven by iommufd
 *
 * The kernel is an unmodified one and so is its path: IOAS, nest parent,
 * nested HWPT on a page table in user memory.  What is on trial is the
 * emulated hardware.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ifd.h"
#include "s1.h"

#define ECAP_NEST	(1ull << 26)
#define ECAP_PASID	(1ull << 40)

#define GUEST_GPA	0x10000000ull
#define GUEST_LEN	(8 * SZ_2M)
/* Nothing is mapped here in stage 2 */
#define HOLE_GPA	0x70000000ull
/* Where the tests put things: stage-1 addresses, each far from the other */
#define VA(n)		(0x7000000000ull + (n) * 0x8000000ull)

static struct ptd dev;
static int ifd;
static uint32_t ioas, parent, nested;
static struct guest mem;
static uint64_t root;			/* of the stage-1 table */

static uint64_t faults(void)
{
	return mon_count(IOMMU_MON_EV_F_RAISED, dev.sid, IMON_SEL_NONE);
}

/* A page of guest memory, filled, mapped at @va */
static uint64_t page_at(uint64_t va, uint8_t seed, uint64_t bits)
{
	uint64_t gpa = guest_pages(&mem, 1);

	fill(gpa_ptr(&mem, gpa), PAGE, seed);
	s1_map(&mem, root, va, gpa, bits);
	return gpa;
}

static bool holds(uint64_t gpa, uint8_t seed)
{
	return filled(gpa_ptr(&mem, gpa), PAGE, seed);
}

static void invalidate(uint64_t va, uint64_t npages)
{
	check_eq(ifd_invalidate(ifd, nested, va, npages), 0);
}

static void test_hw_info(void)
{
	struct iommu_hw_info_vtd vtd;

	ifd_hw_info(ifd, &dev, IOMMU_HW_INFO_TYPE_INTEL_VTD, &vtd,
		    sizeof(vtd));
	check(vtd.ecap_reg & ECAP_NEST, "no nested translation");
	check(vtd.ecap_reg & ECAP_PASID, "no PASIDs");
	check_eq(mon_r64(IMON_MODES) & (IOMMU_MON_MODE_STRICT |
					IOMMU_MON_MODE_NESTING),
		 IOMMU_MON_MODE_STRICT | IOMMU_MON_MODE_NESTING);
}

static void test_copy(void)
{
	uint64_t trans = mon_count(IOMMU_MON_EV_TRANS, dev.sid, IMON_SEL_NONE);
	uint64_t before = faults();
	uint64_t src = page_at(VA(0), 1, S1_RW);
	uint64_t dst = page_at(VA(1), 2, S1_RW);
	struct ptd_record r = ptd_copy(&dev, VA(0), VA(1), PAGE);

	check_eq(r.status, PTD_ST_OK);
	check_eq(r.done, PAGE);
	check(holds(dst, 1), "the data did not arrive");
	check(holds(src, 1), "the source has changed");
	check_eq(faults(), before);
	check_eq(mon_count(IOMMU_MON_EV_TRANS, dev.sid, IMON_SEL_NONE),
		 trans + 2);
}

static void test_accessed_dirty(void)
{
	struct ptd_desc fill_desc = {
		.op = PTD_OP_FILL, .dst = VA(2), .len = 8, .imm = 0x55,
	};
	int level;

	page_at(VA(2), 1, S1_RW);
	page_at(VA(3), 2, S1_RW);
	check_eq(ptd_copy(&dev, VA(2), VA(3), PAGE).status, PTD_ST_OK);
	for (level = 1; level <= 4; level++) {
		check(*s1_entry(&mem, root, VA(2), level) & S1_A,
		      "no A at level %d", level);
		check(*s1_entry(&mem, root, VA(3), level) & S1_A,
		      "no A at level %d", level);
	}
	check(!(*s1_entry(&mem, root, VA(2), 1) & S1_D), "read sets D");
	check(*s1_entry(&mem, root, VA(3), 1) & S1_D, "write does not set D");

	/* What the read left in the cache must not hide the first write */
	check_eq(ptd_do(&dev, &fill_desc).status, PTD_ST_OK);
	check(*s1_entry(&mem, root, VA(2), 1) & S1_D,
	      "write after a read does not set D");
}

/* Sixteen pages, neither side in order, neither side aligned */
static void test_scattered(void)
{
	uint64_t src[17], dst[17];
	struct ptd_record r;
	int i;

	for (i = 0; i < 17; i++) {
		src[i] = page_at(VA(4) + i * PAGE, i, S1_RW);
		guest_pages(&mem, 1 + i % 3);
	}
	for (i = 16; i >= 0; i--)
		dst[i] = page_at(VA(5) + i * PAGE, 0xee, S1_RW);
	r = ptd_copy(&dev, VA(4) + 100, VA(5) + 3000, 16 * PAGE);
	check_eq(r.status, PTD_ST_OK);
	check_eq(r.done, 16 * PAGE);
	for (i = 0; i < (int)(16 * PAGE); i++) {
		int s = i + 100, d = i + 3000;
		uint8_t *sp = gpa_ptr(&mem, src[s / PAGE]);
		uint8_t *dp = gpa_ptr(&mem, dst[d / PAGE]);

		check(sp[s % PAGE] == dp[d % PAGE], "byte %d", i);
	}
	check(*(uint8_t *)gpa_ptr(&mem, dst[0]) == (0xee ^ 0),
	      "written before the start");
}

static void test_large_page(void)
{
	uint64_t gpa = guest_pages(&mem, 512);
	uint64_t small = page_at(VA(6), 0, S1_RW);

	s1_map(&mem, root, VA(7), gpa, S1_RW | S1_PS);
	fill(gpa_ptr(&mem, gpa + 300 * PAGE), PAGE, 9);
	check_eq(ptd_copy(&dev, VA(7) + 300 * PAGE, VA(6), PAGE).status,
		 PTD_ST_OK);
	check(holds(small, 9), "the wrong part of the large page");
	check_eq(ptd_copy(&dev, VA(6), VA(7) + 511 * PAGE, PAGE).status,
		 PTD_ST_OK);
	check(holds(gpa + 511 * PAGE, 9), "the last page is not reached");
	check(*s1_entry(&mem, root, VA(7), 2) & S1_D, "no D in a large page");
}

static void test_not_present(void)
{
	uint64_t before = faults();
	uint64_t dst = page_at(VA(8), 3, S1_RW);
	struct ptd_record r = ptd_copy(&dev, VA(9) + 0x40, VA(8), 64);

	check_eq(r.status, PTD_ST_READ_FAULT);
	check_eq(r.fault_addr, VA(9) + 0x40);
	check_eq(r.done, 0);
	check(holds(dst, 3), "something was written");
	check_eq(faults(), before + 1);

	/* VT-d does not cache what is not present (CM = 0) */
	page_at(VA(9), 4, S1_RW);
	check_eq(ptd_copy(&dev, VA(9), VA(8), PAGE).status, PTD_ST_OK);
	check(holds(dst, 4), "the data did not arrive");
}

/* The second page of four is missing: done says how far it came */
static void test_partial(void)
{
	uint64_t dst[4];
	struct ptd_record r;
	int i;

	for (i = 0; i < 4; i++) {
		page_at(VA(10) + i * PAGE, 5, S1_RW);
		if (i != 1)
			dst[i] = page_at(VA(11) + i * PAGE, 6, S1_RW);
	}
	r = ptd_copy(&dev, VA(10), VA(11), 4 * PAGE);
	check_eq(r.status, PTD_ST_WRITE_FAULT);
	check_eq(r.done, PAGE);
	check_eq(r.fault_addr, VA(11) + PAGE);
	check(holds(dst[0], 5), "the first page did not arrive");
	check(holds(dst[2], 6) && holds(dst[3], 6), "it went on");
}

static void test_read_only(void)
{
	uint64_t before = faults();
	uint64_t src = page_at(VA(12), 7, S1_RW);
	uint64_t dst = page_at(VA(13), 8, S1_RO);
	struct ptd_record r = ptd_copy(&dev, VA(12), VA(13), PAGE);

	check_eq(r.status, PTD_ST_WRITE_FAULT);
	check_eq(r.fault_addr, VA(13));
	check(holds(dst, 8), "a read-only page was written");
	check_eq(faults(), before + 1);
	check_eq(ptd_copy(&dev, VA(13), VA(12), PAGE).status, PTD_ST_OK);
	check(holds(src, 8), "a read-only page cannot be read");

	/* More permission needs no invalidation */
	*s1_entry(&mem, root, VA(13), 1) |= S1_W;
	fill(gpa_ptr(&mem, src), PAGE, 9);
	check_eq(ptd_copy(&dev, VA(12), VA(13), PAGE).status, PTD_ST_OK);
	check(holds(dst, 9), "the data did not arrive");
}

static void test_supervisor(void)
{
	page_at(VA(14), 1, S1_P | S1_W);
	page_at(VA(15), 2, S1_RW);
	check_eq(ptd_copy(&dev, VA(14), VA(15), 8).status, PTD_ST_READ_FAULT);
}

/* The table changes: the hardware may not notice, and must when told */
static void test_stale(void)
{
	uint64_t piotlb;
	uint64_t b = guest_pages(&mem, 1), a;
	uint8_t old = 10, new = 11;

	page_at(VA(16), old, S1_RW);
	a = page_at(VA(17), 0, S1_RW);
	check_eq(ptd_copy(&dev, VA(16), VA(17), PAGE).status, PTD_ST_OK);
	check(holds(a, old), "the data did not arrive");

	fill(gpa_ptr(&mem, *s1_entry(&mem, root, VA(16), 1) & S1_ADDR), PAGE,
	     new);
	s1_map(&mem, root, VA(17), b, S1_RW);
	check_eq(ptd_copy(&dev, VA(16), VA(17), PAGE).status, PTD_ST_OK);
	check(holds(a, new) && !holds(b, new),
	      "without invalidation the cache was not used");

	piotlb = mon_count(IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PIOTLB),
			   IMON_SEL_ANY, IMON_SEL_ANY);
	invalidate(VA(17), 1);
	check(mon_count(IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PIOTLB), IMON_SEL_ANY,
			IMON_SEL_ANY) > piotlb, "no descriptor was executed");
	fill(gpa_ptr(&mem, a), PAGE, 0);
	check_eq(ptd_copy(&dev, VA(16), VA(17), PAGE).status, PTD_ST_OK);
	check(holds(b, new) && holds(a, 0),
	      "the old page is used after the invalidation");
}

static void test_unmap(void)
{
	uint64_t before, src = page_at(VA(18), 12, S1_RW);
	uint64_t dst = page_at(VA(19), 0, S1_RW);

	check_eq(ptd_copy(&dev, VA(18), VA(19), PAGE).status, PTD_ST_OK);
	fill(gpa_ptr(&mem, src), PAGE, 13);
	*s1_entry(&mem, root, VA(19), 1) = 0;
	check_eq(ptd_copy(&dev, VA(18), VA(19), PAGE).status, PTD_ST_OK);
	check(holds(dst, 13), "without invalidation the cache was not used");

	invalidate(VA(19), 1);
	before = faults();
	fill(gpa_ptr(&mem, src), PAGE, 14);
	check_eq(ptd_copy(&dev, VA(18), VA(19), PAGE).status,
		 PTD_ST_WRITE_FAULT);
	check(holds(dst, 13), "written after unmap and invalidate");
	check_eq(faults(), before + 1);
}

/* A table below is replaced; the cached upper entry goes with the range */
static void test_table_change(void)
{
	uint64_t dst = page_at(VA(21), 0, S1_RW);
	uint64_t table, page;

	page_at(VA(20), 15, S1_RW);
	check_eq(ptd_copy(&dev, VA(20), VA(21), PAGE).status, PTD_ST_OK);
	table = guest_pages(&mem, 1);
	page = guest_pages(&mem, 1);
	fill(gpa_ptr(&mem, page), PAGE, 16);
	*(uint64_t *)gpa_ptr(&mem, table) = page | S1_RW;
	*s1_entry(&mem, root, VA(20), 2) = table | S1_RW;
	invalidate(VA(20), 512);
	check_eq(ptd_copy(&dev, VA(20), VA(21), PAGE).status, PTD_ST_OK);
	check(holds(dst, 16), "the old table is used");
}

/* Stage 1 points where stage 2 has nothing: leaf, then table */
static void test_stage2_hole(void)
{
	uint64_t before = faults();
	uint64_t dst = page_at(VA(22), 17, S1_RW);

	s1_map(&mem, root, VA(23), HOLE_GPA, S1_RW);
	check_eq(ptd_copy(&dev, VA(23), VA(22), 64).status,
		 PTD_ST_READ_FAULT);
	check_eq(ptd_copy(&dev, VA(22), VA(23), 64).status,
		 PTD_ST_WRITE_FAULT);
	*s1_entry(&mem, root, VA(24), 2) = HOLE_GPA | S1_RW;
	check_eq(ptd_copy(&dev, VA(24), VA(22), 64).status,
		 PTD_ST_READ_FAULT);
	check(holds(dst, 17), "something was written");
	check_eq(faults(), before + 3);
}

/* The kernel takes guest memory away: nested translations of it are gone */
static void test_stage2_unmap(void)
{
	void *va = page_alloc(PAGE, PAGE);
	uint64_t dst = page_at(VA(25), 0, S1_RW);

	fill(va, PAGE, 18);
	ifd_map(ifd, ioas, va, PAGE, HOLE_GPA);
	s1_map(&mem, root, VA(26), HOLE_GPA, S1_RW);
	check_eq(ptd_copy(&dev, VA(26), VA(25), PAGE).status, PTD_ST_OK);
	check(holds(dst, 18), "the data did not arrive");
	ifd_unmap(ifd, ioas, HOLE_GPA, PAGE);
	check_eq(ptd_copy(&dev, VA(26), VA(25), PAGE).status,
		 PTD_ST_READ_FAULT);
}

static void test_switch(void)
{
	uint64_t other = guest_pages(&mem, 1);
	uint64_t a = page_at(VA(27), 19, S1_RW), dst = page_at(VA(28), 0, S1_RW);
	uint64_t b = guest_pages(&mem, 1);
	uint32_t second = ifd_hwpt_nested(ifd, &dev, parent, other);

	fill(gpa_ptr(&mem, b), PAGE, 20);
	s1_map(&mem, other, VA(27), b, S1_RW);
	s1_map(&mem, other, VA(28), dst, S1_RW);

	check_eq(ptd_copy(&dev, VA(27), VA(28), PAGE).status, PTD_ST_OK);
	check(holds(dst, 19), "first table");
	ifd_attach(&dev, second);
	check_eq(ptd_copy(&dev, VA(27), VA(28), PAGE).status, PTD_ST_OK);
	check(holds(dst, 20), "second table");

	/* Stage 2 alone: an address is a guest physical address */
	ifd_attach(&dev, parent);
	check_eq(ptd_copy(&dev, a, dst, PAGE).status, PTD_ST_OK);
	check(holds(dst, 19), "stage 2");
	check_eq(ptd_copy(&dev, VA(27), dst, 8).status, PTD_ST_READ_FAULT);

	ifd_attach(&dev, nested);
	fill(gpa_ptr(&mem, a), PAGE, 21);
	check_eq(ptd_copy(&dev, VA(27), VA(28), PAGE).status, PTD_ST_OK);
	check(holds(dst, 21), "first table again");
}

/* Nothing is bound to a PASID: such a request is stopped */
static void test_pasid_blocked(void)
{
	struct ptd_desc d = {
		.op = PTD_OP_FILL,
		.pasid = PTD_PASID_VALID | 77,
		.dst = VA(29),
		.len = 64,
	};
	uint64_t dst = page_at(VA(29), 22, S1_RW);
	uint64_t before = mon_count(IOMMU_MON_EV_F_RAISED, dev.sid, 77);

	check_eq(ptd_do(&dev, &d).status, PTD_ST_WRITE_FAULT);
	check(holds(dst, 22), "the request without a table wrote");
	check_eq(mon_count(IOMMU_MON_EV_F_RAISED, dev.sid, 77), before + 1);
}

static const struct test tests[] = {
	{ "hardware_info", test_hw_info },
	{ "copy", test_copy },
	{ "accessed_dirty", test_accessed_dirty },
	{ "scattered", test_scattered },
	{ "large_page", test_large_page },
	{ "not_present", test_not_present },
	{ "partial", test_partial },
	{ "read_only", test_read_only },
	{ "supervisor_page", test_supervisor },
	{ "stale_until_invalidated", test_stale },
	{ "unmap_and_invalidate", test_unmap },
	{ "table_change", test_table_change },
	{ "stage2_hole", test_stage2_hole },
	{ "stage2_unmap", test_stage2_unmap },
	{ "switch_tables", test_switch },
	{ "pasid_blocked", test_pasid_blocked },
};

int main(int argc, char **argv)
{
	ifd = ifd_open_ptd(&dev);
	guest_init(&mem, GUEST_GPA, GUEST_LEN);
	root = guest_pages(&mem, 1);

	ioas = ifd_ioas(ifd);
	ifd_map(ifd, ioas, mem.hva, mem.len, mem.gpa);
	parent = ifd_hwpt(ifd, &dev, ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, NULL);
	nested = ifd_hwpt_nested(ifd, &dev, parent, root);
	ifd_attach(&dev, nested);
	ptd_start(&dev);
	return run_tests_argv(tests, sizeof(tests) / sizeof(tests[0]), argv);
}
