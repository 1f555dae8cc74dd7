//! One request on its way through its operation.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use actix_web::http::header::{AGE, HeaderName, HeaderValue, WARNING};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use futures_util::FutureExt;
use model::Timestamp;
use store::noting_staleness;
use tokio::time::timeout;

use crate::api::Api;
use crate::cursor::Seal;
use crate::operation::{DEFAULT_LIMIT, Operation};
use crate::problem::{Problem, ProblemKind};
use crate::query::Query;
use crate::request_id::RequestId;

/// The path template of a request, for counting.
pub(crate) struct Template(pub &'static str);

/// A request whose query and path have been checked.
pub(crate) struct Call {
    pub api: web::Data<Api>,
    pub operation: &'static Operation,
    pub query: Query,
    /// When it arrived: relative times and ages refer to it.
    pub now: Timestamp,
    /// What stands for `{id}` in the path, decoded; empty where the path has none.
    pub id: String,
    request: HttpRequest,
}

impl Call {
    fn new(operation: &'static Operation, request: HttpRequest, api: web::Data<Api>) -> Result<Self, Problem> {
        let now = Timestamp::from(SystemTime::now());
        let query = Query::parse(operation, request.query_string(), now)?;
        let id = match operation.has_id() {
            true => path_id(&request)?,
            false => String::new(),
        };
        Ok(Self { api, operation, query, now, id, request })
    }

    pub fn header(&self, name: HeaderName) -> Option<&HeaderValue> {
        self.request.headers().get(name)
    }

    pub fn limit(&self) -> usize {
        usize::try_from(self.query.integer("limit").unwrap_or(DEFAULT_LIMIT)).unwrap_or(usize::MAX)
    }

    /// What cursors of this request's filters are sealed with.
    pub fn seal(&self) -> Seal {
        Seal::new(self.operation.id, &self.query.filters())
    }

    /// Where the list goes on, where the client said so.
    pub fn place(&self) -> Result<Option<String>, Problem> {
        self.query.text("cursor").map(|cursor| self.seal().open(cursor)).transpose()
    }
}

/// Answers `request` by `operation`: within its time, and with a problem where the handler panics.
pub(crate) async fn dispatch(operation: &'static Operation, request: HttpRequest, api: web::Data<Api>) -> HttpResponse {
    request.extensions_mut().insert(Template(operation.path));
    let limit = api.config.request_timeout;
    let answer = match Call::new(operation, request.clone(), api) {
        Ok(call) => {
            let handled = noting_staleness(AssertUnwindSafe((operation.handle)(call)).catch_unwind());
            match timeout(limit, handled).await {
                Ok((Ok(answer), stale)) => answer.map(|answer| aged(answer, stale)),
                Ok((Err(_), _)) => Err(Problem::new(ProblemKind::Internal, "the handler of this route panicked")),
                Err(_) => Err(Problem::new(ProblemKind::Timeout, format!("no answer within {} ms", limit.as_millis()))),
            }
        }
        Err(problem) => Err(problem),
    };
    answer.unwrap_or_else(|problem| refuse(&request, problem))
}

/// Marks an answer that the cache gave though it is too old, as the store is away.
fn aged(mut answer: HttpResponse, stale: Option<Duration>) -> HttpResponse {
    if let Some(age) = stale {
        let headers = answer.headers_mut();
        headers.insert(WARNING, HeaderValue::from_static("110 - \"Response is Stale\""));
        headers.insert(AGE, HeaderValue::from(age.as_secs()));
    }
    answer
}

/// The answer to a request that fits no operation.
pub(crate) fn refuse(request: &HttpRequest, problem: Problem) -> HttpResponse {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_else(|| RequestId::of(request.headers()));
    problem.answer(request, &id)
}

fn path_id(request: &HttpRequest) -> Result<String, Problem> {
    let id: String = request
        .match_info()
        .load()
        .map_err(|_| Problem::new(ProblemKind::InvalidRequest, "the path cannot be decoded"))?;
    if id.contains(char::is_control) {
        return Err(Problem::new(ProblemKind::InvalidRequest, "the path has a control character"));
    }
    Ok(id)
}
