-- compatible with the version before
--
-- What the document of each segment of `revocation` stands for, so that
-- publishing need not count all rows to see which one has changed: a revocation
-- costs the same with a million of them as with one. Triggers keep it, as rows
-- also go when a workspace does. Whoever changes `revocation` has locked
-- `installation` before, or may wait for another change in a circle.

CREATE TABLE revocation_segment (
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    number       bigint NOT NULL,  -- of positions number * 4096 + 1 to (number + 1) * 4096
    entries      bigint NOT NULL,
    revisions    numeric NOT NULL, -- their sum
    PRIMARY KEY (workspace_id, number)
);
ALTER TABLE revocation_segment ENABLE ROW LEVEL SECURITY;
ALTER TABLE revocation_segment FORCE ROW LEVEL SECURITY;
CREATE POLICY one_workspace ON revocation_segment USING (relay_sees(workspace_id));

CREATE FUNCTION relay_count_revocations() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO revocation_segment AS s (workspace_id, number, entries, revisions)
        SELECT workspace_id, (position - 1) / 4096, count(*), sum(revision)
        FROM came GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (workspace_id, number) DO UPDATE
        SET entries = s.entries + excluded.entries, revisions = s.revisions + excluded.revisions;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE revocation_segment s
        SET entries = s.entries - gone.entries, revisions = s.revisions - gone.revisions
        FROM (SELECT workspace_id, (position - 1) / 4096 AS number, count(*) AS entries,
                  sum(revision) AS revisions FROM went GROUP BY 1, 2) gone
        WHERE s.workspace_id = gone.workspace_id AND s.number = gone.number;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER revocation_came AFTER INSERT ON revocation
    REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION relay_count_revocations();
CREATE TRIGGER revocation_changed AFTER UPDATE ON revocation
    REFERENCING OLD TABLE AS went NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION relay_count_revocations();
CREATE TRIGGER revocation_went AFTER DELETE ON revocation
    REFERENCING OLD TABLE AS went FOR EACH STATEMENT EXECUTE FUNCTION relay_count_revocations();

INSERT INTO revocation_segment (workspace_id, number, entries, revisions)
SELECT workspace_id, (position - 1) / 4096, count(*), sum(revision) FROM revocation GROUP BY 1, 2;
