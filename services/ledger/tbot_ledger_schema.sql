-- The ledger of one broker account. Double entry, append-only, hash-chained; enforced here, not by the program alone.
--
-- Postings first, header last: the lines, lots and lot closes of an entry are inserted before its row in `tx`, whose
-- BEFORE INSERT trigger is the seal. Lines point to their header by a deferred foreign key, so lines without a
-- sealed header cannot commit. Last of all comes the entry's link in `chain`: its hash covers every one of these rows
-- and the hash of the link before. Versions of the chart of accounts, commodities, balance assertions, wash-sale
-- adjustments and the audit trail are links of the same chain.
--
-- Amounts are signed integers in the commodity's scale: + debit, - credit. USD has scale 6; shares and option contracts
-- have scale 9.
-- Every insert trigger calls tbot_ledger_writer(), which only the ledger service's connection has: another client
-- cannot insert, and so cannot leave rows behind that block the books. tbot_ledger_sha256() is the SHA-256 of a text.
PRAGMA application_id = 1413631047;
PRAGMA user_version = 4;

CREATE TABLE chain (
    link INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('COA', 'COMMODITY', 'TX', 'ASSERTION', 'WASH', 'AUDIT')),
    recorded_at_ns INTEGER NOT NULL CHECK (recorded_at_ns >= 0),
    prev_hash TEXT NOT NULL CHECK (length(prev_hash) = 64),
    hash TEXT NOT NULL CHECK (length(hash) = 64)
) STRICT;

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
    content_hash TEXT NOT NULL CHECK (length(content_hash) = 64),
    link INTEGER NOT NULL UNIQUE REFERENCES chain (link) DEFERRABLE INITIALLY DEFERRED
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
    multiplier INTEGER NOT NULL CHECK (multiplier > 0),
    link INTEGER NOT NULL UNIQUE REFERENCES chain (link) DEFERRABLE INITIALLY DEFERRED
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
    reverses_seq INTEGER REFERENCES tx (seq),
    link INTEGER NOT NULL UNIQUE REFERENCES chain (link) DEFERRABLE INITIALLY DEFERRED,
    occurred_at_utc TEXT GENERATED ALWAYS AS
        (strftime('%Y-%m-%dT%H:%M:%SZ', occurred_at_ns / 1000000000, 'unixepoch')) VIRTUAL,
    recorded_at_utc TEXT GENERATED ALWAYS AS
        (strftime('%Y-%m-%dT%H:%M:%SZ', recorded_at_ns / 1000000000, 'unixepoch')) VIRTUAL,
    CHECK ((event_type = 'REVERSAL') = (reverses_seq IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX tx_by_reversed ON tx (reverses_seq) WHERE reverses_seq IS NOT NULL;

CREATE TABLE posting (
    tx_seq INTEGER NOT NULL REFERENCES tx (seq) DEFERRABLE INITIALLY DEFERRED,
    line_no INTEGER NOT NULL CHECK (line_no >= 1),
    account_code TEXT NOT NULL,
    commodity TEXT NOT NULL REFERENCES commodity (symbol),
    amount INTEGER NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (tx_seq, line_no)
) STRICT, WITHOUT ROWID;
CREATE INDEX posting_by_account ON posting (account_code, commodity);

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

-- A close of a REVERSAL gives back to a lot (below zero), or takes a whole lot out again that was never sold from.
CREATE TABLE lot_close (
    close_id INTEGER PRIMARY KEY,
    lot_id INTEGER NOT NULL REFERENCES lot (lot_id),
    tx_seq INTEGER NOT NULL REFERENCES tx (seq) DEFERRABLE INITIALLY DEFERRED,
    kind TEXT NOT NULL CHECK (kind IN ('SALE', 'EXPIRE', 'EXERCISE', 'SPLIT', 'REVERSAL')),
    qty INTEGER NOT NULL CHECK (qty > 0 OR (kind = 'REVERSAL' AND qty < 0)),
    cost INTEGER NOT NULL CHECK (cost >= 0 OR kind = 'REVERSAL'),
    proceeds INTEGER NOT NULL CHECK (proceeds >= 0 OR kind IN ('SALE', 'REVERSAL')),
    gain INTEGER NOT NULL CHECK (gain = proceeds - cost AND (gain = 0 OR kind NOT IN ('EXERCISE', 'SPLIT'))),
    qty_left INTEGER NOT NULL CHECK (qty_left >= 0),
    cost_left INTEGER NOT NULL CHECK (cost_left >= 0 AND (qty_left > 0 OR cost_left = 0)),
    term TEXT NOT NULL CHECK (term IN ('ST', 'LT'))
) STRICT;
CREATE INDEX lot_close_by_lot ON lot_close (lot_id, close_id);
CREATE INDEX lot_close_by_tx ON lot_close (tx_seq);

-- What the broker told of a trade, for reports; it takes part in no balance. Amounts in micro-dollars.
CREATE TABLE trade_detail (
    tx_seq INTEGER PRIMARY KEY REFERENCES tx (seq) DEFERRABLE INITIALLY DEFERRED,
    side TEXT NOT NULL CHECK (side IN ('BUY', 'SELL')),
    symbol TEXT NOT NULL CHECK (length(symbol) > 0),
    qty_nanos INTEGER NOT NULL CHECK (qty_nanos > 0),
    price_micros INTEGER NOT NULL CHECK (price_micros >= 0),
    gross INTEGER NOT NULL CHECK (gross >= 0),
    commission INTEGER NOT NULL,
    fees INTEGER NOT NULL,
    order_id TEXT NOT NULL,
    fill_id TEXT NOT NULL,
    strategy TEXT NOT NULL,
    leg TEXT NOT NULL,
    venue TEXT NOT NULL
) STRICT;

-- The tax view alone: the economic gain of an entry is never changed by it.
CREATE TABLE wash_adjustment (
    id INTEGER PRIMARY KEY,
    loss_close_id INTEGER NOT NULL REFERENCES lot_close (close_id),
    replacement_lot_id INTEGER NOT NULL REFERENCES lot (lot_id),
    qty INTEGER NOT NULL CHECK (qty > 0),
    disallowed INTEGER NOT NULL CHECK (disallowed > 0),
    basis_added INTEGER NOT NULL CHECK (basis_added >= 0),
    holding_days_added INTEGER NOT NULL CHECK (holding_days_added >= 0),
    rule_version TEXT NOT NULL CHECK (length(rule_version) > 0),
    link INTEGER NOT NULL UNIQUE REFERENCES chain (link) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX wash_adjustment_by_close ON wash_adjustment (loss_close_id);
CREATE INDEX wash_adjustment_by_lot ON wash_adjustment (replacement_lot_id);

-- What somebody else says that the account holds: CASH in micro-dollars, or UNITS of a commodity.
CREATE TABLE balance_assertion (
    id INTEGER PRIMARY KEY,
    as_of_ns INTEGER NOT NULL CHECK (as_of_ns >= 0),
    scope TEXT NOT NULL CHECK (scope IN ('CASH', 'UNITS')),
    commodity TEXT NOT NULL CHECK (length(commodity) > 0),
    expected INTEGER NOT NULL,
    actual INTEGER NOT NULL,
    source TEXT NOT NULL CHECK (length(source) > 0),
    is_ok INTEGER NOT NULL CHECK (is_ok = (expected = actual)),
    link INTEGER NOT NULL UNIQUE REFERENCES chain (link) DEFERRABLE INITIALLY DEFERRED
) STRICT;

CREATE TABLE audit_trail (
    id INTEGER PRIMARY KEY,
    at_ns INTEGER NOT NULL CHECK (at_ns >= 0),
    actor TEXT NOT NULL CHECK (length(actor) > 0),
    service TEXT NOT NULL CHECK (length(service) > 0),
    action TEXT NOT NULL CHECK (length(action) > 0),
    object TEXT NOT NULL CHECK (length(object) > 0),
    payload_json TEXT NOT NULL,
    tx_seq INTEGER REFERENCES tx (seq),
    link INTEGER NOT NULL UNIQUE REFERENCES chain (link) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX audit_trail_by_tx ON audit_trail (tx_seq) WHERE tx_seq IS NOT NULL;

-- Chart of accounts: version 1 at creation, every later one from the web interface; frozen once it is active. -------

CREATE TRIGGER coa_version_insert BEFORE INSERT ON coa_version BEGIN
    SELECT RAISE(ABORT, 'only the ledger service may write to the ledger') WHERE tbot_ledger_writer() IS NOT 1;
    SELECT RAISE(ABORT, 'a row belongs to the next link of the chain')
        WHERE NEW.link IS NOT (SELECT coalesce(max(link), 0) + 1 FROM chain);
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
    SELECT RAISE(ABORT, 'this version of the chart of accounts is sealed by its link')
        WHERE EXISTS (SELECT 1 FROM coa_version AS v JOIN chain USING (link) WHERE v.version = NEW.version);
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
    SELECT RAISE(ABORT, 'the time of the last update is that of the version')
        WHERE NEW.last_updated_utc IS NOT (SELECT created_at_utc FROM coa_version WHERE version = NEW.coa_version);
    SELECT RAISE(ABORT, 'a version of the chart of accounts is sealed by its link before it is used')
        WHERE NOT EXISTS (SELECT 1 FROM coa_version AS v JOIN chain USING (link) WHERE v.version = NEW.coa_version);
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
    SELECT RAISE(ABORT, 'a row belongs to the next link of the chain')
        WHERE NEW.link IS NOT (SELECT coalesce(max(link), 0) + 1 FROM chain);
    SELECT RAISE(ABORT, 'this commodity exists already')
        WHERE EXISTS (SELECT 1 FROM commodity WHERE symbol = NEW.symbol);
END;

-- Entries -----------------------------------------------------------------------------------------------------------

CREATE TRIGGER posting_insert BEFORE INSERT ON posting BEGIN
    SELECT CASE
        WHEN tbot_ledger_writer() IS NOT 1 THEN RAISE(ABORT, 'only the ledger service may write to the ledger')
        WHEN NEW.tx_seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM tx)
            THEN RAISE(ABORT, 'lines belong to the next entry; an entry that is sealed takes no more')
        END;
END;

CREATE TRIGGER lot_insert BEFORE INSERT ON lot BEGIN
    SELECT CASE
        WHEN tbot_ledger_writer() IS NOT 1 THEN RAISE(ABORT, 'only the ledger service may write to the ledger')
        WHEN NEW.open_tx IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM tx)
            THEN RAISE(ABORT, 'lots are opened by the next entry')
        WHEN NEW.lot_id IS NOT (SELECT coalesce(max(lot_id), 0) + 1 FROM lot)
            THEN RAISE(ABORT, 'lots are numbered without gaps')
        WHEN NEW.queue_pos IS NOT
            (SELECT coalesce(max(queue_pos), 0) + 1 FROM lot WHERE commodity = NEW.commodity)
            THEN RAISE(ABORT, 'a lot joins the end of its queue')
        WHEN NEW.acquired_at_ns < (
            SELECT CASE WHEN coalesce(
                (SELECT qty_left FROM lot_close WHERE lot_id = l.lot_id ORDER BY close_id DESC LIMIT 1), l.qty) > 0
                THEN l.acquired_at_ns END
            FROM lot AS l
            WHERE l.commodity = NEW.commodity AND l.queue_pos < NEW.queue_pos AND NOT EXISTS (
                SELECT 1 FROM lot_close WHERE lot_id = l.lot_id AND kind = 'REVERSAL' AND qty > 0)
            ORDER BY l.queue_pos DESC LIMIT 1)
            THEN RAISE(ABORT, 'lots enter in the order of their purchase')
        WHEN NOT EXISTS (
            SELECT 1 FROM coa_metadata AS m
            JOIN coa_account AS a ON a.version = m.coa_version AND a.code = NEW.account_code
            WHERE a.lot_rule = 'REQUIRED' AND a.unit_rule = 'BASE')
            THEN RAISE(ABORT, 'lots belong to an account that requires them')
        END;
END;

CREATE TRIGGER lot_close_insert BEFORE INSERT ON lot_close BEGIN
    SELECT CASE
        WHEN tbot_ledger_writer() IS NOT 1 THEN RAISE(ABORT, 'only the ledger service may write to the ledger')
        WHEN NEW.tx_seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM tx)
            THEN RAISE(ABORT, 'lots are closed by the next entry')
        WHEN NEW.close_id IS NOT (SELECT coalesce(max(close_id), 0) + 1 FROM lot_close)
            THEN RAISE(ABORT, 'lot closes are numbered without gaps')
        WHEN NEW.qty_left + NEW.qty IS NOT coalesce(
                (SELECT qty_left FROM lot_close WHERE lot_id = NEW.lot_id ORDER BY close_id DESC LIMIT 1),
                (SELECT qty FROM lot WHERE lot_id = NEW.lot_id))
            OR NEW.cost_left + NEW.cost IS NOT coalesce(
                (SELECT cost_left FROM lot_close WHERE lot_id = NEW.lot_id ORDER BY close_id DESC LIMIT 1),
                (SELECT cost FROM lot WHERE lot_id = NEW.lot_id))
            THEN RAISE(ABORT, 'a close takes from what the lot has left, and says what remains')
        WHEN NEW.kind <> 'REVERSAL' AND EXISTS (
            SELECT 1 FROM (
                SELECT ahead.lot_id, ahead.qty FROM lot AS own
                JOIN lot AS ahead ON ahead.commodity = own.commodity AND ahead.queue_pos < own.queue_pos
                WHERE own.lot_id = NEW.lot_id AND NOT EXISTS (
                    SELECT 1 FROM lot_close WHERE lot_id = ahead.lot_id AND kind = 'REVERSAL' AND qty > 0)
                ORDER BY ahead.queue_pos DESC LIMIT 1) AS ahead
            WHERE coalesce(
                (SELECT qty_left FROM lot_close WHERE lot_id = ahead.lot_id ORDER BY close_id DESC LIMIT 1),
                ahead.qty) > 0)
            THEN RAISE(ABORT, 'first in, first out: the lot ahead in the queue still has shares')
        WHEN NEW.kind = 'REVERSAL' AND NOT CASE
            WHEN NEW.qty > 0 THEN NEW.gain = 0 AND NEW.qty_left = 0
                AND NEW.qty IS (SELECT qty FROM lot WHERE lot_id = NEW.lot_id)
                AND NEW.cost IS (SELECT cost FROM lot WHERE lot_id = NEW.lot_id)
            ELSE NEW.qty_left <= (SELECT qty FROM lot WHERE lot_id = NEW.lot_id) END
            THEN RAISE(ABORT, 'a reversal gives back what was taken last, or takes a lot out that is whole')
        END;
END;

CREATE TRIGGER trade_detail_insert BEFORE INSERT ON trade_detail BEGIN
    SELECT CASE
        WHEN tbot_ledger_writer() IS NOT 1 THEN RAISE(ABORT, 'only the ledger service may write to the ledger')
        WHEN NEW.tx_seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM tx)
            OR EXISTS (SELECT 1 FROM trade_detail WHERE tx_seq = NEW.tx_seq)
            THEN RAISE(ABORT, 'the detail of a trade belongs to the next entry, once')
        END;
END;

CREATE TRIGGER tx_seal BEFORE INSERT ON tx BEGIN
    SELECT CASE
        WHEN tbot_ledger_writer() IS NOT 1 THEN RAISE(ABORT, 'only the ledger service may write to the ledger')
        WHEN NEW.link IS NOT (SELECT coalesce(max(link), 0) + 1 FROM chain)
            THEN RAISE(ABORT, 'a row belongs to the next link of the chain')
        WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM tx)
            THEN RAISE(ABORT, 'entries are numbered from 1 without gaps')
        WHEN EXISTS (SELECT 1 FROM tx WHERE source_event_id = NEW.source_event_id)
            THEN RAISE(ABORT, 'this source event is booked already')
        WHEN NEW.coa_version IS NOT (SELECT coa_version FROM coa_metadata)
            THEN RAISE(ABORT, 'the entry is not made under the active chart of accounts')
        END;
    SELECT CASE
        WHEN count(*) < 2 THEN RAISE(ABORT, 'an entry has two lines or more')
        WHEN max(p.line_no) <> count(*) THEN RAISE(ABORT, 'lines are numbered from 1 without gaps')
        WHEN count(a.code) <> count(*)
            THEN RAISE(ABORT, 'an account is not open in the chart of accounts, or does not hold this commodity')
        -- Two sums are enough where there is one commodity beside the currency, as nearly always.
        WHEN sum(p.amount) FILTER (WHERE a.unit_rule = 'BASE') <> 0
            OR sum(p.amount) FILTER (WHERE a.unit_rule = 'UNITS') <> 0
            OR (min(p.commodity) FILTER (WHERE a.unit_rule = 'UNITS')
                <> max(p.commodity) FILTER (WHERE a.unit_rule = 'UNITS')
                AND EXISTS (SELECT 1 FROM posting WHERE tx_seq = NEW.seq GROUP BY commodity HAVING sum(amount) <> 0))
            THEN RAISE(ABORT, 'the entry does not balance: debits and credits differ in a commodity')
        END
        FROM posting AS p
        LEFT JOIN coa_account AS a ON a.version = NEW.coa_version AND a.code = p.account_code AND a.status = 'OPEN'
            AND a.unit_rule = CASE
                WHEN p.commodity = (SELECT currency_code FROM coa_metadata) THEN 'BASE'
                WHEN (SELECT kind FROM commodity WHERE symbol = p.commodity) <> 'CURRENCY' THEN 'UNITS' END
        WHERE p.tx_seq = NEW.seq;
    SELECT CASE
        WHEN NEW.gain_micros IS NOT coalesce(sum(gain), 0)
            THEN RAISE(ABORT, 'the realized gain differs from the gain of the lots that the entry closes')
        WHEN max((kind = 'REVERSAL') <> (NEW.event_type = 'REVERSAL'))
            THEN RAISE(ABORT, 'only a reversal closes lots by reversal, and it closes them in no other way')
        END
        FROM lot_close WHERE tx_seq = NEW.seq;
    -- The lines on each account of cost, units or gains are nothing beside the lots that the entry opens and closes.
    SELECT CASE must
        WHEN 1 THEN RAISE(ABORT, 'cost on an account with lots differs from the lots that the entry opens and closes')
        WHEN 2 THEN RAISE(ABORT, 'units in custody differ from the lots that the entry opens and closes')
        ELSE RAISE(ABORT, 'the realized gain differs from the gain of the lots that the entry closes')
        END
        FROM (
            SELECT CASE WHEN a.lot_rule <> 'REQUIRED' THEN 3 WHEN a.unit_rule = 'BASE' THEN 1 ELSE 2 END AS must,
                iif(a.unit_rule = 'BASE', p.account_code, p.commodity) AS what, p.amount
                FROM posting AS p JOIN coa_account AS a ON a.version = NEW.coa_version AND a.code = p.account_code
                WHERE p.tx_seq = NEW.seq
                    AND (a.lot_rule = 'REQUIRED' OR p.account_code IN ('4010', '4020', '4030', '4040'))
            UNION ALL SELECT 1, account_code, -cost FROM lot WHERE open_tx = NEW.seq
            UNION ALL SELECT 2, commodity, -qty FROM lot WHERE open_tx = NEW.seq
            UNION ALL SELECT k.must,
                CASE k.must WHEN 1 THEN l.account_code WHEN 2 THEN l.commodity ELSE
                    CASE WHEN l.account_code <> '1230' THEN iif(c.term = 'ST', '4010', '4020')
                    ELSE iif(c.term = 'ST', '4030', '4040') END END,
                CASE k.must WHEN 1 THEN c.cost WHEN 2 THEN c.qty ELSE c.gain END
                FROM (SELECT 1 AS must UNION ALL SELECT 2 UNION ALL SELECT 3) AS k
                CROSS JOIN lot_close AS c CROSS JOIN lot AS l ON l.lot_id = c.lot_id WHERE c.tx_seq = NEW.seq)
        GROUP BY must, what HAVING sum(amount) <> 0;
    SELECT RAISE(ABORT, 'a reversal negates one earlier entry that is no reversal, and only once')
        WHERE NEW.reverses_seq IS NOT NULL AND (
            EXISTS (SELECT 1 FROM tx WHERE reverses_seq = NEW.reverses_seq)
            OR NOT EXISTS (SELECT 1 FROM tx WHERE seq = NEW.reverses_seq AND event_type <> 'REVERSAL'));
    SELECT RAISE(ABORT, 'the reversal is not the exact negation of the entry that it reverses')
        WHERE NEW.reverses_seq IS NOT NULL AND (
            EXISTS (
                SELECT 1 FROM posting WHERE tx_seq IN (NEW.seq, NEW.reverses_seq)
                GROUP BY account_code, commodity HAVING sum(amount) <> 0)
            OR EXISTS (SELECT 1 FROM lot WHERE open_tx = NEW.seq)
            OR EXISTS (
                SELECT 1 FROM lot WHERE open_tx = NEW.reverses_seq AND NOT EXISTS (
                    SELECT 1 FROM lot_close AS c
                    WHERE c.tx_seq = NEW.seq AND c.lot_id = lot.lot_id AND c.qty = lot.qty))
            OR EXISTS (
                SELECT 1 FROM lot_close AS c JOIN lot AS l ON l.lot_id = c.lot_id
                WHERE c.tx_seq IN (NEW.seq, NEW.reverses_seq) AND l.open_tx <> NEW.reverses_seq
                GROUP BY c.lot_id, c.term HAVING sum(c.qty) <> 0 OR sum(c.cost) <> 0 OR sum(c.proceeds) <> 0));
    SELECT RAISE(ABORT, 'later sales of the same queue must be reversed first, the newest before the others')
        WHERE NEW.reverses_seq IS NOT NULL AND EXISTS (
            SELECT 1 FROM lot_close AS c JOIN lot AS l ON l.lot_id = c.lot_id
            WHERE c.close_id > (SELECT max(close_id) FROM lot_close WHERE tx_seq = NEW.reverses_seq)
                AND c.tx_seq <> NEW.seq
                AND l.commodity IN (
                    SELECT o.commodity FROM lot_close AS x JOIN lot AS o ON o.lot_id = x.lot_id
                    WHERE x.tx_seq = NEW.reverses_seq)
                AND NOT EXISTS (
                    SELECT 1 FROM lot_close WHERE lot_id = l.lot_id AND kind = 'REVERSAL' AND qty > 0)
            GROUP BY c.lot_id HAVING sum(c.qty) <> 0);
END;

-- What is neither an entry nor a chart ----------------------------------------------------------------------------

CREATE TRIGGER wash_adjustment_insert BEFORE INSERT ON wash_adjustment BEGIN
    SELECT RAISE(ABORT, 'only the ledger service may write to the ledger') WHERE tbot_ledger_writer() IS NOT 1;
    SELECT RAISE(ABORT, 'a row belongs to the next link of the chain')
        WHERE NEW.link IS NOT (SELECT coalesce(max(link), 0) + 1 FROM chain);
    SELECT RAISE(ABORT, 'wash-sale adjustments are numbered without gaps')
        WHERE NEW.id IS NOT (SELECT coalesce(max(id), 0) + 1 FROM wash_adjustment);
    SELECT RAISE(ABORT, 'an adjustment disallows no more than the loss of the close that it names')
        WHERE NEW.disallowed + coalesce(
            (SELECT sum(disallowed) FROM wash_adjustment
             WHERE loss_close_id = NEW.loss_close_id AND rule_version = NEW.rule_version), 0)
            > coalesce((SELECT -gain FROM lot_close WHERE close_id = NEW.loss_close_id), 0);
    SELECT RAISE(ABORT, 'a lot replaces no more shares than it has, and never its own')
        WHERE NEW.qty > coalesce((SELECT qty FROM lot WHERE lot_id = NEW.replacement_lot_id), 0)
            OR NEW.replacement_lot_id IS (SELECT lot_id FROM lot_close WHERE close_id = NEW.loss_close_id);
END;

CREATE TRIGGER balance_assertion_insert BEFORE INSERT ON balance_assertion BEGIN
    SELECT RAISE(ABORT, 'only the ledger service may write to the ledger') WHERE tbot_ledger_writer() IS NOT 1;
    SELECT RAISE(ABORT, 'a row belongs to the next link of the chain')
        WHERE NEW.link IS NOT (SELECT coalesce(max(link), 0) + 1 FROM chain);
    SELECT RAISE(ABORT, 'balance assertions are numbered without gaps')
        WHERE NEW.id IS NOT (SELECT coalesce(max(id), 0) + 1 FROM balance_assertion);
    SELECT RAISE(ABORT, 'the actual balance is not that of the ledger')
        WHERE NEW.actual IS NOT coalesce((
            SELECT sum(amount) FROM posting WHERE commodity = NEW.commodity AND (
                (NEW.scope = 'CASH' AND account_code IN ('1010', '1030', '1040', '1110', '2110'))
                OR (NEW.scope = 'UNITS' AND account_code = '9010'))), 0);
END;

CREATE TRIGGER audit_trail_insert BEFORE INSERT ON audit_trail BEGIN
    SELECT RAISE(ABORT, 'only the ledger service may write to the ledger') WHERE tbot_ledger_writer() IS NOT 1;
    SELECT RAISE(ABORT, 'a row belongs to the next link of the chain')
        WHERE NEW.link IS NOT (SELECT coalesce(max(link), 0) + 1 FROM chain);
    SELECT RAISE(ABORT, 'the audit trail is numbered without gaps')
        WHERE NEW.id IS NOT (SELECT coalesce(max(id), 0) + 1 FROM audit_trail);
    SELECT RAISE(ABORT, 'what the audit trail tells is JSON') WHERE NOT json_valid(NEW.payload_json);
END;

-- The chain ---------------------------------------------------------------------------------------------------------

CREATE TRIGGER chain_insert BEFORE INSERT ON chain BEGIN
    SELECT CASE
        WHEN tbot_ledger_writer() IS NOT 1 THEN RAISE(ABORT, 'only the ledger service may write to the ledger')
        WHEN NEW.link IS NOT (SELECT coalesce(max(link), 0) + 1 FROM chain)
            THEN RAISE(ABORT, 'links are numbered from 1 without gaps')
        WHEN NEW.prev_hash IS NOT coalesce(
            (SELECT hash FROM chain WHERE link = NEW.link - 1),
            (SELECT tbot_ledger_sha256(json_array(
                'GENESIS', entity_code, jurisdiction_code, currency_code, created_at_utc)) FROM coa_metadata))
            THEN RAISE(ABORT, 'a link carries the hash of the link before it, the first that of the ledger itself')
        WHEN EXISTS (SELECT 1 FROM coa_version WHERE link = NEW.link)
            + EXISTS (SELECT 1 FROM commodity WHERE link = NEW.link)
            + EXISTS (SELECT 1 FROM tx WHERE link = NEW.link)
            + EXISTS (SELECT 1 FROM balance_assertion WHERE link = NEW.link)
            + EXISTS (SELECT 1 FROM wash_adjustment WHERE link = NEW.link)
            + EXISTS (SELECT 1 FROM audit_trail WHERE link = NEW.link) <> 1
            THEN RAISE(ABORT, 'a link seals exactly one row of its kind, and the rows under it')
        END;
    SELECT RAISE(ABORT, 'the hash of the link is not that of its rows')
        WHERE NEW.hash IS NOT CASE NEW.kind
            WHEN 'TX' THEN (SELECT tbot_ledger_sha256(
                '["TX",' || NEW.link || ',' || NEW.recorded_at_ns || ',"' || NEW.prev_hash || '",['
                || (SELECT group_concat(json_array(tx_seq, line_no, account_code, commodity, amount)) FROM
                    (SELECT tx_seq, line_no, account_code, commodity, amount FROM posting WHERE tx_seq = t.seq
                    ORDER BY line_no))
                || '],[' || coalesce((SELECT group_concat(json_array(lot_id, open_tx, account_code, commodity,
                    queue_pos, acquired_at_ns, qty, cost)) FROM (SELECT lot_id, open_tx, account_code, commodity,
                    queue_pos, acquired_at_ns, qty, cost FROM lot WHERE open_tx = t.seq ORDER BY lot_id)), '')
                || '],[' || coalesce((SELECT group_concat(json_array(close_id, lot_id, tx_seq, kind, qty, cost,
                    proceeds, gain, qty_left, cost_left, term)) FROM (SELECT close_id, lot_id, tx_seq, kind, qty,
                    cost, proceeds, gain, qty_left, cost_left, term FROM lot_close WHERE tx_seq = t.seq
                    ORDER BY close_id)), '')
                || '],[' || coalesce((SELECT json_array(tx_seq, side, symbol, qty_nanos, price_micros, gross,
                    commission, fees, order_id, fill_id, strategy, leg, venue) FROM trade_detail
                    WHERE tx_seq = t.seq), '')
                || '],[' || json_array(t.seq, t.source_event_id, t.event_type, t.symbol, t.description,
                    t.gain_micros, t.occurred_at_ns, t.recorded_at_ns, t.coa_version, t.reverses_seq, t.link) || ']]')
                FROM tx AS t WHERE t.link = NEW.link)
            WHEN 'COA' THEN tbot_ledger_sha256(json_array('COA', NEW.link, NEW.recorded_at_ns, NEW.prev_hash,
                json((SELECT json_group_array(json_array(version, created_at_utc, author, source, note,
                    content_hash, link)) FROM (SELECT version, created_at_utc, author, source, note, content_hash,
                    link FROM coa_version WHERE link = NEW.link ORDER BY version))),
                json((SELECT json_group_array(json_array(version, code, name, type, unit_rule, lot_rule, parent,
                    status)) FROM (SELECT version, code, name, type, unit_rule, lot_rule, parent, status FROM
                    coa_account WHERE version = (SELECT version FROM coa_version WHERE link = NEW.link) ORDER BY
                    code)))))
            WHEN 'COMMODITY' THEN tbot_ledger_sha256(json_array(
                'COMMODITY', NEW.link, NEW.recorded_at_ns, NEW.prev_hash,
                json((SELECT json_group_array(json_array(symbol, kind, scale, multiplier, link)) FROM (SELECT
                    symbol, kind, scale, multiplier, link FROM commodity WHERE link = NEW.link ORDER BY symbol)))))
            WHEN 'ASSERTION' THEN tbot_ledger_sha256(json_array(
                'ASSERTION', NEW.link, NEW.recorded_at_ns, NEW.prev_hash,
                json((SELECT json_group_array(json_array(id, as_of_ns, scope, commodity, expected, actual, source,
                    is_ok, link)) FROM (SELECT id, as_of_ns, scope, commodity, expected, actual, source, is_ok, link
                    FROM balance_assertion WHERE link = NEW.link ORDER BY id)))))
            WHEN 'WASH' THEN tbot_ledger_sha256(json_array('WASH', NEW.link, NEW.recorded_at_ns, NEW.prev_hash,
                json((SELECT json_group_array(json_array(id, loss_close_id, replacement_lot_id, qty, disallowed,
                    basis_added, holding_days_added, rule_version, link)) FROM (SELECT id, loss_close_id,
                    replacement_lot_id, qty, disallowed, basis_added, holding_days_added, rule_version, link FROM
                    wash_adjustment WHERE link = NEW.link ORDER BY id)))))
            WHEN 'AUDIT' THEN tbot_ledger_sha256(json_array('AUDIT', NEW.link, NEW.recorded_at_ns, NEW.prev_hash,
                json((SELECT json_group_array(json_array(id, at_ns, actor, service, action, object, payload_json,
                    tx_seq, link)) FROM (SELECT id, at_ns, actor, service, action, object, payload_json, tx_seq,
                    link FROM audit_trail WHERE link = NEW.link ORDER BY id)))))
            END;
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
CREATE TRIGGER trade_detail_update BEFORE UPDATE ON trade_detail BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER trade_detail_delete BEFORE DELETE ON trade_detail BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER wash_adjustment_update BEFORE UPDATE ON wash_adjustment BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER wash_adjustment_delete BEFORE DELETE ON wash_adjustment BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER balance_assertion_update BEFORE UPDATE ON balance_assertion BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER balance_assertion_delete BEFORE DELETE ON balance_assertion BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER audit_trail_update BEFORE UPDATE ON audit_trail BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER audit_trail_delete BEFORE DELETE ON audit_trail BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER chain_update BEFORE UPDATE ON chain BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER chain_delete BEFORE DELETE ON chain BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
