//! Every environment variable that the agent reads, and the key of the configuration that it sets.

/// The configuration file, as `--config`.
pub const CONFIG: &str = "BREAKWATER_AGENT_CONFIG";

/// What all of them begin with. One that begins so and is not listed is a slip, and warned of.
pub const PREFIX: &str = "BREAKWATER_AGENT_";

/// Key and variable.
pub const KEYS: [(&str, &str); 22] = [
    ("data_dir", "BREAKWATER_AGENT_DATA_DIR"),
    ("store.currency", "BREAKWATER_AGENT_STORE_CURRENCY"),
    ("store.time_zone", "BREAKWATER_AGENT_STORE_TIME_ZONE"),
    ("store.day_cut_off", "BREAKWATER_AGENT_STORE_DAY_CUT_OFF"),
    ("store.region", "BREAKWATER_AGENT_STORE_REGION"),
    ("store.groups", "BREAKWATER_AGENT_STORE_GROUPS"),
    ("store.own_prices", "BREAKWATER_AGENT_STORE_OWN_PRICES"),
    ("store.name", "BREAKWATER_AGENT_STORE_NAME"),
    ("store.receipt_header", "BREAKWATER_AGENT_STORE_RECEIPT_HEADER"),
    ("store.receipt_footer", "BREAKWATER_AGENT_STORE_RECEIPT_FOOTER"),
    ("http.listen", "BREAKWATER_AGENT_HTTP_LISTEN"),
    ("payment.require_attempts", "BREAKWATER_AGENT_PAYMENT_REQUIRE_ATTEMPTS"),
    ("http.tills", "BREAKWATER_AGENT_HTTP_TILLS"),
    ("outbox.retention", "BREAKWATER_AGENT_OUTBOX_RETENTION"),
    ("stock.trading_hours", "BREAKWATER_AGENT_STOCK_TRADING_HOURS"),
    ("stock.low_cover", "BREAKWATER_AGENT_STOCK_LOW_COVER"),
    ("centre.http_url", "BREAKWATER_AGENT_CENTRE_HTTP_URL"),
    ("centre.mqtt_url", "BREAKWATER_AGENT_CENTRE_MQTT_URL"),
    ("centre.ca_file", "BREAKWATER_AGENT_CENTRE_CA_FILE"),
    ("printer", "BREAKWATER_AGENT_PRINTER"),
    ("log.filter", "BREAKWATER_AGENT_LOG_FILTER"),
    ("log.format", "BREAKWATER_AGENT_LOG_FORMAT"),
];
