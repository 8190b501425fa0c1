-- What is to be printed, and what became of it. The oldest jobs go when there are too many.
CREATE TABLE print_job (
    -- In the order in which they were put in; never given twice.
    job_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The kind of paper, and with it the template.
    kind        TEXT    NOT NULL,
    -- Whose printer: a role such as 'receipt', or '@' and the name of a printer.
    role        TEXT    NOT NULL,
    -- What it belongs to: the id of a sale or shift, or nothing.
    subject     TEXT    NOT NULL,
    -- JSON: what the template is filled with.
    data        TEXT    NOT NULL,
    -- 0 for the first print, then 1, 2 and so on, as the paper says.
    copy        INTEGER NOT NULL CHECK (copy >= 0),
    -- The first print of which this is a copy.
    original    INTEGER,
    state       TEXT    NOT NULL,
    tries       INTEGER NOT NULL,
    -- Which printer of the role's list comes next, from 0.
    place       INTEGER NOT NULL,
    -- Not to be tried before then, and since when it goes round by itself: milliseconds since 1970 (UTC), as all times here.
    due_at      INTEGER NOT NULL,
    since       INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    -- The printer of the last try, and what went wrong there, in words.
    printer     TEXT    NOT NULL,
    trouble     TEXT    NOT NULL
) STRICT;
CREATE INDEX print_job_open ON print_job (state) WHERE state IN ('queued', 'sending', 'maybe_printed');
CREATE INDEX print_job_subject ON print_job (subject) WHERE subject <> '';
CREATE INDEX print_job_original ON print_job (original) WHERE original IS NOT NULL;
