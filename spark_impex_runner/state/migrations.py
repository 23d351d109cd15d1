"""The migrations of the state file, one for each schema version."""

from __future__ import annotations

# Never edit a released script: files that it has migrated would differ from new ones.
MIGRATIONS = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        manifest TEXT NOT NULL,
        started TEXT NOT NULL,
        finished TEXT,
        exit_code INTEGER
    );
    CREATE TABLE attempts (
        id INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        target TEXT NOT NULL,
        tenant TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        correlation_id TEXT NOT NULL,
        intended TEXT NOT NULL,
        job_id TEXT NOT NULL DEFAULT '',
        created TEXT,
        done TEXT,
        delivered TEXT,
        finished TEXT,
        outcome TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT ''
    );
    CREATE UNIQUE INDEX one_open_attempt_per_target ON attempts(target) WHERE finished IS NULL;
    CREATE INDEX attempts_of_a_job ON attempts(job_id);
    CREATE INDEX attempts_of_a_request ON attempts(tenant, fingerprint);
    CREATE TABLE artifacts (
        attempt INTEGER NOT NULL REFERENCES attempts(id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        path TEXT NOT NULL,
        size INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        tenant_hash TEXT,
        hash_agreed INTEGER,
        made_by TEXT NOT NULL,
        PRIMARY KEY (attempt, name)
    );
    CREATE TABLE steps (
        attempt INTEGER NOT NULL REFERENCES attempts(id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        digest TEXT NOT NULL,
        uses TEXT NOT NULL,
        outcome TEXT NOT NULL,
        seconds REAL NOT NULL,
        message TEXT NOT NULL,
        artifacts TEXT NOT NULL,
        PRIMARY KEY (attempt, position)
    );
    """,
    # A duration is known only if one run saw the job start and end: a resumed job may have ended
    # long before its first status request. Older attempts have no size.
    """
    ALTER TABLE attempts ADD COLUMN size TEXT;
    ALTER TABLE attempts ADD COLUMN seconds REAL;
    UPDATE attempts SET seconds = (julianday(done) - julianday(created)) * 86400
        WHERE (SELECT julianday(finished) FROM runs WHERE id = run_id) >= julianday(done);
    CREATE INDEX attempts_of_a_size ON attempts(tenant, size)
    """,
    # The digest of all that was done with the packages, empty unless every step succeeded.
    """
    ALTER TABLE attempts ADD COLUMN work TEXT NOT NULL DEFAULT '';
    CREATE INDEX attempts_of_a_target ON attempts(target)
    """,
    # A request that is too large for one package is split; each part has an attempt of its own.
    """
    ALTER TABLE attempts ADD COLUMN part_of INTEGER REFERENCES attempts(id) ON DELETE CASCADE;
    CREATE INDEX attempts_of_parts ON attempts(part_of);
    CREATE TABLE parts (
        attempt INTEGER NOT NULL REFERENCES attempts(id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        request TEXT NOT NULL,
        PRIMARY KEY (attempt, name)
    )
    """,
    # Values that steps store belong to a target, not to an attempt: later runs read them.
    """
    CREATE TABLE memories (
        target TEXT NOT NULL,
        uses TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (target, uses, key)
    );
    ALTER TABLE attempts ADD COLUMN held TEXT NOT NULL DEFAULT ''
    """,
    # Attempts that were held before this table existed have no row: they are held again.
    """
    CREATE TABLE holds (
        id INTEGER PRIMARY KEY,
        attempt INTEGER NOT NULL REFERENCES attempts(id) ON DELETE CASCADE,
        run_id TEXT NOT NULL,
        at TEXT NOT NULL,
        name TEXT NOT NULL,
        work TEXT NOT NULL,
        command TEXT NOT NULL,
        approved_by TEXT NOT NULL DEFAULT '',
        approved_at TEXT,
        approval TEXT NOT NULL DEFAULT '',
        ended TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX holds_of_an_attempt ON holds(attempt)
    """,
    # Of attempts before this table only the first run and the final outcome are known.
    """
    CREATE TABLE outcomes (
        id INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        attempt INTEGER NOT NULL REFERENCES attempts(id) ON DELETE CASCADE,
        began TEXT NOT NULL,
        ended TEXT,
        outcome TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX outcomes_of_an_attempt ON outcomes(attempt);
    INSERT INTO outcomes (run_id, attempt, began, ended, outcome, error)
        SELECT run_id, id, intended, finished, outcome, error FROM attempts ORDER BY id
    """,
    # The targets of each run, and every approval: ``holds`` has only the last one.
    """
    ALTER TABLE runs ADD COLUMN started_by TEXT NOT NULL DEFAULT '';
    CREATE TABLE run_targets (
        run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        target TEXT NOT NULL,
        position INTEGER NOT NULL,
        outcome TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT '',
        job_ids TEXT NOT NULL DEFAULT '',
        started TEXT,
        finished TEXT,
        phases TEXT NOT NULL DEFAULT '{}',
        PRIMARY KEY (run_id, target)
    ) WITHOUT ROWID;
    INSERT INTO run_targets
            (run_id, target, position, outcome, error, job_ids, started, finished)
        SELECT outcomes.run_id, target, outcomes.id, outcomes.outcome, outcomes.error, job_id,
            began, ended
        FROM outcomes JOIN attempts ON attempts.id = attempt
        WHERE outcomes.id IN (
            SELECT max(outcomes.id) FROM outcomes JOIN attempts ON attempts.id = attempt
            WHERE part_of IS NULL GROUP BY outcomes.run_id, target
        );
    CREATE INDEX outcomes_of_a_run ON outcomes(run_id);
    CREATE TABLE approvals (
        id INTEGER PRIMARY KEY,
        hold INTEGER NOT NULL REFERENCES holds(id) ON DELETE CASCADE,
        run_id TEXT NOT NULL,
        at TEXT NOT NULL,
        approval TEXT NOT NULL
    );
    CREATE INDEX approvals_of_a_run ON approvals(run_id);
    INSERT INTO approvals (hold, run_id, at, approval)
        SELECT id, approved_by, approved_at, approval FROM holds WHERE approved_by <> '' ORDER BY id
    """,
    # Who started and who approved, by name; of older rows that is unknown. The signed records of an
    # attempt, in their order.
    """
    ALTER TABLE attempts ADD COLUMN started_by TEXT NOT NULL DEFAULT '';
    ALTER TABLE holds ADD COLUMN initiators TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE approvals ADD COLUMN approver TEXT NOT NULL DEFAULT '';
    ALTER TABLE approvals ADD COLUMN named_by TEXT NOT NULL DEFAULT '';
    CREATE TABLE evidence (
        id INTEGER PRIMARY KEY,
        attempt INTEGER NOT NULL REFERENCES attempts(id) ON DELETE CASCADE,
        envelope TEXT NOT NULL
    );
    CREATE INDEX evidence_of_an_attempt ON evidence(attempt)
    """,
)
