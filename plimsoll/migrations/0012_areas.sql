-- An area is a cell of the H3 grid; a watched road, which was called an area before, is a site like any other.
UPDATE ops.hotspots SET entity_kind = 'site', fingerprint = replace(fingerprint, '|area|', '|site|')
WHERE entity_kind = 'area';
UPDATE ops.recommendations SET entity_kind = 'site', fingerprint = replace(fingerprint, '|area|', '|site|')
WHERE entity_kind = 'area';

COMMENT ON COLUMN ops.hotspots.entity_id IS
'Site: its id, or the stream of a watched road. Route: its id. Area: the H3 cell, as hexadecimal text.';
