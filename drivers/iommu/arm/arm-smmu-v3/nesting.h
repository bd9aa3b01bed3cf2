/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __ARM_SMMU_V3_NESTING_H
#define __ARM_SMMU_V3_NESTING_H

#include <linux/iommu.h>

#include "arm-smmu-v3.h"

/**
 * struct arm_smmu_nested_domain - What a guest put into its stream table entry
 * @domain: the domain
 * @s2_parent: the stage 2 it is nested on, which outlives it
 * @ste: the words 0 and 1 of an entry that may be installed, without stage 2
 * @enable_ats: the guest wants ATS, if the host has it
 */
struct arm_smmu_nested_domain {
	struct iommu_domain domain;
	struct arm_smmu_domain *s2_parent;
	u64 ste[2];
	bool enable_ats;
};

/**
 * struct arm_smmu_nested_target - What stands in for a guest's numbers
 * @smmu: the SMMU
 * @vmid: of stage 2
 * @sid: of the device
 * @ssid_bits: width of its SubstreamIDs
 * @attached: the domain translates for the device
 */
struct arm_smmu_nested_target {
	struct arm_smmu_device *smmu;
	u16 vmid;
	u32 sid;
	unsigned int ssid_bits;
	bool attached;
};

static inline struct arm_smmu_nested_domain *
to_smmu_nested_domain(struct iommu_domain *domain)
{
	return container_of(domain, struct arm_smmu_nested_domain, domain);
}

#if IS_ENABLED(CONFIG_IOMMU_NESTING)
int arm_smmu_nesting_info(struct device *dev, struct iommu_nesting_info *out);
void *arm_smmu_hw_info(struct device *dev, u32 *length, u32 *type);
bool arm_smmu_nest_parent_supported(struct arm_smmu_master *master);
bool arm_smmu_nested_keep_ats(const struct arm_smmu_master *master,
			      const struct arm_smmu_ste *target,
			      struct arm_smmu_ste *first);
void arm_smmu_nested_flush(struct arm_smmu_domain *s2_parent);
struct iommu_domain *
arm_smmu_nested_domain_alloc(struct device *dev, struct iommu_domain *parent,
			     const struct iommu_user_data *user_data);
#else
static inline bool
arm_smmu_nest_parent_supported(struct arm_smmu_master *master)
{
	return false;
}

static inline struct iommu_domain *
arm_smmu_nested_domain_alloc(struct device *dev, struct iommu_domain *parent,
			     const struct iommu_user_data *user_data)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline bool
arm_smmu_nested_keep_ats(const struct arm_smmu_master *master,
			 const struct arm_smmu_ste *target,
			 struct arm_smmu_ste *first)
{
	return false;
}

static inline void arm_smmu_nested_flush(struct arm_smmu_domain *s2_parent)
{
}

#define arm_smmu_nesting_info	NULL
#define arm_smmu_hw_info	NULL
#endif

#if IS_ENABLED(CONFIG_KUNIT)
int nested_parse_ste(const struct arm_smmu_master *master, u64 ste[2],
		     bool *enable_ats);
int nested_parse_cmd(const struct arm_smmu_nested_target *target, u64 cmd[2]);
#endif

#endif
