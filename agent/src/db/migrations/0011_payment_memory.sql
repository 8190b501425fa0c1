-- Whether the terminal has ever said that it has taken money for the attempt, and whether it has forgotten that since.
ALTER TABLE attempt ADD COLUMN taken TEXT NOT NULL DEFAULT 'never' CHECK (taken IN ('never', 'said', 'forgotten'));
-- Whether a person has said what became of it. Then nothing of it changes any more.
ALTER TABLE attempt ADD COLUMN settled INTEGER NOT NULL DEFAULT 0 CHECK (settled IN (0, 1));
UPDATE attempt SET taken = 'said'
WHERE state IN ('approved', 'reversed') OR reference IS NOT NULL OR reversal IN ('late', 'other_amount');
-- By how much a total was rounded because it was paid in cash. Of earlier sales the event tells it.
ALTER TABLE sale ADD COLUMN cash_rounding_minor INTEGER NOT NULL DEFAULT 0;
