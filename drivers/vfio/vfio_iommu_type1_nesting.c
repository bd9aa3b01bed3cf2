// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO: nested translation in type1 containers
 *
 * In a container of type VFIO_TYPE1_NESTING_IOMMU every domain of
 * vfio_iommu_type1.c is a stage 2 (a nest parent).  Here are the stage-1
 * tables of the guest that are nested on it: one binding for each (group,
 * PASID), and the PASIDs that the container asked for.  Vendor data passes
 * through untouched.
 *
 * Who undoes what
 * ---------------
 * A binding belongs to the container, not to a device file: a device that is
 * closed, reset or opened again keeps it.  It ends with UNBIND, BLOCK or a
 * BIND that replaces it, or when its group leaves the container:
 * vfio_nesting_group_del() runs in detach_group before type1 detaches the
 * group and releases the ownership of its DMA.  A group leaves when user
 * space says so, closes the group (a process that is killed, too), or when
 * the last device of the group is unplugged or unbound from its driver; by
 * then vfio has waited until all its device files are closed.  The last group
 * that leaves takes the container's iommu data with it, and so
 * vfio_nesting_destroy() finds no groups, but takes away those that are there.
 *
 * Inside a group the PASIDs go first, then the requests without PASID, then
 * type1 detaches the parent, and frees it if it was the last user.
 *
 * Locking
 * -------
 * container->group_lock
 *   type1's iommu->lock
 *     vfio_nesting.lock
 *       the iommu group's mutex, mmap_lock, those of iommu-pasid.c
 *
 * container->group_lock keeps groups from coming and going and bindings in
 * place: held for write by attach, detach, release and BIND, for read by the
 * other ioctls here and GET_INFO, see vfio_container_ioctl_locked().  So an
 * invalidation finds the table that the hardware has, and takes no lock but
 * this.  User memory that comes late in one of these ioctls holds up changes
 * of this container, and fdinfo does not wait for it.  But an unplug of a device
 * of this container waits for group_lock under vfio.group_lock, and so do all
 * devices that come to or leave VFIO meanwhile: as they do today for memory
 * that comes late in MAP_DMA, which holds iommu->lock.  To kill the process
 * ends it.
 *
 * vfio_nesting.lock orders PASID_REQUEST against the others: who frees or binds a
 * PASID at the same time finds it allocated or not.  iommu->lock,
 * which MAP_DMA holds while it pins memory, is not taken by any ioctl here.
 */

#include <linux/atomic.h>
#include <linux/file.h>
#include <linux/iommu.h>
#include <linux/iommu-fault.h>
#include <linux/iommu-nesting.h>
#include <linux/iommu-pasid.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/xarray.h>
#include <kunit/visibility.h>

#include "vfio.h"
#include "vfio_iommu_type1_nesting.h"

#define CREATE_TRACE_POINTS
#include <trace/events/vfio_nesting.h>

/*
 * Each binding costs a domain id of the IOMMU, of which the host has 65536 or
 * fewer for all containers, and makes each unmap of stage 2 longer by what it
 * takes to invalidate one more PASID.  1024 lets a guest have a thousand
 * processes with a device open, and needs some sixty containers that all use
 * it up before ids run out.
 */
static unsigned int max_bindings __read_mostly = 1024;
module_param(max_bindings, uint, 0644);
MODULE_PARM_DESC(max_bindings,
		 "Bindings (device, PASID) a container may have (1024).");

#define VFIO_NESTING_MAX_ENTRIES	65536

/**
 * struct vfio_nesting - The nesting part of one container
 * @lock: taken by all that changes something here
 * @groups: of struct vfio_nesting_group; changes with container->group_lock
 *	    held for write and @lock, so that either is enough to walk it
 * @pasids: the owner of the PASIDs from VFIO_IOMMU_PASID_REQUEST
 * @nr_bindings: bindings of all groups
 */
struct vfio_nesting {
	struct mutex		lock;		/* all below */
	struct list_head	groups;
	struct iommu_pasid_set	*pasids;
	u32			nr_bindings;
};

/**
 * struct vfio_nesting_group - A group of the container
 * @next: in vfio_nesting.groups
 * @iommu_group: what type1 knows it by
 * @dev: its only device; we have a reference
 * @parent: type1's domain for it, which outlives us
 * @info: what the IOMMU can do for @dev
 * @msi_start: first address of the MSI window
 * @msi_size: 0 if there is none
 * @bindings: struct vfio_nesting_binding by PASID
 * @blocked: requests without PASID are blocked
 * @new: during a BIND: what to attach
 * @old: during a BIND or BLOCK: what was attached, until it is sure to go
 * @changed: during a BIND or BLOCK: to be undone if another group fails
 * @target: in the list of groups that an ioctl changes
 */
struct vfio_nesting_group {
	struct list_head		next;
	struct iommu_group		*iommu_group;
	struct device			*dev;
	struct iommu_domain		*parent;
	struct iommu_nesting_info	info;
	u64				msi_start;
	u64				msi_size;
	struct xarray			bindings;
	bool				blocked;

	struct vfio_nesting_binding	*new;
	struct vfio_nesting_binding	*old;
	bool				changed;
	struct list_head		target;
};

/**
 * struct vfio_nesting_binding - One stage-1 table, attached
 * @handle: how the core finds the owner of a fault
 * @domain: the nested domain, ours
 * @pasid: a reference of the PASID if it is one of vfio_nesting.pasids, until
 *	   the hardware has let go; else NULL
 * @invalidated: entries that were invalidated, for fdinfo
 */
struct vfio_nesting_binding {
	struct iommu_attach_handle	handle;
	struct iommu_domain		*domain;
	struct iommu_pasid		*pasid;
	atomic64_t			invalidated;
};

/*
 * Arguments.  These look at what was copied from the user, nothing else.
 */
VISIBLE_IF_KUNIT int vfio_nesting_check_argsz(u32 argsz, size_t size)
{
	if (argsz < size)
		return -EINVAL;
	return argsz > PAGE_SIZE ? -E2BIG : 0;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_nesting_check_argsz);

VISIBLE_IF_KUNIT int
vfio_nesting_check_pasids(const struct vfio_iommu_type1_pasid_request *req)
{
	if (req->flags != VFIO_PASID_REQUEST_ALLOC &&
	    req->flags != VFIO_PASID_REQUEST_FREE)
		return -EINVAL;
	if (!req->min || req->min > req->max ||
	    req->max > IOMMU_PASID_LAST)
		return -EINVAL;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_nesting_check_pasids);

VISIBLE_IF_KUNIT int
vfio_nesting_check_bind(const struct vfio_iommu_type1_bind *bind)
{
	if (bind->flags & ~VFIO_BIND_FLAG_GROUP)
		return -EINVAL;
	if (!(bind->flags & VFIO_BIND_FLAG_GROUP) && bind->group_fd)
		return -EINVAL;
	if (bind->target != VFIO_BIND_TARGET_GUEST_PASID &&
	    (bind->target != VFIO_BIND_TARGET_PASID_TABLE || bind->pasid))
		return -EINVAL;

	switch (bind->op) {
	case VFIO_BIND_OP_BIND:
		return 0;
	case VFIO_BIND_OP_UNBIND:
	case VFIO_BIND_OP_BLOCK:
		if (bind->format || bind->data_len || bind->data_uptr)
			return -EINVAL;
		return 0;
	default:
		return -EINVAL;
	}
}
EXPORT_SYMBOL_IF_KUNIT(vfio_nesting_check_bind);

VISIBLE_IF_KUNIT int
vfio_nesting_check_invalidate(const struct vfio_iommu_type1_cache_invalidate *inv)
{
	u64 end;

	if (inv->flags & ~VFIO_INVALIDATE_FLAG_GROUP)
		return -EINVAL;
	if (!(inv->flags & VFIO_INVALIDATE_FLAG_GROUP) && inv->group_fd)
		return -EINVAL;

	switch (inv->target) {
	case VFIO_INVALIDATE_TARGET_PASID:
		break;
	case VFIO_INVALIDATE_TARGET_ALL:
		if (inv->pasid)
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}

	if (!inv->entry_num || inv->entry_num > VFIO_NESTING_MAX_ENTRIES)
		return -EINVAL;
	if (!inv->entry_len)
		return -EINVAL;
	if (inv->entry_len > PAGE_SIZE)
		return -E2BIG;
	if (check_add_overflow(inv->entry_uptr,
			       (u64)inv->entry_len * inv->entry_num, &end) ||
	    end - 1 > ULONG_MAX)
		return -EINVAL;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_nesting_check_invalidate);

/*
 * Copy an argument that starts with argsz, by the rules of vfio_nesting.h.
 * Callers mostly know the same structure as we do: it is read once, whole.
 */
static int vfio_nesting_copy_arg(void *arg, size_t size,
				 const void __user *user)
{
	u32 argsz;
	int ret;

	if (copy_from_user(arg, user, size)) {
		/* One that is too short may end where nothing is mapped. */
		if (get_user(argsz, (const u32 __user *)user))
			return -EFAULT;
		return vfio_nesting_check_argsz(argsz, size) ?: -EFAULT;
	}

	argsz = *(u32 *)arg;
	if (argsz == size)
		return 0;

	ret = vfio_nesting_check_argsz(argsz, size);
	if (ret)
		return ret;

	ret = check_zeroed_user(user + size, argsz - size);
	if (ret < 0)
		return ret;
	return ret ? 0 : -E2BIG;
}

/*
 * A group by its file descriptor.  The file is only compared with what is in
 * the container, so it may be closed or change its group at any time.
 */
static struct vfio_nesting_group *
vfio_nesting_group_by_fd(struct vfio_nesting *nest, int fd)
{
	struct vfio_nesting_group *group, *found = ERR_PTR(-ENOENT);
	struct file *file = fget(fd);

	if (!file)
		return ERR_PTR(-EBADF);

	if (!vfio_file_is_group(file)) {
		fput(file);
		return ERR_PTR(-EINVAL);
	}

	list_for_each_entry(group, &nest->groups, next) {
		if (vfio_file_has_iommu_group(file, group->iommu_group)) {
			found = group;
			break;
		}
	}
	fput(file);
	return found;
}

static bool vfio_nesting_has_pasids(struct vfio_nesting *nest)
{
	struct vfio_nesting_group *group;

	list_for_each_entry(group, &nest->groups, next) {
		if (group->info.max_pasids)
			return true;
	}
	return false;
}

/*
 * PASIDs of the container
 */

/*
 * The reference that a binding of @pasid holds.  Any number may be bound, so
 * that it is not of this container is no error.
 */
static struct iommu_pasid *vfio_nesting_pasid_get(struct vfio_nesting *nest,
						  u32 pasid)
{
	struct iommu_pasid *entry = iommu_pasid_get(nest->pasids, pasid);

	return entry == ERR_PTR(-ENOENT) ? NULL : entry;
}

static int vfio_nesting_pasid_alloc(struct vfio_nesting *nest, u32 min, u32 max)
{
	struct vfio_nesting_binding *binding;
	struct vfio_nesting_group *group;
	int pasid;

	lockdep_assert_held(&nest->lock);

	pasid = iommu_pasid_alloc(nest->pasids, min, max, NULL);
	if (pasid < 0)
		return pasid;

	/* It may be bound already, as a number that was nobody's. */
	list_for_each_entry(group, &nest->groups, next) {
		binding = xa_load(&group->bindings, pasid);
		if (binding && !binding->pasid)
			binding->pasid = vfio_nesting_pasid_get(nest, pasid);
	}
	return pasid;
}

static long vfio_nesting_pasid_request(struct vfio_nesting *nest,
				       void __user *user)
{
	struct vfio_iommu_type1_pasid_request req;
	int ret;

	ret = vfio_nesting_copy_arg(&req, sizeof(req), user);
	if (ret)
		return ret;

	ret = vfio_nesting_check_pasids(&req);
	if (ret)
		return ret;

	guard(mutex)(&nest->lock);

	if (!vfio_nesting_has_pasids(nest))
		return -EOPNOTSUPP;

	if (req.flags == VFIO_PASID_REQUEST_ALLOC)
		return vfio_nesting_pasid_alloc(nest, req.min, req.max);

	iommu_pasid_free_range(nest->pasids, req.min, req.max);
	return 0;
}

/*
 * Bindings
 */
static void vfio_nesting_binding_free(struct vfio_nesting_binding *binding)
{
	if (!binding)
		return;
	iommu_domain_free(binding->domain);
	iommu_pasid_put(binding->pasid);
	kfree(binding);
}

static struct vfio_nesting_binding *
vfio_nesting_binding_alloc(struct vfio_nesting *nest,
			   struct vfio_nesting_group *group, u32 pasid,
			   const struct iommu_user_data *data)
{
	struct vfio_nesting_binding *binding;
	int ret;

	binding = kzalloc(sizeof(*binding), GFP_KERNEL_ACCOUNT);
	if (!binding)
		return ERR_PTR(-ENOMEM);

	binding->pasid = vfio_nesting_pasid_get(nest, pasid);
	if (IS_ERR(binding->pasid)) {
		ret = PTR_ERR(binding->pasid);
		goto err_binding;
	}

	binding->domain = iommu_nested_domain_alloc(group->dev, group->parent,
						    data);
	if (IS_ERR(binding->domain)) {
		ret = PTR_ERR(binding->domain);
		goto err_pasid;
	}
	return binding;

err_pasid:
	iommu_pasid_put(binding->pasid);
err_binding:
	kfree(binding);
	return ERR_PTR(ret);
}

/* Let @group->new translate; what was there goes to @group->old. */
static int vfio_nesting_install(struct vfio_nesting_group *group, u32 pasid)
{
	struct vfio_nesting_binding *new = group->new;
	int ret;

	ret = iommu_nested_attach(new->domain, group->dev, pasid, &new->handle,
				  group->old ? group->old->domain : NULL);
	if (ret)
		return ret;

	/* The slot is reserved. */
	xa_store(&group->bindings, pasid, new, GFP_KERNEL);
	group->changed = true;
	return 0;
}

static void vfio_nesting_warn_blocked(struct vfio_nesting_group *group, int ret)
{
	dev_warn_ratelimited(group->dev,
			     "requests without PASID are blocked, what was before could not be restored (%d)\n",
			     ret);
}

/*
 * Take the binding of @pasid from the hardware and from the array.  Requests
 * without PASID are blocked after it or go through stage 2 alone, others are
 * always blocked.
 */
static struct vfio_nesting_binding *
vfio_nesting_remove(struct vfio_nesting *nest, struct vfio_nesting_group *group,
		    u32 pasid, bool block)
{
	struct vfio_nesting_binding *binding;
	int ret;

	binding = xa_erase(&group->bindings, pasid);
	nest->nr_bindings--;
	if (pasid == IOMMU_NO_PASID)
		group->blocked = block;
	if (pasid == IOMMU_NO_PASID && !block) {
		ret = iommu_nested_unblock(group->dev, group->parent);
		if (!ret)
			goto out;
		vfio_nesting_warn_blocked(group, ret);
		group->blocked = true;
	}
	iommu_nested_detach(binding->domain, group->dev, pasid);
out:
	trace_vfio_nesting_unbind(group->dev, pasid,
				  pasid != IOMMU_NO_PASID || group->blocked);
	return binding;
}

/* Undo vfio_nesting_install().  If that fails the requests are blocked. */
static void vfio_nesting_uninstall(struct vfio_nesting *nest,
				   struct vfio_nesting_group *group, u32 pasid)
{
	struct vfio_nesting_binding *old = group->old;
	int ret;

	if (old) {
		ret = iommu_nested_attach(old->domain, group->dev, pasid,
					  &old->handle, group->new->domain);
		if (!ret) {
			xa_store(&group->bindings, pasid, old, GFP_KERNEL);
			group->old = NULL;
			return;
		}
		dev_warn_ratelimited(group->dev,
				     "PASID 0x%x is blocked, its table could not be restored (%d)\n",
				     pasid, ret);
	} else {
		nest->nr_bindings++;
	}
	vfio_nesting_remove(nest, group, pasid, old || group->blocked);
}

static int vfio_nesting_op_bind(struct vfio_nesting *nest,
				struct list_head *targets,
				const struct vfio_iommu_type1_bind *bind)
{
	const struct iommu_user_data data = {
		.type	= bind->format,
		.uptr	= u64_to_user_ptr(bind->data_uptr),
		.len	= bind->data_len,
	};
	struct vfio_nesting_group *group;
	u32 pasid = bind->pasid, more = 0;
	int ret = 0;

	list_for_each_entry(group, targets, target) {
		if (bind->format != group->info.format)
			return -EOPNOTSUPP;
		if (bind->data_len != group->info.data_len)
			return -EINVAL;

		group->new = NULL;
		group->changed = false;
		group->old = xa_load(&group->bindings, pasid);
		if (!group->old)
			more++;
	}

	/* max_bindings may have been lowered below what there is. */
	if (more && (u64)nest->nr_bindings + more > READ_ONCE(max_bindings))
		return -ENOSPC;

	/* All that can fail for want of memory or for bad data, ... */
	list_for_each_entry(group, targets, target) {
		struct vfio_nesting_binding *new;

		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			goto out;
		}

		ret = xa_reserve(&group->bindings, pasid, GFP_KERNEL_ACCOUNT);
		if (ret)
			goto out;

		new = vfio_nesting_binding_alloc(nest, group, pasid, &data);
		if (IS_ERR(new)) {
			ret = PTR_ERR(new);
			goto out;
		}
		group->new = new;
		cond_resched();
	}

	/* ... before anything changes. */
	list_for_each_entry(group, targets, target) {
		ret = vfio_nesting_install(group, pasid);
		if (ret)
			goto out;
	}

out:
	list_for_each_entry(group, targets, target) {
		trace_vfio_nesting_bind(group->dev, pasid, bind->format,
					group->old, ret);
		if (ret && group->changed) {
			vfio_nesting_uninstall(nest, group, pasid);
		} else if (ret) {
			group->old = NULL;
		} else {
			if (!group->old)
				nest->nr_bindings++;
			if (pasid == IOMMU_NO_PASID)
				group->blocked = false;
			group->new = NULL;
		}

		/* A slot that was reserved and not used; no-op on others. */
		xa_release(&group->bindings, pasid);

		/* On success the old ones, else the new ones are detached. */
		vfio_nesting_binding_free(group->old);
		vfio_nesting_binding_free(group->new);
		group->old = NULL;
		group->new = NULL;
	}
	return ret;
}

static int vfio_nesting_op_unbind(struct vfio_nesting *nest,
				  struct list_head *targets, u32 pasid)
{
	struct vfio_nesting_group *group;
	bool found = false;

	list_for_each_entry(group, targets, target) {
		struct vfio_nesting_binding *old;

		if (!xa_load(&group->bindings, pasid))
			continue;

		old = vfio_nesting_remove(nest, group, pasid, true);
		vfio_nesting_binding_free(old);
		found = true;
	}
	return found ? 0 : -ENOENT;
}

/* Block requests without PASID, or let them go through stage 2 alone. */
static int vfio_nesting_set_rid(struct vfio_nesting_group *group, bool block)
{
	if (block)
		return iommu_nested_block(group->dev);
	return iommu_nested_unblock(group->dev, group->parent);
}

/*
 * Undo a vfio_nesting_set_rid() that left a binding in the array and @blocked
 * as it was.  If that fails the requests are blocked.
 */
static void vfio_nesting_restore_rid(struct vfio_nesting *nest,
				     struct vfio_nesting_group *group)
{
	struct vfio_nesting_binding *old;
	int ret;

	old = xa_load(&group->bindings, IOMMU_NO_PASID);
	if (old)
		ret = iommu_nested_attach(old->domain, group->dev,
					  IOMMU_NO_PASID, &old->handle, NULL);
	else
		ret = vfio_nesting_set_rid(group, group->blocked);
	if (!ret)
		return;

	vfio_nesting_warn_blocked(group, ret);
	group->blocked = true;
	WARN_ON(iommu_nested_block(group->dev));
	if (old) {
		xa_erase(&group->bindings, IOMMU_NO_PASID);
		nest->nr_bindings--;
		vfio_nesting_binding_free(old);
	}
}

/* BLOCK and UNBIND of requests without PASID */
static int vfio_nesting_op_rid(struct vfio_nesting *nest,
			       struct list_head *targets, bool block)
{
	struct vfio_nesting_group *group;
	bool found = block;
	int ret = 0;

	list_for_each_entry(group, targets, target)
		group->changed = false;

	/* A table that was there stays in the array until all are done. */
	list_for_each_entry(group, targets, target) {
		if (group->blocked == block &&
		    !xa_load(&group->bindings, IOMMU_NO_PASID))
			continue;

		found = true;
		ret = vfio_nesting_set_rid(group, block);
		if (ret)
			break;
		group->changed = true;
	}
	if (!found)
		return -ENOENT;

	list_for_each_entry(group, targets, target) {
		struct vfio_nesting_binding *old;

		if (!group->changed)
			continue;

		if (ret) {
			vfio_nesting_restore_rid(nest, group);
			continue;
		}

		old = xa_erase(&group->bindings, IOMMU_NO_PASID);
		if (old)
			nest->nr_bindings--;
		vfio_nesting_binding_free(old);
		group->blocked = block;
		trace_vfio_nesting_unbind(group->dev, IOMMU_NO_PASID, block);
	}
	return ret;
}

static long vfio_nesting_bind(struct vfio_nesting *nest, void __user *user)
{
	struct vfio_nesting_group *group, *only = NULL;
	struct vfio_iommu_type1_bind bind;
	u32 feature = IOMMU_NESTING_FEAT_BIND_PASID;
	LIST_HEAD(targets);
	int ret;

	ret = vfio_nesting_copy_arg(&bind, sizeof(bind), user);
	if (ret)
		return ret;

	ret = vfio_nesting_check_bind(&bind);
	if (ret)
		return ret;

	if (bind.flags & VFIO_BIND_FLAG_GROUP) {
		only = vfio_nesting_group_by_fd(nest, bind.group_fd);
		if (IS_ERR(only))
			return PTR_ERR(only);
	}

	/* A device's table sits where that of requests without PASID does. */
	if (bind.target == VFIO_BIND_TARGET_PASID_TABLE)
		feature = IOMMU_NESTING_FEAT_BIND_TABLE;

	guard(mutex)(&nest->lock);

	list_for_each_entry(group, &nest->groups, next) {
		if (only && group != only)
			continue;
		if (!(group->info.features & feature))
			return -EOPNOTSUPP;
		if (bind.pasid != IOMMU_NO_PASID &&
		    bind.pasid >= group->info.max_pasids)
			return -ERANGE;
		list_add_tail(&group->target, &targets);
	}
	if (list_empty(&targets))
		return -ENODEV;

	if (bind.op == VFIO_BIND_OP_BIND)
		return vfio_nesting_op_bind(nest, &targets, &bind);

	if (bind.pasid == IOMMU_NO_PASID)
		return vfio_nesting_op_rid(nest, &targets,
					   bind.op == VFIO_BIND_OP_BLOCK);

	ret = vfio_nesting_op_unbind(nest, &targets, bind.pasid);
	if (ret == -ENOENT && bind.op == VFIO_BIND_OP_BLOCK)
		ret = 0;
	return ret;
}

/*
 * Invalidation
 */

/*
 * Do the entries for one binding.  After an error @inv->entry_num is how many
 * were done.
 */
static int vfio_nesting_invalidate_one(struct vfio_nesting_group *group,
				       u32 pasid,
				       struct vfio_nesting_binding *binding,
				       struct vfio_iommu_type1_cache_invalidate *inv)
{
	struct iommu_user_data_array array = {
		.type = group->info.invalidate_type,
		.uptr = u64_to_user_ptr(inv->entry_uptr),
		.entry_len = inv->entry_len,
		.entry_num = inv->entry_num,
	};
	int ret;

	if (inv->format != group->info.format) {
		inv->entry_num = 0;
		return -EOPNOTSUPP;
	}
	if (inv->entry_len < group->info.invalidate_len) {
		inv->entry_num = 0;
		return -EINVAL;
	}

	/* Looks at signals and at what else wants to run. */
	ret = iommu_nested_invalidate(binding->domain, &array);
	if (ret)
		inv->entry_num = min(inv->entry_num, array.entry_num);
	atomic64_add(array.entry_num, &binding->invalidated);
	trace_vfio_nesting_invalidate(group->dev, pasid, array.entry_num, ret);
	return ret;
}

/*
 * As above, for all bindings meant.  @inv->entry_num becomes the number that
 * all of them have done: after an error the remaining bindings get as many as
 * the one that failed.
 */
static int vfio_nesting_invalidate(struct vfio_nesting *nest,
				   struct vfio_nesting_group *only,
				   struct vfio_iommu_type1_cache_invalidate *inv)
{
	struct vfio_nesting_binding *binding;
	struct vfio_nesting_group *group;
	bool found = false;
	int ret = 0, err;

	list_for_each_entry(group, &nest->groups, next) {
		unsigned long pasid;

		if (only && group != only)
			continue;

		/* The way of almost every call: no walk */
		if (inv->target == VFIO_INVALIDATE_TARGET_PASID) {
			binding = xa_load(&group->bindings, inv->pasid);
			if (!binding)
				continue;
			found = true;
			err = vfio_nesting_invalidate_one(group, inv->pasid,
							  binding, inv);
			if (err) {
				ret = ret ?: err;
				if (!inv->entry_num)
					return ret;
			}
			continue;
		}

		xa_for_each(&group->bindings, pasid, binding) {
			found = true;
			err = vfio_nesting_invalidate_one(group, pasid,
							  binding, inv);
			ret = ret ?: err;
			if (!inv->entry_num)
				return ret;
			if (fatal_signal_pending(current)) {
				inv->entry_num = 0;
				return -EINTR;
			}
			cond_resched();
		}
	}

	if (!found) {
		inv->entry_num = 0;
		return -ENOENT;
	}
	return ret;
}

static long vfio_nesting_cache_invalidate(struct vfio_nesting *nest,
					  void __user *user)
{
	struct vfio_iommu_type1_cache_invalidate __user *out = user;
	struct vfio_iommu_type1_cache_invalidate inv;
	struct vfio_nesting_group *only = NULL;
	int ret;

	ret = vfio_nesting_copy_arg(&inv, sizeof(inv), user);
	if (ret)
		return ret;

	ret = vfio_nesting_check_invalidate(&inv);
	if (ret)
		return ret;

	if (inv.flags & VFIO_INVALIDATE_FLAG_GROUP) {
		only = vfio_nesting_group_by_fd(nest, inv.group_fd);
		if (IS_ERR(only))
			return PTR_ERR(only);
	}

	/* After success it is what the user wrote there. */
	ret = vfio_nesting_invalidate(nest, only, &inv);
	if (ret && put_user(inv.entry_num, &out->entry_num))
		return -EFAULT;
	return ret;
}

/**
 * vfio_nesting_ioctl() - The ioctls that nesting adds to a container
 * @nest: of the container; NULL if it is of another type
 * @cmd: the ioctl's number
 * @arg: its argument, a user pointer
 *
 * Context: container->group_lock is held, for write if it is
 * VFIO_IOMMU_BIND; iommu->lock is not held.
 * Return: as the ioctl, -ENOTTY if it is none of ours.
 */
long vfio_nesting_ioctl(struct vfio_nesting *nest, unsigned int cmd,
			unsigned long arg)
{
	void __user *user = (void __user *)arg;

	if (!nest)
		return -ENOTTY;

	switch (cmd) {
	case VFIO_IOMMU_PASID_REQUEST:
		return vfio_nesting_pasid_request(nest, user);
	case VFIO_IOMMU_BIND:
		return vfio_nesting_bind(nest, user);
	case VFIO_IOMMU_CACHE_INVALIDATE:
		return vfio_nesting_cache_invalidate(nest, user);
	default:
		return -ENOTTY;
	}
}
EXPORT_SYMBOL_GPL(vfio_nesting_ioctl);

/*
 * Information
 */
static void vfio_nesting_add_format(struct vfio_iommu_type1_info_cap_nesting *cap,
				    const struct iommu_nesting_info *info)
{
	struct vfio_nesting_format *format;
	u32 features = 0;
	u32 i;

	if (info->features & IOMMU_NESTING_FEAT_BIND_PASID)
		features |= VFIO_NESTING_FEATURE_BIND_GUEST_PASID;
	if (info->features & IOMMU_NESTING_FEAT_BIND_TABLE)
		features |= VFIO_NESTING_FEATURE_BIND_PASID_TABLE;
	if (info->features & IOMMU_NESTING_FEAT_INVALIDATE)
		features |= VFIO_NESTING_FEATURE_CACHE_INVALIDATE;
	if (info->features & IOMMU_NESTING_FEAT_DMA_FAULT)
		features |= VFIO_NESTING_FEATURE_DMA_FAULT;
	if (info->features & IOMMU_NESTING_FEAT_PAGE_REQUEST)
		features |= VFIO_NESTING_FEATURE_PAGE_REQUEST;
	if (info->max_pasids)
		features |= VFIO_NESTING_FEATURE_PASID_ALLOC;

	for (i = 0; i < cap->nr_formats; i++) {
		if (cap->formats[i].format == info->format)
			break;
	}

	format = &cap->formats[i];
	if (i == cap->nr_formats) {
		format->format = info->format;
		format->features = features;
		cap->nr_formats++;
	} else {
		/* One device with PASIDs is enough to ask for one, and so on */
		format->features = (format->features & features) |
			((format->features | features) &
			 (VFIO_NESTING_FEATURE_PASID_ALLOC |
			  VFIO_NESTING_FEATURE_DMA_FAULT |
			  VFIO_NESTING_FEATURE_PAGE_REQUEST));
	}

	/* What can be invalidated has to be. */
	format->required = format->features &
			   VFIO_NESTING_FEATURE_CACHE_INVALIDATE;
}

/**
 * vfio_nesting_add_cap() - Add the nesting capability to GET_INFO
 * @nest: of the container; NULL if it is of another type
 * @caps: the capabilities so far
 *
 * Context: container->group_lock is held for read.
 * Return: 0, also if there is nothing to tell; -ENOMEM, and then @caps is
 * empty.
 */
int vfio_nesting_add_cap(struct vfio_nesting *nest, struct vfio_info_cap *caps)
{
	struct vfio_iommu_type1_info_cap_nesting *cap;
	struct vfio_nesting_group *group;
	size_t size;
	int ret;

	if (!nest)
		return 0;

	guard(mutex)(&nest->lock);

	if (list_empty(&nest->groups))
		return 0;

	/* At most one format for each group */
	size = struct_size(cap, formats, list_count_nodes(&nest->groups));
	cap = kzalloc(size, GFP_KERNEL);
	if (!cap) {
		kfree(caps->buf);
		caps->buf = NULL;
		caps->size = 0;
		return -ENOMEM;
	}

	cap->header.id = VFIO_IOMMU_TYPE1_INFO_CAP_NESTING;
	cap->header.version = 1;
	cap->pasid_quota = iommu_pasid_quota();
	cap->pasid_charged = iommu_pasid_charged();
	cap->pasid_used = iommu_pasid_set_count(nest->pasids);
	cap->max_bindings = READ_ONCE(max_bindings);
	cap->nr_bindings = nest->nr_bindings;

	list_for_each_entry(group, &nest->groups, next) {
		if (group->info.flags & IOMMU_NESTING_NO_RO_MAPS)
			cap->flags |= VFIO_NESTING_INFO_NO_RO_MAPS;
		if (!cap->msi_size) {
			cap->msi_start = group->msi_start;
			cap->msi_size = group->msi_size;
		}
		vfio_nesting_add_format(cap, &group->info);
	}

	size = struct_size(cap, formats, cap->nr_formats);
	ret = vfio_info_add_capability(caps, &cap->header, size);
	kfree(cap);
	return ret;
}
EXPORT_SYMBOL_GPL(vfio_nesting_add_cap);

/**
 * vfio_nesting_show() - Bindings and faults, for /proc/PID/fdinfo of the container
 * @nest: of the container; NULL if it is of another type
 * @m: where to print
 *
 * Context: container->group_lock is held for read.
 */
void vfio_nesting_show(struct vfio_nesting *nest, struct seq_file *m)
{
	struct vfio_nesting_binding *binding;
	struct iommu_fault_counts counts;
	struct vfio_nesting_group *group;
	unsigned long pasid;

	if (!nest)
		return;

	guard(mutex)(&nest->lock);

	seq_printf(m, "nesting-bindings:\t%u\n", nest->nr_bindings);
	seq_printf(m, "nesting-pasids:\t%u\n",
		   iommu_pasid_set_count(nest->pasids));
	list_for_each_entry(group, &nest->groups, next) {
		if (iommu_fault_get_counts(group->dev, &counts))
			seq_printf(m, "nesting-faults:\t%s faults %llu requests %llu waiting %u dropped %llu lost %llu muted %llu resets %llu\n",
				   dev_name(group->dev), counts.faults,
				   counts.requests, counts.waiting,
				   counts.dropped, counts.lost, counts.muted,
				   counts.resets);
		if (group->blocked)
			seq_printf(m, "nesting-blocked:\t%s\n",
				   dev_name(group->dev));
		xa_for_each(&group->bindings, pasid, binding)
			seq_printf(m, "nesting-bind:\t%s pasid 0x%lx format %u invalidated %llu\n",
				   dev_name(group->dev), pasid,
				   group->info.format,
				   atomic64_read(&binding->invalidated));
	}
}
EXPORT_SYMBOL_GPL(vfio_nesting_show);

/*
 * Groups
 */
static struct vfio_nesting_group *
vfio_nesting_find(struct vfio_nesting *nest, struct iommu_group *iommu_group)
{
	struct vfio_nesting_group *group;

	list_for_each_entry(group, &nest->groups, next) {
		if (group->iommu_group == iommu_group)
			return group;
	}
	return NULL;
}

static int vfio_nesting_msi_window(struct vfio_nesting_group *group)
{
	struct iommu_resv_region *region, *next;
	LIST_HEAD(regions);
	int ret;

	ret = iommu_get_group_resv_regions(group->iommu_group, &regions);
	list_for_each_entry_safe(region, next, &regions, list) {
		if (!group->msi_size && (region->type == IOMMU_RESV_MSI ||
					 region->type == IOMMU_RESV_SW_MSI)) {
			group->msi_start = region->start;
			group->msi_size = region->length;
		}
		list_del(&region->list);
		kfree(region);
	}
	return ret;
}

static void vfio_nesting_group_free(struct vfio_nesting_group *group)
{
	xa_destroy(&group->bindings);
	put_device(group->dev);
	kfree(group);
}

/**
 * vfio_nesting_group_add() - A group is about to be attached
 * @nest: of the container
 * @iommu_group: the group
 *
 * The group must be made known with vfio_nesting_group_ready() or taken back
 * with vfio_nesting_group_del().
 *
 * Context: container->group_lock is held for write, and iommu->lock.
 * Return: a nest parent that the caller may attach and has to free;
 * -EOPNOTSUPP if the IOMMU cannot nest or the group has several devices;
 * -ENODEV; -ENOMEM.
 */
struct iommu_domain *vfio_nesting_group_add(struct vfio_nesting *nest,
					    struct iommu_group *iommu_group)
{
	struct vfio_nesting_group *group;
	struct iommu_domain *parent;
	int ret;

	group = kzalloc(sizeof(*group), GFP_KERNEL_ACCOUNT);
	if (!group)
		return ERR_PTR(-ENOMEM);

	group->iommu_group = iommu_group;
	xa_init(&group->bindings);

	group->dev = iommu_nesting_group_dev(iommu_group);
	if (IS_ERR(group->dev)) {
		ret = PTR_ERR(group->dev);
		kfree(group);
		return ERR_PTR(ret);
	}

	ret = iommu_nesting_get_info(group->dev, &group->info);
	if (!ret)
		ret = vfio_nesting_msi_window(group);
	if (ret)
		goto err_free;

	parent = iommu_nest_parent_alloc(group->dev);
	if (IS_ERR(parent)) {
		ret = PTR_ERR(parent);
		goto err_free;
	}

	/* No guard(): the gotos above would jump into its scope. */
	mutex_lock(&nest->lock);
	list_add_tail(&group->next, &nest->groups);
	mutex_unlock(&nest->lock);
	return parent;

err_free:
	vfio_nesting_group_free(group);
	return ERR_PTR(ret);
}
EXPORT_SYMBOL_GPL(vfio_nesting_group_add);

/**
 * vfio_nesting_group_ready() - A group is attached
 * @nest: of the container; NULL if it is of another type
 * @iommu_group: the group; nothing is done if it is not known
 * @parent: the nest parent it is attached to, which the caller keeps until
 *	    vfio_nesting_group_del()
 *
 * Context: container->group_lock is held for write, and iommu->lock.
 */
void vfio_nesting_group_ready(struct vfio_nesting *nest,
			      struct iommu_group *iommu_group,
			      struct iommu_domain *parent)
{
	struct vfio_nesting_group *group;

	if (!nest)
		return;

	guard(mutex)(&nest->lock);

	group = vfio_nesting_find(nest, iommu_group);
	if (group)
		group->parent = parent;
}
EXPORT_SYMBOL_GPL(vfio_nesting_group_ready);

/**
 * vfio_nesting_group_del() - A group is about to be detached
 * @nest: of the container; NULL if it is of another type
 * @iommu_group: the group; nothing is done if it is not known
 *
 * All bindings of the group are gone after it, and its requests without
 * PASID are blocked if they were not on the parent.
 *
 * Context: container->group_lock is held for write, and iommu->lock.  The
 * group is still attached and its DMA is still the container's.
 */
void vfio_nesting_group_del(struct vfio_nesting *nest,
			    struct iommu_group *iommu_group)
{
	struct vfio_nesting_binding *binding;
	struct vfio_nesting_group *group;
	unsigned long pasid;

	if (!nest)
		return;

	guard(mutex)(&nest->lock);

	group = vfio_nesting_find(nest, iommu_group);
	if (!group)
		return;

	list_del(&group->next);

	xa_for_each_start(&group->bindings, pasid, binding,
			  IOMMU_NO_PASID + 1) {
		vfio_nesting_remove(nest, group, pasid, true);
		vfio_nesting_binding_free(binding);
		cond_resched();
	}

	if (xa_load(&group->bindings, IOMMU_NO_PASID))
		vfio_nesting_binding_free(vfio_nesting_remove(nest, group,
							      IOMMU_NO_PASID,
							      true));

	vfio_nesting_group_free(group);
}
EXPORT_SYMBOL_GPL(vfio_nesting_group_del);

/**
 * vfio_nesting_create() - A container of type VFIO_TYPE1_NESTING_IOMMU
 *
 * Return: what the other functions take, -ENOMEM.
 */
struct vfio_nesting *vfio_nesting_create(void)
{
	struct vfio_nesting *nest;

	nest = kzalloc(sizeof(*nest), GFP_KERNEL_ACCOUNT);
	if (!nest)
		return ERR_PTR(-ENOMEM);

	nest->pasids = iommu_pasid_set_alloc(IOMMU_PASID_SET_USER,
					     task_tgid_nr(current),
					     IOMMU_PASID_NO_QUOTA);
	if (IS_ERR(nest->pasids)) {
		void *err = nest->pasids;

		kfree(nest);
		return err;
	}

	mutex_init(&nest->lock);
	INIT_LIST_HEAD(&nest->groups);
	return nest;
}
EXPORT_SYMBOL_GPL(vfio_nesting_create);

/**
 * vfio_nesting_destroy() - The container is released
 * @nest: of the container; NULL if it is of another type
 *
 * Context: container->group_lock is held for write, iommu->lock is not held;
 * before the caller detaches what is left and frees its domains.
 */
void vfio_nesting_destroy(struct vfio_nesting *nest)
{
	struct vfio_nesting_group *group, *next;

	if (!nest)
		return;

	list_for_each_entry_safe(group, next, &nest->groups, next)
		vfio_nesting_group_del(nest, group->iommu_group);

	iommu_pasid_set_free(nest->pasids);
	mutex_destroy(&nest->lock);
	kfree(nest);
}
EXPORT_SYMBOL_GPL(vfio_nesting_destroy);

MODULE_DESCRIPTION("Nested translation in VFIO type1 containers");
MODULE_LICENSE("GPL");
