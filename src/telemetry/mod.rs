//! Looking inside: counters, the log and the trace. Below everything that has something to tell, above nothing but
//! statuses: whoever imports it learns nothing of anybody else.

pub mod clock;
