-- People and programs that may use the desk. Passwords are scrypt hashes; session and token values are stored hashed.
CREATE TABLE fraud.users (
    user_name text PRIMARY KEY CHECK (user_name ~ '^[a-z][a-z0-9._-]{1,39}$'),
    role text NOT NULL CHECK (role IN ('viewer', 'analyst', 'admin')),
    password_hash text NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    password_changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE fraud.desk_sessions (
    session_hash text PRIMARY KEY,
    user_name text NOT NULL REFERENCES fraud.users ON DELETE CASCADE,
    csrf_token text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX desk_sessions_expiry ON fraud.desk_sessions (expires_at);
CREATE TABLE fraud.api_tokens (
    token_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_name text NOT NULL REFERENCES fraud.users ON DELETE CASCADE,
    label text NOT NULL,
    token_hash text NOT NULL UNIQUE,
    role text NOT NULL CHECK (role IN ('viewer', 'analyst', 'admin')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz
);
