//! A model on its own thread, so that judging a file delays no bucket, head or beacon.

use std::rc::Rc;
use std::sync::mpsc;

use async_trait::async_trait;
use grail_protocol::generation::{ModelLimits, ProofModel};
use grail_validator::ports::{JudgeError, Judged, Recompute};
use grail_verify::{Judge, WindowFacts};
use tokio::sync::oneshot;

use super::publisher::{AcceptedFile, Collector};

/// Judges files one after another. A file whose caller has given up is skipped.
pub struct JudgeThread {
    files: mpsc::Sender<Request>,
    /// The model's limits.
    pub limits: ModelLimits,
    collector: Option<Collector>,
}

struct Request {
    file: Vec<u8>,
    facts: WindowFacts,
    reply: oneshot::Sender<Result<Judged, JudgeError>>,
    collector: Option<Collector>,
}

impl JudgeThread {
    /// Starts a thread for the validator of this address, and loads the model there.
    ///
    /// # Errors
    /// The error of `model`, or that the system has no thread.
    pub fn start<E: From<std::io::Error> + Send + 'static>(
        hotkey: String,
        model: impl FnOnce() -> Result<Rc<dyn ProofModel>, E> + Send + 'static,
    ) -> Result<Self, E> {
        let (files, inbox) = mpsc::channel();
        let (loaded, when_loaded) = mpsc::channel();
        let work = move || match model() {
            Ok(model) => {
                let judge = Judge::new(hotkey, model);
                if loaded.send(Ok(judge.limits())).is_ok() {
                    serve(&judge, &inbox);
                }
            }
            // The caller may be gone.
            Err(error) => drop(loaded.send(Err(error))),
        };
        std::thread::Builder::new().name("judge".to_owned()).spawn(work)?;
        let ended = || std::io::Error::other("the thread that loads the model ended");
        let limits = when_loaded.recv().map_err(|_| ended())??;
        Ok(Self { files, limits, collector: None })
    }

    /// Returns the same, which hands the valid rollouts of accepted files to a publisher.
    pub fn publishing(self, collector: Option<Collector>) -> Self {
        Self { collector, ..self }
    }
}

#[async_trait(?Send)]
impl Recompute for JudgeThread {
    async fn judge(&self, file: Vec<u8>, facts: WindowFacts) -> Result<Judged, JudgeError> {
        let ended = || JudgeError("the thread with the model has ended; restart the validator".to_owned());
        let (reply, answer) = oneshot::channel();
        let collector = self.collector.clone();
        self.files.send(Request { file, facts, reply, collector }).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

fn serve(judge: &Judge, inbox: &mpsc::Receiver<Request>) {
    for Request { file, facts, reply, collector } in inbox {
        if reply.is_closed() {
            continue;
        }
        let judged = match collector {
            None => judge.judge(&file, &facts),
            Some(collector) => judge.judge_with_rollouts(&file, &facts).map(|(judged, rollouts)| {
                let WindowFacts { window_start, hotkey, .. } = facts;
                collector.accepted(AcceptedFile { window_start, hotkey, rollouts });
                judged
            }),
        };
        // The caller may be gone.
        let _ = reply.send(judged);
    }
}
