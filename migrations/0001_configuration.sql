-- What a team configures: workspaces and the things in them, who may change
-- them, and a record of every change.
--
-- Every table with a workspace_id is held to one workspace by row-level
-- security: relayd sets relay.workspace at the start of each transaction, and
-- relay.all for work on the installation as a whole. With neither, no row is
-- visible.

CREATE FUNCTION relay_sees(workspace uuid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT workspace::text = current_setting('relay.workspace', true)
        OR current_setting('relay.all', true) = 'on'
$$;

-- One row: the installation. `revision` numbers published changes; its row lock orders them.
CREATE TABLE installation (
    only_one        boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    id              uuid NOT NULL,
    revision        bigint NOT NULL DEFAULT 0,
    setup_done_at   timestamptz,
    catalog_version text,
    settings        jsonb NOT NULL DEFAULT '{}',
    settings_version bigint NOT NULL DEFAULT 1
);

CREATE TABLE workspace (
    id          uuid PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    spec        jsonb NOT NULL DEFAULT '{}',
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- The catalog as it came with this version of relayd. Never changed by users:
-- what they change is in host.spec and model.spec, as patches.
CREATE TABLE catalog_host (
    name     text PRIMARY KEY,
    document jsonb NOT NULL
);

CREATE TABLE catalog_model (
    name     text PRIMARY KEY,
    vendor   text NOT NULL,
    document jsonb NOT NULL
);
CREATE INDEX catalog_model_vendor ON catalog_model (vendor);

-- Entries of their own (spec is the whole entry) and patches on catalog entries
-- (template names the entry, spec is a merge patch on it).
CREATE TABLE host (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name         text NOT NULL,
    template     text,
    spec         jsonb NOT NULL,
    version      bigint NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, name)
);

CREATE TABLE model (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name         text NOT NULL,
    template     text,
    spec         jsonb NOT NULL,
    version      bigint NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, name)
);

-- A data key of a workspace, wrapped by the master key master_key_id.
CREATE TABLE data_key (
    id            uuid PRIMARY KEY,
    workspace_id  uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    master_key_id text NOT NULL,
    wrapped       text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    retired_at    timestamptz
);
CREATE UNIQUE INDEX data_key_current ON data_key (workspace_id) WHERE retired_at IS NULL;

CREATE TABLE provider_key (
    id             uuid PRIMARY KEY,
    workspace_id   uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name           text NOT NULL,
    spec           jsonb NOT NULL,
    -- The value: sealed (secret.h), or a reference (spec.value_from). The
    -- version grows with every new value and is part of the seal.
    sealed         text,
    origin         text,
    secret_version bigint NOT NULL DEFAULT 0,
    -- :rotate with overlap: the value before, good until then.
    previous_sealed  text,
    previous_version bigint,
    previous_until   timestamptz,
    version        bigint NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, name)
);

CREATE TABLE pool (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name         text NOT NULL,
    spec         jsonb NOT NULL,
    version      bigint NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, name)
);

CREATE TABLE policy (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name         text NOT NULL,
    spec         jsonb NOT NULL,
    version      bigint NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, name)
);

CREATE TABLE relay_key (
    id           uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    name         text NOT NULL,
    spec         jsonb NOT NULL,
    public_id    text NOT NULL,
    digest       bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    -- :rotate with overlap: the digest before, good until then.
    previous_digest bytea UNIQUE CHECK (octet_length(previous_digest) = 32),
    previous_until  timestamptz,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    revision     bigint NOT NULL DEFAULT 0,
    version      bigint NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, name)
);
CREATE INDEX relay_key_revision ON relay_key (revision);

-- Records of this digest older than revision are void. Segments of 4096 make
-- one document each, so that revoking one of a million re-sends little.
CREATE TABLE revocation (
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    digest       bytea NOT NULL CHECK (octet_length(digest) = 32),
    revision     bigint NOT NULL,
    position     bigint GENERATED ALWAYS AS IDENTITY,
    expires_at   timestamptz,
    PRIMARY KEY (workspace_id, digest)
);
CREATE UNIQUE INDEX revocation_position ON revocation (workspace_id, position);

-- Relay-key records that have to go to the store; written with the change,
-- taken away when they are there.
CREATE TABLE outbox (
    position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    digest       bytea NOT NULL,
    relay_key_id uuid, -- NULL: the record is to be removed
    revision     bigint NOT NULL
);

-- Who refers to whom, so that nothing referred to disappears.
CREATE TABLE reference (
    workspace_id uuid NOT NULL REFERENCES workspace ON DELETE CASCADE,
    from_kind    text NOT NULL,
    from_id      uuid NOT NULL,
    to_kind      text NOT NULL,
    to_id        uuid NOT NULL,
    PRIMARY KEY (from_id, to_id, from_kind, to_kind)
);
CREATE INDEX reference_to ON reference (to_id);

CREATE TABLE api_token (
    id           uuid PRIMARY KEY,
    workspace_id uuid REFERENCES workspace ON DELETE CASCADE, -- NULL: every workspace
    name         text NOT NULL UNIQUE,
    spec         jsonb NOT NULL,
    digest       bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    version      bigint NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

-- Every change, written in its own transaction. Never a secret.
CREATE TABLE event (
    id           uuid PRIMARY KEY,
    workspace_id uuid REFERENCES workspace ON DELETE SET NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    actor        text NOT NULL,
    request_id   text NOT NULL,
    verb         text NOT NULL,
    kind         text NOT NULL,
    object_id    text NOT NULL,
    object_name  text NOT NULL,
    before       jsonb,
    after        jsonb
);
CREATE INDEX event_order ON event (workspace_id, id DESC);

-- Answers to requests that carried an Idempotency-Key, for a day. An answer
-- that shows a secret once is kept without it.
CREATE TABLE idempotency (
    token_id     text NOT NULL,
    key          text NOT NULL,
    fingerprint  bytea NOT NULL,
    status       integer NOT NULL,
    answer       jsonb,
    etag         text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (token_id, key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

DO $$
DECLARE
    scoped text;
BEGIN
    FOREACH scoped IN ARRAY ARRAY['host', 'model', 'data_key', 'provider_key', 'pool', 'policy',
                                  'relay_key', 'revocation', 'outbox', 'reference']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', scoped);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', scoped);
        EXECUTE format('CREATE POLICY one_workspace ON %I USING (relay_sees(workspace_id))', scoped);
    END LOOP;
END
$$;

ALTER TABLE event ENABLE ROW LEVEL SECURITY;
ALTER TABLE event FORCE ROW LEVEL SECURITY;
CREATE POLICY one_workspace ON event
    USING (CASE WHEN workspace_id IS NULL THEN current_setting('relay.all', true) = 'on'
                ELSE relay_sees(workspace_id) END);
