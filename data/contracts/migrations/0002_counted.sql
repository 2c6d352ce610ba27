-- Written by `plimsoll contracts migrate`.
ALTER TABLE live.occupancy ADD COLUMN "_counted" bigint[];
COMMENT ON COLUMN live.occupancy._counted IS
'Where the load is reckoned from door counts: when it was told last, and what was counted in its last minute, so that a repeat is known.';
