// @generated automatically by Diesel CLI.

pub mod sql_types {
    #[derive(diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "xid8", schema = "pg_catalog"))]
    pub struct Xid8;
}

diesel::table! {
    appointment_events (county_id, appointment_id, version) {
        county_id -> Int4,
        appointment_id -> Uuid,
        version -> Int8,
        at -> Timestamptz,
        actor_id -> Nullable<Uuid>,
        from_state -> Text,
        to_state -> Text,
        from_starts_at -> Timestamptz,
        to_starts_at -> Timestamptz,
        from_window_id -> Uuid,
        to_window_id -> Uuid,
        desk_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    appointment_handles (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        handle -> Bytea,
        handle_index -> Bytea,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    appointments (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        unit_id -> Uuid,
        window_id -> Uuid,
        matter_id -> Uuid,
        resident_id -> Nullable<Uuid>,
        booked_by -> Nullable<Uuid>,
        channel -> Text,
        on_date -> Date,
        starts_at -> Timestamptz,
        ends_at -> Timestamptz,
        state -> Text,
        cancelled_at -> Nullable<Timestamptz>,
        cancel_reason -> Nullable<Text>,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        booked_by_resident -> Nullable<Uuid>,
        place -> Text,
        address -> Nullable<Bytea>,
        slots -> Int2,
        busy_from -> Timestamptz,
        busy_until -> Timestamptz,
        capacity -> Int2,
        capacity_total -> Int2,
        nth -> Int2,
        held_until -> Nullable<Timestamptz>,
        waiting_id -> Nullable<Uuid>,
        reminded -> Int2,
        moved_at -> Nullable<Timestamptz>,
        ticket -> Nullable<Text>,
        arrived_at -> Nullable<Timestamptz>,
        on_time -> Nullable<Bool>,
        queue_at -> Nullable<Timestamptz>,
        desk_id -> Nullable<Uuid>,
        called_at -> Nullable<Timestamptz>,
        calls -> Int2,
        served_at -> Nullable<Timestamptz>,
        finished_at -> Nullable<Timestamptz>,
        updated_by -> Nullable<Uuid>,
    }
}

diesel::table! {
    attachment_pieces (county_id, attachment_id, start) {
        county_id -> Int4,
        attachment_id -> Uuid,
        start -> Int8,
        bytes -> Int8,
        object -> Text,
    }
}

diesel::table! {
    attachments (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        uploader_id -> Uuid,
        by_staff -> Bool,
        resident_id -> Nullable<Uuid>,
        about -> Nullable<Text>,
        about_id -> Nullable<Uuid>,
        state -> Text,
        resumable -> Bool,
        name -> Nullable<Bytea>,
        metadata -> Nullable<Bytea>,
        declared_type -> Nullable<Text>,
        length -> Int8,
        received -> Int8,
        writer -> Nullable<Uuid>,
        folder -> Text,
        media_type -> Nullable<Text>,
        bytes -> Nullable<Int8>,
        sha256 -> Nullable<Bytea>,
        width -> Nullable<Int4>,
        height -> Nullable<Int4>,
        refusal -> Nullable<Text>,
        expires_at -> Nullable<Timestamptz>,
        removed_at -> Nullable<Timestamptz>,
        cleared_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    audit_batches (county_id, id) {
        county_id -> Int4,
        id -> Int8,
        rows -> Int8,
        first_at -> Timestamptz,
        last_at -> Timestamptz,
        previous -> Bytea,
        digest -> Bytea,
        key_version -> Int2,
        signature -> Bytea,
        sealed_at -> Timestamptz,
        pruned_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    audit_log (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        at -> Timestamptz,
        actor_id -> Uuid,
        actor_role -> Text,
        action -> Text,
        entity -> Text,
        entity_id -> Uuid,
        fields -> Array<Nullable<Text>>,
        reason -> Nullable<Text>,
        request_id -> Nullable<Uuid>,
        batch_id -> Nullable<Int8>,
    }
}

diesel::table! {
    calendar_days (day) {
        day -> Date,
        kind -> Text,
        name -> Text,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Xid8;

    change_feed (one) {
        one -> Bool,
        epoch -> Int8,
        place -> Text,
        kept_from -> Xid8,
        began_at -> Timestamptz,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Xid8;

    change_marks (at) {
        at -> Timestamptz,
        xid -> Xid8,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Xid8;

    changes (county_id, xid, seq) {
        county_id -> Int4,
        xid -> Xid8,
        seq -> Int8,
        entity -> Text,
        entity_id -> Uuid,
        unit_id -> Nullable<Uuid>,
        resident_id -> Nullable<Uuid>,
        staff_id -> Nullable<Uuid>,
        gone -> Bool,
        at -> Timestamptz,
    }
}

diesel::table! {
    consent_texts (county_id, purpose, version) {
        county_id -> Int4,
        purpose -> Text,
        version -> Int8,
        id -> Uuid,
        zh -> Text,
        en -> Text,
        effective_from -> Timestamptz,
        published_by -> Nullable<Uuid>,
        published_at -> Timestamptz,
    }
}

diesel::table! {
    consents (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        seq -> Int8,
        resident_id -> Uuid,
        purpose -> Text,
        version -> Int8,
        answer -> Text,
        how -> Text,
        by_resident -> Nullable<Uuid>,
        by_staff -> Nullable<Uuid>,
        at -> Timestamptz,
    }
}

diesel::table! {
    counties (id) {
        id -> Int4,
        key -> Text,
        name -> Text,
        wechat_appid -> Nullable<Text>,
        wechat_secret -> Nullable<Bytea>,
        created_at -> Timestamptz,
        sms_url -> Nullable<Text>,
        sms_secret -> Nullable<Bytea>,
        state -> Text,
        suspended_at -> Nullable<Timestamptz>,
        suspended_because -> Nullable<Text>,
        version -> Int8,
    }
}

diesel::table! {
    data_requests (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        resident_id -> Uuid,
        kind -> Text,
        state -> Text,
        words -> Nullable<Bytea>,
        asked_by -> Nullable<Uuid>,
        decided_by -> Nullable<Uuid>,
        reason -> Nullable<Bytea>,
        due_at -> Timestamptz,
        archive -> Nullable<Bytea>,
        counts -> Nullable<Jsonb>,
        kept -> Nullable<Jsonb>,
        asked_at -> Timestamptz,
        ready_at -> Nullable<Timestamptz>,
        expires_at -> Nullable<Timestamptz>,
        ended_at -> Nullable<Timestamptz>,
        version -> Int8,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    department_waits (county_id, errand_id, seq) {
        county_id -> Int4,
        errand_id -> Uuid,
        seq -> Int4,
        since -> Date,
        remind_on -> Nullable<Date>,
        reminded_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    departments (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        name -> Text,
        phone -> Nullable<Text>,
        state -> Text,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    errand_ledger (county_id, errand_id, seq) {
        county_id -> Int4,
        errand_id -> Uuid,
        seq -> Int4,
        at -> Timestamptz,
        step -> Text,
        actor_id -> Nullable<Uuid>,
        actor_role -> Nullable<Text>,
        from_state -> Nullable<Text>,
        to_state -> Text,
        facts -> Jsonb,
        words_digest -> Nullable<Bytea>,
        previous -> Bytea,
        hash -> Bytea,
    }
}

diesel::table! {
    errand_originals (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        errand_id -> Uuid,
        name -> Nullable<Bytea>,
        state -> Text,
        with_id -> Nullable<Uuid>,
        passed_to -> Nullable<Uuid>,
        taken_how -> Nullable<Text>,
        returned_how -> Nullable<Text>,
        seq -> Int4,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    errand_words (county_id, id) {
        county_id -> Int4,
        errand_id -> Uuid,
        seq -> Int4,
        id -> Uuid,
        words -> Bytea,
    }
}

diesel::table! {
    errands (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        number -> Text,
        matter_id -> Uuid,
        matter_version -> Int2,
        resident_id -> Uuid,
        unit_id -> Uuid,
        decided_by -> Text,
        department_id -> Nullable<Uuid>,
        kind -> Text,
        state -> Text,
        back_to -> Nullable<Text>,
        holder_id -> Nullable<Uuid>,
        offered_to -> Nullable<Uuid>,
        filed_by -> Nullable<Uuid>,
        filed_by_resident -> Nullable<Uuid>,
        mandate_id -> Nullable<Uuid>,
        form -> Nullable<Bytea>,
        answers -> Jsonb,
        materials -> Jsonb,
        supplements -> Int2,
        limit_days -> Int2,
        submitted_on -> Nullable<Date>,
        accepted_on -> Nullable<Date>,
        decided_on -> Nullable<Date>,
        granted -> Nullable<Bool>,
        on_time -> Nullable<Bool>,
        due_on -> Nullable<Date>,
        provisional -> Bool,
        yellow_from -> Nullable<Date>,
        red_from -> Nullable<Date>,
        rung -> Int2,
        rung_on -> Nullable<Date>,
        calendar_digest -> Nullable<Bytea>,
        entries -> Int4,
        head -> Nullable<Bytea>,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        asked -> Array<Nullable<Text>>,
        content_salt -> Nullable<Bytea>,
        parcel -> Nullable<Bytea>,
    }
}

diesel::table! {
    hall_screens (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        unit_id -> Uuid,
        name -> Text,
        handle_hash -> Bytea,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    helper_decisions (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        helper_id -> Uuid,
        decision -> Text,
        decided_by -> Uuid,
        decided_at -> Timestamptz,
        reason -> Nullable<Bytea>,
    }
}

diesel::table! {
    helper_hours (county_id, helper_id, no) {
        county_id -> Int4,
        helper_id -> Uuid,
        no -> Int2,
        weekdays -> Int2,
        from_time -> Time,
        until_time -> Time,
    }
}

diesel::table! {
    helper_units (county_id, helper_id, unit_id) {
        county_id -> Int4,
        helper_id -> Uuid,
        unit_id -> Uuid,
        granted -> Bool,
    }
}

diesel::table! {
    helpers (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        kind -> Text,
        staff_id -> Nullable<Uuid>,
        resident_id -> Nullable<Uuid>,
        unit_id -> Uuid,
        state -> Text,
        skills -> Array<Nullable<Text>>,
        claimed -> Array<Nullable<Text>>,
        words -> Nullable<Bytea>,
        lng -> Nullable<Float8>,
        lat -> Nullable<Float8>,
        radius_m -> Nullable<Int4>,
        max_load -> Nullable<Int2>,
        away_from -> Nullable<Timestamptz>,
        away_until -> Nullable<Timestamptz>,
        decided_by -> Nullable<Uuid>,
        decided_at -> Nullable<Timestamptz>,
        reason -> Nullable<Bytea>,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    household_import_lines (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        import_id -> Uuid,
        line -> Int4,
        household_id -> Uuid,
        did -> Text,
        before -> Nullable<Bytea>,
        version -> Int8,
    }
}

diesel::table! {
    household_imports (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        digest -> Bytea,
        created -> Int4,
        changed -> Int4,
        unchanged -> Int4,
        imported_by -> Uuid,
        imported_at -> Timestamptz,
        undone_by -> Nullable<Uuid>,
        undone_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    household_members (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        household_id -> Uuid,
        resident_id -> Uuid,
        relation -> Text,
        since_on -> Date,
        until_on -> Nullable<Date>,
        added_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        first -> Bool,
    }
}

diesel::table! {
    household_points (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        household_id -> Uuid,
        source -> Text,
        lng -> Nullable<Float8>,
        lat -> Nullable<Float8>,
        given_lng -> Nullable<Float8>,
        given_lat -> Nullable<Float8>,
        coordinate_system -> Text,
        accuracy_m -> Nullable<Float8>,
        set_by -> Nullable<Uuid>,
        at -> Timestamptz,
    }
}

diesel::table! {
    household_tag_kinds (county_id, key) {
        county_id -> Int4,
        key -> Text,
        name_zh -> Text,
        name_en -> Text,
        consent -> Nullable<Text>,
        state -> Text,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    household_tags (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        household_id -> Uuid,
        tag -> Text,
        resident_id -> Nullable<Uuid>,
        since_on -> Date,
        until_on -> Nullable<Date>,
        set_by -> Uuid,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    households (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        unit_id -> Uuid,
        state -> Text,
        merged_into -> Nullable<Uuid>,
        code -> Nullable<Text>,
        name -> Nullable<Bytea>,
        name_index -> Nullable<Bytea>,
        address -> Nullable<Bytea>,
        note -> Nullable<Bytea>,
        category_id -> Nullable<Uuid>,
        holder_id -> Nullable<Uuid>,
        lng -> Nullable<Float8>,
        lat -> Nullable<Float8>,
        point_set_at -> Nullable<Timestamptz>,
        last_visit_on -> Nullable<Date>,
        version -> Int8,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        closed_on -> Nullable<Date>,
    }
}

diesel::table! {
    idempotency_keys (county_id, caller_id, operation, key) {
        county_id -> Int4,
        caller_id -> Uuid,
        operation -> Text,
        key -> Text,
        request_digest -> Bytea,
        status -> Int2,
        location -> Nullable<Text>,
        etag -> Nullable<Text>,
        body -> Bytea,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    mandates (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        resident_id -> Uuid,
        agent_id -> Nullable<Uuid>,
        unit_id -> Uuid,
        matter_id -> Nullable<Uuid>,
        given_how -> Text,
        given_by -> Nullable<Uuid>,
        given_by_resident -> Nullable<Uuid>,
        words -> Nullable<Bytea>,
        valid_until -> Date,
        revoked_at -> Nullable<Timestamptz>,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        attachment_ids -> Jsonb,
    }
}

diesel::table! {
    matter_versions (county_id, matter_id, number) {
        county_id -> Int4,
        matter_id -> Uuid,
        number -> Int2,
        effective_from -> Date,
        decided_by -> Text,
        department_id -> Nullable<Uuid>,
        kind -> Text,
        promised_days -> Int2,
        statutory_days -> Nullable<Int2>,
        proxy_allowed -> Bool,
        materials -> Jsonb,
        conditions -> Jsonb,
        questions -> Jsonb,
        form -> Nullable<Jsonb>,
        ladder -> Nullable<Jsonb>,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    matters (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        name -> Text,
        description -> Nullable<Text>,
        state -> Text,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        identity_level -> Text,
        slots -> Int2,
        places -> Array<Nullable<Text>>,
        travel_minutes -> Int2,
        own_specialist -> Bool,
    }
}

diesel::table! {
    message_deliveries (county_id, message_id, channel) {
        county_id -> Int4,
        message_id -> Uuid,
        channel -> Text,
        state -> Text,
        attempts -> Int4,
        code -> Nullable<Int4>,
        at -> Timestamptz,
    }
}

diesel::table! {
    message_grants (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        resident_id -> Uuid,
        template_id -> Text,
        granted_at -> Timestamptz,
        message_id -> Nullable<Uuid>,
        used_at -> Nullable<Timestamptz>,
        voided_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    message_leases (county_id, resident_id) {
        county_id -> Int4,
        resident_id -> Uuid,
        holder -> Uuid,
        until -> Timestamptz,
    }
}

diesel::table! {
    message_templates (county_id, kind) {
        county_id -> Int4,
        kind -> Text,
        wechat_template_id -> Nullable<Text>,
        title_zh -> Nullable<Text>,
        text_zh -> Nullable<Text>,
        title_en -> Nullable<Text>,
        text_en -> Nullable<Text>,
        wechat_fields -> Nullable<Jsonb>,
        sms_template -> Nullable<Text>,
        version -> Int8,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    messages (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        resident_id -> Uuid,
        kind -> Text,
        about_id -> Uuid,
        params -> Jsonb,
        created_at -> Timestamptz,
        read_at -> Nullable<Timestamptz>,
        words -> Nullable<Jsonb>,
        occasion -> Int8,
    }
}

diesel::table! {
    one_time_codes (county_id, purpose, subject_id) {
        county_id -> Int4,
        purpose -> Text,
        subject_id -> Uuid,
        index -> Bytea,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    opening_exceptions (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        unit_id -> Uuid,
        window_id -> Nullable<Uuid>,
        on_date -> Date,
        kind -> Text,
        opens_at -> Nullable<Time>,
        closes_at -> Nullable<Time>,
        like_weekday -> Nullable<Int2>,
        slot_minutes -> Nullable<Int2>,
        place -> Nullable<Text>,
        capacity_public -> Nullable<Int2>,
        capacity_proxy -> Nullable<Int2>,
        capacity_desk -> Nullable<Int2>,
        reason -> Text,
        created_by -> Nullable<Uuid>,
        version -> Int8,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    opening_rules (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        window_id -> Uuid,
        weekdays -> Int2,
        opens_at -> Time,
        closes_at -> Time,
        slot_minutes -> Int2,
        capacity_public -> Int2,
        capacity_proxy -> Int2,
        capacity_desk -> Int2,
        valid_from -> Date,
        valid_until -> Nullable<Date>,
        place -> Text,
        every_weeks -> Int2,
    }
}

diesel::table! {
    order_kinds (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        name -> Text,
        description -> Nullable<Text>,
        state -> Text,
        form -> Nullable<Jsonb>,
        skills -> Array<Nullable<Text>>,
        duration_minutes -> Int2,
        evidence -> Text,
        money -> Bool,
        taken_by -> Array<Nullable<Text>>,
        dispatch -> Text,
        grab_minutes -> Int2,
        start_minutes -> Int2,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    order_money (county_id, order_id, line) {
        county_id -> Int4,
        order_id -> Uuid,
        line -> Int2,
        kind -> Text,
        amount_fen -> Int8,
        side -> Text,
        by_id -> Uuid,
        helper_id -> Uuid,
        attachment_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    order_money_answers (county_id, order_id, line) {
        county_id -> Int4,
        order_id -> Uuid,
        line -> Int2,
        agreed -> Bool,
        side -> Text,
        by_id -> Uuid,
        by_staff -> Bool,
        at -> Timestamptz,
    }
}

diesel::table! {
    order_moves (county_id, order_id, seq) {
        county_id -> Int4,
        order_id -> Uuid,
        seq -> Int4,
        at -> Timestamptz,
        step -> Text,
        actor_id -> Nullable<Uuid>,
        actor_role -> Nullable<Text>,
        from_state -> Nullable<Text>,
        to_state -> Text,
        from_holder -> Nullable<Uuid>,
        holder_id -> Nullable<Uuid>,
        facts -> Jsonb,
    }
}

diesel::table! {
    order_notes (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        order_id -> Uuid,
        kind -> Text,
        side -> Text,
        author_id -> Uuid,
        words -> Nullable<Bytea>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    order_series (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        kind_id -> Uuid,
        resident_id -> Uuid,
        unit_id -> Uuid,
        rrule -> Text,
        from_time -> Time,
        minutes -> Int2,
        skip_holidays -> Bool,
        from_on -> Date,
        until_on -> Date,
        state -> Text,
        planned_until -> Nullable<Date>,
        language -> Nullable<Text>,
        address -> Nullable<Bytea>,
        phone -> Nullable<Bytea>,
        words -> Nullable<Bytea>,
        form -> Nullable<Bytea>,
        lng -> Nullable<Float8>,
        lat -> Nullable<Float8>,
        ordered_by -> Nullable<Uuid>,
        ordered_by_resident -> Nullable<Uuid>,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    order_series_skips (county_id, series_id, occurrence) {
        county_id -> Int4,
        series_id -> Uuid,
        occurrence -> Date,
        skipped_at -> Timestamptz,
    }
}

diesel::table! {
    orders (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        number -> Text,
        kind_id -> Uuid,
        resident_id -> Uuid,
        unit_id -> Uuid,
        state -> Text,
        wanted_from -> Timestamptz,
        wanted_until -> Timestamptz,
        at_once -> Bool,
        skills -> Array<Nullable<Text>>,
        taken_by -> Array<Nullable<Text>>,
        dispatch -> Text,
        evidence -> Text,
        money -> Bool,
        duration_minutes -> Int2,
        grab_minutes -> Int2,
        start_minutes -> Int2,
        language -> Nullable<Text>,
        address -> Nullable<Bytea>,
        phone -> Nullable<Bytea>,
        words -> Nullable<Bytea>,
        form -> Nullable<Bytea>,
        lng -> Nullable<Float8>,
        lat -> Nullable<Float8>,
        ordered_by -> Nullable<Uuid>,
        ordered_by_resident -> Nullable<Uuid>,
        series_id -> Nullable<Uuid>,
        occurrence -> Nullable<Date>,
        holder_id -> Nullable<Uuid>,
        load_place -> Nullable<Int2>,
        lease_until -> Nullable<Timestamptz>,
        opened_at -> Timestamptz,
        due_at -> Nullable<Timestamptz>,
        told -> Bool,
        codes -> Int4,
        tries -> Int2,
        set_out_at -> Nullable<Timestamptz>,
        started_at -> Nullable<Timestamptz>,
        started_how -> Nullable<Text>,
        finished_at -> Nullable<Timestamptz>,
        confirmed_how -> Nullable<Text>,
        ended_at -> Nullable<Timestamptz>,
        moves -> Int4,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    outbox (id) {
        id -> Int8,
        county_id -> Int4,
        kind -> Text,
        payload -> Jsonb,
        run_at -> Timestamptz,
        attempts -> Int4,
        pushed_until -> Nullable<Timestamptz>,
        leased_until -> Nullable<Timestamptz>,
        last_error -> Nullable<Text>,
        dead_at -> Nullable<Timestamptz>,
        deferred -> Int4,
    }
}

diesel::table! {
    proxies (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        resident_id -> Uuid,
        proxy_id -> Nullable<Uuid>,
        relation -> Text,
        may -> Array<Nullable<Text>>,
        valid_until -> Date,
        given_how -> Text,
        given_by -> Nullable<Uuid>,
        state -> Text,
        accepted_at -> Nullable<Timestamptz>,
        ended_at -> Nullable<Timestamptz>,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    queue_days (county_id, unit_id, on_date) {
        county_id -> Int4,
        unit_id -> Uuid,
        on_date -> Date,
        booked -> Int4,
        walk_ins -> Int4,
    }
}

diesel::table! {
    rating_entries (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        rating_id -> Uuid,
        seq -> Int2,
        grade -> Int2,
        reasons -> Array<Nullable<Text>>,
        words -> Nullable<Bytea>,
        given_how -> Text,
        given_by -> Uuid,
        at -> Timestamptz,
    }
}

diesel::table! {
    rating_rounds (county_id, on_date) {
        county_id -> Int4,
        on_date -> Date,
        asked_at -> Timestamptz,
    }
}

diesel::table! {
    ratings (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        about_kind -> Text,
        about_id -> Uuid,
        resident_id -> Uuid,
        unit_id -> Uuid,
        served_by -> Array<Nullable<Uuid>>,
        grade -> Int2,
        reasons -> Array<Nullable<Text>>,
        given_how -> Text,
        given_by -> Uuid,
        on_date -> Date,
        entries -> Int2,
        version -> Int8,
        created_at -> Timestamptz,
        changed_at -> Timestamptz,
    }
}

diesel::table! {
    resident_merges (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        from_id -> Uuid,
        into_id -> Uuid,
        snapshot -> Bytea,
        moved -> Jsonb,
        reason -> Text,
        merged_by -> Uuid,
        merged_by_role -> Text,
        merged_at -> Timestamptz,
    }
}

diesel::table! {
    residents (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        unit_id -> Nullable<Uuid>,
        name -> Nullable<Bytea>,
        id_number -> Nullable<Bytea>,
        id_number_index -> Nullable<Bytea>,
        phone -> Nullable<Bytea>,
        phone_index -> Nullable<Bytea>,
        wechat_openid -> Nullable<Bytea>,
        wechat_openid_index -> Nullable<Bytea>,
        identity_level -> Text,
        identity_seen -> Nullable<Text>,
        registered_by -> Nullable<Uuid>,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        closed_at -> Nullable<Timestamptz>,
        merged_into -> Nullable<Uuid>,
        id_number_claim -> Nullable<Bytea>,
        name_index -> Nullable<Bytea>,
    }
}

diesel::table! {
    sessions (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        resident_id -> Nullable<Uuid>,
        staff_id -> Nullable<Uuid>,
        role -> Text,
        unit_id -> Nullable<Uuid>,
        device -> Nullable<Text>,
        refresh_hash -> Bytea,
        previous_hash -> Nullable<Bytea>,
        rotated_at -> Timestamptz,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
        ended_because -> Nullable<Text>,
        by_password -> Bool,
        covers_id -> Nullable<Uuid>,
        covers_until -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    settings (county_id, key, version) {
        county_id -> Int4,
        key -> Text,
        version -> Int8,
        value -> Jsonb,
        effective_from -> Timestamptz,
        set_by -> Nullable<Uuid>,
        set_at -> Timestamptz,
        reason -> Nullable<Text>,
    }
}

diesel::table! {
    signing_keys (kid) {
        kid -> Text,
        public_key -> Bytea,
        private_key -> Bytea,
        created_at -> Timestamptz,
        signs_from -> Timestamptz,
        retired_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    skills (county_id, key) {
        county_id -> Int4,
        key -> Text,
        name_zh -> Text,
        name_en -> Text,
        state -> Text,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    staff (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        username -> Text,
        display_name -> Text,
        password_hash -> Nullable<Text>,
        state -> Text,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        phone -> Nullable<Text>,
        one_time_until -> Nullable<Timestamptz>,
        last_login_at -> Nullable<Timestamptz>,
        active_since -> Timestamptz,
        totp_secret -> Nullable<Bytea>,
        totp_confirmed_at -> Nullable<Timestamptz>,
        totp_last_step -> Nullable<Int8>,
        wechat_openid -> Nullable<Bytea>,
        wechat_openid_index -> Nullable<Bytea>,
    }
}

diesel::table! {
    staff_absences (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        staff_id -> Uuid,
        from_on -> Date,
        until_on -> Date,
        reason -> Nullable<Bytea>,
        created_by -> Uuid,
        created_at -> Timestamptz,
        cancelled_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    staff_posts (county_id, id) {
        county_id -> Int4,
        staff_id -> Uuid,
        role -> Text,
        unit_id -> Uuid,
        id -> Uuid,
        deputy_id -> Nullable<Uuid>,
        since -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
        department_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    todos (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        kind -> Text,
        unit_id -> Nullable<Uuid>,
        resident_id -> Nullable<Uuid>,
        about -> Nullable<Text>,
        about_id -> Nullable<Uuid>,
        title_zh -> Text,
        title_en -> Text,
        state -> Text,
        holder_id -> Nullable<Uuid>,
        due_at -> Nullable<Timestamptz>,
        note -> Nullable<Bytea>,
        done_by -> Nullable<Uuid>,
        done_at -> Nullable<Timestamptz>,
        version -> Int8,
        created_by -> Nullable<Uuid>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        hidden_from -> Array<Nullable<Uuid>>,
    }
}

diesel::table! {
    trip_errands (county_id, trip_id, errand_id) {
        county_id -> Int4,
        trip_id -> Uuid,
        errand_id -> Uuid,
        open -> Bool,
        result -> Text,
        seq -> Nullable<Int4>,
    }
}

diesel::table! {
    trips (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        number -> Text,
        agent_id -> Uuid,
        unit_id -> Uuid,
        department_id -> Uuid,
        on_date -> Date,
        state -> Text,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    units (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        parent_id -> Nullable<Uuid>,
        level -> Text,
        name -> Text,
        division_code -> Text,
        code_source -> Text,
        code_vintage -> Nullable<Text>,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    visit_amendments (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        visit_id -> Uuid,
        outcome -> Nullable<Text>,
        place -> Nullable<Text>,
        note -> Nullable<Bytea>,
        conflict_id -> Nullable<Uuid>,
        by_id -> Uuid,
        at -> Timestamptz,
    }
}

diesel::table! {
    visit_cases (county_id, finding_id, kind, case_id) {
        county_id -> Int4,
        finding_id -> Uuid,
        kind -> Text,
        case_id -> Uuid,
        by_id -> Uuid,
        at -> Timestamptz,
    }
}

diesel::table! {
    visit_categories (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        name -> Text,
        every_days -> Int2,
        window_days -> Int2,
        state -> Text,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    visit_conflicts (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        visit_id -> Uuid,
        household_id -> Uuid,
        unit_id -> Uuid,
        staff_id -> Uuid,
        occurred_at -> Timestamptz,
        recorded_at -> Timestamptz,
        coordinate_system -> Nullable<Text>,
        raw_lng -> Nullable<Float8>,
        raw_lat -> Nullable<Float8>,
        accuracy_m -> Nullable<Float8>,
        mocked -> Bool,
        left_out -> Array<Nullable<Text>>,
        said -> Nullable<Bytea>,
        settled_at -> Nullable<Timestamptz>,
        settled_by -> Nullable<Uuid>,
        settled_how -> Nullable<Text>,
    }
}

diesel::table! {
    visit_findings (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        visit_id -> Uuid,
        unit_id -> Uuid,
        resident_id -> Nullable<Uuid>,
        kind -> Text,
        words -> Nullable<Bytea>,
        by_id -> Uuid,
        at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    visit_partners (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        household_id -> Uuid,
        staff_id -> Uuid,
        from_on -> Date,
        until_on -> Nullable<Date>,
        created_by -> Uuid,
        created_at -> Timestamptz,
        planned_until -> Nullable<Date>,
    }
}

diesel::table! {
    visit_photos (county_id, visit_id, photo_id) {
        county_id -> Int4,
        visit_id -> Uuid,
        photo_id -> Uuid,
        attachment_id -> Uuid,
        at -> Timestamptz,
    }
}

diesel::table! {
    visit_tasks (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        household_id -> Uuid,
        unit_id -> Uuid,
        category_id -> Uuid,
        holder_id -> Nullable<Uuid>,
        opens_on -> Date,
        due_on -> Date,
        state -> Text,
        resolved_by -> Nullable<Uuid>,
        resolved_on -> Nullable<Date>,
        dropped_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    visits (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        household_id -> Uuid,
        unit_id -> Uuid,
        staff_id -> Uuid,
        outcome -> Text,
        amended_outcome -> Nullable<Text>,
        place -> Text,
        device_at -> Timestamptz,
        sent_at -> Timestamptz,
        skew_seconds -> Int8,
        occurred_at -> Timestamptz,
        on_date -> Date,
        recorded_at -> Timestamptz,
        coordinate_system -> Nullable<Text>,
        raw_lng -> Nullable<Float8>,
        raw_lat -> Nullable<Float8>,
        lng -> Nullable<Float8>,
        lat -> Nullable<Float8>,
        accuracy_m -> Nullable<Float8>,
        mocked -> Bool,
        no_position_reason -> Nullable<Text>,
        distance_m -> Nullable<Float8>,
        flags -> Array<Nullable<Text>>,
        left_out -> Array<Nullable<Text>>,
        photos -> Array<Nullable<Uuid>>,
        said -> Nullable<Bytea>,
        version -> Int8,
        amended_place -> Nullable<Text>,
    }
}

diesel::table! {
    waiting_entries (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        unit_id -> Uuid,
        matter_id -> Uuid,
        resident_id -> Uuid,
        channel -> Text,
        place -> Text,
        address -> Nullable<Bytea>,
        booked_by -> Nullable<Uuid>,
        booked_by_resident -> Nullable<Uuid>,
        on_date -> Date,
        earliest -> Timestamptz,
        latest -> Timestamptz,
        until -> Timestamptz,
        state -> Text,
        offered_until -> Nullable<Timestamptz>,
        appointment_id -> Nullable<Uuid>,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    window_matters (county_id, window_id, matter_id) {
        county_id -> Int4,
        window_id -> Uuid,
        matter_id -> Uuid,
    }
}

diesel::table! {
    windows (county_id, id) {
        county_id -> Int4,
        id -> Uuid,
        unit_id -> Uuid,
        name -> Text,
        state -> Text,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        officer_id -> Nullable<Uuid>,
        paused_at -> Nullable<Timestamptz>,
    }
}

diesel::joinable!(attachments -> counties (county_id));
diesel::joinable!(audit_batches -> counties (county_id));
diesel::joinable!(audit_log -> counties (county_id));
diesel::joinable!(consent_texts -> counties (county_id));
diesel::joinable!(departments -> counties (county_id));
diesel::joinable!(errands -> counties (county_id));
diesel::joinable!(hall_screens -> counties (county_id));
diesel::joinable!(helpers -> counties (county_id));
diesel::joinable!(household_tag_kinds -> counties (county_id));
diesel::joinable!(households -> counties (county_id));
diesel::joinable!(matters -> counties (county_id));
diesel::joinable!(message_templates -> counties (county_id));
diesel::joinable!(messages -> counties (county_id));
diesel::joinable!(order_kinds -> counties (county_id));
diesel::joinable!(rating_rounds -> counties (county_id));
diesel::joinable!(ratings -> counties (county_id));
diesel::joinable!(residents -> counties (county_id));
diesel::joinable!(sessions -> counties (county_id));
diesel::joinable!(settings -> counties (county_id));
diesel::joinable!(skills -> counties (county_id));
diesel::joinable!(staff -> counties (county_id));
diesel::joinable!(units -> counties (county_id));
diesel::joinable!(visit_categories -> counties (county_id));
diesel::joinable!(waiting_entries -> counties (county_id));

diesel::allow_tables_to_appear_in_same_query!(
    appointment_events,
    appointment_handles,
    appointments,
    attachment_pieces,
    attachments,
    audit_batches,
    audit_log,
    calendar_days,
    change_feed,
    change_marks,
    changes,
    consent_texts,
    consents,
    counties,
    data_requests,
    department_waits,
    departments,
    errand_ledger,
    errand_originals,
    errand_words,
    errands,
    hall_screens,
    helper_decisions,
    helper_hours,
    helper_units,
    helpers,
    household_import_lines,
    household_imports,
    household_members,
    household_points,
    household_tag_kinds,
    household_tags,
    households,
    idempotency_keys,
    mandates,
    matter_versions,
    matters,
    message_deliveries,
    message_grants,
    message_leases,
    message_templates,
    messages,
    one_time_codes,
    opening_exceptions,
    opening_rules,
    order_kinds,
    order_money,
    order_money_answers,
    order_moves,
    order_notes,
    order_series,
    order_series_skips,
    orders,
    outbox,
    proxies,
    queue_days,
    rating_entries,
    rating_rounds,
    ratings,
    resident_merges,
    residents,
    sessions,
    settings,
    signing_keys,
    skills,
    staff,
    staff_absences,
    staff_posts,
    todos,
    trip_errands,
    trips,
    units,
    visit_amendments,
    visit_cases,
    visit_categories,
    visit_conflicts,
    visit_findings,
    visit_partners,
    visit_photos,
    visit_tasks,
    visits,
    waiting_entries,
    window_matters,
    windows,
);
