//! Mailboxes with permits: data waits for room, control never waits for data.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::dev::channel::{AddressReceiver, AddressSender, channel};
use actix::prelude::{Actor, Context, Handler, Message, SendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::Instant;

/// What a message weighs, in the unit of the mailbox it is sent to: bytes, rows, or one.
///
/// A message heavier than the whole mailbox is counted as the whole mailbox, so it passes alone.
pub trait Weight {
    /// The weight; zero counts as one.
    fn weight(&self) -> u32 {
        1
    }
}

/// Makes a mailbox with `permits` units of room for data.
///
/// The address exists before its actor, and outlives every restart of it.
pub fn mailbox<A: Actor<Context = Context<A>>>(permits: u32) -> (Mailbox<A>, Inbox<A>) {
    let permits = permits.max(1);
    // actix's own bound is never reached: permits bound data, and control is bounded by what is in flight.
    let (sender, receiver) = channel(permits as usize + CONTROL_SLACK);
    let gauge = Arc::new(MailboxGauge {
        permits: Arc::new(Semaphore::new(permits as usize)),
        capacity: permits,
        posted: AtomicU64::new(0),
        settled: AtomicU64::new(0),
        waited_nanos: AtomicU64::new(0),
    });
    (Mailbox { sender, gauge: gauge.clone() }, Inbox { receiver, open: Open(gauge) })
}

const CONTROL_SLACK: usize = 16;

/// The sending side of an actor's mailbox: hands out [`Outlet`]s and [`Control`]s.
pub struct Mailbox<A: Actor> {
    sender: AddressSender<A>,
    gauge: Arc<MailboxGauge>,
}

/// The receiving side: given to [`ChildSpec::actor`](crate::ChildSpec::actor).
///
/// Dropping it, or the actor that took it over, closes the mailbox: what is queued is dropped, and who
/// waits for room gets its message back.
pub struct Inbox<A: Actor> {
    pub(crate) receiver: AddressReceiver<A>,
    pub(crate) open: Open,
}

impl<A: Actor> fmt::Debug for Inbox<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("gauge", &self.open.0).finish_non_exhaustive()
    }
}

/// Keeps a mailbox open as long as it lives. Without it a sender would wait for room for ever where the
/// receiver is gone and somebody else still holds a [`Permit`].
#[derive(Debug)]
pub(crate) struct Open(Arc<MailboxGauge>);

impl Open {
    pub fn gauge(&self) -> &Arc<MailboxGauge> {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.permits.close();
    }
}

impl<A: Actor> Mailbox<A> {
    /// The way in for data of type `M`. All outlets of a mailbox share its permits.
    pub fn outlet<M>(&self) -> Outlet<M>
    where
        M: Send + 'static,
        A: Handler<Envelope<M>>,
        A::Context: ToEnvelope<A, Envelope<M>>,
    {
        Outlet { post: Arc::new(self.sender.clone()), gauge: self.gauge.clone() }
    }

    /// The way in for signals of type `M`.
    pub fn control<M>(&self) -> Control<M>
    where
        M: Message<Result = ()> + Send + 'static,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        Control { post: Arc::new(self.sender.clone()) }
    }

    /// Depth, room and waits.
    pub fn gauge(&self) -> Arc<MailboxGauge> {
        self.gauge.clone()
    }
}

impl<A: Actor> Clone for Mailbox<A> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), gauge: self.gauge.clone() }
    }
}

/// Depth, room and waits of a mailbox.
#[derive(Debug)]
pub struct MailboxGauge {
    permits: Arc<Semaphore>,
    capacity: u32,
    posted: AtomicU64,
    settled: AtomicU64,
    waited_nanos: AtomicU64,
}

impl MailboxGauge {
    /// Room in all, in the mailbox's unit.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    fn clamp(&self, weight: u32) -> u32 {
        weight.clamp(1, self.capacity)
    }

    /// What is queued, being handled or reserved, in the mailbox's unit.
    pub fn depth(&self) -> u32 {
        let free = u32::try_from(self.permits.available_permits()).unwrap_or(u32::MAX);
        self.capacity.saturating_sub(free)
    }

    /// Messages that have been handled or dropped, since the mailbox was made.
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    /// Whether a message is queued or being handled; room that is only reserved does not count.
    pub(crate) fn has_work(&self) -> bool {
        self.settled.load(Ordering::Acquire) < self.posted.load(Ordering::Acquire)
    }

    /// Time senders waited for room, summed over all of them.
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited_nanos.load(Ordering::Relaxed))
    }
}

/// A message with the room it occupies. Dropping it, handled or not, frees the room.
#[derive(Debug)]
pub struct Envelope<M> {
    message: M,
    permit: Permit,
}

impl<M: Send + 'static> Message for Envelope<M> {
    type Result = ();
}

impl<M> Envelope<M> {
    /// The message, and the permit to hold until it is handled, awaits included.
    pub fn into_parts(self) -> (M, Permit) {
        (self.message, self.permit)
    }

    /// The message; its room is freed at once.
    pub fn open(self) -> M {
        self.message
    }
}

/// Room in a mailbox; dropping it gives the room back.
#[derive(Debug)]
pub struct Permit {
    /// Dropped before the room is free: who finds room finds it settled.
    posted: Posted,
    room: OwnedSemaphorePermit,
}

impl Permit {
    /// Takes over the room of `other`, of the same mailbox. Room of many messages that is given back at once
    /// wakes a waiting sender once, for many messages: on a busy path waking is what costs.
    ///
    /// # Panics
    /// Where `other` is of another mailbox.
    pub fn absorb(&mut self, other: Self) {
        let Self { mut posted, room } = other;
        self.room.merge(room);
        self.posted.count += std::mem::take(&mut posted.count);
    }
}

/// Messages handed over and not settled.
#[derive(Debug)]
struct Posted {
    gauge: Arc<MailboxGauge>,
    count: u64,
}

impl Drop for Posted {
    fn drop(&mut self) {
        if self.count > 0 {
            self.gauge.settled.fetch_add(self.count, Ordering::Release);
        }
    }
}

/// The receiver is gone for good; the message comes back.
#[derive(thiserror::Error)]
#[error("the receiving actor is gone")]
pub struct Closed<M>(pub M);

impl<M> fmt::Debug for Closed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed")
    }
}

/// Why a message could not be sent at once; it comes back.
#[derive(thiserror::Error)]
pub enum TrySendError<M> {
    /// There is no room now.
    #[error("the mailbox is full")]
    Full(M),
    /// The receiver is gone for good.
    #[error("the receiving actor is gone")]
    Closed(M),
}

impl<M> fmt::Debug for TrySendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full",
            Self::Closed(_) => "Closed",
        })
    }
}

/// The way data is sent: bounded, awaited, measured, given back on failure.
pub struct Outlet<M: Send + 'static> {
    post: Arc<dyn Post<Envelope<M>>>,
    gauge: Arc<MailboxGauge>,
}

impl<M: Weight + Send + 'static> Outlet<M> {
    /// Waits for room, then hands the message over. Dropping the future before it is done sends nothing.
    pub async fn send(&self, message: M) -> Result<(), Closed<M>> {
        match self.acquire(message.weight()).await {
            Some(permit) => post(&self.post, message, permit).map_err(Closed),
            None => Err(Closed(message)),
        }
    }

    /// Waits for room for a message of `weight`, and keeps it: what is sent into it cannot be lost by
    /// a future that is dropped halfway. `None` where the receiver is gone for good.
    pub async fn reserve(&self, weight: u32) -> Option<Room<M>> {
        let permit = self.acquire(weight).await?;
        Some(Room { post: self.post.clone(), permit })
    }

    /// Hands the message over if there is room now.
    pub fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        let weight = self.gauge.clamp(message.weight());
        match self.gauge.permits.clone().try_acquire_many_owned(weight) {
            Ok(room) => post(&self.post, message, self.permit(room)).map_err(TrySendError::Closed),
            Err(TryAcquireError::NoPermits) => Err(TrySendError::Full(message)),
            Err(TryAcquireError::Closed) => Err(TrySendError::Closed(message)),
        }
    }

    async fn acquire(&self, weight: u32) -> Option<Permit> {
        let weight = self.gauge.clamp(weight);
        let room = match self.gauge.permits.clone().try_acquire_many_owned(weight) {
            Ok(room) => room,
            Err(TryAcquireError::Closed) => return None,
            Err(TryAcquireError::NoPermits) => {
                let _wait = Wait { gauge: &self.gauge, since: Instant::now() };
                self.gauge.permits.clone().acquire_many_owned(weight).await.ok()?
            }
        };
        Some(self.permit(room))
    }

    fn permit(&self, room: OwnedSemaphorePermit) -> Permit {
        Permit { posted: Posted { gauge: self.gauge.clone(), count: 0 }, room }
    }
}

impl<M: Send + 'static> Outlet<M> {
    /// Depth, room and waits of the mailbox it leads to.
    pub fn gauge(&self) -> &MailboxGauge {
        &self.gauge
    }
}

impl<M: Send + 'static> Clone for Outlet<M> {
    fn clone(&self) -> Self {
        Self { post: self.post.clone(), gauge: self.gauge.clone() }
    }
}

impl<M: Send + 'static> fmt::Debug for Outlet<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").field("gauge", &self.gauge).finish_non_exhaustive()
    }
}

/// Room reserved in a mailbox; dropping it gives the room back.
pub struct Room<M: Send + 'static> {
    post: Arc<dyn Post<Envelope<M>>>,
    permit: Permit,
}

impl<M: Send + 'static> Room<M> {
    /// Hands the message over, at once.
    pub fn send(self, message: M) -> Result<(), Closed<M>> {
        post(&self.post, message, self.permit).map_err(Closed)
    }
}

/// A wait for room; counted when it ends, however it ends.
struct Wait<'a> {
    gauge: &'a MailboxGauge,
    since: Instant,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let waited = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.gauge.waited_nanos.fetch_add(waited, Ordering::Relaxed);
    }
}

/// The way signals are sent: at once, whatever data waits. Never for data.
pub struct Control<M: Message<Result = ()> + Send + 'static> {
    post: Arc<dyn Post<M>>,
}

impl<M: Message<Result = ()> + Send + 'static> Control<M> {
    /// Hands the signal over; false where the receiver is gone for good.
    pub fn signal(&self, message: M) -> bool {
        self.post.post(message).is_ok()
    }
}

impl<M: Message<Result = ()> + Send + 'static> Clone for Control<M> {
    fn clone(&self) -> Self {
        Self { post: self.post.clone() }
    }
}

fn post<M: Send + 'static>(to: &Arc<dyn Post<Envelope<M>>>, message: M, mut permit: Permit) -> Result<(), M> {
    permit.posted.count = 1;
    permit.posted.gauge.posted.fetch_add(1, Ordering::Release);
    to.post(Envelope { message, permit }).map_err(Envelope::open)
}

/// An address with its actor's type erased.
trait Post<M>: Send + Sync {
    fn post(&self, message: M) -> Result<(), M>;
}

impl<A, M> Post<M> for AddressSender<A>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message<Result = ()> + Send + 'static,
{
    fn post(&self, message: M) -> Result<(), M> {
        self.do_send(message).map_err(|(SendError::Full(message) | SendError::Closed(message))| message)
    }
}
