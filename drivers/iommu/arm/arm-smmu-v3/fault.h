/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __ARM_SMMU_V3_FAULT_H
#define __ARM_SMMU_V3_FAULT_H

#include <linux/types.h>

struct arm_smmu_device;
struct arm_smmu_master;
struct device;
struct iommu_page_answer;
struct iommu_dma_fault;

void arm_smmu_handle_evt(struct arm_smmu_device *smmu, const u64 *evt);
void arm_smmu_report_loss(struct arm_smmu_device *smmu);
void arm_smmu_drain_faults(struct device *dev);
void arm_smmu_page_responses(struct device *dev,
			     const struct iommu_page_answer *answers,
			     unsigned int nr);
bool arm_smmu_faults_reported(const struct arm_smmu_device *smmu);

bool arm_smmu_master_iopf_supported(const struct arm_smmu_master *master);
int arm_smmu_master_enable_iopf(struct arm_smmu_master *master);
void arm_smmu_master_disable_iopf(struct arm_smmu_master *master);

#if IS_ENABLED(CONFIG_KUNIT)
bool fault_decode(const u64 *evt, struct iommu_dma_fault *fault);
#endif

#endif
