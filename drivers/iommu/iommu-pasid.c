// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PASIDs of the host: one space, with owners
 *
 * A PASID that is given out here is given to nobody else on this host: not to
 * SVA, not to a driver, not to user space.  (Tables are per device, so nothing
 * keeps anyone from using a number on a device of his own without asking.)
 *
 * Who holds what
 * --------------
 * A set is an owner.  It keeps what it allocated until it frees it or ends.
 * Who uses a PASID, in a table of some hardware, takes a reference with
 * iommu_pasid_get().  A PASID that is freed meanwhile is pending: its number
 * is not given out and no further reference is, until the last one is put.
 *
 * Process and cgroup that allocated are charged until then, whoever frees.
 * That may be after the process has ended: the account keeps the mm_struct,
 * not the address space.
 *
 * Structures
 * ----------
 * pasid_space has each PASID by its number, for lookup without a lock.  Each
 * set has a list of its own, so that freeing a wide range costs what the set
 * has and not how wide it is; a narrow one is freed by number.  Nothing has a
 * cost that grows with what others hold.  One PASID takes 56 bytes and its
 * slot of pasid_space.
 *
 * Locking
 * -------
 * pasid_allocator_sem		held for read while allocating
 *   pasid_space.xa_lock	(interrupts off) all that is here
 *
 * Readers use RCU: entries and sets are freed after a grace period, and that
 * is also why a reader may compare the address of a set.
 */

#define pr_fmt(fmt) "iommu-pasid: " fmt

#include <kunit/static_stub.h>
#include <linux/debugfs.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/iommu.h>
#include <linux/iommu-pasid.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/misc_cgroup.h>
#include <linux/moduleparam.h>
#include <linux/rbtree.h>
#include <linux/rculist.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#define CREATE_TRACE_POINTS
#include <trace/events/iommu_pasid.h>

#include "iommu-pasid-priv.h"

/*
 * There are 2^20 for all.  1000 for each process lets a guest have a thousand
 * processes with a device open, and a thousand such guests leave some for
 * others.  An owner in user space has no more either, through however many
 * processes it allocates.  Who needs a limit for several owners sets misc.max
 * of a cgroup.
 */
static unsigned int pasid_quota __read_mostly = 1000;
module_param_named(quota, pasid_quota, uint, 0644);
MODULE_PARM_DESC(quota,
		 "PASIDs that a process may be charged with, and a container may have (1000).");

/**
 * struct pasid_account - What one process is charged with
 * @node: in pasid_accounts, by @mm
 * @mm: the process; a reference of the structure (mmgrab()), so that no other
 *	process gets its address
 * @nr: PASIDs; the account ends with the last
 */
struct pasid_account {
	struct rb_node		node;
	struct mm_struct	*mm;
	u32			nr;
};

/**
 * struct iommu_pasid_set - An owner of PASIDs
 * @next: in pasid_sets
 * @pasids: struct iommu_pasid, the newest first
 * @type: kind of owner
 * @ended: the owner is gone; what is pending keeps the set
 * @token: what the owner is known by, for those who look on
 * @quota: how many it may have
 * @nr: how many it has, with those pending or about to be allocated
 * @nr_pending: how many are freed and still used
 * @rcu: to free it
 */
struct iommu_pasid_set {
	struct list_head		next;
	struct list_head		pasids;
	enum iommu_pasid_set_type	type;
	bool				ended;
	u64				token;
	u32				quota;
	u32				nr;
	u32				nr_pending;
	struct rcu_head			rcu;
};

/**
 * struct iommu_pasid - A PASID that was given out
 * @node: in the list of @set, until it is reclaimed
 * @rcu: to free it, after that
 * @late: in pasid_late, likewise
 * @set: the owner; has the PASID counted, so it is there as long
 * @account: the process that is charged, NULL if none is
 * @cg: the cgroup that is charged, with a reference; NULL if none is
 * @data: the owner's
 * @pasid: the number
 * @users: one for the owner, until it is @freed, and one for each get
 * @freed: the owner gave it back
 * @custom: it is from pasid_allocator, which stays as long
 */
struct iommu_pasid {
	union {
		struct list_head	node;
		struct rcu_head		rcu;
		struct llist_node	late;
	};
	struct iommu_pasid_set	*set;
	struct pasid_account	*account;
	struct misc_cg		*cg;
	void __rcu		*data;
	u32			pasid;
	u32			users : 30;
	u32			freed : 1;
	u32			custom : 1;
};

static struct iommu_pasid_set pasid_null_set = {
	.pasids = LIST_HEAD_INIT(pasid_null_set.pasids),
	.type = IOMMU_PASID_SET_NULL,
	.quota = IOMMU_PASID_NO_QUOTA,
};

static struct iommu_pasid_set pasid_kernel_set = {
	.pasids = LIST_HEAD_INIT(pasid_kernel_set.pasids),
	.type = IOMMU_PASID_SET_KERNEL,
	.quota = IOMMU_PASID_NO_QUOTA,
};

static DEFINE_XARRAY_FLAGS(pasid_space, XA_FLAGS_ALLOC | XA_FLAGS_LOCK_IRQ |
			   XA_FLAGS_ACCOUNT);
static struct rb_root pasid_accounts = RB_ROOT;
static LIST_HEAD(pasid_sets);
static struct kmem_cache *pasid_cache;

/* pasid_allocator_out: what the allocator gave and has not got back */
static DECLARE_RWSEM(pasid_allocator_sem);
static struct iommu_pasid_allocator *pasid_allocator;
static atomic_t pasid_allocator_out = ATOMIC_INIT(0);

static inline struct iommu_pasid_set *pasid_set(struct iommu_pasid_set *set)
{
	return set ?: &pasid_null_set;
}

/*
 * What can fail for want of memory
 */
VISIBLE_IF_KUNIT struct iommu_pasid *pasid_entry_alloc(void)
{
	KUNIT_STATIC_STUB_REDIRECT(pasid_entry_alloc);

	return kmem_cache_zalloc(pasid_cache, GFP_KERNEL);
}

VISIBLE_IF_KUNIT struct pasid_account *pasid_account_alloc(void)
{
	KUNIT_STATIC_STUB_REDIRECT(pasid_account_alloc);

	return kzalloc(sizeof(struct pasid_account), GFP_KERNEL_ACCOUNT);
}

VISIBLE_IF_KUNIT struct iommu_pasid_set *pasid_set_alloc(void)
{
	KUNIT_STATIC_STUB_REDIRECT(pasid_set_alloc);

	return kzalloc(sizeof(struct iommu_pasid_set), GFP_KERNEL_ACCOUNT);
}

/* Both may drop and take the lock again before they store. */
VISIBLE_IF_KUNIT int pasid_store_any(struct iommu_pasid *entry, u32 min,
				     u32 max, u32 *pasid)
{
	KUNIT_STATIC_STUB_REDIRECT(pasid_store_any, entry, min, max, pasid);

	return __xa_alloc(&pasid_space, pasid, entry, XA_LIMIT(min, max),
			  GFP_KERNEL);
}

VISIBLE_IF_KUNIT int pasid_store_at(struct iommu_pasid *entry, u32 pasid)
{
	KUNIT_STATIC_STUB_REDIRECT(pasid_store_at, entry, pasid);

	return __xa_insert(&pasid_space, pasid, entry, GFP_KERNEL);
}

static struct pasid_account *pasid_account_find(struct mm_struct *mm)
{
	struct rb_node *node = pasid_accounts.rb_node;

	while (node) {
		struct pasid_account *account =
			rb_entry(node, struct pasid_account, node);

		if (account->mm == mm)
			return account;
		node = account->mm < mm ? node->rb_right : node->rb_left;
	}
	return NULL;
}

static void pasid_account_link(struct pasid_account *account)
{
	struct rb_node **link = &pasid_accounts.rb_node, *parent = NULL;

	while (*link) {
		parent = *link;
		if (rb_entry(parent, struct pasid_account, node)->mm <
		    account->mm)
			link = &parent->rb_right;
		else
			link = &parent->rb_left;
	}
	rb_link_node(&account->node, parent, link);
	rb_insert_color(&account->node, &pasid_accounts);
}

/*
 * Charges
 */
static int pasid_charge_process(struct iommu_pasid *entry,
				struct mm_struct *mm)
{
	struct pasid_account *account, *new = NULL;
	int ret = 0;

	xa_lock_irq(&pasid_space);
	account = pasid_account_find(mm);
	if (!account) {
		xa_unlock_irq(&pasid_space);
		new = pasid_account_alloc();
		if (!new)
			return -ENOMEM;
		xa_lock_irq(&pasid_space);
		account = pasid_account_find(mm);
	}

	if ((account ? account->nr : 0) >= READ_ONCE(pasid_quota)) {
		ret = -EDQUOT;
	} else {
		if (!account) {
			account = new;
			new = NULL;
			mmgrab(mm);
			account->mm = mm;
			pasid_account_link(account);
		}
		account->nr++;
		entry->account = account;
	}
	xa_unlock_irq(&pasid_space);
	kfree(new);
	return ret;
}

static void pasid_uncharge_process(struct iommu_pasid *entry)
{
	struct pasid_account *account = entry->account;
	bool last;

	if (!account)
		return;

	xa_lock_irq(&pasid_space);
	last = !--account->nr;
	if (last)
		rb_erase(&account->node, &pasid_accounts);
	xa_unlock_irq(&pasid_space);

	/* May come back here, for the PASID of SVA */
	if (last) {
		mmdrop(account->mm);
		kfree(account);
	}
}

static int pasid_charge_cgroup(struct iommu_pasid *entry)
{
	struct misc_cg *cg = get_current_misc_cg();
	int ret = misc_cg_try_charge(MISC_CG_RES_PASID, cg, 1);

	if (ret) {
		put_misc_cg(cg);
		/* No capacity: no IOMMU here knows PASIDs. */
		return ret == -EINVAL ? -EOPNOTSUPP : ret;
	}
	entry->cg = cg;
	return 0;
}

static void pasid_uncharge_cgroup(struct iommu_pasid *entry)
{
	if (!entry->cg)
		return;
	misc_cg_uncharge(MISC_CG_RES_PASID, entry->cg, 1);
	put_misc_cg(entry->cg);
}

/* A file can be handed on: who allocates from it may be anyone, and be gone */
static u32 pasid_set_quota(const struct iommu_pasid_set *set)
{
	return set->type == IOMMU_PASID_SET_USER ?
	       min(set->quota, READ_ONCE(pasid_quota)) : set->quota;
}

static int pasid_charge_set(struct iommu_pasid *entry,
			    struct iommu_pasid_set *set)
{
	int ret = -EDQUOT;

	xa_lock_irq(&pasid_space);
	if (set->nr < pasid_set_quota(set)) {
		set->nr++;
		entry->set = set;
		ret = 0;
	}
	xa_unlock_irq(&pasid_space);
	return ret;
}

static void pasid_uncharge_set(struct iommu_pasid *entry)
{
	struct iommu_pasid_set *set = entry->set;
	unsigned long flags;
	bool last;

	xa_lock_irqsave(&pasid_space, flags);
	last = !--set->nr && set->ended;
	if (last)
		list_del_rcu(&set->next);
	xa_unlock_irqrestore(&pasid_space, flags);

	if (last)
		kfree_rcu(set, rcu);
}

static int pasid_charge(struct iommu_pasid *entry, struct iommu_pasid_set *set)
{
	int ret;

	ret = pasid_charge_set(entry, set);
	if (ret || set->type != IOMMU_PASID_SET_USER)
		return ret;

	/* A kernel thread has no process to charge. */
	if (current->mm) {
		ret = pasid_charge_process(entry, current->mm);
		if (ret)
			goto err_set;
	}

	ret = pasid_charge_cgroup(entry);
	if (ret)
		goto err_process;
	return 0;

err_process:
	pasid_uncharge_process(entry);
err_set:
	pasid_uncharge_set(entry);
	return ret;
}

static void pasid_uncharge(struct iommu_pasid *entry)
{
	pasid_uncharge_cgroup(entry);
	pasid_uncharge_process(entry);
	pasid_uncharge_set(entry);
}

/*
 * Give out
 */
static int pasid_give(struct iommu_pasid *entry, u32 min, u32 max)
{
	u32 pasid;
	int ret;

	xa_lock_irq(&pasid_space);
	ret = pasid_store_any(entry, min, max, &pasid);
	if (!ret) {
		entry->pasid = pasid;
		list_add(&entry->node, &entry->set->pasids);
	}
	xa_unlock_irq(&pasid_space);

	if (ret)
		return ret == -EBUSY ? -ENOSPC : ret;
	return pasid;
}

static int pasid_give_custom(struct iommu_pasid *entry, u32 min, u32 max)
{
	int pasid, ret;

	pasid = pasid_allocator->alloc(pasid_allocator, min, max);
	if (pasid < 0)
		return pasid;

	atomic_inc(&pasid_allocator_out);
	ret = -ENOSPC;
	if (pasid < min || pasid > max)
		goto err_free;

	xa_lock_irq(&pasid_space);
	ret = pasid_store_at(entry, pasid);
	if (!ret) {
		entry->pasid = pasid;
		entry->custom = true;
		list_add(&entry->node, &entry->set->pasids);
	}
	xa_unlock_irq(&pasid_space);

	if (ret == -EBUSY) {
		/* It is somebody's: not ours to give back. */
		pr_err_ratelimited("PASID %d was given out twice\n", pasid);
		atomic_dec(&pasid_allocator_out);
		return -EIO;
	}
	if (ret)
		goto err_free;
	return pasid;

err_free:
	pasid_allocator->free(pasid_allocator, pasid);
	atomic_dec(&pasid_allocator_out);
	return ret;
}

/**
 * iommu_pasid_alloc() - Take a PASID that nobody on this host has
 * @set: the owner, NULL for the null set
 * @min: the lowest that will do, at least IOMMU_FIRST_GLOBAL_PASID
 * @max: the highest that will do, at most IOMMU_PASID_LAST
 * @data: the owner's, for iommu_pasid_find(); may be NULL and come later
 *
 * For a set of type IOMMU_PASID_SET_USER, the process that calls and its misc
 * cgroup are charged until the PASID is reclaimed.
 *
 * Context: may sleep.
 * Return: a PASID, to be given back with iommu_pasid_free() or with the set;
 * * -EINVAL: the range is empty or beyond 20 bits
 * * -EDQUOT: the set or the process has as many as it may
 * * -EBUSY: the limit of the cgroup, or of one above it, is reached
 * * -EOPNOTSUPP: no IOMMU of this host has PASIDs (charged sets only)
 * * -ENOSPC: none is left in the range
 * * -ENOMEM
 * * -EIO: a registered allocator gave one that is given out already
 * * another error of a registered allocator
 */
int iommu_pasid_alloc(struct iommu_pasid_set *set, u32 min, u32 max, void *data)
{
	struct iommu_pasid *entry;
	int ret;

	if (min < IOMMU_FIRST_GLOBAL_PASID || min > max ||
	    max > IOMMU_PASID_LAST)
		return -EINVAL;

	set = pasid_set(set);
	entry = pasid_entry_alloc();
	if (!entry)
		return -ENOMEM;

	ret = pasid_charge(entry, set);
	if (ret)
		goto err_entry;

	entry->users = 1;
	RCU_INIT_POINTER(entry->data, data);

	down_read(&pasid_allocator_sem);
	if (pasid_allocator)
		ret = pasid_give_custom(entry, min, max);
	else
		ret = pasid_give(entry, min, max);
	up_read(&pasid_allocator_sem);
	if (ret < 0)
		goto err_charge;

	trace_iommu_pasid_alloc(set->type, set->token, min, max, ret);
	return ret;

err_charge:
	pasid_uncharge(entry);
err_entry:
	kmem_cache_free(pasid_cache, entry);
	trace_iommu_pasid_alloc(set->type, set->token, min, max, ret);
	return ret;
}
EXPORT_SYMBOL_GPL(iommu_pasid_alloc);

/*
 * Take back
 */

/* After this nobody finds it. */
static void pasid_unlink(struct iommu_pasid *entry)
{
	__xa_erase(&pasid_space, entry->pasid);
	list_del(&entry->node);
}

/* What is left to do with one that was unlinked, without the lock */
static void pasid_reclaim(struct iommu_pasid *entry)
{
	if (entry->custom) {
		pasid_allocator->free(pasid_allocator, entry->pasid);
		atomic_dec(&pasid_allocator_out);
	}
	pasid_uncharge(entry);
	kfree_rcu(entry, rcu);
}

/*
 * The owner gives it back.  True if it was the last user and has to be
 * reclaimed by the caller.
 */
static bool pasid_free_locked(struct iommu_pasid *entry)
{
	struct iommu_pasid_set *set = entry->set;

	if (entry->freed)
		return false;

	entry->freed = true;
	entry->users--;
	trace_iommu_pasid_free(set->type, set->token, entry->pasid,
			       entry->users);
	if (entry->users) {
		set->nr_pending++;
		return false;
	}
	pasid_unlink(entry);
	return true;
}

static struct iommu_pasid *pasid_lookup(struct iommu_pasid_set *set, u32 pasid)
{
	struct iommu_pasid *entry = xa_load(&pasid_space, pasid);

	return entry && entry->set == set ? entry : NULL;
}

/**
 * iommu_pasid_free() - Give a PASID back
 * @set: the owner, NULL for the null set
 * @pasid: the PASID
 *
 * This always succeeds.  If the PASID is used (iommu_pasid_get()) it is
 * pending until its last user is gone.  Nothing happens if it is pending
 * already or is not of this set.
 *
 * Context: may sleep.
 */
void iommu_pasid_free(struct iommu_pasid_set *set, u32 pasid)
{
	struct iommu_pasid *entry;

	set = pasid_set(set);
	xa_lock_irq(&pasid_space);
	entry = pasid_lookup(set, pasid);
	if (entry && !pasid_free_locked(entry))
		entry = NULL;
	xa_unlock_irq(&pasid_space);

	if (entry)
		pasid_reclaim(entry);
}
EXPORT_SYMBOL_GPL(iommu_pasid_free);

/*
 * Walks, in which others come and go while the lock is not held.  A walk keeps
 * its place with a mark in the list, which is freed already for all others.
 */
#define PASID_MARK	{ .freed = true }

static void pasid_walk_start(struct iommu_pasid_set *set,
			     struct iommu_pasid *mark)
{
	list_add(&mark->node, &set->pasids);
}

/* The next one that is not freed; NULL at the end */
static struct iommu_pasid *pasid_walk(struct iommu_pasid_set *set,
				      struct iommu_pasid *mark)
{
	struct iommu_pasid *entry = mark;

	list_for_each_entry_continue(entry, &set->pasids, node) {
		if (!entry->freed) {
			list_move(&mark->node, &entry->node);
			return entry;
		}
	}
	return NULL;
}

static void pasid_walk_end(struct iommu_pasid *mark)
{
	list_del(&mark->node);
}

/**
 * iommu_pasid_free_range() - Give back all PASIDs of a set in a range
 * @set: the owner, NULL for the null set
 * @min: first PASID of the range
 * @max: last PASID of the range
 *
 * As iommu_pasid_free() of each that the set has.  Costs as much as the range
 * has numbers or the set has PASIDs, whichever is less.
 *
 * Context: may sleep.
 */
void iommu_pasid_free_range(struct iommu_pasid_set *set, u32 min, u32 max)
{
	struct iommu_pasid mark = PASID_MARK, *entry;
	bool reclaim;

	if (max > IOMMU_PASID_LAST)
		max = IOMMU_PASID_LAST;
	if (min > max)
		return;

	if (max - min < iommu_pasid_set_count(set)) {
		for (; min <= max; min++) {
			iommu_pasid_free(set, min);
			cond_resched();
		}
		return;
	}

	set = pasid_set(set);
	xa_lock_irq(&pasid_space);
	pasid_walk_start(set, &mark);
	while ((entry = pasid_walk(set, &mark))) {
		reclaim = entry->pasid >= min && entry->pasid <= max &&
			  pasid_free_locked(entry);
		xa_unlock_irq(&pasid_space);

		if (reclaim)
			pasid_reclaim(entry);
		cond_resched();
		xa_lock_irq(&pasid_space);
	}
	pasid_walk_end(&mark);
	xa_unlock_irq(&pasid_space);
}
EXPORT_SYMBOL_GPL(iommu_pasid_free_range);

/*
 * Users
 */

/**
 * iommu_pasid_get() - Use a PASID
 * @set: who must be its owner, NULL for the null set
 * @pasid: the PASID
 *
 * Its number is not given to another before iommu_pasid_put().
 *
 * Context: any but NMI.
 * Return: what iommu_pasid_put() takes; -ENOENT if @set has no such PASID;
 * -EBUSY if it is pending.
 */
struct iommu_pasid *iommu_pasid_get(struct iommu_pasid_set *set, u32 pasid)
{
	struct iommu_pasid *entry;
	unsigned long flags;

	set = pasid_set(set);
	xa_lock_irqsave(&pasid_space, flags);
	entry = pasid_lookup(set, pasid);
	if (!entry)
		entry = ERR_PTR(-ENOENT);
	else if (entry->freed)
		entry = ERR_PTR(-EBUSY);
	else
		entry->users++;
	xa_unlock_irqrestore(&pasid_space, flags);
	return entry;
}
EXPORT_SYMBOL_GPL(iommu_pasid_get);

/**
 * iommu_pasid_put() - The use of a PASID is over
 * @entry: from iommu_pasid_get(); NULL is allowed
 *
 * No hardware knows it any more: the last put of a PASID that was freed
 * reclaims it.
 *
 * Context: may sleep.
 */
void iommu_pasid_put(struct iommu_pasid *entry)
{
	struct iommu_pasid_set *set;
	bool last;

	if (!entry)
		return;

	set = entry->set;
	xa_lock_irq(&pasid_space);
	last = !--entry->users;
	if (last) {
		set->nr_pending--;
		trace_iommu_pasid_reclaim(set->type, set->token, entry->pasid,
					  entry->users);
		pasid_unlink(entry);
	}
	xa_unlock_irq(&pasid_space);

	if (last)
		pasid_reclaim(entry);
}
EXPORT_SYMBOL_GPL(iommu_pasid_put);

/**
 * iommu_pasid_attach_data() - Set or replace what the owner keeps with a PASID
 * @set: the owner, NULL for the null set
 * @pasid: the PASID
 * @data: for iommu_pasid_find(); NULL takes it away
 *
 * Readers may use what was there before until an RCU grace period is over; it
 * is the caller's to free after that.
 *
 * Context: any but NMI.
 * Return: 0; -ENOENT if @set has no such PASID.
 */
int iommu_pasid_attach_data(struct iommu_pasid_set *set, u32 pasid, void *data)
{
	struct iommu_pasid *entry;
	unsigned long flags;

	set = pasid_set(set);
	xa_lock_irqsave(&pasid_space, flags);
	entry = pasid_lookup(set, pasid);
	if (entry)
		rcu_assign_pointer(entry->data, data);
	xa_unlock_irqrestore(&pasid_space, flags);
	return entry ? 0 : -ENOENT;
}
EXPORT_SYMBOL_GPL(iommu_pasid_attach_data);

/**
 * iommu_pasid_find() - What the owner keeps with a PASID
 * @set: who must be its owner, NULL for the null set: others keep something
 *	 else there
 * @pasid: the PASID
 *
 * Also finds what is pending: its users may still need it.
 *
 * Context: any; rcu_read_lock() is held, and protects what is returned.
 * Return: the data, NULL if there is none (yet); -ENOENT if @set has no such
 * PASID.
 */
void *iommu_pasid_find(struct iommu_pasid_set *set, u32 pasid)
{
	struct iommu_pasid *entry;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "needs rcu_read_lock()");

	entry = pasid_lookup(pasid_set(set), pasid);
	if (!entry)
		return ERR_PTR(-ENOENT);
	return rcu_dereference(entry->data);
}
EXPORT_SYMBOL_GPL(iommu_pasid_find);

/**
 * iommu_pasid_for_each() - Call a function for each PASID of a set
 * @set: the owner, NULL for the null set
 * @fn: the function; anything but 0 ends the walk
 * @arg: handed to it
 *
 * In no order; without those that are pending.  @fn may sleep and may allocate
 * and free PASIDs of @set, the one it is called for too.  It is not called for
 * what is allocated after the start.
 *
 * Context: may sleep.
 * Return: what @fn returned last, 0 if it was never called.
 */
int iommu_pasid_for_each(struct iommu_pasid_set *set,
			 int (*fn)(u32 pasid, void *data, void *arg), void *arg)
{
	struct iommu_pasid mark = PASID_MARK, *entry;
	void *data;
	int ret = 0;

	set = pasid_set(set);
	xa_lock_irq(&pasid_space);
	pasid_walk_start(set, &mark);
	while (!ret && (entry = pasid_walk(set, &mark))) {
		entry->users++;
		data = rcu_dereference_protected(entry->data, true);
		xa_unlock_irq(&pasid_space);

		ret = fn(entry->pasid, data, arg);
		iommu_pasid_put(entry);
		cond_resched();
		xa_lock_irq(&pasid_space);
	}
	pasid_walk_end(&mark);
	xa_unlock_irq(&pasid_space);
	return ret;
}
EXPORT_SYMBOL_GPL(iommu_pasid_for_each);

/*
 * Sets
 */

/**
 * iommu_pasid_set_alloc() - A new owner
 * @type: IOMMU_PASID_SET_KERNEL or IOMMU_PASID_SET_USER
 * @token: what to call it in debugfs and traces, such as a process id
 * @quota: how many PASIDs it may have, or IOMMU_PASID_NO_QUOTA; one in user
 *	   space has no more than iommu_pasid_quota()
 *
 * Context: may sleep.
 * Return: the set, ended with iommu_pasid_set_free(); -EINVAL; -ENOMEM.
 */
struct iommu_pasid_set *iommu_pasid_set_alloc(enum iommu_pasid_set_type type,
					      u64 token, u32 quota)
{
	struct iommu_pasid_set *set;

	if (type != IOMMU_PASID_SET_KERNEL && type != IOMMU_PASID_SET_USER)
		return ERR_PTR(-EINVAL);

	set = pasid_set_alloc();
	if (!set)
		return ERR_PTR(-ENOMEM);

	INIT_LIST_HEAD(&set->pasids);
	set->type = type;
	set->token = token;
	set->quota = quota;
	xa_lock_irq(&pasid_space);
	list_add_tail_rcu(&set->next, &pasid_sets);
	xa_unlock_irq(&pasid_space);
	return set;
}
EXPORT_SYMBOL_GPL(iommu_pasid_set_alloc);

/**
 * iommu_pasid_set_free() - An owner ends
 * @set: the set; the caller does not use it any more
 *
 * Frees all its PASIDs.  What is pending stays until it is put.
 *
 * Context: may sleep.
 */
void iommu_pasid_set_free(struct iommu_pasid_set *set)
{
	bool last;

	iommu_pasid_free_range(set, 0, IOMMU_PASID_LAST);

	xa_lock_irq(&pasid_space);
	set->ended = true;
	last = !set->nr;
	if (last)
		list_del_rcu(&set->next);
	xa_unlock_irq(&pasid_space);

	if (last)
		kfree_rcu(set, rcu);
}
EXPORT_SYMBOL_GPL(iommu_pasid_set_free);

/**
 * iommu_pasid_set_count() - How many PASIDs a set has
 * @set: the owner, NULL for the null set
 *
 * Context: any.
 * Return: the number, with those that are pending.
 */
u32 iommu_pasid_set_count(struct iommu_pasid_set *set)
{
	return READ_ONCE(pasid_set(set)->nr);
}
EXPORT_SYMBOL_GPL(iommu_pasid_set_count);

/**
 * iommu_pasid_quota() - What a process may be charged with, or an owner have
 *
 * Context: any.
 * Return: a number of PASIDs.
 */
u32 iommu_pasid_quota(void)
{
	return READ_ONCE(pasid_quota);
}
EXPORT_SYMBOL_GPL(iommu_pasid_quota);

/**
 * iommu_pasid_charged() - What the process that calls is charged with
 *
 * Context: process context.
 * Return: a number of PASIDs, 0 for a kernel thread.
 */
u32 iommu_pasid_charged(void)
{
	struct pasid_account *account;
	u32 nr = 0;

	if (!current->mm)
		return 0;

	xa_lock_irq(&pasid_space);
	account = pasid_account_find(current->mm);
	if (account)
		nr = account->nr;
	xa_unlock_irq(&pasid_space);
	return nr;
}
EXPORT_SYMBOL_GPL(iommu_pasid_charged);

/*
 * The kernel's own
 */

/**
 * iommu_pasid_alloc_kernel() - A PASID for the kernel: SVA, a driver
 * @max: the highest that will do
 *
 * Context: may sleep.
 * Return: as iommu_pasid_alloc().
 */
int iommu_pasid_alloc_kernel(u32 max)
{
	return iommu_pasid_alloc(&pasid_kernel_set, IOMMU_FIRST_GLOBAL_PASID,
				 min(max, IOMMU_PASID_LAST), NULL);
}

static LLIST_HEAD(pasid_late);

static void pasid_reclaim_late(struct work_struct *work)
{
	struct iommu_pasid *entry, *next;

	llist_for_each_entry_safe(entry, next, llist_del_all(&pasid_late), late)
		pasid_reclaim(entry);
}

static DECLARE_WORK(pasid_late_work, pasid_reclaim_late);

/**
 * iommu_pasid_free_kernel() - Give back what iommu_pasid_alloc_kernel() gave
 * @pasid: the PASID
 *
 * Context: any but NMI: the last mmdrop() of a process may be anywhere.
 */
void iommu_pasid_free_kernel(u32 pasid)
{
	struct iommu_pasid *entry;
	unsigned long flags;

	xa_lock_irqsave(&pasid_space, flags);
	entry = pasid_lookup(&pasid_kernel_set, pasid);
	if (entry && !pasid_free_locked(entry))
		entry = NULL;
	xa_unlock_irqrestore(&pasid_space, flags);

	if (!entry)
		return;

	/* Only the allocator sleeps, nobody is charged. */
	if (!entry->custom)
		pasid_reclaim(entry);
	else if (llist_add(&entry->late, &pasid_late))
		schedule_work(&pasid_late_work);
}

/**
 * iommu_pasid_add_iommu() - An IOMMU registers
 * @iommu: the IOMMU; its max_pasids is known
 *
 * The largest number of PASIDs that an IOMMU of this host has is the capacity
 * of the resource "pasid" of the misc cgroup.
 *
 * Context: process context.
 */
void iommu_pasid_add_iommu(const struct iommu_device *iommu)
{
	static u32 capacity;

	/* Not IOMMU_NO_PASID */
	if (iommu->max_pasids < 2)
		return;

	xa_lock_irq(&pasid_space);
	capacity = max(capacity, min(iommu->max_pasids - 1, IOMMU_PASID_LAST));
	misc_cg_set_capacity(MISC_CG_RES_PASID, capacity);
	xa_unlock_irq(&pasid_space);
}

/*
 * Custom allocators
 */

/**
 * iommu_pasid_register_allocator() - PASIDs come from elsewhere
 * @allocator: where from; it stays until it is unregistered
 *
 * For a kernel that is itself a guest and has to ask its host.  From now on
 * every PASID is from @allocator.  Lookup, owners, quotas stay here.
 *
 * Context: may sleep.
 * Return: 0; -EBUSY if there is one already, or if PASIDs are out that it
 * does not know.
 */
int iommu_pasid_register_allocator(struct iommu_pasid_allocator *allocator)
{
	guard(rwsem_write)(&pasid_allocator_sem);

	if (pasid_allocator || !xa_empty(&pasid_space))
		return -EBUSY;
	pasid_allocator = allocator;
	return 0;
}
EXPORT_SYMBOL_GPL(iommu_pasid_register_allocator);

/**
 * iommu_pasid_unregister_allocator() - PASIDs come from here again
 * @allocator: what was registered
 *
 * Context: may sleep.
 * Return: 0, and @allocator is not called any more; -ENOENT if it is not the
 * one; -EBUSY while PASIDs of it are out: it has to stay.
 */
int iommu_pasid_unregister_allocator(struct iommu_pasid_allocator *allocator)
{
	guard(rwsem_write)(&pasid_allocator_sem);

	if (pasid_allocator != allocator)
		return -ENOENT;
	if (atomic_read(&pasid_allocator_out))
		return -EBUSY;
	pasid_allocator = NULL;
	return 0;
}
EXPORT_SYMBOL_GPL(iommu_pasid_unregister_allocator);

/*
 * debugfs: iommu/pasids
 */
#ifdef CONFIG_IOMMU_DEBUGFS
static void *pasids_start(struct seq_file *m, loff_t *pos)
	__acquires(RCU)
{
	rcu_read_lock();
	return seq_list_start_head_rcu(&pasid_sets, *pos);
}

static void *pasids_next(struct seq_file *m, void *v, loff_t *pos)
{
	return seq_list_next_rcu(v, &pasid_sets, pos);
}

static void pasids_stop(struct seq_file *m, void *v)
	__releases(RCU)
{
	rcu_read_unlock();
}

static int pasids_show(struct seq_file *m, void *v)
{
	static const char * const types[] = {
		[IOMMU_PASID_SET_NULL]		= "null",
		[IOMMU_PASID_SET_KERNEL]	= "kernel",
		[IOMMU_PASID_SET_USER]		= "user",
	};
	struct iommu_pasid_set *set;
	u32 quota;

	if (v == &pasid_sets) {
		seq_printf(m, "%-8s %20s %8s %10s %8s\n", "owner", "token",
			   "count", "quota", "pending");
		return 0;
	}
	set = list_entry_rcu(v, struct iommu_pasid_set, next);
	seq_printf(m, "%-8s %20llu %8u ", types[set->type], set->token,
		   READ_ONCE(set->nr));
	quota = pasid_set_quota(set);
	if (quota == IOMMU_PASID_NO_QUOTA)
		seq_printf(m, "%10s", "-");
	else
		seq_printf(m, "%10u", quota);
	seq_printf(m, " %8u\n", READ_ONCE(set->nr_pending));
	return 0;
}

static const struct seq_operations pasids_sops = {
	.start	= pasids_start,
	.next	= pasids_next,
	.stop	= pasids_stop,
	.show	= pasids_show,
};

DEFINE_SEQ_ATTRIBUTE(pasids);

static int __init pasid_debugfs_init(void)
{
	debugfs_create_file("pasids", 0444, iommu_debugfs_dir, NULL,
			    &pasids_fops);
	return 0;
}
late_initcall(pasid_debugfs_init);
#endif

static int __init pasid_init(void)
{
	pasid_cache = KMEM_CACHE(iommu_pasid, SLAB_ACCOUNT | SLAB_PANIC);
	list_add_tail_rcu(&pasid_null_set.next, &pasid_sets);
	list_add_tail_rcu(&pasid_kernel_set.next, &pasid_sets);
	return 0;
}
core_initcall(pasid_init);
