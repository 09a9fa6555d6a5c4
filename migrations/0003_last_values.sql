-- compatible with the version before
--
-- The last value of a reference that was published, sealed like a value that is
-- given, to the row, the reference and the origin (last_value.h): with it a start
-- of relayd needs nobody who keeps secrets.

ALTER TABLE provider_key ADD COLUMN last_sealed text;
