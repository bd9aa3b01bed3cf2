// SPDX-License-Identifier: GPL-2.0-only
/*
 * Numbers from an IDA, as the kernel gave out PASIDs before this series
 *
 * "make bench" compares what a PASID costs with what a number of an IDA costs,
 * both by an ioctl.  Only what an unmodified kernel exports is called.
 */
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "ida_client.h"

static DEFINE_IDA(ida_client);

static long ida_client_ioctl(struct file *filp, unsigned int cmd,
			     unsigned long arg)
{
	switch (cmd) {
	case IDA_CLIENT_ALLOC:
		return ida_alloc_range(&ida_client, 1, IDA_CLIENT_LAST,
				       GFP_KERNEL);
	case IDA_CLIENT_FREE:
		/* For a number that is not given out ida_free() warns. */
		if (!arg || arg > IDA_CLIENT_LAST)
			return -EINVAL;
		ida_free(&ida_client, arg);
		return 0;
	default:
		return -ENOTTY;
	}
}

static const struct file_operations ida_client_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = ida_client_ioctl,
};

static struct miscdevice ida_client_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &ida_client_fops,
	.mode = 0600,
};

static int __init ida_client_init(void)
{
	return misc_register(&ida_client_misc);
}
module_init(ida_client_init);

static void __exit ida_client_exit(void)
{
	misc_deregister(&ida_client_misc);
	ida_destroy(&ida_client);
}
module_exit(ida_client_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Numbers from an IDA, to compare with");
