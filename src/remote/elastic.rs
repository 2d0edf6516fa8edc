//! stub
use crate::{
    cli::signals::Stop,
    error::{Error, Result},
    log::Log,
    tally::Tally,
};
use std::sync::Arc;
#[derive(Debug, Clone, clap::Args)]
pub struct ElasticArgs {}
pub struct Document {
    pub id: i64,
    pub source: Vec<u8>,
}
pub enum Outcome {
    Indexed,
    Known,
    Refused { status: u16, reason: String },
}
pub struct Index {}
pub struct BulkError {
    pub outcomes: Vec<Option<Outcome>>,
    pub error: Error,
}
impl Index {
    pub fn open(_: &ElasticArgs, _: &Log, _: &Arc<Stop>, _: &Arc<Tally>) -> Result<Option<Self>> {
        Ok(None)
    }
    pub fn bulk(&self, _: &[Document]) -> Result<Vec<Outcome>, BulkError> {
        Ok(vec![])
    }
}
