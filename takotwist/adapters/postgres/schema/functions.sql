-- What a node calls.  Each is one round trip and one transaction.
--
-- A name that ends in @ gets the digest of this file, so that nodes of two versions work side by
-- side, each with its own.  :NAMES are constants of the program.  Retention follows
-- core/retention.py, rule by rule; the contract suite holds both to it.

-- Unix time in microseconds.  The engine's clock is the only one: those of nodes may differ.
CREATE FUNCTION clock@() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT :CLOCK
$$;

-- Which run of the engine this is.  The system identifier is another one after a dump was
-- restored elsewhere; the timeline after a replica was promoted or a backup recovered (the WAL's
-- name, because pg_control_checkpoint() still says the old one for a while); the tables' files
-- after somebody emptied or restored them in place.
CREATE FUNCTION fence@() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT :FENCE
$$;

-- A number for this log's advisory locks, beside those of others in the same database.
CREATE FUNCTION ours@() RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT hashtext(current_schema())
$$;

-- The store's row, held, or an error where it is of another run of the engine.
CREATE FUNCTION hold@(seen bigint) RETURNS store LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    held store;
BEGIN
    SELECT * INTO held FROM store FOR UPDATE;
    IF NOT FOUND OR held.fence <> fence@() OR held.head < seen THEN
        RAISE EXCEPTION 'another run of the engine' USING ERRCODE = 'TK001';
    END IF;
    RETURN held;
END
$$;

-- Whether the store is of this run of the engine, and knows what a node has seen of it.
CREATE FUNCTION hello@(seen bigint, OUT same boolean, OUT head bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    SELECT s.fence = fence@() AND s.head >= seen, s.head INTO same, head FROM store s;
    same := coalesce(same, false);
END
$$;

-- Take up another run of the engine: whatever it lost, every older cursor is too old, and no id
-- is given out twice.
CREATE FUNCTION refence@(seen bigint, OUT head bigint, OUT changed boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    held store;
    now_fence text := fence@();
BEGIN
    -- Nothing to hold where somebody emptied that table.
    PERFORM pg_advisory_xact_lock(hashtext('takotwist fence'), ours@());
    SELECT * INTO held FROM store FOR UPDATE;
    head := held.head;
    changed := held.only_row IS NULL OR held.fence <> now_fence OR held.head < seen;
    IF NOT changed THEN
        RETURN;
    END IF;
    head := greatest(coalesce(held.head, 0), seen, clock@()) + :JUMP_US;
    INSERT INTO store AS s (only_row, began, head, removed, floor, fence)
        VALUES (1, head, head, head, head, now_fence)
    ON CONFLICT (only_row) DO UPDATE SET head = excluded.head, removed = excluded.removed,
        floor = excluded.floor, fence = excluded.fence;
    DELETE FROM batch;
    -- Numbers that may have been given to what is lost are given to nothing else.
    UPDATE topic SET epoch = 0, seq = 0 WHERE seq > 0;
    IF held.fence IS NULL OR split_part(held.fence, '/', 3) <> split_part(now_fence, '/', 3) THEN
        -- Tables were emptied or filled by hand: the numbers beside the messages anew.
        UPDATE topic t SET messages = a.n, bytes = a.size, oldest = a.oldest,
            kept = a.kept, kept_bytes = a.kept_size, due_us = 0
        FROM topic o CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE kept IS NULL) AS n,
                coalesce(sum(size) FILTER (WHERE kept IS NULL), 0) AS size,
                coalesce(min(id) FILTER (WHERE kept IS NULL), 0) AS oldest,
                count(kept) AS kept, coalesce(sum(size) FILTER (WHERE kept), 0) AS kept_size
            FROM message m WHERE m.topic = o.id AND (m.id > o.removed OR m.kept)
        ) a WHERE o.id = t.id;
    END IF;
    PERFORM pg_notify(current_schema(), head || ' ' || head || ' *');
END
$$;

-- Store what a node collected.
--   node, number  which batch of which node; one that was stored already is answered again
--   seen          the highest id that the node knows
--   t_*           of each topic: its key, bounds as the last entry tells them, whether it gets
--                 messages, whether they are numbered
--   k_*           entries with an idempotency key: number of the entry, its topic, the key
--   m_*           messages: entry, topic, and what is stored
--                 m_key, m_kept are empty, or the digests of keys, null for messages without,
--                 and 1 for what is kept, else 0; two less where a later message of the batch
--                 replaces it
--   f_*           entries with a bound on what is kept: entry, topic, messages, bytes
--   b_*           bounds by entry, of topics that may refuse one of several that differ in them
--   a_outbox      what leaves the outbox with it
-- The answer:
--   prev, head    the ids before and after
--   base          the id of the first message; those that are stored follow without a gap
--   repeated      the entries whose key was known, and r_* their messages; and those that are
--                 not stored
--   rows          of each topic; 0 where it has none
--   epochs, seqs  of each topic, the place before its first numbered message
CREATE FUNCTION append@(
    a_node text, a_number bigint, seen bigint,
    t_digest bytea[], t_key text[], t_window bigint[], t_ttl bigint[], t_most bigint[],
    t_most_bytes bigint[], t_gets integer[], t_numbered integer[],
    k_entry integer[], k_topic integer[], k_key bytea[],
    m_entry integer[], m_topic integer[], m_size bigint[], m_type bytea[], m_data bytea[],
    m_key bytea[], m_kept integer[], a_outbox bigint[], c_entry integer[], c_topic integer[], c_after bigint[],
    f_entry integer[], f_topic integer[], f_most bigint[], f_bytes bigint[],
    b_entry integer[], b_topic integer[], b_window bigint[], b_ttl bigint[], b_most bigint[],
    b_most_bytes bigint[],
    OUT prev bigint, OUT head bigint, OUT base bigint, OUT repeated bigint[],
    OUT rows bigint[], OUT epochs bigint[], OUT seqs bigint[],
    OUT r_entry bigint[], OUT r_id bigint[], OUT r_epoch bigint[], OUT r_seq bigint[], OUT r_type bytea[],
    OUT r_data bytea[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    held store;
    before writer;
    now_us bigint;
    were bigint[];
    floors bigint[];
    firsts bigint[] := '{}';
    spans bigint[] := '{}';
    found_topics bigint[] := '{}';
    touched text;
    moved bigint;
    aside bigint;
    large bigint[];
    failed bigint[] := '{}';
    -- Topics of which this batch has nothing but what is not stored.
    untold integer[] := '{}';
    overfull bigint[] := '{}';
    plain boolean := cardinality(k_entry) = 0 AND cardinality(m_key) = 0
        AND NOT 1 = ANY (t_numbered);
BEGIN
    held := hold@(seen);
    now_us := clock@();
    SELECT * INTO before FROM writer w WHERE w.node = a_node;
    IF before.number > a_number THEN
        RAISE EXCEPTION 'a batch that was given up' USING ERRCODE = 'TK002';
    END IF;

    SELECT array_agg(coalesce(t.id, 0) ORDER BY d.i), array_agg(coalesce(t.removed, 0) ORDER BY d.i),
        array_agg(coalesce(t.epoch, 0) ORDER BY d.i), array_agg(coalesce(t.seq, 0) ORDER BY d.i)
    INTO rows, floors, epochs, seqs
    FROM unnest(t_digest) WITH ORDINALITY d (digest, i) LEFT JOIN topic t ON t.digest = d.digest;
    repeated := '{}';

    IF cardinality(k_entry) > 0 THEN
        SELECT coalesce(array_agg(k.entry), '{}'), array_agg(m.topic), array_agg(m.id),
            array_agg(m.span)
        INTO repeated, found_topics, firsts, spans
        FROM unnest(k_entry, k_topic, k_key) k (entry, topic, key)
        CROSS JOIN LATERAL (
            SELECT m.topic, m.id, m.span FROM message m
            WHERE m.topic = rows[k.topic] AND m.idempotency_key = k.key AND m.id > floors[k.topic]
                AND m.span IS NOT NULL
            ORDER BY m.id DESC LIMIT 1
        ) m
        WHERE before.number IS DISTINCT FROM a_number OR k.entry = ANY (before.repeated);
        SELECT array_agg(f.entry ORDER BY f.i, m.id), array_agg(m.id ORDER BY f.i, m.id),
            array_agg(m.epoch ORDER BY f.i, m.id), array_agg(m.seq ORDER BY f.i, m.id),
            array_agg(m.type ORDER BY f.i, m.id), array_agg(m.data ORDER BY f.i, m.id)
        INTO r_entry, r_id, r_epoch, r_seq, r_type, r_data
        FROM unnest(repeated, found_topics, firsts, spans) WITH ORDINALITY
            f (entry, topic, first, span, i)
        JOIN message m ON m.topic = f.topic AND m.id BETWEEN f.first AND f.first + f.span - 1;
    END IF;
    IF before.number = a_number THEN
        prev := before.prev; head := before.head; base := before.base;
        repeated := before.repeated; rows := before.rows;
        epochs := before.epochs; seqs := before.seqs;
        RETURN;
    END IF;

    IF cardinality(c_entry) > 0 THEN
        SELECT coalesce(array_agg(c.entry), '{}') INTO failed
        FROM unnest(c_entry, c_topic, c_after) c (entry, topic, after)
        JOIN topic t ON t.id = rows[c.topic]
        WHERE greatest(t.head, t.removed, held.floor) > c.after;
    END IF;
    IF cardinality(f_entry) > 0 THEN
        overfull := full@(rows, f_entry, f_topic, f_most, f_bytes,
            m_entry, m_topic, m_size, m_key, m_kept);
        IF cardinality(overfull) > 0 THEN
            -- What stands behind them replaces nothing.
            SELECT array_agg(CASE WHEN m.kept < 0 AND NOT EXISTS (
                    SELECT FROM unnest(m_entry, m_topic, m_key) WITH ORDINALITY
                        o (entry, topic, key, i)
                    WHERE o.topic = m.topic AND o.key = m.key AND o.i > m.i
                        AND o.entry <> ALL (overfull)
                ) THEN m.kept + 2 ELSE m.kept END ORDER BY m.i)
            INTO m_kept
            FROM unnest(m_topic, m_key, m_kept) WITH ORDINALITY m (topic, key, kept, i);
            failed := failed || overfull;
        END IF;
    END IF;
    IF cardinality(failed) > 0 THEN
        plain := false;
        repeated := repeated || failed;
        SELECT coalesce(array_agg(DISTINCT m.topic), '{}') INTO untold
        FROM unnest(m_entry, m_topic) m (entry, topic)
        WHERE m.entry = ANY (failed) AND NOT EXISTS (
            SELECT FROM unnest(m_entry, m_topic) o (entry, topic)
            WHERE o.topic = m.topic AND o.entry <> ALL (failed)
        );
    END IF;
    IF cardinality(failed) > 0 AND cardinality(b_entry) > 0 THEN
        -- An entry that is not stored tells no bounds.
        SELECT array_agg(coalesce(b.w, d.w) ORDER BY d.i),
            array_agg(coalesce(b.ttl, d.ttl) ORDER BY d.i),
            array_agg(coalesce(b.most, d.most) ORDER BY d.i),
            array_agg(coalesce(b.size, d.size) ORDER BY d.i)
        INTO t_window, t_ttl, t_most, t_most_bytes
        FROM unnest(t_window, t_ttl, t_most, t_most_bytes) WITH ORDINALITY
            d (w, ttl, most, size, i)
        LEFT JOIN (
            SELECT DISTINCT ON (o.topic) * FROM
                unnest(b_entry, b_topic, b_window, b_ttl, b_most, b_most_bytes)
                o (entry, topic, w, ttl, most, size)
            WHERE o.entry <> ALL (failed)
            ORDER BY o.topic, o.entry DESC
        ) b ON b.topic = d.i;
    END IF;

    IF cardinality(a_outbox) > 0 THEN
        -- One for each entry.  Those that there is no room for are put aside.
        UPDATE outbox SET refused = 'The topic keeps as many keys as it may.'
        WHERE id IN (SELECT a_outbox[entry + 1] FROM unnest(overfull) entry);
        GET DIAGNOSTICS aside = ROW_COUNT;
        DELETE FROM outbox
        WHERE id IN (SELECT id FROM unnest(a_outbox) WITH ORDINALITY o (id, i)
            WHERE o.i - 1 <> ALL (overfull));
        GET DIAGNOSTICS moved = ROW_COUNT;
        IF moved + aside <> cardinality(a_outbox) THEN
            RAISE EXCEPTION 'another node has moved it' USING ERRCODE = 'TK003';
        END IF;
    END IF;

    prev := held.head;
    base := greatest(held.head + 1, now_us);

    were := rows;
    IF 0 = ANY (rows) THEN
        INSERT INTO topic (digest, key, removed, doomed, purged, replay_window_ms,
            inactivity_ttl_ms, replay_max_messages, replay_max_bytes)
        SELECT d.digest, d.key, held.removed, held.removed, held.removed, d.w, d.ttl, d.most, d.size
        FROM unnest(rows, t_gets, t_digest, t_key, t_window, t_ttl, t_most, t_most_bytes)
            WITH ORDINALITY d (row, gets, digest, key, w, ttl, most, size, i)
        WHERE d.row = 0 AND d.gets > 0 AND d.i <> ALL (untold);
        SELECT array_agg(coalesce(t.id, 0) ORDER BY d.i) INTO rows
        FROM unnest(t_digest) WITH ORDINALITY d (digest, i)
        LEFT JOIN topic t ON t.digest = d.digest;
    END IF;

    IF cardinality(m_key) > 0 THEN
        PERFORM replace@(array_agg(rows[m.topic]), array_agg(m.key))
        FROM unnest(m_entry, m_topic, m_key, m_kept) m (entry, topic, key, kept)
        WHERE m.key IS NOT NULL AND m.kept >= 0 AND m.entry <> ALL (repeated);
    END IF;

    WITH stored AS (
        INSERT INTO message (topic, id, epoch, seq, size, span, type, idempotency_key, data,
            kept)
        SELECT rows[m.topic], base + m.i - 1, 0, 0, m.size, NULL, m.type, NULL, m.data, NULL::boolean
        FROM unnest(m_topic, m_size, m_type, m_data) WITH ORDINALITY m (topic, size, type, data, i)
        WHERE plain
        UNION ALL
        SELECT rows[m.topic], m.id,
            CASE WHEN t_numbered[m.topic] = 0 THEN 0
                WHEN epochs[m.topic] > 0 THEN epochs[m.topic]
                ELSE min(m.id) OVER (PARTITION BY m.topic) / 1000 END,
            CASE WHEN t_numbered[m.topic] = 0 THEN 0
                ELSE seqs[m.topic] + row_number() OVER (PARTITION BY m.topic ORDER BY m.i) END,
            m.size,
            CASE WHEN k.key IS NOT NULL AND m.place = 1 THEN m.span END,
            m.type,
            CASE WHEN m.key IS NOT NULL THEN m.key WHEN m.place = 1 THEN k.key END,
            m.data,
            CASE WHEN m.kept = 1 THEN true END
        FROM (
            SELECT *, base + row_number() OVER (ORDER BY i) - 1 AS id,
                row_number() OVER (PARTITION BY entry ORDER BY i) AS place,
                count(*) OVER (PARTITION BY entry) AS span
            FROM unnest(m_entry, m_topic, m_size, m_type, m_data, m_key, m_kept) WITH ORDINALITY
                m (entry, topic, size, type, data, key, kept, i)
            WHERE NOT plain AND entry <> ALL (repeated)
        ) m
        LEFT JOIN unnest(k_entry, k_key) k (entry, key) ON k.entry = m.entry
        WHERE coalesce(m.kept, 0) >= 0
        RETURNING topic, id, epoch, seq, size, kept
    ), sums AS (
        SELECT topic, count(*) FILTER (WHERE kept IS NULL) AS n,
            sum(size) FILTER (WHERE kept IS NULL) AS size,
            min(id) FILTER (WHERE kept IS NULL) AS first, max(id) AS last,
            max(epoch) AS epoch, max(seq) AS seq,
            count(kept) AS kept, sum(size) FILTER (WHERE kept) AS kept_size
        FROM stored GROUP BY topic
    ), told AS (
        UPDATE topic t SET
            head = coalesce(a.last, t.head),
            epoch = CASE WHEN a.seq > 0 THEN a.epoch ELSE t.epoch END,
            seq = CASE WHEN a.seq > 0 THEN a.seq ELSE t.seq END,
            oldest = CASE WHEN t.oldest = 0 THEN coalesce(a.first, 0) ELSE t.oldest END,
            messages = t.messages + coalesce(a.n, 0),
            bytes = t.bytes + coalesce(a.size, 0),
            kept = t.kept + coalesce(a.kept, 0),
            kept_bytes = t.kept_bytes + coalesce(a.kept_size, 0),
            active_us = now_us,
            replay_window_ms = d.w,
            inactivity_ttl_ms = d.ttl,
            replay_max_messages = d.most,
            replay_max_bytes = d.size,
            due_us = least(t.due_us,
                CASE WHEN t.oldest > 0 THEN least(t.oldest, now_us) + d.w * 1000
                    WHEN a.n > 0 THEN least(a.first, now_us) + d.w * 1000
                    WHEN d.ttl = 0 THEN now_us + greatest(:DAY_US, :WINDOWS_REMEMBERED * d.w * 1000)
                END,
                CASE WHEN d.ttl > 0 THEN now_us + d.ttl * 1000 END)
        FROM unnest(rows, were, t_digest, t_window, t_ttl, t_most, t_most_bytes) WITH ORDINALITY
            d (row, was, digest, w, ttl, most, size, i)
        LEFT JOIN sums a ON a.topic = d.row
        WHERE t.id = d.row AND d.i <> ALL (untold)
        RETURNING t.id, a.last,
            t.id || CASE WHEN d.was = 0 THEN ':' || encode(substr(d.digest, 1, 4), 'hex')
                ELSE '' END AS touch,
            t.messages > t.replay_max_messages
                OR (t.bytes > t.replay_max_bytes AND t.messages > 1) AS large
    )
    SELECT coalesce(max(last), prev), array_agg(id) FILTER (WHERE large),
        string_agg(touch, ',') FILTER (WHERE last IS NOT NULL)
    INTO head, large, touched FROM told;

    IF large IS NOT NULL THEN
        PERFORM trim@(id, now_us) FROM unnest(large) id;
    END IF;

    IF head > prev THEN
        UPDATE store s SET head = append@.head;
        INSERT INTO batch VALUES (head, prev, now_us, touched);
        -- One a transaction, and never a row: it takes a lock of the whole engine.
        PERFORM pg_notify(current_schema(), prev || ' ' || head || ' '
            || CASE WHEN length(touched) < 7900 THEN touched ELSE '*' END);
    END IF;
    INSERT INTO writer AS w VALUES
        (a_node, a_number, now_us, prev, head, base, repeated::integer[], rows,
            epochs, seqs)
    ON CONFLICT (node) DO UPDATE SET number = excluded.number, used_us = excluded.used_us,
        prev = excluded.prev, head = excluded.head, base = excluded.base,
        repeated = excluded.repeated, rows = excluded.rows, epochs = excluded.epochs,
        seqs = excluded.seqs;
END
$$;

-- The entries of a batch that would have a topic keep more than their bounds (`Held.full`), one
-- after the other as if each was a transaction of its own.
CREATE FUNCTION full@(
    rows bigint[], f_entry integer[], f_topic integer[], f_most bigint[], f_bytes bigint[],
    m_entry integer[], m_topic integer[], m_size bigint[], m_key bytea[], m_kept integer[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    one record;
    suspects integer[];
    counts bigint[];
    sizes bigint[];
    more bigint;
    more_bytes bigint;
    over bigint[] := '{}';
BEGIN
    SELECT array_agg(coalesce(t.kept, 0) ORDER BY r.i), array_agg(coalesce(t.kept_bytes, 0) ORDER BY r.i)
    INTO counts, sizes
    FROM unnest(rows) WITH ORDINALITY r (row, i) LEFT JOIN topic t ON t.id = r.row;
    -- Most have room for all that comes, whatever it replaces.
    SELECT array_agg(f.topic) INTO suspects
    FROM (SELECT topic, min(most) AS most, min(bytes) AS bytes
        FROM unnest(f_topic, f_most, f_bytes) f (topic, most, bytes) GROUP BY topic) f
    JOIN (SELECT topic, count(*) AS n, sum(size) AS size
        FROM unnest(m_topic, m_size, m_key) m (topic, size, key)
        WHERE key IS NOT NULL GROUP BY topic) m ON m.topic = f.topic
    WHERE counts[f.topic] + m.n > f.most OR sizes[f.topic] + m.size > f.bytes;
    IF suspects IS NULL THEN
        RETURN over;
    END IF;
    FOR one IN
        SELECT m.entry, m.topic, f.most, f.bytes
        FROM (SELECT DISTINCT entry, topic FROM unnest(m_entry, m_topic, m_key) m (entry, topic, key)
            WHERE key IS NOT NULL AND topic = ANY (suspects)) m
        LEFT JOIN unnest(f_entry, f_most, f_bytes) f (entry, most, bytes) ON f.entry = m.entry
        ORDER BY m.entry
    LOOP
        SELECT count(*) FILTER (WHERE now.kept) - count(before.size),
            coalesce(sum(now.size) FILTER (WHERE now.kept), 0) - coalesce(sum(before.size), 0)
        INTO more, more_bytes
        FROM (
            SELECT DISTINCT ON (key) key, size, kept IN (1, -1) AS kept
            FROM unnest(m_entry, m_size, m_key, m_kept) WITH ORDINALITY m (entry, size, key, kept, i)
            WHERE entry = one.entry ORDER BY key, i DESC
        ) now
        LEFT JOIN LATERAL (
            SELECT CASE WHEN kept THEN size END AS size FROM (
                SELECT m.size, m.kept IN (1, -1) AS kept, m.i
                FROM unnest(m_entry, m_topic, m_size, m_key, m_kept) WITH ORDINALITY
                    m (entry, topic, size, key, kept, i)
                WHERE m.topic = one.topic AND m.key = now.key AND m.entry < one.entry
                    AND m.entry <> ALL (over)
                UNION ALL
                SELECT m.size, true, 0 FROM message m
                WHERE m.topic = rows[one.topic] AND m.idempotency_key = now.key
                    AND m.span IS NULL AND m.kept
            ) m ORDER BY i DESC LIMIT 1
        ) before ON true;
        IF (more > 0 AND counts[one.topic] + more > one.most)
            OR (more_bytes > 0 AND sizes[one.topic] + more_bytes > one.bytes)
        THEN
            over := over || one.entry::bigint;
        ELSE
            counts[one.topic] := counts[one.topic] + more;
            sizes[one.topic] := sizes[one.topic] + more_bytes;
        END IF;
    END LOOP;
    RETURN over;
END
$$;

-- Messages go for later ones of their keys, which no watermark tells of: nodes that have not
-- reported them yet report the later ones.
CREATE FUNCTION replace@(a_rows bigint[], a_keys bytea[]) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    beheaded bigint[];
BEGIN
    WITH gone AS (
        DELETE FROM message m USING unnest(a_rows, a_keys) k (topic, key), topic t
        WHERE m.topic = k.topic AND m.idempotency_key = k.key
            AND m.span IS NULL AND t.id = k.topic AND (m.id > t.removed OR m.kept)
        RETURNING m.topic, m.id, m.size, m.kept
    ), sums AS (
        SELECT topic, count(*) FILTER (WHERE kept IS NULL) AS n,
            coalesce(sum(size) FILTER (WHERE kept IS NULL), 0) AS size,
            min(id) FILTER (WHERE kept IS NULL) AS first,
            count(kept) AS kept, coalesce(sum(size) FILTER (WHERE kept), 0) AS kept_size
        FROM gone GROUP BY topic
    ), told AS (
        UPDATE topic t SET messages = t.messages - a.n, bytes = t.bytes - a.size,
            kept = t.kept - a.kept, kept_bytes = t.kept_bytes - a.kept_size
        FROM sums a WHERE t.id = a.topic
        RETURNING t.id, t.oldest = a.first AS beheaded
    )
    SELECT array_agg(id) FILTER (WHERE beheaded) INTO beheaded FROM told;
    IF beheaded IS NOT NULL THEN
        UPDATE topic t SET oldest = coalesce((SELECT m.id FROM message m
            WHERE m.topic = t.id AND m.id > t.oldest AND m.kept IS NULL ORDER BY m.id LIMIT 1), 0)
        WHERE t.id = ANY (beheaded);
    END IF;
END
$$;

-- Remove what a topic has too much.  Messages stay in their table until nodes have reported them.
CREATE FUNCTION trim@(a_topic bigint, now_us bigint) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    t topic;
    one record;
    up_to bigint := 0;
    n bigint := 0;
    size bigint := 0;
    first_left bigint := 0;
BEGIN
    SELECT * INTO t FROM topic WHERE id = a_topic;
    FOR one IN
        SELECT m.id, m.size FROM message m
        WHERE m.topic = a_topic AND m.id > t.removed AND m.id >= t.oldest AND m.kept IS NULL
        ORDER BY m.id LIMIT :APPEND_MESSAGES + 1
    LOOP
        IF n = :APPEND_MESSAGES OR NOT (t.messages - n > t.replay_max_messages
            OR (t.bytes - size > t.replay_max_bytes AND t.messages - n > 1))
        THEN
            first_left := one.id;
            EXIT;
        END IF;
        up_to := one.id; n := n + 1; size := size + one.size;
    END LOOP;
    IF n = 0 THEN
        -- The numbers say more than the table has.
        UPDATE topic SET messages = 0, bytes = 0, oldest = 0 WHERE id = a_topic AND first_left = 0;
        RETURN;
    END IF;
    UPDATE topic SET
        removed = greatest(removed, up_to), oldest = first_left,
        messages = messages - n, bytes = bytes - size,
        due_us = least(due_us, now_us + :KEEP_US,
            CASE WHEN messages - n > replay_max_messages
                OR (bytes - size > replay_max_bytes AND messages - n > 1) THEN 0 END)
    WHERE id = a_topic;
END
$$;

-- Whether a sweep has something to do: the time, and the topics to look at, longest due first.
CREATE FUNCTION due@(
    OUT now_us bigint, OUT needed boolean, OUT stale boolean, OUT ids bigint[], OUT keys text[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    now_us := clock@();
    SELECT array_agg(id ORDER BY due_us), array_agg(key ORDER BY due_us) INTO ids, keys
    FROM (SELECT id, key, due_us FROM topic WHERE due_us <= now_us
        ORDER BY due_us LIMIT :STEP_TOPICS) t;
    SELECT ids IS NOT NULL OR s.ahead OR s.head > now_us + :AHEAD_US
        OR now_us NOT BETWEEN s.looked_us AND s.looked_us + 60000000
        OR s.planned IS NOT NULL OR EXISTS (SELECT FROM mark)
    INTO needed FROM store s;
    needed := coalesce(needed, false);
    stale := EXISTS (SELECT FROM trash) OR abs(now_us - coalesce(
        (SELECT made_us FROM batch ORDER BY head LIMIT 1), now_us)) > :KEEP_US;
END
$$;

-- One bounded step of removal.
--   a_ids      the topics to look at, and of each
--   a_watched  when the calling node last had, or may have had, subscribers
--   a_used     1 where it has some now
CREATE FUNCTION sweep@(
    seen bigint, a_ids bigint[], a_watched bigint[], a_used integer[], OUT more boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    held store;
    now_us bigint;
    back boolean;
    from_id bigint;
    latest bigint;
    room bigint := :STEP_MESSAGES;
    t topic;
    watched bigint;
    used bigint;
    drop_us bigint;
    dropped boolean;
    stored_us bigint;
    one record;
    had record;
    n bigint;
    size bigint;
    up_to bigint;
    first_left bigint;
    expired bigint;
    gone bigint;
BEGIN
    -- One node at a time is enough; the others have nothing left to do.
    IF NOT pg_try_advisory_xact_lock(hashtext('takotwist sweep'), ours@())
    THEN
        more := false;
        RETURN;
    END IF;
    held := hold@(seen);
    now_us := clock@();

    -- How ids and clock stand (`Ages.look`).
    back := held.looked_us - :AHEAD_US > now_us;
    SELECT max(id) INTO latest FROM mark WHERE by_us > now_us;
    IF latest IS NOT NULL THEN
        DELETE FROM mark WHERE by_us > now_us;
        INSERT INTO mark VALUES (latest, now_us);
        back := true;
    END IF;
    back := back OR (held.head > now_us + :AHEAD_US AND NOT held.ahead);
    IF held.head > now_us + :AHEAD_US
        AND NOT EXISTS (SELECT FROM mark WHERE id >= held.head)
    THEN
        DELETE FROM mark WHERE by_us = now_us;
        INSERT INTO mark VALUES (held.head, now_us);
        IF (SELECT count(*) FROM mark) > :MAX_MARKS THEN
            DELETE FROM mark WHERE id IN (
                SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS i FROM mark) m
                WHERE i % 2 = 1 AND i <= :MAX_MARKS / 2);
        END IF;
    END IF;
    from_id := CASE WHEN back THEN 0 ELSE held.planned END;
    IF from_id IS NOT NULL THEN
        WITH step AS (
            SELECT id FROM topic WHERE id > from_id ORDER BY id LIMIT :STEP_MESSAGES
        ), told AS (
            UPDATE topic SET due_us = now_us WHERE id IN (SELECT id FROM step) AND due_us > now_us
        )
        SELECT CASE WHEN count(*) = :STEP_MESSAGES THEN max(id) END INTO from_id FROM step;
        UPDATE store SET planned = from_id;
    END IF;
    UPDATE store SET looked_us = now_us, ahead = held.head > now_us + :AHEAD_US
    WHERE looked_us > now_us OR looked_us < now_us - 30000000 OR back
        OR ahead <> (held.head > now_us + :AHEAD_US);

    FOR one IN
        SELECT a.id, a.watched, a.used FROM unnest(a_ids, a_watched, a_used) WITH ORDINALITY
            a (id, watched, used, i) ORDER BY a.i
    LOOP
        EXIT WHEN room <= 0;
        SELECT * INTO t FROM topic WHERE id = one.id AND due_us <= now_us;
        CONTINUE WHEN NOT FOUND;
        watched := greatest(one.watched, t.watched_us);
        used := one.used;
        IF t.inactivity_ttl_ms > 0 THEN
            -- Where a node died, its subscribers were there until its time was over.
            SELECT greatest(watched, max(least(p.until_us, now_us))),
                greatest(used, max(CASE WHEN p.until_us > now_us THEN 1 ELSE 0 END))
            INTO watched, used
            FROM lease l JOIN node p ON p.id = l.node WHERE l.topic = t.id;
        END IF;
        watched := least(watched, now_us);
        t.active_us := least(t.active_us, now_us);
        t.doomed_us := least(t.doomed_us, now_us);
        used := CASE WHEN used > 0 THEN now_us ELSE 0 END;
        drop_us := CASE WHEN t.kept > 0 THEN NULL
            WHEN t.inactivity_ttl_ms > 0
                THEN greatest(t.active_us, used, watched) + t.inactivity_ttl_ms * 1000
            WHEN t.messages = 0 THEN greatest(t.active_us, used)
                + greatest(:DAY_US, :WINDOWS_REMEMBERED * t.replay_window_ms * 1000)
        END;
        dropped := coalesce(drop_us <= now_us, false);

        expired := now_us - t.replay_window_ms * 1000;
        expired := greatest(expired, (SELECT max(id) FROM mark WHERE by_us <= expired));
        n := 0; size := 0; up_to := 0; first_left := 0;
        FOR had IN
            SELECT m.id, m.size FROM message m
            WHERE m.topic = t.id AND m.id > t.removed AND m.id >= t.oldest AND m.kept IS NULL
            ORDER BY m.id LIMIT room + 1
        LOOP
            IF n = room OR NOT (dropped OR had.id <= expired
                OR t.messages - n > t.replay_max_messages
                OR (t.bytes - size > t.replay_max_bytes AND t.messages - n > 1))
            THEN
                first_left := had.id;
                EXIT;
            END IF;
            up_to := had.id; n := n + 1; size := size + had.size;
        END LOOP;
        IF n > 0 THEN
            t.removed := greatest(t.removed, up_to);
            t.oldest := first_left;
            t.messages := t.messages - n;
            t.bytes := t.bytes - size;
            room := room - n;
        ELSIF first_left = 0 THEN
            t.messages := 0; t.bytes := 0; t.oldest := 0;
        END IF;

        IF dropped AND t.messages = 0 THEN
            DELETE FROM message WHERE topic = t.id AND id IN (
                SELECT id FROM message WHERE topic = t.id ORDER BY id LIMIT :STEP_MESSAGES);
            GET DIAGNOSTICS gone = ROW_COUNT;
            IF gone < :STEP_MESSAGES THEN
                DELETE FROM topic WHERE id = t.id;
                DELETE FROM lease WHERE topic = t.id;
                DELETE FROM trash WHERE topic = t.id;
                UPDATE store SET removed = greatest(removed, t.head);
                CONTINUE;
            END IF;
            room := 0;
        END IF;

        IF t.doomed > t.purged AND t.doomed_us + :KEEP_US <= now_us THEN
            t.purged := t.doomed;
            INSERT INTO trash VALUES (t.id, t.doomed) ON CONFLICT DO NOTHING;
        END IF;
        IF t.doomed = t.purged AND t.removed > t.doomed THEN
            t.doomed := t.removed;
            t.doomed_us := now_us;
        END IF;

        IF t.messages > 0 THEN
            SELECT least(t.oldest, coalesce((SELECT by_us FROM mark WHERE id >= t.oldest
                ORDER BY id LIMIT 1), t.oldest)) INTO stored_us;
        ELSIF used > 0 AND t.inactivity_ttl_ms = 0 AND t.kept = 0 AND t.active_us
            + greatest(:DAY_US, :WINDOWS_REMEMBERED * t.replay_window_ms * 1000) <= now_us
        THEN
            -- It is remembered for its subscribers' sake alone, and from now on as long again; also
            -- where it is looked at sooner, for what is left to be purged.
            t.active_us := now_us;
        END IF;
        drop_us := CASE WHEN t.kept > 0 THEN NULL
            WHEN t.inactivity_ttl_ms > 0
                THEN greatest(t.active_us, used, watched) + t.inactivity_ttl_ms * 1000
            WHEN t.messages = 0 THEN greatest(t.active_us, used)
                + greatest(:DAY_US, :WINDOWS_REMEMBERED * t.replay_window_ms * 1000)
        END;
        UPDATE topic SET
            removed = t.removed, oldest = t.oldest, messages = t.messages, bytes = t.bytes,
            doomed = t.doomed, doomed_us = t.doomed_us, purged = t.purged,
            active_us = t.active_us,
            -- Or the column's default: a topic of which all is kept is not looked at.
            due_us = least(drop_us, 4611686018427387904,
                CASE WHEN t.doomed > t.purged THEN t.doomed_us + :KEEP_US END,
                CASE WHEN t.messages > t.replay_max_messages
                        OR (t.bytes > t.replay_max_bytes AND t.messages > 1) THEN 0
                    WHEN t.messages > 0 THEN stored_us + t.replay_window_ms * 1000 END)
        WHERE id = t.id;
    END LOOP;

    more := back OR from_id IS NOT NULL OR EXISTS (SELECT FROM topic WHERE due_us <= now_us);
END
$$;

-- Delete a bounded number of messages that nobody can read any more, and of batches that every
-- node has had; whether there are more.  Nobody waits for it.
CREATE FUNCTION purge@() RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    one trash;
    gone bigint;
    room bigint := :STEP_MESSAGES;
    now_us bigint := clock@();
BEGIN
    DELETE FROM batch
    WHERE head IN (SELECT head FROM batch ORDER BY head LIMIT :STEP_MESSAGES FOR UPDATE SKIP LOCKED)
        AND (made_us < now_us - :KEEP_US OR made_us > now_us + :KEEP_US);
    FOR one IN SELECT * FROM trash LIMIT :STEP_TOPICS FOR UPDATE SKIP LOCKED LOOP
        DELETE FROM message WHERE topic = one.topic AND id IN (
            SELECT id FROM message WHERE topic = one.topic AND id <= one.up_to AND kept IS NULL
            ORDER BY id LIMIT room);
        GET DIAGNOSTICS gone = ROW_COUNT;
        room := room - gone;
        IF room <= 0 THEN
            RETURN true;
        END IF;
        DELETE FROM trash WHERE topic = one.topic AND up_to = one.up_to;
    END LOOP;
    RETURN EXISTS (SELECT FROM trash);
END
$$;

-- The rows of followed topics; those with a ttl are kept for as long as this node lives.
CREATE FUNCTION follow@(a_node text, a_digests bytea[], OUT rows bigint[], OUT leased bigint[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    SELECT array_agg(coalesce(t.id, 0) ORDER BY d.i),
        array_agg(CASE WHEN t.inactivity_ttl_ms > 0 THEN 1 ELSE 0 END ORDER BY d.i)
    INTO rows, leased
    FROM unnest(a_digests) WITH ORDINALITY d (digest, i) LEFT JOIN topic t ON t.digest = d.digest;
    IF 1 = ANY (leased) THEN
        INSERT INTO lease SELECT d.row, a_node FROM unnest(rows, leased) d (row, leased)
        WHERE d.leased = 1 ON CONFLICT DO NOTHING;
    END IF;
END
$$;

-- They have no subscribers on this node any more.
CREATE FUNCTION unfollow@(seen bigint, a_node text, a_rows bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    -- Held, as by everybody who changes topics, so that nobody waits in a circle.
    PERFORM hold@(seen);
    DELETE FROM lease WHERE node = a_node AND topic = ANY (a_rows);
    UPDATE topic SET watched_us = clock@() WHERE id = ANY (a_rows);
END
$$;

-- A sign of life of a node; whether it was known.
CREATE FUNCTION renew@(a_node text, a_info bytea) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    now_us bigint := clock@();
BEGIN
    UPDATE code SET used_us = now_us WHERE digest = ':DIGEST' AND used_us < now_us - :DAY_US;
    UPDATE node SET until_us = now_us + :LIVES_US, info = a_info WHERE id = a_node;
    IF FOUND THEN
        RETURN true;
    END IF;
    INSERT INTO node VALUES (a_node, now_us, now_us + :LIVES_US, a_info);
    -- Those that are long gone, and what they left.
    PERFORM 1 FROM store FOR UPDATE;
    UPDATE topic t SET watched_us = greatest(t.watched_us, p.until_us)
    FROM node p JOIN lease l ON l.node = p.id
    WHERE p.until_us < now_us - :FORGOTTEN_US AND t.id = l.topic;
    DELETE FROM lease l USING node p
    WHERE p.until_us < now_us - :FORGOTTEN_US AND l.node = p.id;
    DELETE FROM node WHERE until_us < now_us - :FORGOTTEN_US;
    DELETE FROM writer WHERE used_us < now_us - :FORGOTTEN_US;
    RETURN false;
END
$$;

-- A node leaves in order.
CREATE FUNCTION leave@(a_node text) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM 1 FROM store FOR UPDATE;
    UPDATE topic t SET watched_us = clock@() FROM lease l WHERE l.node = a_node AND t.id = l.topic;
    DELETE FROM lease WHERE node = a_node;
    DELETE FROM node WHERE id = a_node;
    DELETE FROM writer WHERE node = a_node;
END
$$;

-- One page of a topic, with head and watermark of the same snapshot; after -1 it is the newest
-- message alone.
--   same  whether it is still the same run of the engine
CREATE FUNCTION page@(a_digest bytea, a_after bigint, a_limit bigint, a_bytes bigint)
RETURNS TABLE (
    same boolean, store_head bigint, store_removed bigint, more boolean,
    id bigint, type bytea, data bytea, epoch bigint, seq bigint
) LANGUAGE sql STABLE AS $$
    SELECT s.fence = fence@(), s.head, greatest(coalesce(t.removed, s.removed), s.floor),
        m.more, m.id, m.type, m.data, m.epoch, m.seq
    FROM store s
    LEFT JOIN topic t ON t.digest = a_digest
    LEFT JOIN LATERAL (
        SELECT CASE WHEN a_after >= 0 THEN a_after ELSE (
            SELECT o.id - 1 FROM message o
            WHERE o.topic = t.id AND (o.id > t.removed OR o.kept)
            ORDER BY o.id DESC LIMIT 1
        ) END AS id
    ) p ON true
    LEFT JOIN LATERAL (
        SELECT n.i > a_limit OR (n.i > 1 AND n.total > a_bytes) AS more, n.id, n.epoch, n.seq,
            CASE WHEN n.i = 1 OR n.total <= a_bytes THEN n.type END AS type,
            CASE WHEN n.i = 1 OR n.total <= a_bytes THEN n.data END AS data
        FROM (
            SELECT o.*, row_number() OVER w AS i, sum(o.size) OVER w AS total
            FROM (
                (SELECT * FROM message o
                WHERE o.topic = t.id AND o.id > greatest(p.id, t.removed)
                ORDER BY o.id LIMIT a_limit + 1)
                UNION ALL
                (SELECT * FROM message o
                WHERE t.kept > 0 AND o.topic = t.id AND o.kept
                    AND o.id > p.id AND o.id <= t.removed
                ORDER BY o.id LIMIT a_limit + 1)
                ORDER BY id LIMIT a_limit + 1
            ) o
            WINDOW w AS (ORDER BY o.id)
        ) n
        WHERE n.i <= 2 OR n.total - n.size <= a_bytes
    ) m ON true
    ORDER BY m.id
$$;

-- What was stored after an id: the store's head, and the batches.
CREATE FUNCTION batches@(a_after bigint, a_limit bigint)
RETURNS TABLE (same boolean, store_head bigint, prev bigint, head bigint, touched text)
LANGUAGE sql STABLE AS $$
    SELECT s.fence = fence@() AND s.head >= a_after, s.head, b.prev, b.head, b.touched
    FROM store s LEFT JOIN LATERAL (
        SELECT * FROM batch b WHERE b.head > a_after ORDER BY b.head LIMIT a_limit
    ) b ON true
    ORDER BY b.head
$$;

-- Messages of some topics in a range of ids, to be reported: first a row for each topic, with
-- its bounds and the highest id that may be gone, then the messages in their order, as many as
-- fit; `total` says how many there are.
CREATE FUNCTION news@(a_rows bigint[], a_after bigint, a_to bigint, a_limit bigint, a_bytes bigint)
RETURNS TABLE (
    topic bigint, id bigint, total bigint, type bytea, data bytea, epoch bigint, seq bigint,
    key text, purged bigint, replay_window_ms bigint, inactivity_ttl_ms bigint,
    replay_max_messages bigint, replay_max_bytes bigint, digest bytea
) LANGUAGE sql STABLE AS $$
    SELECT t.id, 0, 0, NULL::bytea, NULL::bytea, 0, 0, t.key, t.purged, t.replay_window_ms,
        t.inactivity_ttl_ms, t.replay_max_messages, t.replay_max_bytes, NULL::bytea
    FROM topic t WHERE t.id = ANY (a_rows)
    UNION ALL (
        SELECT n.topic, n.id, n.total, n.type, n.data, n.epoch, n.seq, NULL, 0, 0, 0, 0, 0,
            -- Of a key (`Append.keys`), and not of an idempotency key.
            CASE WHEN n.span IS NULL THEN n.idempotency_key END
        FROM (
            SELECT m.*, count(*) OVER () AS total,
                sum(m.size) OVER (ORDER BY m.id) - m.size AS before
            FROM (
                SELECT * FROM message m
                WHERE m.topic = ANY (a_rows) AND m.id > a_after AND m.id <= a_to
                ORDER BY m.id LIMIT a_limit
            ) m
        ) n
        WHERE n.before < a_bytes ORDER BY n.id
    )
$$;

CREATE FUNCTION stats@(OUT topics bigint, OUT messages bigint, OUT size bigint)
LANGUAGE sql STABLE AS $$
    SELECT count(*), coalesce(sum(messages + kept), 0)::bigint,
        coalesce(sum(bytes + kept_bytes), 0)::bigint
    FROM topic
$$;

-- Who is there.
CREATE FUNCTION nodes@() RETURNS TABLE (id text, since_us bigint, info bytea)
LANGUAGE sql VOLATILE AS $$
    SELECT n.id, n.since_us, n.info
    FROM node n WHERE n.until_us > clock@() ORDER BY n.since_us, n.id
$$;

-- The oldest of the outbox, for the one node that moves it over; whether that is this one.
CREATE FUNCTION outgoing@(a_node text, a_limit bigint, a_bytes bigint, OUT mine boolean,
    OUT ids bigint[], OUT channels text[], OUT params text[], OUT types text[], OUT datas text[],
    OUT keys text[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    now_us bigint := clock@();
BEGIN
    mine := false;
    IF NOT EXISTS (SELECT FROM outbox WHERE refused IS NULL) THEN
        RETURN;
    END IF;
    UPDATE mover SET node = a_node, until_us = now_us + :MOVER_US
    WHERE node = a_node OR until_us < now_us OR until_us > now_us + :MOVER_US;
    mine := FOUND;
    IF NOT mine THEN
        RETURN;
    END IF;
    SELECT array_agg(o.id ORDER BY o.id), array_agg(o.channel ORDER BY o.id),
        array_agg(o.params ORDER BY o.id), array_agg(o.type ORDER BY o.id),
        array_agg(o.data ORDER BY o.id), array_agg(coalesce(o.idempotency_key, '') ORDER BY o.id)
    INTO ids, channels, params, types, datas, keys
    FROM (
        SELECT w.*, sum(length(w.data)) OVER (ORDER BY w.id) - length(w.data) AS before
        FROM (SELECT * FROM outbox WHERE refused IS NULL ORDER BY id LIMIT a_limit) w
    ) o WHERE o.before < a_bytes;
END
$$;

-- What cannot be published stays, with the reason.
CREATE FUNCTION refuse@(a_ids bigint[], a_reasons text[]) RETURNS void LANGUAGE sql VOLATILE AS $$
    UPDATE outbox o SET refused = r.reason FROM unnest(a_ids, a_reasons) r (id, reason)
    WHERE o.id = r.id
$$;

-- And is tried once more.
CREATE FUNCTION retry@() RETURNS void LANGUAGE sql VOLATILE AS $$
    UPDATE outbox SET refused = NULL WHERE refused IS NOT NULL
$$;
