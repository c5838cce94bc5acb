-- The ledger of one broker account. Double entry, append-only, enforced here and not by the program alone.
--
-- Postings first, header last: the lines, lots and lot closes of an entry are inserted before its row in `tx`, whose
-- BEFORE INSERT trigger is the seal. Lines point to their header by a deferred foreign key, so lines without a
-- sealed header cannot commit.
--
-- Amounts are signed integers in the commodity's scale: + debit, - credit. USD has scale 6, shares have scale 9.
-- Every insert trigger calls tbot_ledger_writer(), which only the ledger service's connection has: another client
-- cannot insert, and so cannot leave rows behind that block the books.
PRAGMA application_id = 1413631047;
PRAGMA user_version = 1;

CREATE TABLE coa_metadata (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    currency_code TEXT NOT NULL,
    entity_code TEXT NOT NULL,
    jurisdiction_code TEXT NOT NULL,
    coa_version INTEGER NOT NULL REFERENCES coa_version (version),
    created_at_utc TEXT NOT NULL,
    last_updated_utc TEXT NOT NULL
) STRICT;

CREATE TABLE coa_version (
    version INTEGER PRIMARY KEY,
    created_at_utc TEXT NOT NULL,
    author TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('SEED', 'WEB')),
    note TEXT NOT NULL,
    content_hash TEXT NOT NULL CHECK (length(content_hash) = 64)
) STRICT;

CREATE TABLE coa_account (
    version INTEGER NOT NULL REFERENCES coa_version (version) DEFERRABLE INITIALLY DEFERRED,
    code TEXT NOT NULL CHECK (length(code) BETWEEN 1 AND 12),
    name TEXT NOT NULL CHECK (length(name) > 0),
    type TEXT NOT NULL CHECK (type IN ('ASSET', 'LIABILITY', 'EQUITY', 'INCOME', 'EXPENSE', 'MEMO')),
    unit_rule TEXT NOT NULL CHECK (unit_rule IN ('BASE', 'UNITS', 'NONE')),
    lot_rule TEXT NOT NULL CHECK (lot_rule IN ('NONE', 'REQUIRED')),
    parent TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('OPEN', 'CLOSED')),
    PRIMARY KEY (version, code)
) STRICT;

CREATE TABLE commodity (
    symbol TEXT PRIMARY KEY CHECK (length(symbol) > 0),
    kind TEXT NOT NULL CHECK (kind IN ('CURRENCY', 'EQUITY', 'OPTION')),
    scale INTEGER NOT NULL CHECK (scale BETWEEN 0 AND 9),
    multiplier INTEGER NOT NULL CHECK (multiplier > 0)
) STRICT;

CREATE TABLE tx (
    seq INTEGER PRIMARY KEY,
    source_event_id TEXT NOT NULL UNIQUE CHECK (length(source_event_id) > 0),
    event_type TEXT NOT NULL CHECK (length(event_type) > 0),
    symbol TEXT NOT NULL,
    description TEXT NOT NULL,
    gain_micros INTEGER NOT NULL,
    occurred_at_ns INTEGER NOT NULL CHECK (occurred_at_ns >= 0),
    recorded_at_ns INTEGER NOT NULL CHECK (recorded_at_ns >= 0),
    coa_version INTEGER NOT NULL REFERENCES coa_version (version),
    occurred_at_utc TEXT GENERATED ALWAYS AS
        (strftime('%Y-%m-%dT%H:%M:%SZ', occurred_at_ns / 1000000000, 'unixepoch')) VIRTUAL,
    recorded_at_utc TEXT GENERATED ALWAYS AS
        (strftime('%Y-%m-%dT%H:%M:%SZ', recorded_at_ns / 1000000000, 'unixepoch')) VIRTUAL
) STRICT;

CREATE TABLE posting (
    tx_seq INTEGER NOT NULL REFERENCES tx (seq) DEFERRABLE INITIALLY DEFERRED,
    line_no INTEGER NOT NULL CHECK (line_no >= 1),
    account_code TEXT NOT NULL,
    commodity TEXT NOT NULL REFERENCES commodity (symbol),
    amount INTEGER NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (tx_seq, line_no)
) STRICT;
CREATE INDEX posting_by_account ON posting (account_code, commodity);
CREATE INDEX posting_by_commodity ON posting (commodity);

CREATE TABLE lot (
    lot_id INTEGER PRIMARY KEY,
    open_tx INTEGER NOT NULL REFERENCES tx (seq) DEFERRABLE INITIALLY DEFERRED,
    account_code TEXT NOT NULL,
    commodity TEXT NOT NULL REFERENCES commodity (symbol),
    queue_pos INTEGER NOT NULL CHECK (queue_pos >= 1),
    acquired_at_ns INTEGER NOT NULL,
    qty INTEGER NOT NULL CHECK (qty > 0),
    cost INTEGER NOT NULL CHECK (cost >= 0),
    UNIQUE (commodity, queue_pos)
) STRICT;
CREATE INDEX lot_by_tx ON lot (open_tx);

CREATE TABLE lot_close (
    close_id INTEGER PRIMARY KEY,
    lot_id INTEGER NOT NULL REFERENCES lot (lot_id),
    tx_seq INTEGER NOT NULL REFERENCES tx (seq) DEFERRABLE INITIALLY DEFERRED,
    qty INTEGER NOT NULL CHECK (qty > 0),
    cost INTEGER NOT NULL CHECK (cost >= 0),
    proceeds INTEGER NOT NULL CHECK (proceeds >= 0),
    gain INTEGER NOT NULL CHECK (gain = proceeds - cost),
    qty_left INTEGER NOT NULL CHECK (qty_left >= 0),
    cost_left INTEGER NOT NULL CHECK (cost_left >= 0 AND (qty_left > 0 OR cost_left = 0)),
    term TEXT NOT NULL CHECK (term IN ('ST', 'LT'))
) STRICT;
CREATE INDEX lot_close_by_lot ON lot_close (lot_id, close_id);
CREATE INDEX lot_close_by_tx ON lot_close (tx_seq);

-- Chart of accounts: version 1 at creation, every later one from the web interface; frozen once it is active. -------

CREATE TRIGGER coa_version_insert BEFORE INSERT ON coa_version BEGIN
    SELECT RAISE(ABORT, 'only the ledger service may write to the ledger') WHERE tbot_ledger_writer() IS NOT 1;
    SELECT RAISE(ABORT, 'the next version of the chart of accounts is one above the active one')
        WHERE NEW.version IS NOT (SELECT coalesce(max(coa_version), 0) + 1 FROM coa_metadata);
    SELECT RAISE(ABORT, 'this version of the chart of accounts exists already')
        WHERE EXISTS (SELECT 1 FROM coa_version WHERE version = NEW.version);
    SELECT RAISE(ABORT, 'version 1 is the SEED, every later version comes from the WEB')
        WHERE NEW.source IS NOT CASE NEW.version WHEN 1 THEN 'SEED' ELSE 'WEB' END;
END;

CREATE TRIGGER coa_account_insert BEFORE INSERT ON coa_account BEGIN
    SELECT RAISE(ABORT, 'only the ledger service may write to the ledger') WHERE tbot_ledger_writer() IS NOT 1;
    SELECT RAISE(ABORT, 'an active version of the chart of accounts is frozen')
        WHERE NEW.version IS NOT (SELECT coalesce(max(coa_version), 0) + 1 FROM coa_metadata);
    SELECT RAISE(ABORT, 'this account exists already in this version')
        WHERE EXISTS (SELECT 1 FROM coa_account WHERE version = NEW.version AND code = NEW.code);
END;

CREATE TRIGGER coa_metadata_insert BEFORE INSERT ON coa_metadata BEGIN
    SELECT RAISE(ABORT, 'only the ledger service may write to the ledger') WHERE tbot_ledger_writer() IS NOT 1;
    SELECT RAISE(ABORT, 'the ledger has its chart of accounts already') WHERE EXISTS (SELECT 1 FROM coa_metadata);
    SELECT RAISE(ABORT, 'a new ledger starts with version 1 of its chart of accounts')
        WHERE NEW.coa_version IS NOT 1 OR NOT EXISTS (SELECT 1 FROM coa_account WHERE version = 1);
END;

CREATE TRIGGER coa_metadata_update BEFORE UPDATE ON coa_metadata BEGIN
    SELECT RAISE(ABORT, 'only the ledger service may write to the ledger') WHERE tbot_ledger_writer() IS NOT 1;
    SELECT RAISE(ABORT, 'entity, jurisdiction, currency and creation time of a ledger never change')
        WHERE NEW.id IS NOT OLD.id OR NEW.currency_code IS NOT OLD.currency_code
            OR NEW.entity_code IS NOT OLD.entity_code OR NEW.jurisdiction_code IS NOT OLD.jurisdiction_code
            OR NEW.created_at_utc IS NOT OLD.created_at_utc;
    SELECT RAISE(ABORT, 'the chart of accounts moves on by one version, to one that exists')
        WHERE NEW.coa_version IS NOT OLD.coa_version + 1
            OR NOT EXISTS (SELECT 1 FROM coa_version WHERE version = NEW.coa_version)
            OR NOT EXISTS (SELECT 1 FROM coa_account WHERE version = NEW.coa_version);
    SELECT RAISE(ABORT, 'the time of the last update moves forward')
        WHERE NOT NEW.last_updated_utc > OLD.last_updated_utc;
    SELECT RAISE(ABORT, 'a used account may not vanish or change its type or rules')
        WHERE EXISTS (
            SELECT 1 FROM coa_account AS was
            WHERE was.version = OLD.coa_version
                AND EXISTS (SELECT 1 FROM posting WHERE account_code = was.code)
                AND NOT EXISTS (
                    SELECT 1 FROM coa_account AS will
                    WHERE will.version = NEW.coa_version AND will.code = was.code AND will.type = was.type
                        AND will.unit_rule = was.unit_rule AND will.lot_rule = was.lot_rule));
    SELECT RAISE(ABORT, 'an account with a balance may not be closed')
        WHERE EXISTS (
            SELECT 1 FROM coa_account AS will JOIN posting ON posting.account_code = will.code
            WHERE will.version = NEW.coa_version AND will.status = 'CLOSED'
            GROUP BY posting.account_code, posting.commodity HAVING sum(posting.amount) <> 0);
END;

CREATE TRIGGER commodity_insert BEFORE INSERT ON commodity BEGIN
    SELECT RAISE(ABORT, 'only the ledger service may write to the ledger') WHERE tbot_ledger_writer() IS NOT 1;
    SELECT RAISE(ABORT, 'this commodity exists already')
        WHERE EXISTS (SELECT 1 FROM commodity WHERE symbol = NEW.symbol);
END;

-- Entries -----------------------------------------------------------------------------------------------------------

CREATE TRIGGER posting_insert BEFORE INSERT ON posting BEGIN
    SELECT RAISE(ABORT, 'only the ledger service may write to the ledger') WHERE tbot_ledger_writer() IS NOT 1;
    SELECT RAISE(ABORT, 'lines belong to the next entry; an entry that is sealed takes no more')
        WHERE NEW.tx_seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM tx);
    SELECT RAISE(ABORT, 'lines are numbered from 1 without gaps')
        WHERE NEW.line_no IS NOT (SELECT coalesce(max(line_no), 0) + 1 FROM posting WHERE tx_seq = NEW.tx_seq);
    SELECT RAISE(ABORT, 'the account is not open in the chart of accounts, or does not hold this kind of commodity')
        WHERE NOT EXISTS (
            SELECT 1 FROM coa_account AS a
            JOIN coa_metadata AS m ON m.coa_version = a.version
            JOIN commodity AS c ON c.symbol = NEW.commodity
            WHERE a.code = NEW.account_code AND a.status = 'OPEN'
                AND a.unit_rule = CASE WHEN c.kind = 'CURRENCY' THEN 'BASE' ELSE 'UNITS' END
                AND (c.kind <> 'CURRENCY' OR c.symbol = m.currency_code));
END;

CREATE TRIGGER lot_insert BEFORE INSERT ON lot BEGIN
    SELECT RAISE(ABORT, 'only the ledger service may write to the ledger') WHERE tbot_ledger_writer() IS NOT 1;
    SELECT RAISE(ABORT, 'lots are opened by the next entry')
        WHERE NEW.open_tx IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM tx);
    SELECT RAISE(ABORT, 'lots are numbered without gaps')
        WHERE NEW.lot_id IS NOT (SELECT coalesce(max(lot_id), 0) + 1 FROM lot);
    SELECT RAISE(ABORT, 'a lot joins the end of its queue')
        WHERE NEW.queue_pos IS NOT
            (SELECT coalesce(max(queue_pos), 0) + 1 FROM lot WHERE commodity = NEW.commodity);
    SELECT RAISE(ABORT, 'lots enter in the order of their purchase')
        WHERE NEW.acquired_at_ns <
            (SELECT acquired_at_ns FROM lot WHERE commodity = NEW.commodity AND queue_pos = NEW.queue_pos - 1);
    SELECT RAISE(ABORT, 'lots belong to an account that requires them')
        WHERE NOT EXISTS (
            SELECT 1 FROM coa_account AS a JOIN coa_metadata AS m ON m.coa_version = a.version
            WHERE a.code = NEW.account_code AND a.lot_rule = 'REQUIRED' AND a.unit_rule = 'BASE');
END;

CREATE TRIGGER lot_close_insert BEFORE INSERT ON lot_close BEGIN
    SELECT RAISE(ABORT, 'only the ledger service may write to the ledger') WHERE tbot_ledger_writer() IS NOT 1;
    SELECT RAISE(ABORT, 'lots are closed by the next entry')
        WHERE NEW.tx_seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM tx);
    SELECT RAISE(ABORT, 'lot closes are numbered without gaps')
        WHERE NEW.close_id IS NOT (SELECT coalesce(max(close_id), 0) + 1 FROM lot_close);
    SELECT RAISE(ABORT, 'a close takes from what the lot has left, and says what remains')
        WHERE NEW.qty_left + NEW.qty IS NOT coalesce(
                (SELECT qty_left FROM lot_close WHERE lot_id = NEW.lot_id ORDER BY close_id DESC LIMIT 1),
                (SELECT qty FROM lot WHERE lot_id = NEW.lot_id))
            OR NEW.cost_left + NEW.cost IS NOT coalesce(
                (SELECT cost_left FROM lot_close WHERE lot_id = NEW.lot_id ORDER BY close_id DESC LIMIT 1),
                (SELECT cost FROM lot WHERE lot_id = NEW.lot_id));
    SELECT RAISE(ABORT, 'first in, first out: the lot ahead in the queue still has shares')
        WHERE EXISTS (
            SELECT 1 FROM lot AS own
            JOIN lot AS ahead ON ahead.commodity = own.commodity AND ahead.queue_pos = own.queue_pos - 1
            WHERE own.lot_id = NEW.lot_id AND coalesce(
                (SELECT qty_left FROM lot_close WHERE lot_id = ahead.lot_id ORDER BY close_id DESC LIMIT 1),
                ahead.qty) > 0);
END;

CREATE TRIGGER tx_seal BEFORE INSERT ON tx BEGIN
    SELECT RAISE(ABORT, 'only the ledger service may write to the ledger') WHERE tbot_ledger_writer() IS NOT 1;
    SELECT RAISE(ABORT, 'entries are numbered from 1 without gaps')
        WHERE NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM tx);
    SELECT RAISE(ABORT, 'this source event is booked already')
        WHERE EXISTS (SELECT 1 FROM tx WHERE source_event_id = NEW.source_event_id);
    SELECT RAISE(ABORT, 'the entry is not made under the active chart of accounts')
        WHERE NEW.coa_version IS NOT (SELECT coa_version FROM coa_metadata);
    SELECT RAISE(ABORT, 'an entry has two lines or more')
        WHERE (SELECT count(*) FROM posting WHERE tx_seq = NEW.seq) < 2;
    SELECT RAISE(ABORT, 'the entry does not balance: debits and credits differ in a commodity')
        WHERE EXISTS (
            SELECT 1 FROM posting WHERE tx_seq = NEW.seq GROUP BY commodity HAVING sum(amount) <> 0);
    SELECT RAISE(ABORT, 'cost on an account with lots differs from the lots that the entry opens and closes')
        WHERE EXISTS (
            SELECT 1 FROM coa_account AS a
            WHERE a.version = NEW.coa_version AND a.lot_rule = 'REQUIRED' AND a.unit_rule = 'BASE'
                AND coalesce((SELECT sum(amount) FROM posting
                              WHERE tx_seq = NEW.seq AND account_code = a.code), 0)
                    <> coalesce((SELECT sum(cost) FROM lot
                                 WHERE open_tx = NEW.seq AND account_code = a.code), 0)
                    - coalesce((SELECT sum(c.cost) FROM lot_close AS c JOIN lot AS l ON l.lot_id = c.lot_id
                                WHERE c.tx_seq = NEW.seq AND l.account_code = a.code), 0));
    SELECT RAISE(ABORT, 'units in custody differ from the lots that the entry opens and closes')
        WHERE EXISTS (
            SELECT 1 FROM (
                SELECT commodity FROM posting WHERE tx_seq = NEW.seq
                UNION SELECT commodity FROM lot WHERE open_tx = NEW.seq
                UNION SELECT l.commodity FROM lot_close AS c JOIN lot AS l ON l.lot_id = c.lot_id
                    WHERE c.tx_seq = NEW.seq) AS moved
            WHERE coalesce((SELECT sum(p.amount) FROM posting AS p
                            JOIN coa_account AS a ON a.code = p.account_code AND a.version = NEW.coa_version
                            WHERE p.tx_seq = NEW.seq AND p.commodity = moved.commodity
                                AND a.lot_rule = 'REQUIRED' AND a.unit_rule = 'UNITS'), 0)
                <> coalesce((SELECT sum(qty) FROM lot
                             WHERE open_tx = NEW.seq AND commodity = moved.commodity), 0)
                - coalesce((SELECT sum(c.qty) FROM lot_close AS c JOIN lot AS l ON l.lot_id = c.lot_id
                            WHERE c.tx_seq = NEW.seq AND l.commodity = moved.commodity), 0));
    SELECT RAISE(ABORT, 'the realized gain differs from the gain of the lots that the entry closes')
        WHERE NEW.gain_micros IS NOT coalesce((SELECT sum(gain) FROM lot_close WHERE tx_seq = NEW.seq), 0)
            OR coalesce((SELECT sum(gain) FROM lot_close WHERE tx_seq = NEW.seq AND term = 'ST'), 0)
                <> -coalesce((SELECT sum(amount) FROM posting
                              WHERE tx_seq = NEW.seq AND account_code = '4010'), 0)
            OR coalesce((SELECT sum(gain) FROM lot_close WHERE tx_seq = NEW.seq AND term = 'LT'), 0)
                <> -coalesce((SELECT sum(amount) FROM posting
                              WHERE tx_seq = NEW.seq AND account_code = '4020'), 0);
END;

-- Append-only: nothing is edited, nothing is removed. -----------------------------------------------------------------

CREATE TRIGGER coa_metadata_delete BEFORE DELETE ON coa_metadata BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER coa_version_update BEFORE UPDATE ON coa_version BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER coa_version_delete BEFORE DELETE ON coa_version BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER coa_account_update BEFORE UPDATE ON coa_account BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER coa_account_delete BEFORE DELETE ON coa_account BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER commodity_update BEFORE UPDATE ON commodity BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER commodity_delete BEFORE DELETE ON commodity BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER tx_update BEFORE UPDATE ON tx BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER tx_delete BEFORE DELETE ON tx BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER posting_update BEFORE UPDATE ON posting BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER posting_delete BEFORE DELETE ON posting BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER lot_update BEFORE UPDATE ON lot BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER lot_delete BEFORE DELETE ON lot BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER lot_close_update BEFORE UPDATE ON lot_close BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER lot_close_delete BEFORE DELETE ON lot_close BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
