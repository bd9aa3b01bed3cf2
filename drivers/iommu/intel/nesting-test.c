// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests: what an invalidation entry of user space becomes, what the
 * hardware's codes of faults mean, and who may make page requests
 */

#include <kunit/test.h>
#include <linux/iommu-fault.h>
#include <linux/iommu-nesting.h>
#include <linux/iommufd.h>
#include <linux/pci.h>
#include <uapi/linux/iommufd.h>

#include "iommu.h"
#include "nesting.h"

struct parse_case {
	const char	*name;
	u64		addr;
	u64		npages;
	u32		flags;
	u32		reserved;
	int		ret;
	u64		out_addr;
	u8		order;
};

static const struct parse_case parse_cases[] = {
	{ "one page", 0x5000, 1, 0, 0, 0, 0x5000, 0 },
	{ "leaf", 0x5000, 1, IOMMU_VTD_INV_FLAGS_LEAF, 0, 0, 0x5000, 0 },
	{ "aligned pair", 0x4000, 2, 0, 0, 0, 0x4000, 1 },
	{ "pair across a boundary", 0x3000, 2, 0, 0, 0, 0, 3 },
	{ "three pages", 0x4000, 3, 0, 0, 0, 0x4000, 2 },
	{ "2 MiB", 0x200000, 512, 0, 0, 0, 0x200000, 9 },
	{ "last page", U64_MAX - 4095, 1, 0, 0, 0, U64_MAX - 4095, 0 },
	{ "whole space by range", 0, 1ULL << 52, 0, 0, 0, 0, 52 },
	{ "all", 0, U64_MAX, 0, 0, 0, 0, MAX_AGAW_PFN_WIDTH },
	{ "all with address", 0x1000, U64_MAX, 0, 0, -EINVAL },
	{ "no page", 0x1000, 0, 0, 0, -EINVAL },
	{ "unaligned", 0x1001, 1, 0, 0, -EINVAL },
	{ "wraps by a page", U64_MAX - 4095, 2, 0, 0, -EINVAL },
	{ "one more than all", 0, (1ULL << 52) + 1, 0, 0, -EINVAL },
	{ "wraps when shifted", 0x1000, 1ULL << 53, 0, 0, -EINVAL },
	{ "unknown flag", 0x1000, 1, 2, 0, -EOPNOTSUPP },
	{ "reserved", 0x1000, 1, 0, 1, -EOPNOTSUPP },
};

static void parse_desc(const struct parse_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(parse, parse_cases, parse_desc);

static void test_parse(struct kunit *test)
{
	const struct parse_case *c = test->param_value;
	struct iommu_hwpt_vtd_s1_invalidate entry = {
		.addr = c->addr,
		.npages = c->npages,
		.flags = c->flags,
		.__reserved = c->reserved,
	};
	struct nested_inv inv = {};

	KUNIT_ASSERT_EQ(test, nested_parse(&entry, &inv), c->ret);
	if (c->ret)
		return;
	KUNIT_EXPECT_EQ(test, inv.addr, c->out_addr);
	KUNIT_EXPECT_EQ(test, inv.order, c->order);
	KUNIT_EXPECT_EQ(test, inv.leaf, !!(c->flags & IOMMU_VTD_INV_FLAGS_LEAF));
}

/* The block that comes out holds every page of every small range. */
static void test_parse_covers(struct kunit *test)
{
	u64 first, npages;

	for (first = 0; first < 64; first++) {
		for (npages = 1; npages <= 64; npages++) {
			struct iommu_hwpt_vtd_s1_invalidate entry = {
				.addr = first << VTD_PAGE_SHIFT,
				.npages = npages,
			};
			struct nested_inv inv = {};
			u64 start, end;

			KUNIT_ASSERT_EQ(test, nested_parse(&entry, &inv), 0);
			start = inv.addr >> VTD_PAGE_SHIFT;
			end = start + BIT_ULL(inv.order);
			KUNIT_ASSERT_LE(test, start, first);
			KUNIT_ASSERT_GE(test, end, first + npages);
			/* Half the block would not do. */
			if (inv.order)
				KUNIT_ASSERT_TRUE(test,
						  first < start + (end - start) / 2 &&
						  first + npages > start + (end - start) / 2);
		}
	}
}

/*
 * Codes that nobody outside the kernel can cause: root and context entries,
 * PASID directory and table, and stage 2 are the host's (VT-d 4.1, 7.1.3).
 * Those that a VMM can cause are what the selftest nesting_fault is about.
 */
static const struct {
	u8	code;
	u8	reason;
	u8	stage;
} host_codes[] = {
	{ 0x31, IOMMU_DMA_FAULT_NO_PASID, 0 },
	{ 0x38, IOMMU_DMA_FAULT_PASID_FETCH, 0 },
	{ 0x39, IOMMU_DMA_FAULT_NO_PASID, 0 },
	{ 0x3a, IOMMU_DMA_FAULT_BAD_PASID, 0 },
	{ 0x40, IOMMU_DMA_FAULT_PASID_FETCH, 0 },
	{ 0x41, IOMMU_DMA_FAULT_NO_PASID, 0 },
	{ 0x42, IOMMU_DMA_FAULT_BAD_PASID, 0 },
	{ 0x44, IOMMU_DMA_FAULT_UNKNOWN, 0 },
	{ 0x45, IOMMU_DMA_FAULT_NO_PASID, 0 },
	{ 0x46, IOMMU_DMA_FAULT_NO_PASID, 0 },
	{ 0x48, IOMMU_DMA_FAULT_BAD_PASID, 0 },
	{ 0x50, IOMMU_DMA_FAULT_PASID_FETCH, 0 },
	{ 0x52, IOMMU_DMA_FAULT_BAD_PASID, 0 },
	{ 0x58, IOMMU_DMA_FAULT_PASID_FETCH, 0 },
	{ 0x5a, IOMMU_DMA_FAULT_BAD_PASID, 0 },
	{ 0x5b, IOMMU_DMA_FAULT_BAD_PASID, 0 },
	{ 0x77, IOMMU_DMA_FAULT_PERMISSION, 2 },
	{ 0x78, IOMMU_DMA_FAULT_WALK, 2 },
	{ 0x7a, IOMMU_DMA_FAULT_BAD_PTE, 2 },
	{ 0x7b, IOMMU_DMA_FAULT_WALK, 2 },
	{ 0x7c, IOMMU_DMA_FAULT_ACCESS, 2 },
	{ 0x82, IOMMU_DMA_FAULT_PERMISSION, 1 },
	{ 0x87, IOMMU_DMA_FAULT_OOR, 0 },
	{ 0x90, IOMMU_DMA_FAULT_ACCESS, 1 },
	{ 0xff, IOMMU_DMA_FAULT_UNKNOWN, 0 },
};

static void test_fault_codes(struct kunit *test)
{
	struct iommu_dma_fault fault;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(host_codes); i++) {
		fault = (struct iommu_dma_fault){
			.hw_reason = host_codes[i].code,
		};
		KUNIT_EXPECT_TRUE(test, intel_fault_meaning(&fault));
		KUNIT_EXPECT_EQ_MSG(test, fault.reason, host_codes[i].reason,
				    "code 0x%x", fault.hw_reason);
		KUNIT_EXPECT_EQ_MSG(test, fault.stage, host_codes[i].stage,
				    "code 0x%x", fault.hw_reason);
	}
	/* Interrupt remapping is of no guest's concern. */
	for (i = 0; i < 256; i++) {
		fault = (struct iommu_dma_fault){ .hw_reason = i };
		KUNIT_EXPECT_EQ(test, intel_fault_meaning(&fault),
				i < 0x20 || i > 0x2f);
	}
}

/* 7.1.3, table 31: which of them the FPD of a PASID's entry would stop */
static void test_fault_entries(struct kunit *test)
{
	static const u8 before[] = {
		0x02, 0x05, 0x0b, 0x31, 0x39, 0x41, 0x44, 0x45, 0x47, 0x48,
	};
	static const u8 in_entry[] = {
		0x51, 0x52, 0x59, 0x5a, 0x71, 0x79, 0x80, 0x85, 0x90,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(before); i++)
		KUNIT_EXPECT_FALSE_MSG(test, intel_fault_has_entry(before[i]),
				       "code 0x%x", before[i]);
	for (i = 0; i < ARRAY_SIZE(in_entry); i++)
		KUNIT_EXPECT_TRUE_MSG(test, intel_fault_has_entry(in_entry[i]),
				      "code 0x%x", in_entry[i]);
}

static void test_fault_types(struct kunit *test)
{
	const u32 read = IOMMU_FAULT_PERM_READ, write = IOMMU_FAULT_PERM_WRITE;
	const struct {
		u32 lo, hi, perm;
	} types[] = {
		{ 0, 0, write },
		{ BIT(28), 0, 0 },
		{ 0, BIT(30), read },
		{ BIT(28), BIT(30), read | write },
		{ BIT(30), BIT(30), read | IOMMU_FAULT_PERM_EXEC },
		{ BIT(29), 0, write | IOMMU_FAULT_PERM_PRIV },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		const struct intel_fault_record rec = {
			.lo = types[i].lo, .hi = types[i].hi,
		};

		KUNIT_EXPECT_EQ_MSG(test, intel_fault_perm(&rec),
				    types[i].perm, "type %u", i);
	}
}

/* VFIO looks at the length before, iommufd does not. */
static void test_short_entry(struct kunit *test)
{
	struct iommu_hwpt_vtd_s1_invalidate entry;
	const struct iommu_user_data_array array = {
		.entry_len = sizeof(entry) - 1,
		.entry_num = 1,
	};

	KUNIT_EXPECT_EQ(test, iommu_nested_copy_entry(&entry, sizeof(entry),
						      &array, 0), -EINVAL);
}

/* A function with the Page Request capability, as far as it is read */
static int request_config(struct pci_bus *bus, unsigned int devfn, int where,
			  int size, u32 *val)
{
	*val = where == 0x100 + PCI_PRI_MAX_REQ ? 32 : 0;
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_ops request_pci_ops = {
	.read = request_config,
};

/* A VF has none: it would share those of its PF (PCIe 6.0, 10.4.2.1) */
static void test_requests(struct kunit *test)
{
	struct iommu_nesting_info none = {}, out = {};
	struct device_domain_info info = {
		.pri_supported = true,
	};
	struct intel_iommu *iommu;
	struct pci_bus *bus;
	struct pci_dev *pdev;
	void *queue;

	iommu = kunit_kzalloc(test, sizeof(*iommu), GFP_KERNEL);
	bus = kunit_kzalloc(test, sizeof(*bus), GFP_KERNEL);
	pdev = kunit_kzalloc(test, sizeof(*pdev), GFP_KERNEL);
	queue = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, iommu);
	KUNIT_ASSERT_NOT_NULL(test, bus);
	KUNIT_ASSERT_NOT_NULL(test, pdev);
	KUNIT_ASSERT_NOT_NULL(test, queue);

	bus->ops = &request_pci_ops;
	pdev->bus = bus;
	pdev->pri_cap = 0x100;
	iommu->prq = queue;
	info.dev = &pdev->dev;
	info.iommu = iommu;

	nested_request_info(&info, &out);
	KUNIT_EXPECT_EQ(test, out.features, IOMMU_NESTING_FEAT_PAGE_REQUEST);
	KUNIT_EXPECT_EQ(test, out.max_requests, 32);

	pdev->is_virtfn = true;
	nested_request_info(&info, &none);
	pdev->is_virtfn = false;

	/* Its answers would lack the PASID that the IOMMU sends. */
	info.pasid_enabled = true;
	nested_request_info(&info, &none);
	info.pasid_enabled = false;

	iommu->prq = NULL;
	nested_request_info(&info, &none);
	iommu->prq = queue;

	info.pri_supported = false;
	nested_request_info(&info, &none);
	KUNIT_EXPECT_EQ(test, none.features, 0);
	KUNIT_EXPECT_EQ(test, none.max_requests, 0);
}

static struct kunit_case nesting_test_cases[] = {
	KUNIT_CASE_PARAM(test_parse, parse_gen_params),
	KUNIT_CASE(test_parse_covers),
	KUNIT_CASE(test_fault_codes),
	KUNIT_CASE(test_fault_entries),
	KUNIT_CASE(test_fault_types),
	KUNIT_CASE(test_short_entry),
	KUNIT_CASE(test_requests),
	{}
};

static struct kunit_suite nesting_test_suite = {
	.name = "intel-iommu-nesting",
	.test_cases = nesting_test_cases,
};

kunit_test_suite(nesting_test_suite);

MODULE_DESCRIPTION("KUnit tests of VT-d nesting");
MODULE_LICENSE("GPL");
