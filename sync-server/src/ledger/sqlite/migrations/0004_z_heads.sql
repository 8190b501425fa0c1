-- The newest report of a till, which each store is told when it connects.
CREATE INDEX z_reports_by_till ON z_reports (store_no, till_id, z_no);
