//! What became of a request: the record that C sees, and behind it the error with its first cause.

use crate::status::{Error, WEFT_ERROR_DEPENDENCY_FAILED, WEFT_OK, weft_status};

/// A completion: what became of a request. Frozen: 64 bytes, whose fields never change.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_completion {
    /// The caller's own number, from weft_submit.
    pub user_data: u64,
    /// The request's handle; 0 if none was asked for.
    pub request: u64,
    /// WEFT_OK, or why it failed.
    pub status: weft_status,
    /// Which operation, a WEFT_OP constant.
    pub op: u32,
    /// 0.
    pub flags: u32,
    /// 0.
    pub reserved0: u32,
    /// Nanoseconds that the device spent on it.
    pub device_ns: u64,
    /// 0.
    pub result: u64,
    /// 0.
    pub reserved1: [u64; 2],
}

/// A function of the caller's, to be called with its own number and the record of a completion. It must not throw.
pub type weft_complete_fn = Option<unsafe extern "C" fn(user: u64, completion: *const weft_completion)>;

/// What became of a request.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// `None` for success.
    pub failure: Option<Box<Failure>>,
    /// Nanoseconds that the device spent on it.
    pub device_ns: u64,
}

/// Why a request failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The status and the sentence.
    pub error: Error,
    /// The request whose own failure began it all, if it was another one.
    pub root: Option<Root>,
}

/// A request that failed by itself and took others along.
#[derive(Clone, Copy, Debug)]
pub struct Root {
    /// Its handle, as it was when it failed.
    pub request: u64,
    /// Which operation it was.
    pub op: u32,
    /// What it ended with.
    pub status: weft_status,
}

impl Outcome {
    /// It failed by itself.
    pub fn failed(error: Error) -> Self {
        Self { failure: Some(Box::new(Failure { error, root: None })), device_ns: 0 }
    }

    /// The status that C sees.
    pub fn status(&self) -> weft_status {
        self.failure.as_ref().map_or(WEFT_OK, |failure| failure.error.status)
    }

    /// The error, if it failed.
    pub fn error(&self) -> Option<&Error> {
        self.failure.as_ref().map(|failure| &failure.error)
    }
}

impl Failure {
    /// What a request ends with when the one of this record, which it waited for, ended with this failure: the first
    /// cause, however long the chain.
    pub fn of_dependent(&self, record: &weft_completion) -> Self {
        let first = Root { request: record.request, op: record.op, status: record.status };
        let message = match self.root {
            Some(_) => self.error.message.clone(),
            None => format!("a request that this one waited for failed: {}", self.error.message),
        };
        let native = self.error.native;
        let error = Error { native, ..Error::new(WEFT_ERROR_DEPENDENCY_FAILED, message) };
        Self { error, root: Some(self.root.unwrap_or(first)) }
    }
}
