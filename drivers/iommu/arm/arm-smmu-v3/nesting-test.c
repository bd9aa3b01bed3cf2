// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests: what becomes of a guest's stream table entry and commands, what
 * it is told of events, and PASIDs that no table has room for
 */

#include <kunit/test.h>
#include <linux/iommu-fault.h>

#include "arm-smmu-v3.h"
#include "fault.h"
#include "nesting.h"

static struct arm_smmu_device smmu = {
	.features = ARM_SMMU_FEAT_2_LVL_CDTAB | ARM_SMMU_FEAT_STALLS |
		    ARM_SMMU_FEAT_RANGE_INV,
	.ias = 44,
	.asid_bits = 16,
	.pgsize_bitmap = SZ_4K | SZ_2M | SZ_1G,
};

#define STE_S1	(STRTAB_STE_0_V |					\
		 FIELD_PREP(STRTAB_STE_0_CFG, STRTAB_STE_0_CFG_S1_TRANS))

static void pasid_test(struct kunit *test)
{
	struct arm_smmu_domain *domain;
	struct arm_smmu_master *master;
	struct device *dev;
	struct arm_smmu_cd cd = {};

	dev = kunit_kzalloc(test, sizeof(*dev), GFP_KERNEL);
	master = kunit_kzalloc(test, sizeof(*master), GFP_KERNEL);
	domain = kunit_kzalloc(test, sizeof(*domain), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, dev);
	KUNIT_ASSERT_NOT_NULL(test, master);
	KUNIT_ASSERT_NOT_NULL(test, domain);
	master->dev = dev;
	master->smmu = &smmu;
	domain->smmu = &smmu;

	KUNIT_EXPECT_EQ(test, arm_smmu_set_pasid(master, domain, 1, &cd),
			-EINVAL);
	master->ssid_bits = 4;
	KUNIT_EXPECT_EQ(test, arm_smmu_set_pasid(master, domain, 16, &cd),
			-EINVAL);
}

static void stall_test(struct kunit *test)
{
	struct arm_smmu_device other = smmu;
	struct arm_smmu_master master = { .smmu = &smmu, .ssid_bits = 8 };
	u64 ste[2] = { STE_S1 };
	bool ats;

	/* A device that cannot wait does not, whatever the guest says. */
	KUNIT_EXPECT_EQ(test, nested_parse_ste(&master, ste, &ats), 0);
	KUNIT_EXPECT_EQ(test, ste[1], STRTAB_STE_1_S1STALLD);

	master.stall_enabled = true;
	ste[1] = 0;
	KUNIT_EXPECT_EQ(test, nested_parse_ste(&master, ste, &ats), 0);
	KUNIT_EXPECT_EQ(test, ste[1], 0);

	/* Where there is no choice, S1STALLD is ILLEGAL. */
	master.smmu = &other;
	other.features |= ARM_SMMU_FEAT_STALL_FORCE;
	KUNIT_EXPECT_EQ(test, nested_parse_ste(&master, ste, &ats), 0);
	ste[1] = STRTAB_STE_1_S1STALLD;
	KUNIT_EXPECT_EQ(test, nested_parse_ste(&master, ste, &ats), -EINVAL);
	other.features &= ~(ARM_SMMU_FEAT_STALLS | ARM_SMMU_FEAT_STALL_FORCE);
	KUNIT_EXPECT_EQ(test, nested_parse_ste(&master, ste, &ats), -EINVAL);
}

static void table_test(struct kunit *test)
{
	struct arm_smmu_device linear = smmu;
	struct arm_smmu_master master = { .smmu = &smmu, .ssid_bits = 8 };
	u64 ste[2] = {
		STE_S1 | FIELD_PREP(STRTAB_STE_0_S1CDMAX, 8) |
		FIELD_PREP(STRTAB_STE_0_S1FMT, STRTAB_STE_0_S1FMT_64K_L2),
		FIELD_PREP(STRTAB_STE_1_EATS, STRTAB_STE_1_EATS_TRANS),
	};
	u64 wide[2] = { STE_S1 | FIELD_PREP(STRTAB_STE_0_S1CDMAX, 9) };
	bool ats = false;

	/* EATS is not installed as it is: the host may have no ATS. */
	KUNIT_EXPECT_EQ(test, nested_parse_ste(&master, ste, &ats), 0);
	KUNIT_EXPECT_TRUE(test, ats);
	KUNIT_EXPECT_EQ(test, ste[1] & STRTAB_STE_1_EATS, 0);
	KUNIT_EXPECT_EQ(test, nested_parse_ste(&master, wide, &ats), -EINVAL);

	linear.features &= ~ARM_SMMU_FEAT_2_LVL_CDTAB;
	master.smmu = &linear;
	KUNIT_EXPECT_EQ(test, nested_parse_ste(&master, ste, &ats), -EINVAL);
}

struct cmd_case {
	const char *name;
	u64 in[2];
	int ret;
	u64 out;
};

/* CMDQ_0_OP is the lowest byte */
#define OP(name)	((u64)CMDQ_OP_##name)

/* 6.3.1: without IDR0.ASID16 the upper half of an ASID is reserved */
static const struct cmd_case narrow_cases[] = {
	{ "ASID", { OP(TLBI_NH_ASID) | 0xffull << 48 }, 1,
	  OP(TLBI_NH_ASID) | 0x1234ull << 32 | 0xffull << 48 },
	{ "ASID beyond", { OP(TLBI_NH_ASID) | 0x100ull << 48 }, -EINVAL },
	{ "address", { OP(TLBI_NH_VA) | 0x8000ull << 48 }, -EINVAL },
};

static const struct cmd_case no_pasid_cases[] = {
	{ "device TLB", { OP(ATC_INV) }, 1, OP(ATC_INV) | 0x100ull << 32 },
	{ "device TLB, PASID", { OP(ATC_INV) | CMDQ_0_SSV }, -EINVAL },
};

static const struct cmd_case cmd_cases[] = {
	{ "vmid", { OP(TLBI_NH_ASID) | 0x55ull << 32 | 3ull << 48 }, 1,
	  OP(TLBI_NH_ASID) | 0x1234ull << 32 | 3ull << 48 },
	{ "everything", { OP(TLBI_NSNH_ALL) }, 1,
	  OP(TLBI_NH_ALL) | 0x1234ull << 32 },
	{ "stream", { OP(CFGI_CD_ALL) | 9ull << 32 }, 1,
	  OP(CFGI_CD_ALL) | 0x100ull << 32 },
	{ "descriptor", { OP(CFGI_CD) | 255 << 12 }, 1,
	  OP(CFGI_CD) | 255 << 12 | 0x100ull << 32 },
	{ "descriptor beyond", { OP(CFGI_CD) | 256 << 12 }, -EINVAL },
	{ "range", { OP(TLBI_NH_VA) | 31 << 12, 1 << 10 }, 1,
	  OP(TLBI_NH_VA) | 31 << 12 | 0x1234ull << 32 },
	{ "granule", { OP(TLBI_NH_VA) | 31 << 12, 3 << 10 }, -EINVAL },
	{ "no level", { OP(TLBI_NH_VA), 1 << 10 }, -EINVAL },
	{ "device TLB", { OP(ATC_INV) }, 1, OP(ATC_INV) | 0x100ull << 32 },
	{ "device TLB, PASID", { OP(ATC_INV) | CMDQ_0_SSV | 255 << 12 }, 1,
	  OP(ATC_INV) | CMDQ_0_SSV | 255 << 12 | 0x100ull << 32 },
	{ "device TLB, beyond", { OP(ATC_INV) | CMDQ_0_SSV | 256 << 12 },
	  -EINVAL },
	{ "stage 2", { OP(TLBI_S2_IPA) }, -EOPNOTSUPP },
	{ "sync", { OP(CMD_SYNC) }, -EOPNOTSUPP },
};

static void check_cmds(struct kunit *test, struct arm_smmu_device *owner,
		       unsigned int ssid_bits, const struct cmd_case *cases,
		       unsigned int nr)
{
	const struct arm_smmu_nested_target target = {
		.smmu = owner, .vmid = 0x1234, .sid = 0x100,
		.ssid_bits = ssid_bits, .attached = true,
	};
	unsigned int i;

	for (i = 0; i < nr; i++) {
		const struct cmd_case *c = &cases[i];
		u64 cmd[2] = { c->in[0], c->in[1] };

		KUNIT_EXPECT_EQ_MSG(test, nested_parse_cmd(&target, cmd),
				    c->ret, "%s", c->name);
		if (c->ret >= 0)
			KUNIT_EXPECT_EQ_MSG(test, cmd[0], c->out, "%s",
					    c->name);
	}
}

static void cmd_test(struct kunit *test)
{
	struct arm_smmu_device narrow = smmu;

	narrow.asid_bits = 8;
	check_cmds(test, &smmu, 8, cmd_cases, ARRAY_SIZE(cmd_cases));
	check_cmds(test, &narrow, 8, narrow_cases, ARRAY_SIZE(narrow_cases));
	check_cmds(test, &smmu, 0, no_pasid_cases, ARRAY_SIZE(no_pasid_cases));
}

struct event_case {
	const char *name;
	u8 id;
	u64 word1;
	bool owner;
	u32 flags;
};

#define EVENT_ADDR	0x123456789000ull

static const struct event_case event_cases[] = {
	{ "stream table entry", 0x04 },
	{ "translation request", 0x05, 0, true, IOMMU_DMA_FAULT_F_ADDR },
	{ "an address of the host", 0x07, 0, true, 0 },
	{ "descriptor", 0x0a, 0, true, 0 },
	{ "stage 1", 0x10, 0, true, IOMMU_DMA_FAULT_F_ADDR },
	{ "stage 2", 0x10, EVTQ_1_S2 },
	{ "no event of any kind", 0xff },
};

/* Nothing of the host's is for the owner of a device. */
static void event_test(struct kunit *test)
{
	struct iommu_dma_fault fault;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(event_cases); i++) {
		const struct event_case *c = &event_cases[i];
		const u64 evt[EVTQ_ENT_DWORDS] = {
			FIELD_PREP(EVTQ_0_ID, c->id), c->word1, EVENT_ADDR,
		};

		KUNIT_EXPECT_EQ_MSG(test, fault_decode(evt, &fault), c->owner,
				    "%s", c->name);
		if (!c->owner)
			continue;
		KUNIT_EXPECT_EQ_MSG(test, fault.flags, c->flags, "%s", c->name);
		KUNIT_EXPECT_EQ_MSG(test, fault.addr,
				    c->flags & IOMMU_DMA_FAULT_F_ADDR ?
					    EVENT_ADDR : 0, "%s", c->name);
	}
}

static struct kunit_case nesting_cases[] = {
	KUNIT_CASE(pasid_test),
	KUNIT_CASE(stall_test),
	KUNIT_CASE(table_test),
	KUNIT_CASE(cmd_test),
	KUNIT_CASE(event_test),
	{}
};

static struct kunit_suite nesting_suite = {
	.name = "smmu_nesting",
	.test_cases = nesting_cases,
};

kunit_test_suite(nesting_suite);

MODULE_DESCRIPTION("KUnit tests of nested translation on SMMUv3");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
