//! Every bound of the uplink: its unit, and why it is what it is.

/// The bounds of a store's end.
#[derive(Debug, Clone)]
pub struct StoreLimits {
    /// Events in one batch. At 500 a week of backlog is a few dozen round trips; more would only delay the first ack.
    pub batch_events_max: u32,
    /// Epochs in one `Hello`. 256 of them are some 30 KiB before compression; a store that has more asks again.
    pub hello_epochs_max: usize,
    /// How long a connection may take to stand, in milliseconds: name look-up, TCP, TLS, CONNECT and SUBSCRIBE.
    pub connect_timeout_ms: u64,
    /// How long to wait for `Welcome`, in milliseconds. A busy centre answers within its queue's age.
    pub hello_timeout_ms: u64,
    /// How long to wait for an ack, in milliseconds. Longer than any healthy commit, so that a resend means a loss.
    pub ack_timeout_ms: u64,
    /// Unanswered questions or batches in a row before the connection is given up.
    pub timeouts_max: u32,
    /// The first back-off window, in milliseconds.
    pub backoff_base_ms: u64,
    /// The largest back-off window, in milliseconds. The jitter is drawn from the capped window, never added before the
    /// cap: otherwise every store that reached the cap would come at the same moment.
    pub backoff_cap_ms: u64,
    /// The largest back-off window after a batch was refused for overload, in milliseconds. The refusal is cheap for the
    /// centre, and the batch comes back smaller, so there is no reason to stay away for long.
    pub refusal_backoff_cap_ms: u64,
    /// The back-off window after the first refused login, in milliseconds; it doubles with each further one in a row. A
    /// broker may learn of an enrolment a moment after the store.
    pub refused_backoff_first_ms: u64,
    /// The largest back-off window after a refused login, in milliseconds: by then nothing but a person can change that.
    pub refused_backoff_ms: u64,
    /// The shortest pause that a store keeps when the centre grants no events, in milliseconds.
    pub pause_ms_min: u64,
    /// The longest hold that a store accepts from the centre, in milliseconds. A wrong number must not silence a store.
    pub hold_ms_max: u64,
    /// Between heartbeats, in milliseconds; each is jittered by half of it.
    pub heartbeat_ms: u64,
    /// The shortest time between two digests that a store agrees to, in milliseconds. Making one reads some weeks of events,
    /// beside the till.
    pub digests_ms_min: u64,
    /// The longest time in which the first digests of a connection come, in milliseconds.
    pub first_digests_ms_max: u64,
}

impl StoreLimits {
    /// The bounds of production.
    pub const PRODUCTION: Self = Self {
        batch_events_max: 500,
        hello_epochs_max: 256,
        connect_timeout_ms: 15_000,
        hello_timeout_ms: 10_000,
        ack_timeout_ms: 10_000,
        timeouts_max: 3,
        backoff_base_ms: 500,
        backoff_cap_ms: 60_000,
        refusal_backoff_cap_ms: 4_000,
        refused_backoff_first_ms: 10_000,
        refused_backoff_ms: 300_000,
        pause_ms_min: 1_000,
        hold_ms_max: 300_000,
        heartbeat_ms: 30_000,
        digests_ms_min: 1_000,
        first_digests_ms_max: 600_000,
    };
}

/// The bounds of the centre's end.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// Bytes of payload that may wait for a commit. With the group in work, this bounds the memory of the ingest.
    pub queue_bytes_max: usize,
    /// Messages of one store that may wait. One is the rule; resends after a lost connection make a few more.
    pub store_jobs_max: usize,
    /// Events in one group. A group of this size commits in tens of milliseconds, so that a fresh sale does not wait long.
    pub group_events_max: usize,
    /// Messages in one group: heartbeats and questions carry no events but take time too.
    pub group_jobs_max: usize,
    /// Events that a store may send in one batch when nothing holds it back.
    pub batch_events_max: u32,
    /// How long messages may wait from their arrival to the end of their commit before stores are slowed down, in
    /// milliseconds. Half of what a fresh sale may take to the ledger, and several commits of a healthy disk.
    pub lag_ms_target: u64,
    /// For how long a batch may wait for its group, in milliseconds; while one waits for longer, further ones are refused.
    /// Half of the patience of a store, which would send again what it waits for too long.
    pub queue_ms_max: u64,
    /// The operator's limit on events that are committed a second; none without one.
    pub events_per_s_max: Option<u64>,
    /// The longest hold that the centre asks for, in milliseconds, however slow its ledger is. A store keeps its fresh sales
    /// back for as long.
    pub hold_ms_max: u32,
    /// How wide stores spread at the least when they come back after a loss, in milliseconds.
    pub reconnect_spread_ms: u32,
}

impl ServerLimits {
    /// The bounds of production.
    pub const PRODUCTION: Self = Self {
        queue_bytes_max: 64 * 1024 * 1024,
        store_jobs_max: 4,
        group_events_max: 10_000,
        group_jobs_max: 2_000,
        batch_events_max: 500,
        lag_ms_target: 250,
        queue_ms_max: 5_000,
        events_per_s_max: None,
        hold_ms_max: 60_000,
        reconnect_spread_ms: 2_000,
    };
}
