-- compatible with the version before
--
-- Access tokens that are in use, sealed under the workspace's data key
-- (access_token_row.h): of several relayd one asks for a token, and all publish
-- it; after a start it is still there.

CREATE TABLE access_token (
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    digest       bytea NOT NULL CHECK (octet_length(digest) = 32), -- of account and scope
    sealed       text NOT NULL,
    due_at       timestamptz NOT NULL, -- to be renewed
    ends_at      timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, digest)
);
ALTER TABLE access_token ENABLE ROW LEVEL SECURITY;
ALTER TABLE access_token FORCE ROW LEVEL SECURITY;
CREATE POLICY one_workspace ON access_token USING (relay_sees(workspace_id));
