// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests: page requests of a device that is not there, on their way to
 * a consumer and back
 */

#include <kunit/test.h>
#include <linux/iommu.h>
#include <linux/iommu-fault.h>
#include <linux/iommu-nesting.h>
#include <linux/mutex.h>
#include <linux/slab.h>

#include "iommu-fault.h"

/* What PRI can tell apart, and more than that */
#define PRI_GROUPS	512
#define STALLS		1024

struct fake {
	struct device			dev;
	struct dev_iommu		param;
	struct iommu_device		iommu;
	struct iommu_domain		domain;
	struct iommu_fault_consumer	*consumer;
	u32				max_requests;
	unsigned int			taken;
	unsigned int			dropped;
	unsigned int			invalid;
	unsigned int			success;
	u64				cookie[STALLS];
};

static int fake_info(struct device *dev, struct iommu_nesting_info *info)
{
	struct fake *fake = dev->iommu->priv;

	info->features = IOMMU_NESTING_FEAT_DMA_FAULT |
			 IOMMU_NESTING_FEAT_PAGE_REQUEST;
	info->max_requests = fake->max_requests;
	return 0;
}

static struct iommu_domain *
fake_alloc(struct device *dev, u32 flags, struct iommu_domain *parent,
	   const struct iommu_user_data *data)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static int fake_feat(struct device *dev, enum iommu_dev_features feat)
{
	return 0;
}

static void fake_response(struct device *dev, struct iopf_fault *evt,
			  struct iommu_page_response *resp)
{
	struct fake *fake = dev->iommu->priv;

	if (resp->code == IOMMU_PAGE_RESP_SUCCESS)
		fake->success++;
	else
		fake->invalid++;
}

static const struct iommu_ops fake_ops = {
	.nesting_info		= fake_info,
	.domain_alloc_user	= fake_alloc,
	.dev_enable_feat	= fake_feat,
	.dev_disable_feat	= fake_feat,
	.page_response		= fake_response,
};

static bool fake_request(void *priv, u64 cookie,
			 const struct list_head *faults, unsigned int nr)
{
	struct fake *fake = priv;

	fake->cookie[fake->taken++] = cookie;
	return true;
}

static void fake_dropped(void *priv, unsigned int nr)
{
	struct fake *fake = priv;

	fake->dropped += nr;
}

static const struct iommu_fault_consumer_ops fake_consumer_ops = {
	.page_request	= fake_request,
	.dropped	= fake_dropped,
};

/* The device asks for a page, in a group that has this number. */
static void fake_ask(struct fake *fake, u32 grpid)
{
	struct iopf_fault evt = {
		.fault.type = IOMMU_FAULT_PAGE_REQ,
		.fault.prm = {
			.flags = IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE,
			.grpid = grpid,
		},
	};

	fake->domain.iopf_single(&fake->dev, &evt);
}

static unsigned int fake_answer(struct fake *fake, u64 cookie, u32 grpid,
				int *err)
{
	const struct iommu_fault_response response = {
		.cookie = cookie,
		.grpid = grpid,
		.code = IOMMU_PAGE_RESP_SUCCESS,
	};

	return iommu_fault_respond(fake->consumer, &response, 1, err);
}

static void test_outstanding(struct kunit *test, u32 max, unsigned int room)
{
	struct fake *fake = kunit_kzalloc(test, sizeof(*fake), GFP_KERNEL);
	unsigned int i, done = 0;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, fake);
	mutex_init(&fake->param.fault_lock);
	fake->dev.init_name = "fake";
	fake->dev.iommu = &fake->param;
	fake->param.iommu_dev = &fake->iommu;
	fake->param.priv = fake;
	fake->iommu.ops = &fake_ops;
	fake->max_requests = max;
	fake->dev.iommu_group = iommu_group_alloc();
	KUNIT_ASSERT_FALSE(test, IS_ERR(fake->dev.iommu_group));

	fake->consumer = iommu_fault_consumer_add(&fake->dev,
						  &fake_consumer_ops, fake);
	KUNIT_ASSERT_FALSE(test, IS_ERR(fake->consumer));
	KUNIT_ASSERT_EQ(test, 0,
			iommu_fault_consumer_page_requests(fake->consumer,
							   true));
	KUNIT_ASSERT_EQ(test, 0,
			iommu_fault_attach_begin(&fake->dev, &fake->domain));

	for (i = 0; i < room; i++)
		fake_ask(fake, i);
	KUNIT_EXPECT_EQ(test, fake->taken, room);
	KUNIT_EXPECT_EQ(test, fake->dropped, 0);
	KUNIT_EXPECT_EQ(test, fake->invalid, 0);

	/* That is all it may have. */
	fake_ask(fake, room);
	KUNIT_EXPECT_EQ(test, fake->dropped, 1);
	KUNIT_EXPECT_EQ(test, fake->invalid, 1);

	for (i = 0; i < fake->taken; i++)
		done += fake_answer(fake, fake->cookie[i], i, &err);
	KUNIT_EXPECT_EQ(test, done, room);
	KUNIT_EXPECT_EQ(test, fake->success, room);

	/* Answered, never there, beyond all that can be */
	KUNIT_EXPECT_EQ(test, 0, fake_answer(fake, fake->cookie[0], 0, &err));
	KUNIT_EXPECT_EQ(test, err, -ENOENT);
	KUNIT_EXPECT_EQ(test, 0, fake_answer(fake, U64_MAX, 0, &err));
	KUNIT_EXPECT_EQ(test, err, -ENOENT);

	/* What is left is answered when the domain goes. */
	fake->taken = 0;
	fake_ask(fake, 0);
	KUNIT_EXPECT_EQ(test, fake->taken, 1);
	iommu_fault_attach_end(&fake->dev, false);
	KUNIT_EXPECT_EQ(test, fake->invalid, 2);

	iommu_fault_consumer_del(fake->consumer);
	iommu_group_put(fake->dev.iommu_group);
}

static void test_pri(struct kunit *test)
{
	test_outstanding(test, 32, PRI_GROUPS);
}

static void test_stalls(struct kunit *test)
{
	test_outstanding(test, STALLS, STALLS);
}

static struct kunit_case fault_test_cases[] = {
	KUNIT_CASE(test_pri),
	KUNIT_CASE(test_stalls),
	{}
};

static struct kunit_suite fault_test_suite = {
	.name = "iommu-fault",
	.test_cases = fault_test_cases,
};

kunit_test_suite(fault_test_suite);

MODULE_DESCRIPTION("KUnit tests of page requests");
MODULE_LICENSE("GPL");
