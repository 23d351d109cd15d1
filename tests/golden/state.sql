BEGIN TRANSACTION;
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
INSERT INTO "artifacts" VALUES(1,'package.zip','{folder}/exports/life/package.zip',4497,'4dc2fef52297f8abdde879fe943b506966f6163a42c21801eff22861db85ea33','4dc2fef52297f8abdde879fe943b506966f6163a42c21801eff22861db85ea33',1,'download');
INSERT INTO "artifacts" VALUES(1,'SHA256SUMS','{folder}/exports/life/SHA256SUMS',78,'f0ef22e7be8f0563850ca63c008cbf26bf8f0673a929b5e7169e9488bbe26fd5',NULL,NULL,'checksum');
INSERT INTO "artifacts" VALUES(2,'package.zip','{folder}/exports/held/package.zip',4497,'74ea36e13057dca9104639832b6ea645f597fe69e4effba67068c84284815295','74ea36e13057dca9104639832b6ea645f597fe69e4effba67068c84284815295',1,'download');
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
    , size TEXT, seconds REAL, work TEXT NOT NULL DEFAULT '', part_of INTEGER REFERENCES attempts(id) ON DELETE CASCADE, held TEXT NOT NULL DEFAULT '');
INSERT INTO "attempts" VALUES(1,'20261129T120704Z-dc57223b','m/life','{sit}','4b21f7ead81c02ab02b772895776ad4a171b0a1eedfd01548e03da5b03879547','20261129T120704Z-dc57223b-life','{time}','6e051a97-214b-4178-bf9f-a939bfea72c0','{time}','{time}','[[["life", "annuity", "1fac0e85-3f74-5ae2-8ce6-2a6ede163f66", "", ""]], [["life", "annuity", "1fac0e85-3f74-5ae2-8ce6-2a6ede163f66", "1.0.0", "f92d2d54-6cef-54ad-80fd-e937ab749404"]]]','{time}','succeeded','','1 migrate latest',7.00056552886962890625e-03,'dcb9ae23b072dc939e9fd5c283051dc1c4ff038261090b9be8cc5fe086969b79',NULL,'');
INSERT INTO "attempts" VALUES(2,'20261129T120704Z-dc57223b','m/held','{sit}','86ff02d76f4df86e437dc35624acb9c23e947a92474084f1d1eeee21816d2582','20261129T120704Z-dc57223b-held','{time}','1c5c64c3-7d73-46fc-bc90-c5421f636564','{time}','{time}','[[["life", "annuity", "1fac0e85-3f74-5ae2-8ce6-2a6ede163f66", "", ""]], [["life", "annuity", "1fac0e85-3f74-5ae2-8ce6-2a6ede163f66", "1.0.0", "f92d2d54-6cef-54ad-80fd-e937ab749404"]]]',NULL,'','','1 migrate latest',5.99473714828491210937e-03,'',NULL,'uat');
INSERT INTO "attempts" VALUES(3,'20261129T120704Z-dc57223b','m/motor','{sit}','759888a70d8fe1b8ff2c02f13bb7d3c87ac1e5875ff3de39b667737328336343','20261129T120704Z-dc57223b-motor','{time}','{job}','{time}',NULL,NULL,NULL,'','','1 migrate latest',NULL,'',NULL,'');
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
INSERT INTO "holds" VALUES(1,2,'20261129T120704Z-dc57223b','{time}','uat','{"options": {"gate": "manual", "to": "uat"}, "packages": {"package.zip": {"does": {"if_present": "abort", "mapping": [{"source": "life/annuity[1.0.0]", "target": "life/annuity"}]}, "sha256": "74ea36e13057dca9104639832b6ea645f597fe69e4effba67068c84284815295", "tenant": "{uat}", "to": "uat"}}, "salt": "846feafdee58765d6194497a57f7973a", "step": "import"}','impex-run m.yaml -t held --report json=r.json --report junit=r.xml --approve uat@74ea36e13057','',NULL,'','');
CREATE TABLE memories (
        target TEXT NOT NULL,
        uses TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (target, uses, key)
    );
INSERT INTO "memories" VALUES('m/life','','{folder}/exports/life/package.zip','{"names": "", "trees": []}');
INSERT INTO "memories" VALUES('m/life','','{folder}/exports/life/SHA256SUMS','{"names": "", "trees": []}');
INSERT INTO "memories" VALUES('m/held','','{folder}/exports/held/package.zip','{"names": "", "trees": []}');
CREATE TABLE outcomes (
        id INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        attempt INTEGER NOT NULL REFERENCES attempts(id) ON DELETE CASCADE,
        began TEXT NOT NULL,
        ended TEXT,
        outcome TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT ''
    );
INSERT INTO "outcomes" VALUES(1,'20261129T120704Z-dc57223b',1,'{time}','{time}','succeeded','');
INSERT INTO "outcomes" VALUES(2,'20261129T120704Z-dc57223b',2,'{time}','{time}','held','package.zip (sha256 74ea36e13057dca9104639832b6ea645f597fe69e4effba67068c84284815295) waits to be imported to uat: life/annuity[1.0.0]');
INSERT INTO "outcomes" VALUES(3,'20261129T120704Z-dc57223b',3,'{time}','{time}','timed_out','job {job} is still ''created'' after 0.3 s (polling.deadline); it may still run: impex-run m.yaml goes on with it, impex cancel m.yaml -t motor ends it');
CREATE TABLE parts (
        attempt INTEGER NOT NULL REFERENCES attempts(id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        request TEXT NOT NULL,
        PRIMARY KEY (attempt, name)
    );
CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        manifest TEXT NOT NULL,
        started TEXT NOT NULL,
        finished TEXT,
        exit_code INTEGER
    );
INSERT INTO "runs" VALUES('20261129T120704Z-dc57223b','m.yaml','{time}','{time}',5);
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
INSERT INTO "steps" VALUES(1,0,'65763cf997084ba663b78fd775e968acf5bf37df1544276ea6b2de21f64d31a0','checksum','succeeded',0.01,'','["SHA256SUMS"]');
CREATE UNIQUE INDEX one_open_attempt_per_target ON attempts(target) WHERE finished IS NULL;
CREATE INDEX attempts_of_a_job ON attempts(job_id);
CREATE INDEX attempts_of_a_request ON attempts(tenant, fingerprint);
CREATE INDEX attempts_of_a_size ON attempts(tenant, size)
    ;
CREATE INDEX attempts_of_a_target ON attempts(target)
    ;
CREATE INDEX attempts_of_parts ON attempts(part_of);
CREATE INDEX holds_of_an_attempt ON holds(attempt)
    ;
CREATE INDEX outcomes_of_an_attempt ON outcomes(attempt);
COMMIT;
PRAGMA user_version = 7;
