// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of iommu-reset.c: when ATS is on, of a function that is made up
 */

#include <kunit/test.h>
#include <linux/bits.h>
#include <linux/iommu-nesting.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "iommu-reset.h"

#define ATS_CAP	0x100
#define STU	12

struct reset_function {
	struct pci_dev pdev;
	struct pci_bus bus;
	struct dev_iommu iommu;
	u16 command;
	u16 ctrl;
	char log[16];		/* of ATS: on 1, off 0; x: with requests */
};

static int reset_read(struct pci_bus *bus, unsigned int devfn, int where,
		      int size, u32 *val)
{
	struct reset_function *f = container_of(bus, struct reset_function,
						bus);

	*val = where == ATS_CAP + PCI_ATS_CTRL ? f->ctrl :
	       where == PCI_COMMAND ? f->command : 0;
	return PCIBIOS_SUCCESSFUL;
}

static int reset_write(struct pci_bus *bus, unsigned int devfn, int where,
		       int size, u32 val)
{
	struct reset_function *f = container_of(bus, struct reset_function,
						bus);
	bool on = val & PCI_ATS_CTRL_ENABLE;

	if (where == PCI_COMMAND) {
		f->command = val;
		return PCIBIOS_SUCCESSFUL;
	}
	f->ctrl = val;
	if (f->command & PCI_COMMAND_MASTER)
		strlcat(f->log, "x", sizeof(f->log));
	strlcat(f->log, on ? "1" : "0", sizeof(f->log));
	/* Somebody else's */
	f->command ^= PCI_COMMAND_INTX_DISABLE;
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_ops reset_pci_ops = {
	.read = reset_read,
	.write = reset_write,
};

static int reset_init(struct kunit *test)
{
	struct reset_function *f;

	f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	if (!f)
		return -ENOMEM;

	f->bus.ops = &reset_pci_ops;
	f->pdev.bus = &f->bus;
	f->pdev.ats_cap = ATS_CAP;
	f->pdev.dev.iommu = &f->iommu;
	mutex_init(&f->iommu.fault_lock);
	mutex_init(&f->iommu.ats_lock);
	test->priv = f;
	return 0;
}

static bool reachable(struct reset_function *f)
{
	guard(rcu)();

	return iommu_devtlb_reachable(&f->pdev.dev);
}

static void nest_test(struct kunit *test)
{
	struct reset_function *f = test->priv;
	struct device *dev = &f->pdev.dev;

	KUNIT_EXPECT_EQ(test, iommu_enable_ats(dev, STU), 0);
	KUNIT_EXPECT_TRUE(test, reachable(f));
	iommu_nesting_reset_prepare(dev);
	KUNIT_EXPECT_STREQ(test, f->log, "10");
	KUNIT_EXPECT_FALSE(test, reachable(f));
	iommu_nesting_reset_prepare(dev);
	iommu_nesting_reset_done(dev);
	KUNIT_EXPECT_STREQ(test, f->log, "10");
	KUNIT_EXPECT_FALSE(test, reachable(f));
	iommu_nesting_reset_done(dev);
	KUNIT_EXPECT_STREQ(test, f->log, "101");
	KUNIT_EXPECT_TRUE(test, reachable(f));
	KUNIT_EXPECT_EQ(test, f->ctrl,
			PCI_ATS_CTRL_ENABLE |
			PCI_ATS_CTRL_STU(STU - PCI_ATS_MIN_STU));
	iommu_disable_ats(dev);
	KUNIT_EXPECT_STREQ(test, f->log, "1010");
}

/* No request while the TLB goes or comes; other bits are left alone */
static void requests_test(struct kunit *test)
{
	struct reset_function *f = test->priv;
	struct device *dev = &f->pdev.dev;
	u16 on = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

	KUNIT_EXPECT_EQ(test, iommu_enable_ats(dev, STU), 0);
	f->command = on;
	iommu_nesting_reset_prepare(dev);
	KUNIT_EXPECT_EQ(test, f->command, on | PCI_COMMAND_INTX_DISABLE);
	iommu_nesting_reset_done(dev);
	KUNIT_EXPECT_EQ(test, f->command, on);
	KUNIT_EXPECT_STREQ(test, f->log, "101");

	f->command = PCI_COMMAND_MEMORY;
	iommu_nesting_reset_prepare(dev);
	iommu_nesting_reset_done(dev);
	KUNIT_EXPECT_EQ(test, f->command, PCI_COMMAND_MEMORY);
}

/* A driver that attaches and detaches meanwhile */
static void switch_test(struct kunit *test)
{
	struct reset_function *f = test->priv;
	struct device *dev = &f->pdev.dev;

	iommu_nesting_reset_prepare(dev);
	KUNIT_EXPECT_EQ(test, iommu_enable_ats(dev, STU), 0);
	KUNIT_EXPECT_STREQ(test, f->log, "10");
	iommu_nesting_reset_done(dev);
	KUNIT_EXPECT_STREQ(test, f->log, "101");

	iommu_nesting_reset_prepare(dev);
	iommu_disable_ats(dev);
	iommu_nesting_reset_done(dev);
	KUNIT_EXPECT_STREQ(test, f->log, "1010");
	KUNIT_EXPECT_TRUE(test, reachable(f));
}

/* An IOMMU that is found or goes during the reset */
static void unpaired_test(struct kunit *test)
{
	struct reset_function *f = test->priv;
	struct device *dev = &f->pdev.dev;

	dev->iommu = NULL;
	iommu_nesting_reset_prepare(dev);
	iommu_nesting_reset_done(dev);
	iommu_nesting_reset_prepare(dev);
	dev->iommu = &f->iommu;
	KUNIT_EXPECT_EQ(test, iommu_enable_ats(dev, STU), 0);
	iommu_nesting_reset_done(dev);
	KUNIT_EXPECT_STREQ(test, f->log, "1");
	KUNIT_EXPECT_TRUE(test, reachable(f));
}

static struct kunit_case reset_cases[] = {
	KUNIT_CASE(nest_test),
	KUNIT_CASE(requests_test),
	KUNIT_CASE(switch_test),
	KUNIT_CASE(unpaired_test),
	{}
};

static struct kunit_suite reset_suite = {
	.name = "iommu-reset",
	.init = reset_init,
	.test_cases = reset_cases,
};

kunit_test_suite(reset_suite);

MODULE_DESCRIPTION("KUnit tests of device TLBs in resets");
MODULE_LICENSE("GPL");
