-- The till that a job is printed for, whose printers come first and whose drawer opens; empty if it is the whole store's.
ALTER TABLE print_job ADD COLUMN till_id TEXT NOT NULL DEFAULT '';
