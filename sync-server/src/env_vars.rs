//! The environment variables of this program, each beside the setting that it overrides.

/// A configuration file; the flag `--config` comes before it.
pub const CONFIG: &str = "BREAKWATER_CONFIG";

/// Variables and the paths of their settings in `default.toml`. A test keeps the two alike.
pub const SETTINGS: [(&str, &str); 45] = [
    ("BREAKWATER_DATA_DIR", "data_dir"),
    ("BREAKWATER_LOG_FILTER", "log.filter"),
    ("BREAKWATER_LOG_FORMAT", "log.format"),
    ("BREAKWATER_HTTP_LISTEN", "http.listen"),
    ("BREAKWATER_HTTP_TLS_CERTIFICATE", "http.tls_certificate"),
    ("BREAKWATER_HTTP_TLS_KEY", "http.tls_key"),
    ("BREAKWATER_HTTP_ALLOW_PLAINTEXT", "http.allow_plaintext"),
    ("BREAKWATER_HTTP_API_TOKEN_FILE", "http.api_token_file"),
    ("BREAKWATER_MQTT_ENABLED", "mqtt.enabled"),
    ("BREAKWATER_MQTT_LISTEN", "mqtt.listen"),
    ("BREAKWATER_MQTT_TLS_CERTIFICATE", "mqtt.tls_certificate"),
    ("BREAKWATER_MQTT_TLS_KEY", "mqtt.tls_key"),
    ("BREAKWATER_MQTT_ALLOW_PLAINTEXT", "mqtt.allow_plaintext"),
    ("BREAKWATER_MQTT_PUBLIC_URL", "mqtt.public_url"),
    ("BREAKWATER_MQTT_CONNECTIONS_MAX", "mqtt.connections_max"),
    ("BREAKWATER_MQTT_CONNECTS_PER_SECOND", "mqtt.connects_per_second"),
    ("BREAKWATER_MQTT_CONNECTS_BURST", "mqtt.connects_burst"),
    ("BREAKWATER_MQTT_UPLINK_BYTES_MAX", "mqtt.uplink_bytes_max"),
    ("BREAKWATER_MQTT_KEEP_ALIVE_MAX", "mqtt.keep_alive_max"),
    ("BREAKWATER_BROKER_URL", "broker.url"),
    ("BREAKWATER_BROKER_USERNAME", "broker.username"),
    ("BREAKWATER_BROKER_PASSWORD_FILE", "broker.password_file"),
    ("BREAKWATER_BROKER_CA_FILE", "broker.ca_file"),
    ("BREAKWATER_BROKER_CLIENT_ID", "broker.client_id"),
    ("BREAKWATER_BROKER_CONNECTIONS", "broker.connections"),
    ("BREAKWATER_BROKER_ALLOW_PLAINTEXT", "broker.allow_plaintext"),
    ("BREAKWATER_BROKER_STORE_PASSWORDS_FILE", "broker.store_passwords_file"),
    ("BREAKWATER_INSTANCES_NAME", "instances.name"),
    ("BREAKWATER_INSTANCES_LEASE", "instances.lease"),
    ("BREAKWATER_INGEST_QUEUE_BYTES_MAX", "ingest.queue_bytes_max"),
    ("BREAKWATER_INGEST_BATCH_EVENTS_MAX", "ingest.batch_events_max"),
    ("BREAKWATER_INGEST_GROUP_EVENTS_MAX", "ingest.group_events_max"),
    ("BREAKWATER_INGEST_LAG_TARGET", "ingest.lag_target"),
    ("BREAKWATER_INGEST_EVENTS_PER_SECOND_MAX", "ingest.events_per_second_max"),
    ("BREAKWATER_INGEST_HOLD_MAX", "ingest.hold_max"),
    ("BREAKWATER_INGEST_RECONNECT_SPREAD", "ingest.reconnect_spread"),
    ("BREAKWATER_LEDGER_URL", "ledger.url"),
    ("BREAKWATER_LEDGER_URL_FILE", "ledger.url_file"),
    ("BREAKWATER_LEDGER_KEEP_MONTHS", "ledger.keep_months"),
    ("BREAKWATER_LEDGER_CACHE", "ledger.cache"),
    ("BREAKWATER_LEDGER_WAL_MAX", "ledger.wal_max"),
    ("BREAKWATER_PARKING_ALARM_EVENTS", "parking.alarm_events"),
    ("BREAKWATER_PARKING_ALARM_AGE", "parking.alarm_age"),
    ("BREAKWATER_ENROLMENT_CLAIM_CODE_LIFETIME", "enrolment.claim_code_lifetime"),
    ("BREAKWATER_RECONCILE_EVERY", "reconcile.every"),
];

/// What begins like our variables and belongs to others: the agent, the cashier's screen, tests and tools.
const OF_OTHERS: [&str; 9] = [
    "BREAKWATER_AGENT_",
    "BREAKWATER_POS_",
    "BREAKWATER_SEED",
    "BREAKWATER_BENCH_DIR",
    "BREAKWATER_FUZZ_",
    "BREAKWATER_BLESS",
    "BREAKWATER_TOOLS",
    "BREAKWATER_CI_",
    "BREAKWATER_TEST_",
];

/// Where the tests find their data; too like one of ours to be told by how it begins.
const DATA_OF_TESTS: &str = "BREAKWATER_DATA";

/// Whether a variable looks like one of ours and is none: a slip.
pub fn is_slip(name: &str) -> bool {
    name.starts_with("BREAKWATER_")
        && !OF_OTHERS.iter().any(|other| name.starts_with(other))
        && name != DATA_OF_TESTS
        && name != CONFIG
        && !SETTINGS.iter().any(|(known, _)| *known == name)
}
