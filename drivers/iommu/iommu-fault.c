// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults of a device's DMA on their way to whoever owns the device
 *
 * A device has at most one consumer, from iommu_fault_consumer_add() to
 * iommu_fault_consumer_del().  Unrecoverable faults come by
 * iommu_report_dma_fault(), page requests by io-pgfault.c and the attach
 * handle of the nested domain, for a PASID, for none, and on IOMMUs where the
 * user owns the table of PASIDs, by that of requests without PASID for all.
 *
 * A page request is held here, in a slot that its cookie names, until it is
 * answered: by the consumer, or INVALID when its domain is detached, the
 * device is reset or the consumer goes.  Page requests are on in the device
 * while there are a consumer that takes them and an attach handle; only
 * fault_switch() changes that.
 *
 * Locking
 * -------
 * dev_iommu.fault_lock		switching; attach and detach, consumers, resets
 *   consumer->respond_lock	whoever took a group from its slot answers it
 *     fault_param->lock	of io-pgfault.c
 *   what the driver reports under (VT-d: iommu->iopf_lock)
 *     consumer->lock		slots, and all calls of the consumer
 *
 * A handler takes consumer->lock and nothing else, never sleeps on what a
 * detach or a response holds, and copies nothing from or to user space.  A
 * detach waits for the handlers, so it must not hold consumer->lock or
 * respond_lock then.
 *
 * Order of a detach: the hardware stops, the attach handle is erased, the
 * driver is drained, what is held is answered, then the domain may be freed.
 */

#include <linux/iommu.h>
#include <linux/iommu-fault.h>
#include <linux/iommu-nesting.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "iommu-fault.h"
#include "iommu-priv.h"

#define CREATE_TRACE_POINTS
#include <trace/events/iommu_fault.h>

/*
 * PCIe 6.0, 10.4.1: nine bits tell the groups of a function apart.  With more
 * outstanding, the device does not keep the rules, and is refused.
 */
#define FAULT_SLOT_BITS		9
#define FAULT_SLOTS		BIT(FAULT_SLOT_BITS)

/**
 * struct fault_slot - A group of page requests that waits for its answer
 * @cookie: its name, never used again; 0: the slot is free
 * @group: the group, ours
 */
struct fault_slot {
	u64			cookie;
	struct iopf_group	*group;
};

/**
 * struct iommu_fault_consumer - Who takes the faults of a device
 * @dev: the device
 * @ops: what to call
 * @priv: for @ops
 * @page_requests: @ops->page_request is wanted; changes under fault_lock
 * @respond_lock: held from taking a group out of its slot until it is freed
 * @lock: the members below, and serialises the calls of @ops
 * @closed: no calls any more
 * @serial: the upper bits of the next cookie
 * @nr_free: slots that are free
 * @free: which these are
 * @slots: FAULT_SLOTS of them, NULL until page requests are wanted
 */
struct iommu_fault_consumer {
	struct device				*dev;
	const struct iommu_fault_consumer_ops	*ops;
	void					*priv;
	bool					page_requests;
	struct mutex				respond_lock;	/* answers */
	spinlock_t				lock;		/* all below */
	bool					closed;
	u64					serial;
	unsigned int				nr_free;
	u16					free[FAULT_SLOTS];
	struct fault_slot			*slots;
};

/*
 * Slots
 */
static u64 fault_hold(struct iommu_fault_consumer *consumer,
		      struct iopf_group *group)
{
	unsigned int i;

	lockdep_assert_held(&consumer->lock);

	if (!consumer->slots || !consumer->nr_free)
		return 0;

	i = consumer->free[--consumer->nr_free];
	consumer->slots[i].group = group;
	consumer->slots[i].cookie = ++consumer->serial << FAULT_SLOT_BITS | i;
	return consumer->slots[i].cookie;
}

static struct iopf_group *fault_take(struct iommu_fault_consumer *consumer,
				     unsigned int i)
{
	lockdep_assert_held(&consumer->lock);

	consumer->slots[i].cookie = 0;
	consumer->free[consumer->nr_free++] = i;
	return consumer->slots[i].group;
}

static void fault_answer(struct iopf_group *group,
			 enum iommu_page_response_code code)
{
	trace_iommu_page_response(group->fault_param->dev, group, code);
	iopf_group_response(group, code);
	iopf_free_group(group);
}

static u32 fault_group_pasid(const struct iopf_group *group)
{
	const struct iommu_fault_page_request *prm =
		&group->last_fault.fault.prm;

	return prm->flags & IOMMU_FAULT_PAGE_REQUEST_PASID_VALID ?
		prm->pasid : IOMMU_NO_PASID;
}

/* Answer what is held of @pasid, or of all with IOMMU_PASID_INVALID. */
static void fault_answer_held(struct iommu_fault_consumer *consumer,
			      ioasid_t pasid)
{
	unsigned int i;

	guard(mutex)(&consumer->respond_lock);

	for (i = 0; consumer->slots && i < FAULT_SLOTS; i++) {
		struct iopf_group *group = NULL;

		spin_lock(&consumer->lock);
		if (consumer->slots[i].cookie &&
		    (pasid == IOMMU_PASID_INVALID ||
		     pasid == fault_group_pasid(consumer->slots[i].group)))
			group = fault_take(consumer, i);
		spin_unlock(&consumer->lock);

		if (group)
			fault_answer(group, IOMMU_PAGE_RESP_INVALID);
	}
}

/*
 * What drivers report
 */

/**
 * iommu_report_dma_fault() - A device made an access that was refused for good
 * @dev: the device
 * @fault: what is known of it
 *
 * Context: may sleep on PREEMPT_RT; not in hard interrupts.  The caller keeps
 * @dev from being released.
 * Return: 0 if a consumer was told, also if it had no room; -ENODEV if there
 * is none.
 */
int iommu_report_dma_fault(struct device *dev,
			   const struct iommu_dma_fault *fault)
{
	struct iommu_fault_consumer *consumer;
	int ret = -ENODEV;

	guard(rcu)();

	consumer = rcu_dereference(dev->iommu->fault_consumer);
	if (!consumer)
		return ret;

	spin_lock(&consumer->lock);
	if (!consumer->closed) {
		if (consumer->ops->dma_fault(consumer->priv, fault))
			trace_iommu_fault(dev, fault);
		else
			trace_iommu_fault_drop(dev, fault);
		ret = 0;
	}
	spin_unlock(&consumer->lock);
	return ret;
}

/**
 * iommu_report_fault_loss() - The IOMMU lost faults
 * @dev: a device that may be concerned
 *
 * Context: as iommu_report_dma_fault().
 */
void iommu_report_fault_loss(struct device *dev)
{
	struct iommu_fault_consumer *consumer;

	guard(rcu)();

	consumer = rcu_dereference(dev->iommu->fault_consumer);
	if (!consumer)
		return;

	spin_lock(&consumer->lock);
	if (!consumer->closed)
		consumer->ops->lost(consumer->priv);
	spin_unlock(&consumer->lock);
}

/* Hand @group over.  False: the caller answers. */
static bool fault_page_request(struct iommu_fault_consumer *consumer,
			       struct iopf_group *group)
{
	struct device *dev = group->fault_param->dev;
	u64 cookie = 0;

	/*
	 * The lock is held until the consumer has seen all of @group: once it
	 * is dropped, an answer may free it.
	 */
	spin_lock(&consumer->lock);
	if (!consumer->closed) {
		cookie = fault_hold(consumer, group);
		if (!cookie) {
			consumer->ops->dropped(consumer->priv,
					       group->fault_count);
		} else if (!consumer->ops->page_request(consumer->priv, cookie,
							group)) {
			fault_take(consumer, cookie & (FAULT_SLOTS - 1));
			cookie = 0;
		}
		trace_iommu_page_request(dev, cookie, group);
	}
	spin_unlock(&consumer->lock);
	return cookie;
}

/*
 * iommu_domain.iopf_handler of every nested domain.  Never an error: that
 * would be answered FAILURE, which disables page requests of the function.
 */
static int fault_iopf_handler(struct iopf_group *group)
{
	struct device *dev = group->fault_param->dev;
	struct iommu_fault_consumer *consumer;
	bool taken = false;

	/* From here on nobody else answers it; the handle may go before it. */
	iopf_group_dequeue(group);
	group->attach_handle = NULL;

	rcu_read_lock();
	consumer = rcu_dereference(dev->iommu->fault_consumer);
	if (consumer)
		taken = fault_page_request(consumer, group);
	rcu_read_unlock();

	if (!taken)
		fault_answer(group, IOMMU_PAGE_RESP_INVALID);
	return 0;
}

/*
 * Switching
 */
static struct iommu_fault_consumer *fault_consumer(struct device *dev)
{
	return rcu_dereference_protected(dev->iommu->fault_consumer,
					 lockdep_is_held(&dev->iommu->fault_lock));
}

/*
 * When this returns, all faults and page requests that @dev had caused were
 * reported, and no handler runs that found an attach handle which is gone now.
 */
static void fault_drain(struct device *dev)
{
	const struct iommu_ops *ops = dev_iommu_ops(dev);

	if (ops->drain_faults)
		ops->drain_faults(dev);
}

static int fault_switch(struct device *dev, bool handles)
{
	struct iommu_fault_consumer *consumer = fault_consumer(dev);
	bool on = consumer && consumer->page_requests && handles;
	int ret;

	if (on == dev->iommu->iopf_on)
		return 0;

	if (on) {
		ret = iommu_dev_enable_feature(dev, IOMMU_DEV_FEAT_IOPF);
		if (!ret)
			dev->iommu->iopf_on = true;
		return ret;
	}

	fault_drain(dev);
	if (consumer)
		fault_answer_held(consumer, IOMMU_PASID_INVALID);
	WARN_ON(iommu_dev_disable_feature(dev, IOMMU_DEV_FEAT_IOPF));
	dev->iommu->iopf_on = false;
	return 0;
}

static int fault_switch_now(struct device *dev)
{
	return fault_switch(dev, iommu_group_has_handles(dev->iommu_group));
}

/**
 * iommu_fault_attach_begin() - A domain is about to be attached
 * @dev: the device
 * @domain: a nested domain
 *
 * Context: may sleep; returns with dev_iommu.fault_lock held if it succeeds.
 * Return: 0, or why page requests cannot be switched on.
 */
int iommu_fault_attach_begin(struct device *dev, struct iommu_domain *domain)
{
	int ret;

	domain->iopf_handler = fault_iopf_handler;
	mutex_lock(&dev->iommu->fault_lock);
	ret = fault_switch(dev, true);
	if (ret)
		mutex_unlock(&dev->iommu->fault_lock);
	return ret;
}

/**
 * iommu_fault_attach_end() - A domain is attached, or it failed
 * @dev: the device
 * @replaced: another attach handle was there, which may go now
 *
 * What is held of the PASID stays: the owner of both domains answers it.
 *
 * Context: after iommu_fault_attach_begin(); may sleep.
 */
void iommu_fault_attach_end(struct device *dev, bool replaced)
{
	if (replaced && dev->iommu->iopf_on)
		fault_drain(dev);
	fault_switch_now(dev);
	mutex_unlock(&dev->iommu->fault_lock);
}

/**
 * iommu_fault_detached() - The attach handle of a PASID is gone
 * @dev: the device
 * @pasid: which
 *
 * What was held of it is answered when this returns, and nothing refers to
 * the handle or to its domain any more.
 *
 * Context: may sleep; dev_iommu.fault_lock is held.
 */
void iommu_fault_detached(struct device *dev, ioasid_t pasid)
{
	struct iommu_fault_consumer *consumer = fault_consumer(dev);

	lockdep_assert_held(&dev->iommu->fault_lock);

	if (!dev->iommu->iopf_on)
		return;

	/* The domain of requests without PASID may stand for all PASIDs. */
	if (pasid == IOMMU_NO_PASID && dev_iommu_ops(dev)->user_pasid_table)
		pasid = IOMMU_PASID_INVALID;

	fault_drain(dev);
	if (consumer)
		fault_answer_held(consumer, pasid);
	fault_switch_now(dev);
}

/**
 * iommu_fault_reset() - A device is being reset
 * @dev: the device, which sends no requests any more
 *
 * Context: may sleep.
 */
void iommu_fault_reset(struct device *dev)
{
	struct iommu_fault_consumer *consumer;

	guard(mutex)(&dev->iommu->fault_lock);

	consumer = fault_consumer(dev);
	if (!consumer)
		return;

	fault_drain(dev);
	if (dev->iommu->iopf_on)
		iopf_discard_partial(dev);
	fault_answer_held(consumer, IOMMU_PASID_INVALID);

	spin_lock(&consumer->lock);
	consumer->ops->reset(consumer->priv);
	spin_unlock(&consumer->lock);
}

/*
 * Consumers
 */

/**
 * iommu_fault_consumer_add() - Take the faults of a device from now on
 * @dev: a device whose DMA the caller owns, or is about to
 * @ops: what to call
 * @priv: for @ops
 *
 * Context: may sleep.
 * Return: the consumer, to be given to iommu_fault_consumer_del() while @dev
 * is still bound to its driver; -EOPNOTSUPP if no faults are reported for
 * this device; -EBUSY if it has a consumer; -ENOMEM.
 */
struct iommu_fault_consumer *
iommu_fault_consumer_add(struct device *dev,
			 const struct iommu_fault_consumer_ops *ops, void *priv)
{
	struct iommu_fault_consumer *consumer;
	struct iommu_nesting_info info;
	int ret;

	ret = iommu_nesting_get_info(dev, &info);
	if (ret || !(info.features & IOMMU_NESTING_FEAT_DMA_FAULT))
		return ERR_PTR(-EOPNOTSUPP);

	consumer = kzalloc(sizeof(*consumer), GFP_KERNEL_ACCOUNT);
	if (!consumer)
		return ERR_PTR(-ENOMEM);

	consumer->dev = dev;
	consumer->ops = ops;
	consumer->priv = priv;
	mutex_init(&consumer->respond_lock);
	spin_lock_init(&consumer->lock);

	/* No guard(): what it would protect is freed on error. */
	mutex_lock(&dev->iommu->fault_lock);
	ret = fault_consumer(dev) ? -EBUSY : 0;
	if (!ret) {
		/* What came before is not for the new consumer. */
		fault_drain(dev);
		rcu_assign_pointer(dev->iommu->fault_consumer, consumer);
	}
	mutex_unlock(&dev->iommu->fault_lock);

	if (ret) {
		kfree(consumer);
		return ERR_PTR(ret);
	}
	return consumer;
}
EXPORT_SYMBOL_GPL(iommu_fault_consumer_add);

/**
 * iommu_fault_consumer_page_requests() - Take page requests, or no longer
 * @consumer: the consumer
 * @on: whether to
 *
 * When they are switched off, all that is outstanding is answered INVALID.
 *
 * Context: may sleep.
 * Return: 0; -EOPNOTSUPP if the device, or the IOMMU for it, has none;
 * -ENOMEM, or another error of the driver.
 */
int iommu_fault_consumer_page_requests(struct iommu_fault_consumer *consumer,
				       bool on)
{
	struct device *dev = consumer->dev;
	struct iommu_nesting_info info;
	struct fault_slot *slots;
	unsigned int i;
	int ret;

	guard(mutex)(&dev->iommu->fault_lock);

	if (on && !consumer->slots) {
		ret = iommu_nesting_get_info(dev, &info);
		if (ret || !(info.features & IOMMU_NESTING_FEAT_PAGE_REQUEST))
			return -EOPNOTSUPP;

		slots = kvcalloc(FAULT_SLOTS, sizeof(*slots),
				 GFP_KERNEL_ACCOUNT);
		if (!slots)
			return -ENOMEM;

		for (i = 0; i < FAULT_SLOTS; i++)
			consumer->free[i] = i;
		spin_lock(&consumer->lock);
		consumer->nr_free = FAULT_SLOTS;
		consumer->slots = slots;
		spin_unlock(&consumer->lock);
	}

	consumer->page_requests = on;
	ret = fault_switch_now(dev);
	if (ret)
		consumer->page_requests = false;
	return ret;
}
EXPORT_SYMBOL_GPL(iommu_fault_consumer_page_requests);

/**
 * iommu_fault_consumer_del() - Take no more faults of a device
 * @consumer: from iommu_fault_consumer_add(); freed
 *
 * What is outstanding is answered INVALID.
 *
 * Context: may sleep.
 */
void iommu_fault_consumer_del(struct iommu_fault_consumer *consumer)
{
	struct device *dev = consumer->dev;

	mutex_lock(&dev->iommu->fault_lock);
	spin_lock(&consumer->lock);
	consumer->closed = true;
	spin_unlock(&consumer->lock);

	/* As long as it is there, drained requests are answered by it. */
	consumer->page_requests = false;
	fault_switch_now(dev);
	fault_answer_held(consumer, IOMMU_PASID_INVALID);
	rcu_assign_pointer(dev->iommu->fault_consumer, NULL);
	mutex_unlock(&dev->iommu->fault_lock);

	synchronize_rcu();
	kvfree(consumer->slots);
	mutex_destroy(&consumer->respond_lock);
	kfree(consumer);
}
EXPORT_SYMBOL_GPL(iommu_fault_consumer_del);

/**
 * iommu_fault_respond() - Answer a group of page requests
 * @consumer: that was given it
 * @cookie: by which
 * @pasid: of the group; IOMMU_NO_PASID if it has none
 * @grpid: its index
 * @code: SUCCESS or INVALID; FAILURE would disable page requests of the
 *	  whole function
 *
 * Context: may sleep.
 * Return: 0; -EINVAL for another code; -ENOENT if no such group is
 * outstanding: it was answered, its domain is detached, the device was reset.
 */
int iommu_fault_respond(struct iommu_fault_consumer *consumer, u64 cookie,
			u32 pasid, u32 grpid,
			enum iommu_page_response_code code)
{
	struct iopf_group *group = NULL;
	struct fault_slot *slot;

	if (code != IOMMU_PAGE_RESP_SUCCESS && code != IOMMU_PAGE_RESP_INVALID)
		return -EINVAL;

	guard(mutex)(&consumer->respond_lock);

	spin_lock(&consumer->lock);
	if (cookie && consumer->slots) {
		slot = &consumer->slots[cookie & (FAULT_SLOTS - 1)];
		if (slot->cookie == cookie &&
		    fault_group_pasid(slot->group) == pasid &&
		    slot->group->last_fault.fault.prm.grpid == grpid)
			group = fault_take(consumer, slot - consumer->slots);
	}
	spin_unlock(&consumer->lock);

	if (!group)
		return -ENOENT;

	fault_answer(group, code);
	return 0;
}
EXPORT_SYMBOL_GPL(iommu_fault_respond);

/**
 * iommu_fault_drain() - Wait for what the device has asked for
 * @consumer: of the device
 *
 * Every fault and page request that the device had caused when this was called
 * has been given to @consumer, or dropped, when it returns.
 *
 * Context: may sleep.
 */
void iommu_fault_drain(struct iommu_fault_consumer *consumer)
{
	guard(mutex)(&consumer->dev->iommu->fault_lock);

	fault_drain(consumer->dev);
}
EXPORT_SYMBOL_GPL(iommu_fault_drain);
