// SPDX-License-Identifier: GPL-2.0-only
/*
 * Negative control: hardware that ignores one type of invalidation
 *
 * For each type that the kernel sends, the same steps twice.  With hardware
 * that obeys, what was taken away is out of reach of the device; with
 * hardware that ignores this one type, the device still gets at it.  So a
 * test that looks for stale translations finds them, and each type of
 * invalidation is needed.
 *
 * Stale translations lead to memory of this process here, nowhere else.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ifd.h"
#include "s1.h"

#define GUEST_GPA	0x10000000ull
#define GUEST_LEN	(4 * SZ_2M)
#define VA		0x7000000000ull
#define IOVA		0x50000000ull

static struct ptd dev;
static int ifd;
static uint32_t ioas, parent;

static void ignore(uint32_t type)
{
	mon_w64(IMON_IGNORE_VTD, type ? 1ull << type : 0);
}

static uint64_t executed(uint32_t type)
{
	return mon_count(IOMMU_MON_EV_VTD(type), IMON_SEL_ANY, IMON_SEL_ANY);
}

/* Does a write of the device to @iova arrive in @page? */
static bool reaches(uint64_t iova, volatile uint64_t *page, uint32_t flags)
{
	static uint64_t mark = 0xa5a5000000000000ull;
	struct ptd_desc d = {
		.op = PTD_OP_FILL,
		.flags = flags,
		.dst = iova,
		.imm = ++mark,
		.len = 8,
	};

	*page = 0;
	ptd_do(&dev, &d);
	return *page == mark;
}

/*
 * @step takes away what it has let the device use, and says whether the
 * device still reaches it.
 */
static void control(uint32_t type, bool (*step)(uint32_t ignored))
{
	uint64_t n = executed(type);
	bool stale;

	check(!step(0), "stale with hardware that obeys");
	check(executed(type) > n, "the kernel does not send this type");
	n = executed(type);
	stale = step(type);
	ignore(0);
	check(stale, "nothing stale: the hardware did not need it");
	check(executed(type) > n, "the kernel does not send this type");
	/* and whatever the step left behind is gone */
	check(!step(0), "stale after the control");
}

/* An entry of the user's stage-1 table changes */
static bool step_nested(uint32_t ignored)
{
	struct guest mem = {
		.hva = page_alloc(GUEST_LEN, SZ_2M),
		.gpa = GUEST_GPA,
		.len = GUEST_LEN,
	};
	uint32_t mine = ifd_ioas(ifd);
	uint64_t root, a, b;
	uint32_t s2, nested;
	bool stale;

	ifd_map(ifd, mine, mem.hva, mem.len, mem.gpa);
	root = guest_pages(&mem, 1);
	a = guest_pages(&mem, 1);
	b = guest_pages(&mem, 1);
	s1_map(&mem, root, VA, a, S1_RW);
	s2 = ifd_hwpt(ifd, &dev, mine, IOMMU_HWPT_ALLOC_NEST_PARENT, NULL);
	nested = ifd_hwpt_nested(ifd, &dev, s2, root);
	ifd_attach(&dev, nested);
	check(reaches(VA, gpa_ptr(&mem, a), 0), "the table is not used");

	ignore(ignored);
	s1_map(&mem, root, VA, b, S1_RW);
	check_eq(ifd_invalidate(ifd, nested, VA, 1), 0);
	stale = reaches(VA, gpa_ptr(&mem, a), 0);
	check(stale || reaches(VA, gpa_ptr(&mem, b), 0), "neither page");
	ignore(0);
	/* detaching sends it all again, for the whole domain */
	ifd_attach(&dev, parent);
	return stale;
}

/* A page is unmapped from stage 2; the device asks by ATS, or does not */
static bool unmap_stage2(uint32_t ignored, uint32_t flags)
{
	void *page = page_alloc(PAGE, PAGE);
	bool stale;

	ifd_attach(&dev, parent);
	check(ptd_r32(&dev, PTD_STATUS) & PTD_STATUS_ATS, "ATS is off");
	ifd_map(ifd, ioas, page, PAGE, IOVA);
	check(reaches(IOVA, page, flags), "the mapping is not used");
	ignore(ignored);
	ifd_unmap(ifd, ioas, IOVA, PAGE);
	stale = reaches(IOVA, page, flags);
	ignore(0);
	/* once more, obeyed: nothing may stay in a cache */
	ifd_map(ifd, ioas, page, PAGE, IOVA);
	ifd_unmap(ifd, ioas, IOVA, PAGE);
	return stale;
}

static bool step_iotlb(uint32_t ignored)
{
	return unmap_stage2(ignored, PTD_F_NO_ATS);
}

static bool step_dtlb(uint32_t ignored)
{
	return unmap_stage2(ignored, 0);
}

/* Another domain is attached: what says which one is cached */
static bool step_attach(uint32_t ignored)
{
	static uint32_t as[2], pt[2];
	static void *page[2];
	bool stale;
	int i;

	for (i = 0; i < 2 && !page[i]; i++) {
		page[i] = page_alloc(PAGE, PAGE);
		as[i] = ifd_ioas(ifd);
		ifd_map(ifd, as[i], page[i], PAGE, IOVA);
		pt[i] = ifd_hwpt(ifd, &dev, as[i], 0, NULL);
	}
	ifd_attach(&dev, pt[0]);
	check(reaches(IOVA, page[0], PTD_F_NO_ATS), "the first is not used");
	ignore(ignored);
	ifd_attach(&dev, pt[1]);
	stale = reaches(IOVA, page[0], PTD_F_NO_ATS);
	check(stale || reaches(IOVA, page[1], PTD_F_NO_ATS), "neither page");
	ignore(0);
	/*
	 * The entry that stayed has the domain id of the first: a change away
	 * from the first drops it.
	 */
	ifd_attach(&dev, pt[0]);
	ifd_attach(&dev, pt[1]);
	check(reaches(IOVA, page[1], PTD_F_NO_ATS), "the second is not used");
	return stale;
}

static void test_piotlb(void)
{
	control(IOMMU_MON_VTD_PIOTLB, step_nested);
}

static void test_iotlb(void)
{
	control(IOMMU_MON_VTD_IOTLB, step_iotlb);
}

static void test_dtlb(void)
{
	control(IOMMU_MON_VTD_DTLB, step_dtlb);
}

static void test_pasid_cache(void)
{
	control(IOMMU_MON_VTD_PC, step_attach);
}

/* In legacy mode the context entry has the domain, not the PASID entry */
static void test_context(void)
{
	control(IOMMU_MON_VTD_CC, step_attach);
}

static const struct test tests[] = {
	{ "piotlb", test_piotlb },
	{ "iotlb", test_iotlb },
	{ "device_tlb", test_dtlb },
	{ "pasid_cache", test_pasid_cache },
	{ "context_cache", test_context, .named = true },
};

int main(int argc, char **argv)
{
	bool legacy = argc > 1 && !strcmp(argv[1], "context_cache");

	ifd = ifd_open_ptd(&dev);
	ioas = ifd_ioas(ifd);
	parent = ifd_hwpt(ifd, &dev, ioas,
			  legacy ? 0 : IOMMU_HWPT_ALLOC_NEST_PARENT, NULL);
	ifd_attach(&dev, parent);
	ptd_start(&dev);
	return run_tests_argv(tests, sizeof(tests) / sizeof(tests[0]), argv);
}
