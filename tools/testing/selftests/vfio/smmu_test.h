/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of SMMUv3's tables share.  Chapters are those of the Arm SMMU
 * architecture, IHI 0070F.
 */
#ifndef SELFTESTS_VFIO_SMMU_TEST_H
#define SELFTESTS_VFIO_SMMU_TEST_H

#include <endian.h>

#include "nest_test.h"

/* Chapter 4: commands */
#define CFGI_STE	0x03ull
#define CFGI_CD		0x05ull
#define CFGI_CD_ALL	0x06ull
#define TLBI_NH_ALL	0x10ull
#define TLBI_NH_ASID	0x11ull
#define TLBI_NH_VA	0x12ull
#define TLBI_NH_VAA	0x13ull
#define TLBI_S12_VMALL	0x28ull
#define TLBI_S2_IPA	0x2aull
#define TLBI_NSNH_ALL	0x30ull
#define ATC_INV		0x40ull
#define RESUME		0x44ull
#define CMD_SYNC	0x46ull

#define SSV		BIT_ULL(11)
#define SSID(n)		((u64)(n) << 12)
#define SID(n)		((u64)(n) << 32)
#define VMID(n)		((u64)(n) << 32)
#define ASID(n)		((u64)(n) << 48)
#define NUM(n)		((u64)(n) << 12)
#define SCALE(n)	((u64)(n) << 20)
#define TTL(n)		((u64)(n) << 8)
#define TG_4K		(1ull << 10)
#define ATC_ALL		52ull
#define MASK(h, l)	((~0ull >> (63 - (h))) & (~0ull << (l)))

/* As nest_setup_mon(), and the IOMMU is an SMMUv3 */
static inline void smmu_open(struct __test_metadata *_metadata, struct nest *n,
			     int index)
{
	nest_setup_mon(_metadata, n, index);
	if (!_metadata->exit_code &&
	    n->ops->format != VFIO_NESTING_FORMAT_SMMUV3)
		SKIP(return, "this is no SMMUv3");
}

static inline int command(struct nest *n, u64 w0, u64 w1)
{
	struct vfio_nesting_smmuv3_cmd cmd = {
		.cmd = { htole64(w0), htole64(w1) },
	};

	return nest_commands(&n->c, &cmd, 1, NULL);
}

static inline u64 executed(struct nest *n, u64 op)
{
	return imon_total(&n->mon, IOMMU_MON_EV_SMMU(op));
}

#endif
