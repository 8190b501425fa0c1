//! The *answer* thread: what stores are told, and when their messages are confirmed.

use std::sync::mpsc::Receiver;

use bytes::Bytes;
use pos_model::StoreId;
use protocol::envelope::seal_downlink;
use protocol::latest::Downlink as Answer;
use protocol::topic;
use sync_core::server::ServerEffect;

use super::{Answers, Queue, Shared};
use crate::mqtt::{Downlink, DownlinkQos, Receipt, Refusal, WayBack};
use crate::price_watch::{Committed, PriceWatch};
use crate::reconcile::Centre;

pub(super) fn answer(shared: &Shared, to_answer: &Receiver<Answers>, prices: &PriceWatch) {
    while let Ok(Answers { effects, group, parked }) = to_answer.recv() {
        // Effects come in the order of the group, an answer right behind its confirmation.
        let mut receipts = group.receipts.into_iter();
        let mut confirmed: Option<Receipt> = None;
        for effect in effects {
            match effect {
                ServerEffect::Confirm(ticket) => {
                    if let Some(receipt) = confirmed.take() {
                        receipt.accept();
                    }
                    confirmed = receipts.find(|(of, _)| *of == ticket).map(|(_, receipt)| receipt);
                }
                ServerEffect::Send { store, message, .. } => {
                    if let Some(receipt) = confirmed.take() {
                        send(shared, &store, &message, receipt);
                    }
                    if let Some(question) = shared.questions.as_ref().and_then(|asked| asked.behind(&store, &message)) {
                        shared.tell(&store, &question);
                    }
                }
                ServerEffect::Call { store, message, .. } => {
                    let way = shared.lock().ways.get(&store).cloned();
                    tell(shared, way.as_ref(), &store, &message);
                }
                ServerEffect::Forget(ticket) => {
                    if let Some((_, receipt)) = receipts.find(|(of, _)| *of == ticket) {
                        receipt.refuse(Refusal::Failed);
                    }
                }
            }
        }
        if let Some(receipt) = confirmed {
            receipt.accept();
        }
        let taken = group.jobs.into_iter().zip(parked);
        if !prices.offer(taken.filter_map(|(job, parked)| Some(Committed { job, parked: parked? })).collect()) {
            shared.broken.notify_one();
        }
    }
}

fn send(shared: &Shared, store: &StoreId, message: &Answer, receipt: Receipt) {
    match seal_downlink(store, message) {
        Ok(mut bytes) => {
            receipt.prove_answer(&mut bytes);
            let payload = Bytes::from(bytes);
            // A lost answer costs a repetition, so it needs no PUBACK of the store.
            let qos = DownlinkQos::AtMostOnce;
            // Whether it reaches the store, the store will say.
            receipt.accept_with(Downlink { topic: &topic::downlink(store), payload: &payload, qos });
        }
        Err(error) => {
            shared.metrics.answer_failed(store, &error);
            receipt.accept();
        }
    }
}

/// Calls the stores whose turn has come, while no group is at work.
pub(super) fn call(shared: &Shared, queue: &mut Queue) {
    while let Some(effect) = queue.sync.poll_effect() {
        if let ServerEffect::Call { store, message, .. } = effect {
            tell(shared, queue.ways.get(&store), &store, &message);
        }
    }
}

/// Tells a store something that it has not asked for. If it is lost, the store asks after its pause.
pub(super) fn tell(shared: &Shared, way: Option<&WayBack>, store: &StoreId, message: &Answer) {
    let Some(way) = way else { return };
    match seal_downlink(store, message) {
        Ok(bytes) => way.tell(&shared.router, store, bytes),
        Err(error) => shared.metrics.answer_failed(store, &error),
    }
}
