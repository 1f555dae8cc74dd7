//! Fairness inside a thread.

use actix::fut::wrap_future;
use actix::prelude::{Actor, AsyncContext, Context};

/// Lets timers and neighbours run after every 32 messages: actix's mailbox loop does not return while
/// there is a message. Call [`TurnBudget::spend`] in each synchronous handler on a busy path.
#[derive(Debug)]
pub struct TurnBudget {
    left: u32,
}

const MESSAGES_PER_TURN: u32 = 32;

impl Default for TurnBudget {
    fn default() -> Self {
        Self { left: MESSAGES_PER_TURN }
    }
}

impl TurnBudget {
    /// Counts a message; at the end of the budget the actor yields once before the next one.
    pub fn spend<A: Actor<Context = Context<A>>>(&mut self, ctx: &mut Context<A>) {
        self.left -= 1;
        if self.left == 0 {
            self.left = MESSAGES_PER_TURN;
            ctx.wait(wrap_future(tokio::task::yield_now()));
        }
    }
}
