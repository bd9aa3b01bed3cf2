// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver of pasid-testdev that shares processes' address spaces with it
 *
 * It calls only what an unmodified kernel exports, and does only what user
 * space cannot: enable page faults and SVA, bind, unbind.  The tests are a
 * program, proof/sva.c.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cleanup.h>
#include <linux/iommu.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "client_pci.h"
#include "sva_client.h"

/* The one device; sva_lock keeps it while a bond is made or ended */
static struct pci_dev *sva_pdev;
static DEFINE_MUTEX(sva_lock);

/* An open file, on sva_files while it is open; all under sva_lock */
struct sva_file {
	struct list_head entry;
	struct iommu_sva *bond;
};

static LIST_HEAD(sva_files);

static int sva_open(struct inode *inode, struct file *filp)
{
	struct sva_file *f = kzalloc(sizeof(*f), GFP_KERNEL);

	if (!f)
		return -ENOMEM;
	guard(mutex)(&sva_lock);
	list_add(&f->entry, &sva_files);
	filp->private_data = f;
	return 0;
}

static void sva_unbind(struct sva_file *f)
{
	lockdep_assert_held(&sva_lock);
	if (f->bond)
		iommu_sva_unbind_device(f->bond);
	f->bond = NULL;
}

static int sva_release(struct inode *inode, struct file *filp)
{
	struct sva_file *f = filp->private_data;

	guard(mutex)(&sva_lock);
	sva_unbind(f);
	list_del(&f->entry);
	kfree(f);
	return 0;
}

static long sva_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct sva_file *f = filp->private_data;
	struct iommu_sva *bond;
	u32 pasid;

	guard(mutex)(&sva_lock);
	switch (cmd) {
	case SVA_CLIENT_BIND:
		if (!sva_pdev)
			return -ENODEV;
		if (f->bond)
			return -EBUSY;
		bond = iommu_sva_bind_device(&sva_pdev->dev, current->mm);
		if (IS_ERR(bond))
			return PTR_ERR(bond);
		pasid = iommu_sva_get_pasid(bond);
		if (put_user(pasid, (u32 __user *)arg)) {
			iommu_sva_unbind_device(bond);
			return -EFAULT;
		}
		f->bond = bond;
		return 0;
	case SVA_CLIENT_UNBIND:
		if (!f->bond)
			return -ENODEV;
		sva_unbind(f);
		return 0;
	default:
		return -ENOTTY;
	}
}

static const struct file_operations sva_fops = {
	.owner = THIS_MODULE,
	.open = sva_open,
	.release = sva_release,
	.unlocked_ioctl = sva_ioctl,
};

static struct miscdevice sva_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &sva_fops,
	.mode = 0600,
};

static int sva_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int ret;

	guard(mutex)(&sva_lock);
	if (sva_pdev)
		return -EBUSY;
	ret = client_pci_enable(pdev);
	if (ret)
		return ret;
	ret = iommu_dev_enable_feature(&pdev->dev, IOMMU_DEV_FEAT_IOPF);
	if (ret)
		return dev_err_probe(&pdev->dev, ret, "no page faults\n");
	ret = iommu_dev_enable_feature(&pdev->dev, IOMMU_DEV_FEAT_SVA);
	if (ret) {
		iommu_dev_disable_feature(&pdev->dev, IOMMU_DEV_FEAT_IOPF);
		return dev_err_probe(&pdev->dev, ret, "no SVA\n");
	}
	sva_pdev = pdev;
	return 0;
}

static void sva_remove(struct pci_dev *pdev)
{
	struct sva_file *f;

	guard(mutex)(&sva_lock);
	list_for_each_entry(f, &sva_files, entry)
		sva_unbind(f);
	sva_pdev = NULL;
	iommu_dev_disable_feature(&pdev->dev, IOMMU_DEV_FEAT_SVA);
	iommu_dev_disable_feature(&pdev->dev, IOMMU_DEV_FEAT_IOPF);
}

static struct pci_driver sva_driver = {
	.name = KBUILD_MODNAME,
	.id_table = client_pci_ids,
	.probe = sva_probe,
	.remove = sva_remove,
};

static int __init sva_init(void)
{
	int ret = misc_register(&sva_misc);

	if (ret)
		return ret;
	ret = pci_register_driver(&sva_driver);
	if (ret)
		misc_deregister(&sva_misc);
	return ret;
}
module_init(sva_init);

static void __exit sva_exit(void)
{
	pci_unregister_driver(&sva_driver);
	misc_deregister(&sva_misc);
}
module_exit(sva_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Shared virtual addresses for the test device");
