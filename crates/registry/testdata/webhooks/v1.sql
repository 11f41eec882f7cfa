CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
INSERT INTO meta VALUES ('format', '1');
CREATE TABLE webhooks ( place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, url TEXT NOT NULL, topics TEXT NOT NULL, description TEXT, status TEXT NOT NULL, secret TEXT, created INTEGER NOT NULL, updated INTEGER NOT NULL, cursor INTEGER NOT NULL, attempts INTEGER NOT NULL, next_attempt INTEGER NOT NULL, holder TEXT, token TEXT, held_until INTEGER ) STRICT;
INSERT INTO webhooks VALUES (1, '5f0c1e5e-3b7a-4d52-9a51-0c9c5bd1e0aa', 'deploy', 'https://ci.example.com/hook?a=größe', 'model_version.created@7 promotion.refused@12', 'for ''them''', 'ACTIVE', 'whsec', 1700000000000, 1700000000001, 41, 3, 1700000004000, 'process 7', '0b0f3a52-8a7b-4c11-8a6e-1d2f0b3c4d5e', 1700000009000);
INSERT INTO webhooks VALUES (2, '6f0c1e5e-3b7a-4d52-9a51-0c9c5bd1e0aa', 'off', 'https://ci.example.com/', 'prompt.created@0', NULL, 'DISABLED', NULL, 1700000000002, 1700000000002, 0, 0, 0, NULL, NULL, NULL);
CREATE TABLE deliveries ( hook TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, topic TEXT NOT NULL, outcome TEXT NOT NULL, attempts INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, response INTEGER, error TEXT, PRIMARY KEY (hook, id) ) STRICT, WITHOUT ROWID;
INSERT INTO deliveries VALUES ('5f0c1e5e-3b7a-4d52-9a51-0c9c5bd1e0aa', 'd2', 42, 'model_version.created', 'retrying', 3, 1700000001000, 1700000003000, 503, 'it answered 503');
INSERT INTO deliveries VALUES ('5f0c1e5e-3b7a-4d52-9a51-0c9c5bd1e0aa', 'd1', 41, 'promotion.refused', 'delivered', 1, 1700000001000, 1700000001000, 204, NULL);
CREATE INDEX deliveries_in_order ON deliveries (hook, seq);
