//! How a call finds the engine's state: while a turn runs, it sits in a slot of the thread, so that
//! a submission from a callback goes straight in, without a lock. From anywhere else it goes
//! through the inbox. And which engine's streams the thread owns.

use std::{
    cell::{Cell, RefCell},
    mem::ManuallyDrop,
    rc::{self, Rc},
};

use crate::{
    core::Core,
    handles::{queue::message::Message, registry, stream::Stream},
    pure::table::Id,
    system::fork,
};

thread_local! {
    /// The engine whose turn is running on this thread. Without a destructor, which would make
    /// every access look whether it has run yet; a turn always takes its core out again.
    static CURRENT: RefCell<Option<ManuallyDrop<Box<Core>>>> = const { RefCell::new(None) };
}

thread_local! {
    /// The engine whose turn is running on this thread, looking at the system included; zero if
    /// none is, or one that is going.
    static OWNER: Cell<u32> = const { Cell::new(0) };
}

/// Whether a turn of this engine is running on this thread, and is not its last.
#[inline]
pub(crate) fn is_owner(engine: u32) -> bool {
    OWNER.get() == engine
}

/// Makes this thread the owner of `engine`'s streams, or of none if it is zero. Returns whose it
/// was.
pub(crate) fn swap_owner(engine: u32) -> u32 {
    OWNER.replace(engine)
}

/// Puts `core` into this thread's slot and returns what was there.
pub(crate) fn swap_current(core: Option<Box<Core>>) -> Option<Box<Core>> {
    let before = CURRENT.with(|slot| slot.replace(core.map(ManuallyDrop::new)));
    before.map(ManuallyDrop::into_inner)
}

/// In the child of a fork(2): no turn is running here any more, it is the parent's. So nothing that
/// is looked for here is found, no stream is owned, and whatever is asked goes to the inbox, which
/// refuses it.
pub(crate) fn leave_to_parent() {
    OWNER.set(0);
    CURRENT.with(|slot| {
        if let Ok(mut slot) = slot.try_borrow_mut() {
            // Without a destructor, so it is leaked.
            *slot = None;
        }
    });
}

/// Does something to the engine with this id if its turn is running on this thread and nothing is
/// borrowed.
#[inline]
pub(crate) fn with_current<R>(engine: u32, f: impl FnOnce(&mut Core) -> R) -> Option<R> {
    CURRENT.with(|slot| match slot.try_borrow_mut() {
        Ok(mut slot) => match slot.as_deref_mut() {
            Some(core) if core.engine == engine => Some(f(core)),
            _ => None,
        },
        Err(_) => None,
    })
}

/// The state of an engine that is not in a turn.
pub(crate) type CoreCell = Cell<Option<Box<Core>>>;

thread_local! {
    /// Where the engines of this thread have their state between turns.
    static CORE_CELLS: RefCell<Vec<(u32, rc::Weak<CoreCell>)>> = const { RefCell::new(Vec::new()) };
}

/// Remembers where an engine of this thread has its state.
pub(crate) fn remember_core(engine: u32, cell: &Rc<CoreCell>) {
    // On a thread that is ending the table may be gone already. Then `inspect` finds nothing.
    let _ = CORE_CELLS.try_with(|cells| {
        let mut cells = cells.borrow_mut();
        cells.retain(|(_, cell)| cell.strong_count() > 0);
        cells.push((engine, Rc::downgrade(cell)));
    });
}

/// Whether an engine lives on this thread.
pub(super) fn lives_here(engine: u32) -> bool {
    let find = |cells: &RefCell<Vec<(u32, rc::Weak<CoreCell>)>>| {
        cells.borrow().iter().any(|(id, _)| *id == engine)
    };
    CORE_CELLS.try_with(find).unwrap_or(false)
}

/// Looks at the state of an engine, in a turn or between turns, if it lives on this thread and
/// nothing of it is borrowed.
pub(crate) fn inspect<R>(engine: u32, f: impl FnOnce(&Core) -> R) -> Option<R> {
    if fork::is_inherited(engine) {
        return None;
    }
    let mut f = Some(f);
    let mut look = |core: &Core| f.take().map(|f| f(core));
    if let Some(seen) = with_current(engine, |core| look(core)) {
        return seen;
    }
    let find = |cells: &RefCell<Vec<(u32, rc::Weak<CoreCell>)>>| {
        let cells = cells.borrow();
        cells.iter().find(|(id, _)| *id == engine)?.1.upgrade()
    };
    let cell = CORE_CELLS.try_with(find).ok()??;
    let core = cell.take()?;
    let seen = look(&core);
    cell.set(Some(core));
    seen
}

/// Does something to the engine whose turn is running on this thread, whichever it is, if nothing
/// is borrowed.
pub(crate) fn with_any_current<R>(f: impl FnOnce(&mut Core) -> R) -> Option<R> {
    CURRENT.with(|slot| slot.try_borrow_mut().ok()?.as_deref_mut().map(|core| f(core)))
}

/// Whether [`with_current`] would run its closure, and the engine still accepts submissions. Asked
/// before the closure is built, so that its captures are moved once.
#[inline]
pub(super) fn is_current(engine: u32) -> bool {
    CURRENT.with(|slot| match slot.try_borrow() {
        Ok(slot) => slot.as_deref().is_some_and(|core| core.engine == engine && !core.ending),
        Err(_) => false,
    })
}

/// Gives something back: now if this is the engine's thread's turn, else before it looks at the
/// system in its next. Dropped undone when the engine is gone.
pub(crate) fn give_back_to(engine: u32, f: impl FnOnce(&mut Core) + Send + 'static) {
    if is_current(engine) {
        with_current(engine, f);
    } else if let Some(shared) = registry::engine(engine) {
        drop(shared.inbox.push(Message::GiveBack(Box::new(f))));
    }
}

/// Does something to a stream if the turn of its engine is running on this thread.
#[inline]
pub(crate) fn on_current<R>(
    stream: &Stream,
    f: impl FnOnce(&mut Core, Id) -> Option<R>,
) -> Option<R> {
    let (engine, id) = (stream.engine(), stream.id()?);
    with_current(engine, |core| if core.ending { None } else { f(core, id) }).flatten()
}
