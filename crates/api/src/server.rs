//! The API server as an actor.
//!
//! In: HTTP. Out: answers. Owns: its workers, each a thread. A restart loses open connections; the listening
//! socket stays, so clients that connect meanwhile only wait.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use actor_runtime::{Cell, Drain, Exit};
use store::Store;

use crate::api::Api;
use crate::guard::guard;
use crate::{About, Bound, Sight, routes};

/// Time a client has to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the API on an address that is [`Bound`].
pub struct ApiServer {
    cell: Cell,
    bound: Arc<Bound>,
    api: web::Data<Api>,
    life: Life,
}

/// What a restart begins anew.
#[derive(Default)]
struct Life {
    handle: Option<ServerHandle>,
    is_draining: bool,
}

impl ApiServer {
    /// A server that answers from `store` and `sight`.
    pub fn new(cell: Cell, bound: Arc<Bound>, store: Arc<dyn Store>, sight: Arc<dyn Sight>, about: About) -> Self {
        let (config, listen) = (bound.config.clone(), bound.address());
        let api = web::Data::new(Api { store, sight, about, config, listen });
        Self { cell, bound, api, life: Life::default() }
    }

    fn serve(&self) -> io::Result<Server> {
        let (api, config) = (self.api.clone(), &self.bound.config);
        let app = move || App::new().app_data(api.clone()).configure(routes::register).wrap(from_fn(guard));
        let server = HttpServer::new(app)
            .workers(config.workers)
            .max_connections(config.max_connections)
            .client_request_timeout(HEAD_TIMEOUT)
            .shutdown_timeout(whole_seconds(config.drain))
            .disable_signals()
            .listen(self.bound.listener.try_clone()?)?;
        Ok(server.run())
    }
}

/// Rounded up, and at least one.
fn whole_seconds(time: Duration) -> u64 {
    let begun = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(begun).max(1)
}

impl Actor for ApiServer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let server = match self.serve() {
            Ok(server) => server,
            Err(error) => return self.cell.finish(ctx, Exit::Failure(Arc::new(error))),
        };
        self.life.handle = Some(server.handle());
        let ended = server.into_actor(self).map(|result, actor, ctx| {
            let exit = match result {
                _ if actor.life.is_draining => Exit::Drained,
                Ok(()) => Exit::failure("the HTTP server ended on its own"),
                Err(error) => Exit::Failure(Arc::new(error)),
            };
            actor.cell.finish(ctx, exit);
        });
        ctx.spawn(ended);
        tracing::info!(address = %self.bound.address(), "serving");
    }
}

impl actix::Supervised for ApiServer {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.life = Life::default();
    }
}

/// Accepts no more, answers what is open, ends.
impl Handler<Drain> for ApiServer {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Self::Context) {
        self.life.is_draining = true;
        if let Some(handle) = &self.life.handle {
            // Sent at once; the server's own future tells when it is done.
            drop(handle.stop(true));
        }
    }
}
